"""Rows are read as they are stored, in batches."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import source_reader
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source, quote_identifier
from ansible_collections.contralock.database.plugins.module_utils.source_reader import read_table
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

Opened = Callable[..., sqlite3.Connection]

COUNT = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n"
MIXED = """
    CREATE TABLE "my ""t" (k INTEGER PRIMARY KEY, "v ""1");
    INSERT INTO "my ""t" ("v ""1") VALUES
        (5), (5.0), ('5'), (x'35'), (NULL), (9007199254740993), (-9223372036854775808), (9e999), (''), (x''),
        (CAST(x'ff' AS TEXT)), (CAST(x'610062' AS TEXT)), ('😀');
"""
STORED = [5, 5.0, "5", b"5", None, 2**53 + 1, -(2**63), float("inf"), "", b"", "\\xff", "a\0b", "😀"]


def values(cells: Cells) -> list[tuple[type, object]]:
    return [(type(value), value) for value in map(cells.python, range(cells.length))]


def test_every_value_arrives_as_it_is_stored(opened: Opened) -> None:
    ((keys, mixed),) = read_table(opened(MIXED), 'my "t', ["k", 'v "1'])
    assert values(keys) == [(int, number) for number in range(1, len(STORED) + 1)]
    assert values(mixed) == [(type(value), value) for value in STORED]


@pytest.mark.parametrize("batch_rows", [1, 5, 13, 100])
def test_batches_together_hold_all_rows(opened: Opened, batch_rows: int) -> None:
    batches = list(read_table(opened(MIXED), 'my "t', ["k"], batch_rows=batch_rows))
    assert max(batch[0].length for batch in batches) == min(batch_rows, len(STORED))
    assert [row for batch in batches for row in batch[0].integers.to_pylist()] == list(range(1, len(STORED) + 1))


def test_an_empty_table_has_no_batch(opened: Opened) -> None:
    assert list(read_table(opened("CREATE TABLE t (a)"), "t", ["a"])) == []


def test_large_values_come_in_small_batches(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_reader, "BATCH_BYTES", 1_000_000)
    source = opened(f"CREATE TABLE t (a); INSERT INTO t SELECT zeroblob(10000) FROM ({COUNT})")
    sizes = [batch[0].length for batch in read_table(source, "t", ["a"])]
    assert sum(sizes) == 2000
    assert max(sizes[1:]) == 99


def test_rows_come_by_their_number_whatever_index_there_is(opened: Opened) -> None:
    script = "CREATE TABLE t (k TEXT); CREATE INDEX i ON t (k); INSERT INTO t VALUES ('b'), ('A'), ('é'), ('a2')"
    ((cells,),) = read_table(opened(script), "t", ["k"])
    assert [cells.python(row) for row in range(4)] == ["b", "A", "é", "a2"]


def test_a_table_without_numbers_comes_by_its_primary_key(opened: Opened) -> None:
    # SQLite would take an index that has all columns, NOT INDEXED or not.
    script = "CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID; CREATE INDEX i ON t (v);"
    ((cells,),) = read_table(opened(f"{script} INSERT INTO t VALUES ('a', 3), ('b', 1), ('c', 2)"), "t", ["k"])
    assert [cells.python(row) for row in range(3)] == ["a", "b", "c"]


def test_a_missing_column_is_no_text(opened: Opened) -> None:
    with pytest.raises(MigrationError, match=r"no such column: t\.b"):
        list(read_table(opened("CREATE TABLE t (a); INSERT INTO t VALUES (1)"), "t", ["b"]))


def test_a_damaged_page_is_an_error_and_no_end(make: Callable[..., Path]) -> None:
    path = make(f"CREATE TABLE t (a); INSERT INTO t SELECT hex(zeroblob(100)) FROM ({COUNT})")
    data = bytearray(path.read_bytes())
    data[40 * 4096 : 41 * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with (
        closing(open_source(path)) as source,
        pytest.raises(MigrationError, match=r"table 't' .* is damaged"),
    ):
        list(read_table(source, "t", ["a"]))


def test_a_connection_that_decodes_is_refused() -> None:
    with closing(sqlite3.connect(":memory:")) as other, pytest.raises(ValueError, match="open_source"):
        list(read_table(other, "t", ["a"]))


def test_no_column_is_refused(opened: Opened) -> None:
    with pytest.raises(ValueError, match="no column"):
        list(read_table(opened(), "t", []))


def test_names_are_quoted() -> None:
    assert quote_identifier('a"b') == '"a""b"'


@pytest.mark.parametrize("form", Form)
def test_samples_are_read_whole(samples: dict[Form, Path], form: Form) -> None:
    with closing(open_source(samples[form])) as source, closing(sqlite3.connect(samples[form])) as plain:
        for table in read_schema(source).tables:
            names = [column.name for column in table.columns]
            batches = list(read_table(source, table.name, names))
            columns = [Cells.concat(column) for column in zip(*batches, strict=True)]
            listed = ", ".join(map(quote_identifier, names))
            expected = plain.execute(f"SELECT {listed} FROM {quote_identifier(table.name)} ORDER BY rowid").fetchall()
            found = list(zip(*([cells.python(row) for row in range(cells.length)] for cells in columns), strict=True))
            assert found == expected
