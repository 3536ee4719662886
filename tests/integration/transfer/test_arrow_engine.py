"""The engine arrow: several sessions, keys after the rows, and the words of every other verb for what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import arrow_engine, session_crew
from ansible_collections.contralock.database.plugins.module_utils.arrow_engine import copy_part
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.deferred_objects import find_deferred, take_away
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.target_restore import (
    restore_target,
)
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.profile.contralock_target import PROFILE
from tests.integration.transfer.transfer_server import ROWS, Target, assert_empty_and_whole, begun, plant, replanned

SPLIT = "ansible_collections.contralock.database.plugins.module_utils.arrow_engine.split_rows"


@pytest.fixture
def engine() -> str:
    return "arrow"


def refused(order: Transfer, progress: Callable[[Any], None] | None = None) -> str:
    with pytest.raises(MigrationError) as refusal:
        transfer(order, progress)
    return str(refusal.value)


@pytest.mark.parametrize("workers", [1, 3])
def test_every_cell_is_the_same_however_many_load(
    order: Transfer, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts = arrow_engine.split_rows
    monkeypatch.setattr(SPLIT, lambda source, table: in_parts(source, table, 7))
    parts: list[object] = []
    monkeypatch.setattr(arrow_engine, "copy_part", lambda *given: parts.append(given[3]) or copy_part(*given))
    report = transfer(replace(order, workers=workers))
    assert report.rows == ROWS
    assert len(parts) > 2 * len(order.tables)
    comparison = compare_file(order.source, order.target, load_profile(PROFILE).mapping, Options(b"key"))
    assert comparison.equal, comparison.differences


def test_both_engines_say_the_same_of_the_same(order: Transfer, owner: Connection) -> None:
    plant(
        order,
        "UPDATE wallets SET balance = 'much' WHERE rowid IN (1, 2)",
        "UPDATE users SET email = 'Same@example.org ' WHERE rowid = 1",
        "UPDATE users SET email = 'same@example.org' WHERE rowid = 2",
        "UPDATE messages SET content = CAST(x'ff' AS TEXT) WHERE rowid = 3",
        "UPDATE notifications SET userId = '00000000-0000-4000-8000-00000000dead' WHERE rowid = 4",
        "UPDATE users SET twoFactorFailedAttempts = -1 WHERE rowid = 3",
    )
    said = refused(order)
    assert said == refused(replace(order, engine="pgloader"))
    for words in ("wallets.balance", "users.email", "messages.content", "notifications.userId", "against CHECK"):
        assert words in said
    assert_empty_and_whole(order, owner)


@pytest.mark.parametrize(
    "planted",
    [
        "UPDATE users SET email = (SELECT upper(email) FROM users WHERE rowid = 2) WHERE rowid = 1",
        "UPDATE notifications SET userId = '00000000-0000-4000-8000-00000000dead' WHERE rowid = 4",
        "UPDATE users SET twoFactorFailedAttempts = -1 WHERE rowid = 3",
        "UPDATE notifications SET _id = NULL WHERE rowid = 3",
        "UPDATE users SET firstName = printf('%.*c', 256, 'x') WHERE rowid = 3",
    ],
)
def test_what_the_server_refuses_is_said_as_an_examination_says_it(
    order: Transfer, owner: Connection, planted: str
) -> None:
    plant(order, planted)
    assert refused(order) == refused(replace(order, engine="pgloader"))
    assert_empty_and_whole(order, owner)


def test_a_constraint_that_is_not_valid_stays_so_and_is_examined_all_the_same(
    order: Transfer, owner: Connection
) -> None:
    owner.execute("ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey")
    owner.execute("ALTER TABLE wallets ADD CONSTRAINT later FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID")
    order = replanned(order, owner)
    assert transfer(order).rows == ROWS
    plant(order, "UPDATE wallets SET userId = '00000000-0000-4000-8000-00000000dead' WHERE rowid = 1")
    assert "wallets.userId" in refused(order)


#: Indexes and keys that are not written in full by their definition, or are unusual: what is asked of them afterwards.
ODD = {
    "ALTER TABLE users REPLICA IDENTITY USING INDEX users_email_key": (
        "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indisreplident"
    ),
    "ALTER TABLE users CLUSTER ON users_pkey": (
        "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indisclustered"
    ),
    "COMMENT ON INDEX idx_users_role IS 'of use'": "SELECT obj_description('idx_users_role'::regclass)",
    "CREATE INDEX odd ON users ((lower(email))); ALTER INDEX odd ALTER 1 SET STATISTICS 500": (
        "SELECT attstattarget FROM pg_attribute WHERE attrelid = 'odd'::regclass"
    ),
    "CREATE VIEW named AS SELECT id, email, count(*) FROM users GROUP BY id": "SELECT count(*) FROM named",
    "ALTER TABLE wallets ADD CONSTRAINT odd EXCLUDE USING hash (id WITH =)": "SELECT 'odd'::regclass",
    "ALTER TABLE wallets ADD CONSTRAINT odd UNIQUE (id, user_id) DEFERRABLE INITIALLY DEFERRED": (
        "SELECT condeferrable, condeferred FROM pg_constraint WHERE conname = 'odd'"
    ),
    "ALTER TABLE wallets ADD CONSTRAINT odd UNIQUE NULLS NOT DISTINCT (id) INCLUDE (balance) WITH (fillfactor = 50)": (
        "SELECT reloptions FROM pg_class WHERE relname = 'odd'"
    ),
    "CREATE UNIQUE INDEX \"Odd \"\"one\" ON users (email DESC NULLS LAST, (bio || '%s')) WHERE bio > '%'": "SELECT 1",
    "ALTER TABLE wallets ADD CONSTRAINT odd FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE"
    " DEFERRABLE INITIALLY DEFERRED": "SELECT condeferred, convalidated FROM pg_constraint WHERE conname = 'odd'",
    "CREATE INDEX odd ON projects USING gin (milestones jsonb_path_ops)": "SELECT 'odd'::regclass",
}


@pytest.mark.parametrize("made", ODD)
def test_every_kind_of_index_stands_as_before(order: Transfer, owner: Connection, made: str) -> None:
    owner.execute(made.encode())
    asked = ODD[made].encode()
    before = owner.execute(asked).fetchall()
    order = replanned(order, owner)
    assert transfer(order).rows == ROWS
    if "count(*)" not in ODD[made]:
        assert owner.execute(asked).fetchall() == before


def test_what_is_half_put_back_is_taken_back(order: Transfer, owner: Connection) -> None:
    """Killed between a key's index and the key, and between a foreign key and its proof."""
    record = begun(order, owner)
    deferred = find_deferred(owner, order.plan.catalog, order.tables)
    assert len(deferred.keys) >= len(order.tables)
    assert len(deferred.indexes) > len(deferred.keys)
    take_away(owner, deferred)
    names = {each.name for each in (*deferred.keys, *deferred.foreign_keys)}
    assert not names & {each.name for each in snapshot(owner).constraints}
    (index,) = [each for each in deferred.indexes if each.name == "users_pkey"]
    owner.execute(index.text.encode())
    owner.execute("ALTER TABLE projects ADD PRIMARY KEY (id)")
    reference = next(each for each in deferred.foreign_keys if each.referenced_table == "projects")
    owner.execute(f"ALTER TABLE {reference.table} ADD CONSTRAINT {reference.name} {reference.text} NOT VALID".encode())
    assert restore_target(order.target, record).changed
    assert_empty_and_whole(order, owner)


