"""Many workers, parts and partitions: the same answer each time, and that of one worker without any of them."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import comparison_parts, row_spill, symmetric_join
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
    Comparison,
    UncarriedRows,
    as_document,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import (
    ColumnMapping,
    Mapping,
    NamingRule,
    TableMapping,
)

from tests.integration.comparison.loaded_target import UNRECORDED, Pair, told
from tests.throwaway_cluster import Database

ROWS = 2400
SOURCE = f"""
CREATE TABLE items (id VARCHAR(36) PRIMARY KEY, name TEXT, n INTEGER, doc JSON);
CREATE TABLE loose (name TEXT, n INTEGER, pad TEXT);
CREATE TABLE pairs (a INTEGER, b TEXT, note TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
WITH RECURSIVE k (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < {ROWS})
INSERT INTO items SELECT printf('%08x-0000-4000-8000-00000000abcd', (i * 7919) % 100003 + 0x80000000), 'name ' || i, i,
  '{{"n": ' || i || '}}' FROM k;
INSERT INTO loose SELECT 'row ' || (n / 3), n / 3, substr(name || hex(zeroblob(20)), 1, 30) FROM items;
INSERT INTO pairs SELECT n / 10, 'b' || n, name FROM items;
"""
TARGET = """
CREATE TABLE items (id uuid PRIMARY KEY, name text, n integer, doc jsonb);
CREATE TABLE loose (name text, n integer, pad text);
CREATE TABLE pairs (a integer, b text, note text, PRIMARY KEY (a, b));
"""
FAULTS = (
    "UPDATE items SET name = name || '!' WHERE n IN (1, 1299, 2400)",
    "UPDATE items SET doc = jsonb_set(doc, '{n}', '0') WHERE n = 2321",
    "DELETE FROM items WHERE n IN (17, 2000)",
    "INSERT INTO items VALUES ('00000000-0000-4000-8000-000000000001', 'new', 0, '{}')",
    "DELETE FROM loose WHERE ctid = (SELECT min(ctid) FROM loose WHERE n = 300)",
    "INSERT INTO loose SELECT * FROM loose WHERE n = 400 LIMIT 1",
    "UPDATE pairs SET note = NULL WHERE b = 'b77'",
    "UPDATE pairs SET b = 'moved' WHERE b = 'b78'",
)
ORDERED = {"items": "md5(id::text)", "loose": "md5(pad)", "pairs": "md5(b)"}


@pytest.fixture
def big(tmp_path: Path, database: Database) -> Pair:
    path = tmp_path / "big.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SOURCE)
    pair = Pair(path, database.conninfo, Mapping(NamingRule.SNAKE_CASE))
    pair.sql(TARGET)
    pair.load()
    return pair


def shuffle(pair: Pair) -> None:
    """Let the target's rows lie in another order."""
    for table, order in ORDERED.items():
        pair.sql(
            f"CREATE TABLE other AS SELECT * FROM {table} ORDER BY {order}",
            f"TRUNCATE {table}",
            f"INSERT INTO {table} SELECT * FROM other",
            "DROP TABLE other",
        )


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut tables of a few thousand rows into parts."""
    monkeypatch.setattr(comparison_parts, "PIECE_ROWS", 100)


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put rows aside, into files."""
    monkeypatch.setattr(symmetric_join, "WAITING_BYTES", 20_000)
    for name, size in (("FLUSH_BYTES", 60_000), ("KEPT_BYTES", 2_000), ("PROBE_BYTES", 1_000)):
        monkeypatch.setattr(row_spill, name, size)


def said(found: Comparison) -> dict[str, object]:
    """Everything that was found, but how long it took."""
    still = replace(found, tables=tuple(replace(table, seconds=0.0) for table in found.tables), seconds=0.0)
    return as_document(still)


@pytest.mark.usefixtures("small_parts")
def test_parts_are_compared_beside_one_another(big: Pair) -> None:
    found = big.compare(batch_rows=100)
    assert (found.differences, found.equal) == ((), True)
    assert {table.table: (table.source_rows, table.target_rows, table.cells) for table in found.tables} == {
        "items": (ROWS, ROWS, 4 * ROWS),
        "loose": (ROWS, ROWS, 3 * ROWS),
        "pairs": (ROWS, ROWS, 3 * ROWS),
    }


EXPECTED = [
    ("items", "name", "differs"),
    ("items", "name", "differs"),
    ("items", "doc", "differs"),
    ("items", "name", "differs"),
    ("items", None, "missing in the target"),
    ("items", None, "missing in the target"),
    ("items", None, "only in the target"),
    ("loose", None, "missing in the target"),
    ("loose", None, "only in the target"),
    ("pairs", "note", "differs"),
    ("pairs", None, "missing in the target"),
    ("pairs", None, "only in the target"),
]


@pytest.mark.usefixtures("small_memory")
def test_the_answer_depends_on_nothing_but_the_data(big: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker without parts, many with, row by row; in the order of the load and in another one."""
    big.sql(*FAULTS)
    answers = []
    for piece_rows in (1_000_000, 100):
        monkeypatch.setattr(comparison_parts, "PIECE_ROWS", piece_rows)
        answers += [
            big.compare(workers=workers, batch_rows=rows, at_rest=at_rest)
            for workers, rows, at_rest in ((1, 20_000, True), (3, 120, True), (3, 120, True), (2, 500, False))
        ]
        shuffle(big)
    answers.append(big.compare(workers=3, batch_rows=90))
    assert sorted((table, str(column), kind) for table, _, column, kind in told(answers[0].differences)) == sorted(
        (table, str(column), kind) for table, column, kind in EXPECTED
    )
    numbers = [(table.missing, table.extra, table.changed) for table in answers[0].tables]
    assert numbers == [(2, 1, 4), (1, 1, 0), (1, 1, 1)]
    for answer in answers[1:]:
        assert said(answer) == said(answers[0])


@pytest.mark.usefixtures("small_parts")
def test_the_first_of_many_are_the_same_each_time(big: Pair) -> None:
    big.sql("UPDATE items SET n = n + 1", "DELETE FROM loose WHERE n % 2 = 0")
    first, *others = (big.compare(limit=10, workers=workers, batch_rows=150) for workers in (1, 3, 3))
    assert len(first.differences) == 10
    assert first.number == ROWS + ROWS // 2
    for other in others:
        assert said(other) == said(first)


@pytest.mark.usefixtures("small_parts")
def test_all_workers_see_one_moment(big: Pair) -> None:
    """What is written while the first rows are compared is in no worker's sight."""

    written: list[bool] = []

    def write(_said: object) -> None:
        if not written:
            big.sql("DELETE FROM items WHERE n > 100", "INSERT INTO loose VALUES ('late', 1, '')")
        written.append(True)

    assert big.compare(progress=write, batch_rows=64).equal
    assert not big.compare().equal


def test_progress_is_told_in_the_thread_that_asked(big: Pair) -> None:
    threads = set()
    big.compare(progress=lambda _: threads.add(threading.current_thread()), workers=3)
    assert threads == {threading.main_thread()}


@pytest.mark.usefixtures("small_parts")
def test_the_first_value_that_does_not_fit_is_named_each_time(big: Pair) -> None:
    big.sqlite("UPDATE items SET n = 'x' WHERE n IN (1000, 1700, 2300)", "UPDATE loose SET n = 'y'")
    messages = set()
    for workers in (1, 3, 3):
        with pytest.raises(MigrationError) as caught:
            big.compare(workers=workers, batch_rows=50)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_lost_server_ends_all_workers(big: Pair) -> None:
    def end(_said: object) -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'contralock compare'"
        with psycopg.connect(big.target, autocommit=True) as connection:
            connection.execute(query)

    with pytest.raises(MigrationError, match="cannot be read from PostgreSQL"):
        big.compare(progress=end, batch_rows=20)


def test_an_interruption_ends_all_workers(big: Pair) -> None:
    def interrupt(_said: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        big.compare(progress=interrupt, batch_rows=20)
    with psycopg.connect(big.target, autocommit=True) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'contralock compare'"
        # The server notices a moment later that a client has gone.
        deadline = time.monotonic() + 10
        while (left := connection.execute(query).fetchone()) != (0,) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == (0,)


def test_secrets_that_were_put_aside_leave_no_file(
    big: Pair, tmp_path: Path, small_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    shuffle(big)
    seen: list[list[Path]] = []
    assert big.compare(scratch=scratch, progress=lambda _: seen.append(list(scratch.iterdir())), batch_rows=500).equal
    assert seen
    assert not any(seen)
    scratch.rmdir()
    with pytest.raises(
        MigrationError,
        match=r"rows cannot be put aside in the scratch folder .*scratch, or read from there: No such file",
    ):
        big.compare(scratch=scratch, batch_rows=500)


def test_tables_that_are_never_carried_stay_out(big: Pair) -> None:
    big.sql("CREATE TABLE audit (n integer)", "INSERT INTO audit VALUES (1)")
    left = replace(big, mapping=replace(big.mapping, never_carried={"audit": "ours"}))
    assert [table.table for table in left.compare().tables] == ["items", "loose", "pairs"]
    assert left.compare().equal
    assert left.compare().uncarried == ()


def test_rows_that_are_never_carried_are_counted_where_it_is_asked_for(big: Pair, database: Database) -> None:
    big.sql(
        "CREATE TABLE audit (n integer) PARTITION BY RANGE (n)",
        "CREATE TABLE audit_low PARTITION OF audit FOR VALUES FROM (0) TO (10)",
        "INSERT INTO audit VALUES (1), (2)",
        "CREATE TABLE sessions (n integer)",
        "INSERT INTO sessions VALUES (1)",
        "CREATE TABLE empty (n integer)",
    )
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE alien (n integer)")
    why = dict.fromkeys(("audit", "audit_low", "empty", "alien"), "ours") | {"sessions": "Users log in again"}
    found = replace(big, mapping=replace(big.mapping, never_carried=why)).compare(uncarried=True)
    assert found.uncarried == (
        UncarriedRows("audit_low", 2, "ours"),
        UncarriedRows("sessions", 1, "Users log in again"),
    )
    assert found.notes[0] == UNRECORDED
    assert found.notes[1] == (
        "the rows of alien, which is never carried, cannot be counted: permission denied for table alien"
    )
    assert found.equal


def test_sensitive_names_of_keys_too(big: Pair) -> None:
    hidden = {"items": TableMapping(columns={"name": ColumnMapping(sensitive=True)})}
    big.sql("UPDATE items SET name = 'other' WHERE n = 3")
    found = replace(big, mapping=replace(big.mapping, tables=hidden)).compare()
    (difference,) = found.differences
    assert difference.target is not None
    assert difference.target.startswith("5 characters, hmac:")
