"""A server that goes away in the midst of a load, and a pgloader that gets stuck: it is ended, and begins anew."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import pgloader, pgloader_engine
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.pgloader_engine import TRIES
from ansible_collections.contralock.database.plugins.module_utils.transfer import Progress, Transfer, transfer

from tests.integration.profile.contralock_target import UPS, run_change
from tests.integration.transfer.conftest import planned
from tests.integration.transfer.transfer_server import ROWS, Server, Target, assert_empty_and_whole, fake_pgloader
from tests.throwaway_cluster import Cluster, throwaway_cluster

SESSION = "contralock load test"
LOST_SECONDS = 0.6
#: Where the real one loads in the end: on a busy machine it is without a session for a second.
LONGER_SECONDS = 4.0


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server that a test may stop."""
    with throwaway_cluster() as cluster:
        yield cluster


@pytest.fixture
def in_own_cluster(own_cluster: Cluster, copied: Path, scratch: Path, server: Server) -> Transfer:
    """The sample into a server of its own."""
    target = Target("postgres", own_cluster.conninfo(), own_cluster.conninfo(), server)
    with psycopg.connect(target.conninfo, autocommit=True) as connection:
        for up in UPS:
            run_change(connection, up.read_text())
    with connect(target.conninfo, "test") as owner:
        order = planned(owner, copied, target, scratch, copied.with_name("target_before.json"))
    return replace(order, engine="pgloader", time_limit=60)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgloader, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(pgloader_engine, "LOST_SECONDS", LOST_SECONDS)


def stopped(cluster: Cluster, _: list[int]) -> None:
    """Stop the server at once, as ``pg_ctl stop -m immediate`` does."""
    os.kill(int((cluster.data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)


def started_again(_: Cluster, sessions: list[int]) -> None:
    """Let a session crash: the server ends all of them, and takes new ones a moment later."""
    os.kill(sessions[0], signal.SIGKILL)


def acting(cluster: Cluster, looks: list[float], what: Callable[[Cluster, list[int]], None]) -> Progress:
    """Do something to the server when the session was seen twice."""

    def act(_: Mapping[str, object]) -> None:
        if len(looks) < 2:
            with psycopg.connect(cluster.conninfo()) as connection:
                query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
                pids = [int(pid) for (pid,) in connection.execute(query, [SESSION]).fetchall()]
            if pids:
                looks.append(time.monotonic())
            if len(looks) == 2:
                what(cluster, pids)

    return act


def asking(order: Transfer, query: str) -> str:
    """A command that asks the server in a session of pgloader's name."""
    return f'PGAPPNAME=\'{SESSION}\' psql -qX "{order.target}" -c "{query}"'


def test_a_server_that_is_lost(in_own_cluster: Transfer, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    order, looks = in_own_cluster, list[float]()
    # What hangs is a race of its threads: this one waits in any case.
    waits = f"{asking(order, 'SELECT pg_sleep(1000)')}; sleep 1000"
    fake_pgloader(order.source.parent, waits, monkeypatch)
    with pytest.raises(MigrationError) as refusal:
        transfer(order, acting(own_cluster, looks, stopped))
    for word in ("pgloader was ended: the server does not answer", "not empty and whole", "Start the server"):
        assert word in str(refusal.value)
    assert LOST_SECONDS < time.monotonic() - looks[1] < 15


def test_a_server_that_comes_back_is_loaded_into_anew(
    in_own_cluster: Transfer, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, marker = in_own_cluster, in_own_cluster.source.with_name("tried")
    monkeypatch.setattr(pgloader_engine, "LOST_SECONDS", LONGER_SECONDS)
    waits = f"{asking(order, 'SELECT pg_sleep(1000)')}; sleep 1000"
    fake_pgloader(order.source.parent, f'[ -e {marker} ] && exec $REAL "$@"; touch {marker}; {waits}', monkeypatch)
    assert transfer(order, acting(own_cluster, [], started_again)).rows == ROWS


@pytest.mark.parametrize(("times", "with_a_session"), [(TRIES - 1, False), (TRIES, False), (TRIES, True)])
def test_a_pgloader_that_gets_stuck_is_tried_anew(
    in_own_cluster: Transfer, monkeypatch: pytest.MonkeyPatch, times: int, with_a_session: bool
) -> None:
    order, tried, said = in_own_cluster, in_own_cluster.source.with_name("tried"), list[str]()
    # As pgloader does before the rows: no later try would find the schema that it expects.
    drops = (
        "ALTER TABLE messages DROP CONSTRAINT messages_conversation_id_fkey;"
        " INSERT INTO conversations (id, created_at, updated_at) VALUES (gen_random_uuid(), now(), now());"
        " SELECT pg_sleep(1)"
    )
    sticks = f"{asking(order, drops)}; exec sleep 1000"
    if with_a_session:
        sticks = f'{{ echo "{drops};"; sleep 1000; }} | PGAPPNAME=\'{SESSION}\' psql -qX "{order.target}"'
    script = f'echo >> {tried}; [ $(wc -l < {tried}) -gt {times} ] && exec $REAL "$@"; {sticks}'
    fake_pgloader(order.source.parent, script, monkeypatch)

    def hear(progress: Mapping[str, object]) -> None:
        said.append(str(progress.get("line")))

    if times < TRIES:
        monkeypatch.setattr(pgloader_engine, "LOST_SECONDS", LONGER_SECONDS)
        assert transfer(order, hear).rows == ROWS
    else:
        with pytest.raises(MigrationError, match="pgloader was ended: it has no session") as refusal:
            transfer(order, hear)
        assert "See that the server is up and reachable" in str(refusal.value)
        with connect(order.target, "test") as connection:
            assert_empty_and_whole(order, connection)
    assert sum("begun anew" in line for line in said) == min(times, TRIES - 1)
    assert len(tried.read_text().splitlines()) == min(times + 1, TRIES)


def test_a_load_that_takes_its_time_is_left_alone(order: Transfer, loads_and_then: Callable[[str], None]) -> None:
    # Without a session of pgloader's name, as it prepares itself, and with one that waits for an index.
    slow = 2 * LOST_SECONDS
    loads_and_then(f"SELECT pg_sleep({slow}); SET application_name = '{SESSION}'; SELECT pg_sleep({slow})")
    assert transfer(order).rows == ROWS