def test_sessions_are_of_the_load_and_speak_tls(
    order: Transfer, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_crew, "TICK_SECONDS", 0.0)
    seen: set[tuple[object, ...]] = set()
    query = """SELECT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
               WHERE datname = current_database() AND application_name LIKE 'contralock load%'"""
    with psycopg.connect(target.administrator, autocommit=True) as administrator:
        transfer(order, lambda _: seen.update(administrator.execute(query).fetchall()))
    assert seen == {("contralock load test", True)}


def test_sessions_that_are_ended_are_told(
    order: Transfer, target: Target, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'contralock load test'"

    def end(*given: Any) -> Any:
        with psycopg.connect(target.administrator, autocommit=True) as administrator:
            administrator.execute(query)
        return copy_part(*given)

    monkeypatch.setattr(arrow_engine, "copy_part", end)
    said = refused(order)
    assert "the server refused the load: " in said
    assert "Run again when the server is up" in said or "See that the server is up" in said
    assert_empty_and_whole(order, owner)


def test_a_load_that_takes_too_long(
    order: Transfer, owner: Connection, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(connection: Connection, *_: Any) -> None:
        connection.execute("SELECT pg_sleep(60)")

    monkeypatch.setattr(arrow_engine, "copy_part", slow)
    said = refused(replace(order, time_limit=1))
    assert "arrow was ended: it reached its time limit of 1 s. Raise the limit" in said
    assert_empty_and_whole(order, owner)


def test_another_session_that_holds_a_table(
    order: Transfer, owner: Connection, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{find_deferred.__module__}.LOCK_WAIT_MILLISECONDS", 200)
    with psycopg.connect(target.administrator) as other:
        other.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        said = refused(order)
    assert "cannot be taken away for the load: another session has used one of the tables" in said
    assert_empty_and_whole(order, owner)


def test_rows_of_many_megabytes(order: Transfer, owner: Connection) -> None:
    plant(order, "UPDATE messages SET content = printf('%.*c', 9000000, 'é') WHERE rowid IN (1, 2)")
    transfer(order)
    found = owner.execute("SELECT count(*) FROM messages WHERE length(content) = 9000000").fetchone()
    assert found == (2,)


def test_nothing_is_written_beside_the_record(order: Transfer, tmp_path: Path) -> None:
    seen: set[str] = set()
    transfer(order, lambda _: seen.update(path.name for path in order.directory.rglob("*")))
    assert seen == set()
