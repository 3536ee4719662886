"""Two runners at once, and runners that are killed: nothing happens twice and nothing by half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import load_mark
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.load_mark import clear_mark, one_load, set_mark
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Report, Request, ask, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_history import LOCK_KEY

from tests.integration.schema.steps import (
    BIO,
    NAMES,
    TYPES,
    USERS,
    catalog_of,
    changes_of,
    recorded,
    refused,
    three,
    write_profile,
)
from tests.throwaway_cluster import Database

SCRIPT = Path(__file__).parents[3] / "scripts" / "apply_schema.py"
SLOW = (f"{USERS[0]}\nSELECT pg_sleep(600);", "DROP TABLE users;")


def until(found: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def sleeping(database: Database) -> bool:
    """Whether a runner is in the middle of the slow change."""
    with psycopg.connect(database.superuser_conninfo) as observer:
        query = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        return observer.execute(query).fetchone() is not None


@pytest.fixture
def runner(database: Database, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A runner as a process of its own, in the middle of its second change."""
    folder = write_profile(tmp_path / "slow", changes_of(TYPES, SLOW, BIO))
    command = [sys.executable, str(SCRIPT), "--profile", str(folder), "--target", database.conninfo]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: sleeping(database) or process.poll() is not None)
    yield process
    process.kill()
    process.communicate()


def test_two_runners_apply_each_change_once(database: Database) -> None:
    reports: list[Report] = []
    start = threading.Barrier(4)

    def run() -> None:
        with connect(database.conninfo, "one of four") as own:
            start.wait()
            reports.append(perform(own, Request(three())))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for report in reports for name in report.applied) == NAMES
    assert [report.version for report in reports] == ["0003_bio"] * 4
    assert recorded(database.conninfo) == NAMES


def test_a_second_runner_gives_up_and_names_the_first(
    connection: Connection, database: Database, runner: subprocess.Popen[str]
) -> None:
    started = time.monotonic()
    refused(
        connection,
        Request(three(), lock_wait=1),
        "still holds the lock after 1 s",
        "application_name 'contralock apply_schema'",
        f"user {database.owner}",
        "pid ",
    )
    assert 1 <= time.monotonic() - started < 10
    assert runner.poll() is None


def test_a_change_and_a_load_keep_apart(
    connection: Connection, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_mark, "LOCK_WAIT_SECONDS", 0)
    perform(connection, Request(three()))
    before = catalog_of(connection)
    back = Request(three(), state="reverted", allow_data_loss=True)

    def kept_apart(words: str) -> None:
        for verb in (ask, perform):
            with pytest.raises(MigrationError, match=words) as refused:
                verb(connection, back)
            assert str(refused.value).count("has not ended") <= 1
            # What has nothing to do is in nobody's way: a playbook that was killed begins again.
            assert not verb(connection, Request(three())).changed
        assert catalog_of(connection) == before

    with one_load(database.conninfo) as load:
        kept_apart(
            rf"^a load, its taking back or a schema change is at work in the target \(pid {load.info.backend_pid}, "
        )
        # Its mark is there meanwhile: it is not taken for a killed one's, whose mend would be to take it back.
        set_mark(connection, "killed", tmp_path)
        kept_apart(rf"^a load, .* is at work in the target \(pid {load.info.backend_pid}, .*\. Wait until it has ended")
        # Nor is what it takes away until its end, such as keys, somebody's change of the schema.
        connection.execute("ALTER TABLE users ADD meanwhile integer")
        for verb in (ask, perform):
            with pytest.raises(MigrationError, match=r"is at work in the target .* Wait until it has ended"):
                verb(connection, Request(three()))
        connection.execute("ALTER TABLE users DROP meanwhile")
    kept_apart(rf"^a load from {tmp_path} on .* has not ended, .*\. Take it back on that host")
    clear_mark(connection, "killed")
    # Nor does a load begin in the midst of a change.
    with pytest.raises(MigrationError, match="at work in the target"):
        perform(connection, back, lambda _: assert_no_load(database))
    assert perform(connection, Request(three())).version == NAMES[-1]


def assert_no_load(database: Database) -> None:
    with one_load(database.conninfo):
        pass


def test_the_lock_is_free_after_success_and_after_failure(connection: Connection, database: Database) -> None:
    perform(connection, Request(three()[:1]))
    with pytest.raises(MigrationError):
        perform(connection, Request(changes_of(TYPES, ("SELECT 1/0;", "--"))))
    with connect(database.conninfo, "other") as other:
        assert other.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone() == (True,)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_runner_leaves_nothing_and_the_next_goes_on(
    connection: Connection, database: Database, runner: subprocess.Popen[str], how: signal.Signals
) -> None:
    os.kill(runner.pid, how)
    _, errors = runner.communicate(timeout=20)
    assert "Traceback" not in errors
    # What can be heard is heard: the runner says what stays.
    assert runner.returncode == (-how if how == signal.SIGKILL else 130)
    # The server notices within client_connection_check_interval, though its statement would sleep on.
    until(lambda: not sleeping(database))
    assert recorded(database.conninfo) == NAMES[:1]
    assert "table public.users" not in catalog_of(connection)
    assert perform(connection, Request(changes_of(TYPES, USERS, BIO))).applied == NAMES[1:]


def test_a_runner_whose_session_is_ended_says_what_stays(database: Database, runner: subprocess.Popen[str]) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'contralock apply_schema'"
        )
    output, errors = runner.communicate(timeout=20)
    assert runner.returncode == 2
    assert output.startswith("applied 0001_types in ")
    assert "0002_users.up.sql: terminating connection due to administrator command" in errors
    assert "kept: 0001_types" in errors
    assert "Run again" in errors
    assert recorded(database.conninfo) == NAMES[:1]
