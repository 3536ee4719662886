"""The fast reader gives what the exact one gives, cell for cell, whatever a table holds."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import columnar_reader, compare
from ansible_collections.contralock.database.plugins.module_utils.columnar_reader import (
    RowRange,
    read_columns,
    split_rows,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source, quote_identifier
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.unit.source.read_cells import COUNT, by_rows, exact, table_of, whole

Make = Callable[..., Path]

#: One value or more of each storage class that the driver's own ways would bend, as SQL.
VALUES = {
    "integer": ["5", "0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"],
    "real": ["1.5", "5.0", "0.1", "-0.0", "9e999", "-9e999", "5e-324", "1e300"],
    "text": ["'5'", "''", "'a'", "'1.5'", "'Inf'", "CAST(x'610062' AS TEXT)", "CAST(x'ff' AS TEXT)", "'é😀'"],
    "blob": ["x''", "x'35'", "x'00ff'", "x'61'"],
    "null": ["NULL"],
}


# ---- Any content -----------------------------------------------------------------------------------------------------


def some_table(chance: random.Random, rows: int) -> tuple[str, list[str]]:
    """A script with a table whose columns are of one class, of several, or of one but for a cell; and its columns."""
    declared = ["", "TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC", "DATETIME"]
    columns = [f"c{number}" for number in range(chance.randint(1, 6))]
    listed = ", ".join(f"{column} {chance.choice(declared)}" for column in columns)
    kinds = [chance.sample([*VALUES], chance.choice([1, 1, 1, 2, 5])) for _ in columns]
    strays = [chance.choice([None, None, *VALUES]) for _ in columns]
    numbers = sorted(chance.sample(range(-50, rows * chance.choice([1, 1, 50]) + 50), rows))
    lines = []
    for at, number in enumerate(numbers):
        pools = [
            VALUES[stray]
            if stray and at == rows * 3 // 4
            else VALUES[chance.choice(kind)]
            # A column that begins with many NULLs: the driver would take it for whole numbers.
            if at > rows // 2 or len(kind) > 1
            else ["NULL", *VALUES[kind[0]]][: chance.choice([1, 1, 9])]
            for kind, stray in zip(kinds, strays, strict=True)
        ]
        lines.append(f"({number}, {', '.join(chance.choice(pool) for pool in pools)})")
    script = f"CREATE TABLE t (k INTEGER PRIMARY KEY, {listed});"
    if chance.random() < 0.3:
        script = f"CREATE TABLE t (k INTEGER, {listed}, PRIMARY KEY (k)) WITHOUT ROWID;"
    if chance.random() < 0.3:
        script += f"CREATE INDEX i ON t ({columns[0]});"
    return script + (f"INSERT INTO t VALUES {', '.join(lines)};" if lines else ""), ["k", *columns]


@pytest.mark.parametrize("seed", range(100))
def test_the_same_cells_as_row_by_row(make: Make, seed: int) -> None:
    chance = random.Random(seed)
    rows = chance.choice([0, 1, 2, 30, 200])
    script, columns = some_table(chance, rows)
    path = make(script)
    wanted = chance.sample(columns, chance.randint(1, len(columns)))
    expected = by_rows(path, wanted)
    batch_rows = chance.choice([1, 2, 7, 64, 20_000])
    batches = list(read_columns(path, "t", wanted, batch_rows=batch_rows))
    assert whole(batches) == expected
    assert all(1 <= batch[0].length <= batch_rows for batch in batches)
    with closing(open_source(path)) as source:
        parts = split_rows(source, table_of(path), chance.choice([1, 10, 50, 1000]))
    read = [batch for rows in parts for batch in read_columns(path, "t", wanted, rows=rows, batch_rows=batch_rows)]
    assert whole(read) == expected


TRAPS = {
    "a number among texts": ("TEXT", "'a'", "5"),
    "a real among texts": ("", "'a'", "5.5"),
    "a number that looks like the texts": ("", "'5'", "5"),
    "a blob among texts": ("TEXT", "'a'", "x'61'"),
    "a text among blobs": ("BLOB", "x'61'", "'a'"),
    "a number among blobs": ("BLOB", "x'35'", "5"),
    "a large number beside a real": ("NUMERIC", "1.5", "9007199254740993"),
    "a small number beside a real": ("", "1.5", "5"),
    "a text among numbers": ("INTEGER", "1", "'x'"),
    "a real among numbers": ("INTEGER", "1", "1.5"),
    "a real that is whole among numbers": ("", "1", "1.0"),
    "a text after NULLs": ("", "NULL", "'x'"),
    "a blob after NULLs": ("", "NULL", "x''"),
    "a real after NULLs": ("", "NULL", "1.5"),
    "infinity after NULLs": ("", "NULL", "-9e999"),
    "an empty text after NULLs": ("", "NULL", "''"),
    "NULL among empty texts": ("", "''", "NULL"),
    "NULL among empty blobs": ("", "x''", "NULL"),
    "nothing but NULL": ("", "NULL", "NULL"),
}


@pytest.mark.parametrize("place", [1, 100, 150, 300])
@pytest.mark.parametrize("trap", TRAPS)
def test_no_cell_is_bent_to_those_before_it(make: Make, trap: str, place: int) -> None:
    declared, common, other = TRAPS[trap]
    path = make(
        f"CREATE TABLE t (k INTEGER PRIMARY KEY, v {declared});"
        f"INSERT INTO t SELECT i, iif(i = {place}, {other}, {common}) FROM ({COUNT.format(300)})"
    )
    assert whole(read_columns(path, "t", ["k", "v"], batch_rows=100)) == by_rows(path, ["k", "v"])


def test_what_is_computed_while_it_is_read_is_computed_by_the_same_library(make: Make) -> None:
    path = make(
        "CREATE TABLE t (a REAL, b TEXT AS (a || '') VIRTUAL, c TEXT AS (a || '') STORED, d TEXT AS (a || '') VIRTUAL);"
        f"INSERT INTO t SELECT i * 0.1 + i * i * 1e9 FROM ({COUNT.format(300)})"
    )
    for columns in (["a", "b", "c"], ["d"]):
        assert whole(read_columns(path, "t", columns, batch_rows=100)) == by_rows(path, columns)


@pytest.mark.parametrize("form", Form)
def test_samples_are_read_alike(samples: dict[Form, Path], form: Form) -> None:
    with closing(open_source(samples[form])) as source:
        tables = read_schema(source).tables
    for table in tables:
        names = [column.name for column in table.columns]
        read = whole(read_columns(samples[form], table.name, names, batch_rows=333))
        assert read == by_rows(samples[form], names, table.name)


# ---- Order -----------------------------------------------------------------------------------------------------------


def test_rows_come_by_their_number_whatever_index_there_is(make: Make) -> None:
    path = make("CREATE TABLE t (v); CREATE INDEX i ON t (v); INSERT INTO t VALUES ('b'), ('c'), ('a')")
    expected = [[("text", b"b"), ("text", b"c"), ("text", b"a")]]
    assert whole(read_columns(path, "t", ["v"])) == by_rows(path, ["v"]) == expected


def test_a_table_without_numbers_comes_by_its_primary_key(make: Make) -> None:
    path = make(
        "CREATE TABLE t (a TEXT, b INTEGER, v, PRIMARY KEY (b, a)) WITHOUT ROWID; CREATE INDEX i ON t (a, b, v);"
        "INSERT INTO t VALUES ('x', 2, 1), ('y', 1, 'z'), ('x', 1, NULL)"
    )
    assert whole(read_columns(path, "t", ["v"])) == [[("null", None), ("text", b"z"), ("integer", 1)]]


HIDDEN = "CREATE TABLE t (rowid TEXT, Oid TEXT, _ROWID_ TEXT)"


def test_columns_may_take_the_names_of_the_number(make: Make) -> None:
    path = make(f"{HIDDEN}; INSERT INTO t VALUES ('b', 'x', 1), ('a', 'x', 2.5), ('c', 'w', NULL)")
    assert whole(read_columns(path, "t", ["rowid", "_ROWID_"])) == by_rows(path, ["rowid", "_ROWID_"])


# ---- Parts -----------------------------------------------------------------------------------------------------------

LARGEST = 2**63 - 1
NUMBERS = {
    "dense": range(1, 1001),
    "from below zero": range(-700, 301),
    "every other": range(1, 2001, 2),
    "far apart": [number * 10**15 for number in range(-500, 500)],
    "one far away": [*range(1, 1000), LARGEST],
    "both ends": [-(2**63), *range(1000), LARGEST],
    "a block far away": [*range(1, 300), *range(10**12, 10**12 + 700)],
}


@pytest.mark.parametrize("numbers", NUMBERS)
def test_parts_hold_each_row_once(make: Make, numbers: str) -> None:
    path = make("CREATE TABLE t (k INTEGER PRIMARY KEY, v)")
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany("INSERT INTO t VALUES (?, 1)", [(number,) for number in NUMBERS[numbers]])
    with closing(open_source(path)) as source:
        parts = split_rows(source, table_of(path), 100)
    counts = [sum(part.first <= number <= part.last for number in NUMBERS[numbers]) for part in parts]
    assert sum(counts) == len(NUMBERS[numbers])
    assert max(counts) <= 200
    assert len(parts) >= 5
    read = [value for part in parts for batch in read_columns(path, "t", ["k"], rows=part) for value in exact(batch[0])]
    assert read == [("integer", number) for number in NUMBERS[numbers]]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE t (v)",
        f"CREATE TABLE t (v); INSERT INTO t SELECT i FROM ({COUNT.format(100)})",
        f"CREATE TABLE t (k INTEGER PRIMARY KEY) WITHOUT ROWID; INSERT INTO t {COUNT.format(1000)}",
        f"{HIDDEN}; INSERT INTO t SELECT i, i, i FROM ({COUNT.format(1000)})",
    ],
)
def test_what_is_small_or_has_no_numbers_is_one_part(make: Make, script: str) -> None:
    path = make(script)
    with closing(open_source(path)) as source:
        assert split_rows(source, table_of(path), 100) == (None,)


# ---- Size ------------------------------------------------------------------------------------------------------------


def test_a_few_large_rows_do_not_add_up(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar_reader, "BATCH_BYTES", 200_000)
    monkeypatch.setattr(columnar_reader, "_DRIVER_ROWS", 100)
    monkeypatch.setattr(columnar_reader, "_SMALL_ROW_BYTES", 100)
    path = make(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v, w);"
        f"INSERT INTO t SELECT i, iif(i BETWEEN 500 AND 540, hex(zeroblob(20000)), 'x'), iif(i = 900, 1, 'y')"
        f" FROM ({COUNT.format(1000)})"
    )
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE t SET v = NULL WHERE k % 7 = 0")
    batches = list(read_columns(path, "t", ["v", "w"]))
    assert whole(batches) == by_rows(path, ["v", "w"])
    sizes = [sum(part.nbytes for cells in batch for part in cells.parts.values()) for batch in batches]
    assert max(sizes) <= 200_000
    assert len(batches) < 30


def test_a_row_that_is_larger_than_a_batch_comes_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar_reader, "BATCH_BYTES", 1000)
    path = make("CREATE TABLE t (v); INSERT INTO t VALUES ('a'), (zeroblob(5000)), ('b'), ('c')")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE t SET v = CAST(v AS BLOB)")
    assert [batch[0].length for batch in read_columns(path, "t", ["v"])] == [1, 1, 2]


def test_a_thousand_columns_are_read(make: Make) -> None:
    names = [f"c{number}" for number in range(1100)]
    path = make(f"CREATE TABLE t ({', '.join(names)}); INSERT INTO t DEFAULT VALUES; UPDATE t SET c7 = 'x'")
    ((cells,),) = read_columns(path, "t", ["c7"])
    assert exact(cells) == [("text", b"x")]
    (batch,) = read_columns(path, "t", names)
    assert [exact(cells)[0][0] for cells in batch] == ["text" if name == "c7" else "null" for name in names]


# ---- What goes wrong -------------------------------------------------------------------------------------------------


def test_names_are_quoted(make: Make) -> None:
    path = make('CREATE TABLE "my ""t" ("v ""1", "select"); INSERT INTO "my ""t" VALUES (1, \'x\')')
    assert whole(read_columns(path, 'my "t', ['v "1', "select"])) == [[("integer", 1)], [("text", b"x")]]
    assert quote_identifier('my "t') == '"my ""t"'


def test_a_missing_column_or_table_is_no_text(make: Make) -> None:
    path = make("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    with pytest.raises(MigrationError, match=r"no such column: t\.b"):
        list(read_columns(path, "t", ["b"]))
    with pytest.raises(MigrationError, match="no such table: u"):
        list(read_columns(path, "u", ["b"]))


def test_what_cannot_be_meant_is_refused(make: Make) -> None:
    path = make("CREATE TABLE t (k INTEGER PRIMARY KEY) WITHOUT ROWID")
    with pytest.raises(ValueError, match="no column"):
        list(read_columns(path, "t", []))
    with pytest.raises(ValueError, match="no numbers"):
        list(read_columns(path, "t", ["k"], rows=RowRange(1, 2)))


@pytest.mark.parametrize("bytes_of_a_cell", [100, 50_000])
def test_a_damaged_page_is_an_error_and_no_end(make: Make, bytes_of_a_cell: int) -> None:
    rows = COUNT.format(300_000 // bytes_of_a_cell)
    path = make(f"CREATE TABLE t (a); INSERT INTO t SELECT hex(zeroblob({bytes_of_a_cell})) FROM ({rows})")
    data = bytearray(path.read_bytes())
    data[40 * 4096 : 41 * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(MigrationError, match=r"table 't' .* is damaged"):
        list(read_columns(path, "t", ["a"]))


@pytest.mark.parametrize("values", [["NULL"], ["5", "NULL"], ["NULL", "5"], ["NULL", "'a'", "x'00'"], ["1.5", "NULL"]])
def test_null_in_a_column_that_is_declared_not_null(make: Make, values: Sequence[str]) -> None:
    # As SQLite's own documentation proposes to add a NOT NULL; of such a column it answers IS NULL without a look.
    rows = "), (".join(values)
    sql = "CREATE TABLE t (a NOT NULL)"
    path = make(
        f"CREATE TABLE t (a); INSERT INTO t VALUES ({rows}); PRAGMA writable_schema = ON;"
        f"UPDATE sqlite_schema SET sql = '{sql}' WHERE name = 't'; PRAGMA writable_schema = RESET"
    )
    for batch_rows in (1, 20_000):
        assert whole(read_columns(path, "t", ["a"], batch_rows=batch_rows)) == by_rows(path, ["a"])


def test_batches_of_a_comparison_are_full(make: Make) -> None:
    # As PostgreSQL's are: partners in equally long batches need not be searched.
    path = make(f"CREATE TABLE t (a); INSERT INTO t {COUNT.format(2 * compare.BATCH_ROWS + 1)}")
    lengths = [batch[0].length for batch in read_columns(path, "t", ["a"], batch_rows=compare.BATCH_ROWS)]
    assert lengths == [compare.BATCH_ROWS, compare.BATCH_ROWS, 1]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_text("no database, but long enough to look at" * 100)
    with pytest.raises(MigrationError, match="is not a SQLite database"):
        list(read_columns(tmp_path / "x.sqlite", "t", ["a"]))


def test_a_file_that_is_written_meanwhile_is_refused(make: Make) -> None:
    path = make(f"CREATE TABLE t (a); INSERT INTO t {COUNT.format(1000)}")
    reading = read_columns(path, "t", ["a"], batch_rows=10)
    next(reading)
    with closing(sqlite3.connect(path)) as writer, writer:
        writer.execute("CREATE TABLE other (a)")
    with pytest.raises(MigrationError, match="the source was written while it was read"):
        list(reading)
