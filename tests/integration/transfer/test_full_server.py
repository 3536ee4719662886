"""A server that has no connection left in the midst of a load, a comparison or a proof: its limit is named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import transfer as transfer_module
from ansible_collections.contralock.database.plugins.module_utils.application_proof import (
    Application,
    Fenced,
    prove_postgresql,
)
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.comparison.loaded_target import Pair
from tests.integration.profile.contralock_target import PROFILE, UPS, run_change
from tests.integration.transfer.conftest import planned
from tests.integration.transfer.transfer_server import Server, Target, assert_empty_and_whole, plant
from tests.throwaway_cluster import Database, throwaway_cluster

CONNECTIONS, RESERVED = 12, 3


@pytest.fixture
def small() -> Iterator[Database]:
    """A database of a server with few connections; the owner gets none of the last ones, which are a superuser's."""
    settings = {"max_connections": str(CONNECTIONS), "superuser_reserved_connections": str(RESERVED)}
    with throwaway_cluster(settings) as cluster, cluster.database() as database:
        with psycopg.connect(database.conninfo, autocommit=True) as owner:
            for up in UPS:
                run_change(owner, up.read_text())
        yield database


@contextmanager
def all_but(free: int, database: Database) -> Iterator[None]:
    """Hold all connections but some."""
    with ExitStack() as held:
        for _ in range(CONNECTIONS - RESERVED - free):
            held.enter_context(psycopg.connect(database.superuser_conninfo))
        yield


def assert_refused_until_it_fits(database: Database, verb: Callable[[], object]) -> None:
    """Give one more each time, from the second session on; how many the verb needs is its affair."""
    for free in range(1, CONNECTIONS - RESERVED):
        with all_but(free, database):
            try:
                verb()
            except MigrationError as error:
                assert_names_the_limit(error)
            else:
                assert free > 1
                return
    raise AssertionError("it never fitted")


def assert_names_the_limit(error: MigrationError) -> None:
    assert "remaining connection slots are reserved" in error.fact
    assert "max_connections" in error.mend


def test_each_verb_says_that_the_server_is_full(
    small: Database, copied: Path, scratch: Path, server: Server, tmp_path: Path
) -> None:
    target = Target(small.name, small.conninfo, small.superuser_conninfo, server)
    with connect(small.conninfo, "test") as owner:
        order = planned(owner, copied, target, scratch, copied.with_name("target_before.json"))

    def load(engine: str) -> Callable[[], object]:
        def verb() -> object:
            assert_untouched(order, small)
            return transfer(replace(order, engine=engine, time_limit=60))

        return verb

    # Two are ours, so that pgloader itself is refused.
    with all_but(2, small), pytest.raises(MigrationError, match="pgloader failed") as refusal:
        load("pgloader")()
    assert_names_the_limit(refusal.value)
    assert_refused_until_it_fits(small, load("arrow"))

    pair = Pair(copied, small.conninfo, load_profile(PROFILE).mapping)

    def compare() -> None:
        assert pair.compare().equal

    assert_refused_until_it_fits(small, compare)

    moved = tmp_path / "app.sqlite.before"
    moved.write_bytes(b"")
    (tmp_path / "app.sqlite").mkdir()
    fenced = Fenced(tmp_path / "app.sqlite", moved, hashlib.sha256(b"").hexdigest())
    with all_but(0, small), pytest.raises(MigrationError, match=r"remaining connection slots.*max_connections"):
        prove_postgresql(small.conninfo, small.owner, Application(), fenced, patience=0.3)


def test_a_way_back_waits_for_the_places_that_the_load_s_own_sessions_had(
    small: Database, copied: Path, scratch: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(small.name, small.conninfo, small.superuser_conninfo, server)
    with connect(small.conninfo, "test") as owner:
        order = planned(owner, copied, target, scratch, copied.with_name("target_before.json"))
    plant(order, "UPDATE notifications SET userId = '00000000-0000-4000-8000-00000000dead' WHERE rowid = 4")
    restore, asked = transfer_module.restore_target, list[str]()

    def without_room_at_first(*given: Any) -> Any:
        asked.append("once")
        with all_but(0, small) if len(asked) == 1 else nullcontext():
            return restore(*given)

    monkeypatch.setattr(transfer_module, "restore_target", without_room_at_first)
    with pytest.raises(MigrationError, match=r"notifications\.userId") as refusal:
        transfer(replace(order, engine="arrow"))
    assert "not empty and whole" not in refusal.value.fact
    assert len(asked) == 2
    assert_untouched(order, small)


def assert_untouched(order: Transfer, database: Database) -> None:
    """What was refused has left nothing behind, neither rows nor a schema without its keys."""
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        assert_empty_and_whole(order, administrator)
