"""Everything is loaded, or the target is empty and whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils import pgloader, pgloader_engine, session_crew
from ansible_collections.contralock.database.plugins.module_utils.catalog import difference, snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError, notes_of
from ansible_collections.contralock.database.plugins.module_utils.load_directory import remove_left_over
from ansible_collections.contralock.database.plugins.module_utils.load_mark import clear_mark
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes
from ansible_collections.contralock.database.plugins.module_utils.schema_history import add_record
from ansible_collections.contralock.database.plugins.module_utils.target_restore import LOADED, TargetRecord
from ansible_collections.contralock.database.plugins.module_utils.target_state import row_counts
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.profile.contralock_target import PROFILE
from tests.integration.transfer.transfer_server import (
    ROWS,
    SECRET,
    Target,
    assert_empty_and_whole,
    both_engines,
    fake_pgloader,
    plant,
    replanned,
)

USER = """INSERT INTO users (email, password, first_name, last_name, role)
          VALUES ('x@example.org', 'x', 'A', 'B', 'client')"""


def counts(order: Transfer, connection: Connection) -> dict[str, int]:
    return row_counts(connection, "public", order.tables)


def assert_nothing_left(order: Transfer, connection: Connection) -> None:
    assert_empty_and_whole(order, connection)
    assert list(order.scratch.iterdir()) == []


def refused(order: Transfer, progress: Callable[[Any], None] | None = None) -> tuple[str, str]:
    with pytest.raises(MigrationError) as refusal:
        transfer(order, progress)
    assert refusal.value.mend
    assert SECRET not in f"{refusal.value}{refusal.value.details}"
    return str(refusal.value), str(refusal.value.details)


def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a load tell as often as it looks."""
    monkeypatch.setattr(pgloader, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(session_crew, "TICK_SECONDS", 0.0)


@both_engines
def test_all_rows_arrive_and_the_schema_stays(order: Transfer, owner: Connection) -> None:
    said: list[dict[str, Any]] = []
    report = transfer(order, lambda each: said.append(dict(each)))
    assert report.rows == ROWS
    assert counts(order, owner) == {name: table.rows for name, table in report.tables.items()}
    assert difference(order.plan.catalog.description, snapshot(owner).description) == []
    assert list(order.scratch.iterdir()) == []
    assert all(table.bytes and table.load_seconds is not None for table in report.tables.values())
    assert (report.engine, report.rows_per_second > 0) == (order.engine, True)
    assert report.engine_version in (*pgloader.TESTED_VERSIONS, pa.__version__)
    assert {(each.column, each.rule) for each in report.rule_counts} >= {("email", "lower")}
    record = TargetRecord.read(order.record)
    assert record
    assert (record.state, set(record.fingerprints)) == (LOADED, set(order.tables))
    assert record.catalog == order.plan.catalog
    lines = [each["line"] for each in said]
    if order.engine == "pgloader":
        assert "prepare: users, " in lines[0]
        (last,) = [
            line for line in lines if line.startswith(f"prepare: wallet_transactions, {ROWS:,} of {ROWS:,} rows")
        ]
        assert re.fullmatch(r".* rows, [\d,]+ rows/s", last)
    assert lines[-1] == "load: ANALYZE"
    analyzed = owner.execute("SELECT count(*) FROM pg_class WHERE relname = 'users' AND reltuples > 0").fetchone()
    assert analyzed == (1,)


@both_engines
def test_the_load_is_told_while_it_runs(order: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    often(monkeypatch)
    said: list[dict[str, Any]] = []
    transfer(order, lambda each: said.append(dict(each)))
    loading = [each["rows"] for each in said if each["line"].startswith("load: ") and "rows" in each]
    assert loading
    assert loading == sorted(loading)
    assert {each["of_rows"] for each in said if "of_rows" in each} == {ROWS}


@both_engines
@pytest.mark.usefixtures("quick_pgloader")
def test_rows_of_others_are_refused_and_our_own_replaced(order: Transfer, owner: Connection) -> None:
    owner.execute(USER)
    message, _ = refused(order)
    assert "holds rows that this run did not load (users 1)" in message
    assert counts(order, owner)["users"] == 1
    assert not order.record.exists()
    report = transfer(replace(order, discard_rows=True))
    assert counts(order, owner)["users"] == report.tables["users"].rows


@both_engines
def test_rows_are_discarded_for_a_source_that_fits_and_no_other(order: Transfer, owner: Connection) -> None:
    owner.execute(USER)
    plant(order, "UPDATE wallets SET balance = 'much' WHERE rowid = 1")
    message, _ = refused(replace(order, discard_rows=True))
    assert "wallets.balance at" in message
    assert counts(order, owner)["users"] == 1


@both_engines
@pytest.mark.usefixtures("quick_pgloader")
def test_a_second_load_of_the_same_run_begins_anew(order: Transfer, owner: Connection) -> None:
    transfer(order)
    report = transfer(order)
    assert report.restored_before
    assert sum(report.restored_before.rows.values()) == ROWS
    assert sum(counts(order, owner).values()) == ROWS


@both_engines
@pytest.mark.usefixtures("quick_pgloader")
def test_an_earlier_load_stays_until_the_next_one_is_judged(order: Transfer, owner: Connection) -> None:
    transfer(replace(order, engine="arrow"))
    before = order.record.read_bytes()
    plant(order, "UPDATE wallets SET balance = 'much' WHERE rowid = 1")
    assert "wallets.balance at" in refused(order)[0]
    assert sum(counts(order, owner).values()) == ROWS
    assert order.record.read_bytes() == before
    plant(order, "UPDATE wallets SET balance = 5 WHERE rowid = 1")
    said: list[str] = []

    def interrupt(news: Mapping[str, Any]) -> None:
        said.append(news["line"])
        if news["line"].startswith("load: counting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupted:
        transfer(order, interrupt)
    assert f"load: taking out {ROWS} rows that the target holds" in said
    gone = f"{ROWS} rows that stood there before are gone: what belongs there has to be loaded again"
    assert notes_of(interrupted.value) == ["The target is empty and whole again", gone]
    assert_nothing_left(order, owner)
    # What was lost then is not lost again.
    with pytest.raises(KeyboardInterrupt) as interrupted:
        transfer(order, interrupt)
    assert notes_of(interrupted.value) == ["The target is empty and whole again"]


@both_engines
def test_what_does_not_fit_is_told_before_anything_is_loaded(
    order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(order, "UPDATE wallets SET balance = 'much' WHERE rowid = 1", f"UPDATE users SET role = '{SECRET[:6]}x'")
    fake_pgloader(order.source.parent, f"touch {order.source}.ran", monkeypatch)
    message, _ = refused(order)
    assert "wallets.balance at" in message
    assert "users.role at" in message
    assert not order.source.with_suffix(".sqlite.ran").exists()
    # pgloader's copy is examined before the target is touched; the record of a load that was taken back does no harm.
    assert order.record.exists() is (order.engine == "arrow")
    assert_nothing_left(order, owner)


@both_engines
def test_what_does_not_fit_between_rows_is_told_too(order: Transfer, owner: Connection) -> None:
    plant(order, "UPDATE users SET email = 'Same@example.org ' WHERE rowid = 1")
    plant(order, "UPDATE users SET email = 'same@example.org' WHERE rowid = 2")
    assert "users.email" in refused(order)[0]
    assert_nothing_left(order, owner)


def test_rows_that_pgloader_could_not_carry_are_refused(
    order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgloader_engine, "LARGEST_ROW_BYTES", 1_000_000)
    plant(order, "UPDATE messages SET content = printf('%.*c', 1000000, 'x') WHERE rowid = 1")
    message, _ = refused(order)
    assert "too large for pgloader, which carries up to 1,000,000 bytes (messages 1,000," in message
    assert not order.record.exists()
    assert_nothing_left(order, owner)


@both_engines
def test_a_changed_schema_is_refused(order: Transfer, owner: Connection) -> None:
    owner.execute("ALTER TABLE users ADD nickname text")
    assert "column public.users.nickname: new" in refused(order)[0]


def test_a_schema_that_was_altered_since_it_was_made_is_refused(order: Transfer, owner: Connection) -> None:
    """The plan knows the altered schema, which looks whole."""
    add_record(owner, load_changes(PROFILE / "schema")[-1], 1, {}, order.plan.catalog.description)
    owner.execute("ALTER TABLE wallets DROP CONSTRAINT wallets_balance_check")
    order = replanned(order, owner)
    assert "wallets_balance_check: missing, was CHECK ((balance >= 0))" in refused(order)[0]
    assert_nothing_left(order, owner)


@both_engines
def test_a_table_outside_that_refers_to_one_inside_is_refused(order: Transfer, owner: Connection) -> None:
    owner.execute("CREATE SCHEMA other; CREATE TABLE other.notes (u uuid REFERENCES users (id))")
    assert "notes refers to users" in refused(order)[0]


@both_engines
def test_a_row_that_only_the_server_can_refuse(order: Transfer, owner: Connection) -> None:
    # What may look at more than the row nobody can be asked beforehand.
    owner.execute("CREATE FUNCTION odd(text) RETURNS boolean STABLE LANGUAGE sql RETURN md5($1) < '1'")
    owner.execute("ALTER TABLE wallets ADD CONSTRAINT odd CHECK (odd(id::text || balance))")
    order = replanned(order, owner)
    message, _ = refused(order)
    assert 'Database error 23514: new row for relation "wallets" violates check constraint "odd"' in message
    assert ("pgloader reported faults" if order.engine == "pgloader" else "the server refused the load") in message
    found = re.search(r"\(wallets: id = (\S+), balance = (\d+)\)", message)
    assert found
    with contextlib.closing(sqlite3.connect(order.source)) as source:
        assert source.execute("SELECT balance FROM wallets WHERE _id = ?", [found[1]]).fetchone() == (int(found[2]),)
    assert "Mend the rows in the source that break the target's CHECK" in message
    assert_nothing_left(order, owner)


#: What a pgloader may leave behind that ends with exit code 0: SQL -> what the refusal names.
LEFT_BEHIND = {
    "DELETE FROM notifications WHERE id IN (SELECT id FROM notifications LIMIT 3)": "rows are missing: notifications",
    "TRUNCATE audit_trails": "audit_trails 0 of ",
    "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey": "public.wallets.wallets_user_id_fkey: missing",
    "ALTER TABLE audit_trails DROP CONSTRAINT audit_trails_pkey": "audit_trails_pkey: missing",
    "ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE": "users_pkey: missing",
    "DROP INDEX idx_users_role": "index public.users.idx_users_role: missing",
    "ALTER TABLE users ALTER email DROP NOT NULL": "column public.users.email: was",
    "ALTER TABLE users ALTER status DROP DEFAULT": "column public.users.status: was",
    "CREATE INDEX more ON users (first_name)": "index public.users.more: new",
    "ALTER TABLE wallets DROP CONSTRAINT wallets_balance_check;"
    " ALTER TABLE wallets ADD CONSTRAINT wallets_balance_check CHECK (balance > -100)": "wallets_balance_check: was",
    "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey; ALTER TABLE wallets ADD CONSTRAINT other_name"
    " FOREIGN KEY (user_id) REFERENCES users (id)": "constraint public.wallets.other_name: new",
}


@pytest.mark.parametrize(("left", "named"), LEFT_BEHIND.items(), ids=range(len(LEFT_BEHIND)))
def test_a_pgloader_that_lies(
    order: Transfer, owner: Connection, loads_and_then: Callable[[str], None], left: str, named: str
) -> None:
    loads_and_then(left)
    message, details = refused(order)
    assert "ended without a fault" in message
    assert named in f"{message}{details}"
    assert_nothing_left(order, owner)


def test_the_schema_can_be_beyond_repair(
    order: Transfer, owner: Connection, loads_and_then: Callable[[str], None]
) -> None:
    loads_and_then("ALTER TABLE users DROP COLUMN bio")
    message, _ = refused(order)
    assert "has left another schema: column public.users.bio: missing" in message
    assert "The target is not empty and whole: the target's schema is not what it was before" in message
    assert "apply_schema.py" in message
    assert set(counts(order, owner).values()) == {0}


@pytest.mark.parametrize("when", ["part", "all"])
def test_a_pgloader_that_fails_after_rows(
    order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    script = {"all": '"$REAL" "$@"; exit 4', "part": '"$REAL" "$@" & sleep 0.5; kill -9 $!; exit 4'}[when]
    fake_pgloader(order.source.parent, script, monkeypatch)
    assert "exit code 4" in refused(order)[0]
    assert_nothing_left(order, owner)


def test_a_pgloader_that_hangs(order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pgloader(order.source.parent, '"$REAL" "$@"; sleep 1000', monkeypatch)
    assert "time limit" in refused(replace(order, time_limit=3))[0]
    assert_nothing_left(order, owner)


@both_engines
def test_an_interruption_takes_everything_back(
    order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    often(monkeypatch)

    def interrupt(said: dict[str, Any]) -> None:
        if said["line"].startswith("load: ") and said.get("rows"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(order, interrupt)
    assert_nothing_left(order, owner)


def test_an_interruption_in_the_last_moment_takes_everything_back(
    order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record says that the load has ended, and its mark is gone."""

    def clear_and_interrupt(connection: Connection, mark: str) -> None:
        clear_mark(connection, mark)
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{transfer.__module__}.clear_mark", clear_and_interrupt)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        transfer(replace(order, engine="arrow"))
    assert notes_of(interrupted.value) == ["The target is empty and whole again"]
    assert_nothing_left(order, owner)


def test_sessions_that_are_ended_on_the_server(
    order: Transfer, target: Target, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgloader, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(pgloader, "LOOK_SECONDS", 0.02)
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'contralock load test'"
    ended: list[Any] = []
    with psycopg.connect(target.administrator, autocommit=True) as administrator:
        refused(replace(order, time_limit=5), lambda _: ended.extend(administrator.execute(query).fetchall()))
    assert ended
    assert_nothing_left(order, owner)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sslrootcert": "{other}"}, "Let sslrootcert name the authority"),
        ({"host": "127.0.0.1"}, "Connect with a host name that the server's certificate carries"),
        ({"passfile": "/dev/null"}, "Give libpq a password"),
        ({"dbname": "nowhere"}, "Create the database"),
    ],
)
@both_engines
def test_a_wrong_connection_has_its_mend(order: Transfer, target: Target, changes: dict[str, str], words: str) -> None:
    given = {name: value.format(other=target.server.other_authority) for name, value in changes.items()}
    assert words in refused(replace(order, target=target.server.conninfo(**{"dbname": target.name, **given})))[0]
    assert not order.record.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine": "magic"}, "no engine 'magic'"),
        ({"label": "a b"}, "no label"),
        ({"accepted_versions": ("9.9",)}, "tested with 9.9"),
    ],
)
def test_what_needs_no_server_to_be_refused(order: Transfer, changes: dict[str, Any], words: str) -> None:
    assert words in refused(replace(order, **changes))[0]


def test_a_scratch_directory_that_cannot_be(order: Transfer) -> None:
    assert "short and plain" in refused(replace(order, scratch=order.scratch / ("x" * 100)))[0]
    (order.scratch / "file").touch()
    assert "cannot be made or removed" in refused(replace(order, scratch=order.scratch / "file"))[0]


def test_what_a_killed_load_left_is_removed_and_a_living_ones_files_are_not(order: Transfer) -> None:
    for name in ("load-dead", "load-alive", "other"):
        (order.scratch / name).mkdir()
        (order.scratch / name / "prepared.sqlite").touch()
    descriptor = os.open(order.scratch / "load-alive", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        remove_left_over(order.scratch)
        assert sorted(path.name for path in order.scratch.iterdir()) == ["load-alive", "other"]
        assert "another load may be at work" in refused(replace(order, label="alive"))[0]
    finally:
        os.close(descriptor)
    remove_left_over(order.scratch)
    assert [path.name for path in order.scratch.iterdir()] == ["other"]
    (order.scratch / "load-link").symlink_to(order.source.parent)
    assert "cannot be made or removed" in refused(order)[0]
    assert order.source.exists()
