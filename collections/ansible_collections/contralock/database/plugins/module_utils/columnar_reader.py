"""Reads the rows of a SQLite file that nobody writes, many times faster than row by row, and coerces nothing.

The ADBC driver for SQLite builds Arrow columns without a Python object for each cell. But it takes a column's type from
its first batch and bends what comes later to it: 5 becomes '5', 2^53+1 beside 1.5 another number, text in a column of
BLOBs is taken for bytes (https://arrow.apache.org/adbc/current/driver/sqlite.html). So SQLite itself is asked first
which storage classes each column has in the very rows that are read. A column with one class comes through the driver,
whose first row then says which; the others come as ``read_table`` reads them. The cells are the same either way.

The driver brings a second SQLite library into the process. POSIX drops every lock that a process has on a file as soon
as one of the two closes it: read with it a snapshot, a backup, a file whose application has stopped, and nothing that
this process keeps locked or others write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_manager as adbc
import adbc_driver_sqlite
import pyarrow as pa

from .cells import Cells
from .errors import MigrationError
from .source_file import RESTORE, ROW_NUMBERS, explained, open_source, quote_identifier
from .source_reader import BATCH_BYTES, BATCH_ROWS
from .source_schema import SourceTable

__all__ = ["PART_ROWS", "RowRange", "read_columns", "split_rows"]

#: Rows of a part of a table: enough that opening the file costs nothing, few enough that workers end together.
PART_ROWS = 100_000

_NULL = "null"
#: Storage class -> part of ``Cells``, what makes the driver give the column its type, and that type.
_CLASSES: dict[str, tuple[str, str, pa.DataType]] = {
    "integer": ("integers", "0", pa.int64()),
    "real": ("reals", "0.0", pa.float64()),
    "text": ("texts", "''", pa.string()),
    "blob": ("blobs", "x''", pa.binary()),
}
#: Rows up to this size are read in full batches; with larger ones batches have fewer rows.
_SMALL_ROW_BYTES = BATCH_BYTES // BATCH_ROWS


@dataclass(frozen=True)
class RowRange:
    """Rows by the number that SQLite gives them (rowid), both ends included."""

    first: int
    last: int


def split_rows(
    connection: sqlite3.Connection, table: SourceTable, rows_per_part: int = PART_ROWS
) -> tuple[RowRange | None, ...]:
    """Cut a table into parts that can be read beside one another.

    The parts depend on the file alone, and hold all rows in ascending order. Where the numbers of rows have large gaps
    (keys that a clock or a random generator made) the parts are counted, otherwise the range is divided.

    Args:
        connection: From ``open_source``.
        table: The table.
        rows_per_part: About how many rows a part should have; twice as many at most.

    Returns:
        The parts; ``(None,)`` where the table is read as a whole: it is small, has no numbers of rows (WITHOUT ROWID),
        or columns that take all three names of the number for themselves.

    Raises:
        MigrationError: SQLite cannot read the table.
    """
    row = _row_number(column.name for column in table.columns)
    if table.without_rowid or row is None:
        return (None,)
    name = quote_identifier(table.name)
    with explained(f"table {table.name!r} of the source"):
        count = table.rows
        if count is None:
            ((count,),) = connection.execute(f"SELECT count(*) FROM {name}").fetchall()
        if count <= rows_per_part:
            return (None,)
        ends = f"SELECT (SELECT min({row}) FROM {name}), (SELECT max({row}) FROM {name})"
        ((first, last),) = connection.execute(ends).fetchall()
        if first is None:
            return (None,)
        span = last - first + 1
        if span <= 2 * count:
            parts = -(-count // rows_per_part)
            starts = [first + span * part // parts for part in range(parts)]
        else:
            starts = [first]
            jump = f"SELECT {row} FROM {name} NOT INDEXED WHERE {row} >= ? ORDER BY {row} LIMIT 1 OFFSET ?"
            while found := connection.execute(jump, [starts[-1], rows_per_part]).fetchone():
                starts.append(found[0])
    ends_of_parts = [*(start - 1 for start in starts[1:]), last]
    return tuple(RowRange(start, end) for start, end in zip(starts, ends_of_parts, strict=True))


def read_columns(  # noqa: PLR0913 (a part, an order and a size are choices of their own)
    path: Path,
    table: str,
    columns: Sequence[str],
    *,
    rows: RowRange | None = None,
    order: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
) -> Iterator[list[Cells]]:
    """Read a table, or a part of it, in batches.

    Args:
        path: The file; nobody may write it, and this process may not hold a lock on it.
        table: The table's exact name.
        columns: At least one exact name of a column.
        rows: A part from ``split_rows``; the whole table without one.
        order: Columns to order the rows by, byte by byte (BINARY); without any they come by their number, and in a
            table WITHOUT ROWID by its primary key.
        batch_rows: The most rows of a batch; those of large rows have fewer.

    Yields:
        One ``Cells`` for each of the columns, of one length, which is never 0; cell for cell what ``read_table`` gives.

    Raises:
        MigrationError: The file or the table cannot be read, or it was written meanwhile.
        ValueError: No column is named, or rows by number where the table has no numbers.
    """
    if not columns:
        raise ValueError(f"no column of {table!r} is named")
    what = f"table {table!r} of the source"
    with closing(open_source(path)) as connection:
        with explained(what):
            version = _data_version(connection)
            selection = _selection(connection, table, columns, rows, order)
        try:
            with _driver(path) as driver:
                classes, row_bytes = _storage_classes(driver, selection)
                small = max(1, min(batch_rows, BATCH_BYTES // row_bytes))
                yield from _gathered(_Reading(driver, connection, selection, classes, what).batches(small), batch_rows)
        except (adbc.Error, pa.ArrowException, OSError) as error:
            # The driver has few words for it; SQLite itself says what is wrong with the file.
            with explained(what), closing(connection.execute(selection.query(selection.columns))) as cursor:
                for _ in cursor:
                    pass
            raise MigrationError(f"{what} cannot be read: {str(error).splitlines()[0]}", RESTORE) from error
        with explained(what):
            if _data_version(connection) != version:
                raise _written_meanwhile()


@dataclass(frozen=True)
class _Selection:
    """What is read of a table.

    Attributes:
        table: Its name, quoted.
        columns: An expression for each column.
        computed: Whether SQLite computes the column while it reads; another version may spell numbers otherwise.
        where: The condition of the rows.
        row: The number of a row; None where there is none.
        order: Terms of ORDER BY; without any it is the order of the table's own tree.
        total: Whether that order leaves no choice, so that two readers meet each row in the same place.
    """

    table: str
    columns: tuple[str, ...]
    computed: tuple[bool, ...]
    where: str
    row: str | None
    order: tuple[str, ...]
    total: bool

    @property
    def tree(self) -> str:
        """FROM and WHERE along the table's own tree; with its indexes SQLite might take another way."""
        return f"FROM {self.table} NOT INDEXED WHERE {self.where}"

    def query(self, columns: Sequence[str]) -> str:
        """Write the SELECT of these expressions, in order."""
        selected = f"SELECT {', '.join(columns)}"
        if not self.order:
            return f"{selected} {self.tree}"
        return f"{selected} FROM {self.table} WHERE {self.where} ORDER BY {', '.join(self.order)}"


def _selection(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: RowRange | None, order: Sequence[str]
) -> _Selection:
    name = quote_identifier(table)
    listed = connection.execute("SELECT name, pk, hidden = 2 FROM pragma_table_xinfo(?)", [table]).fetchall()
    places = {bytes(column).decode(): int(place) for column, place, _ in listed}
    computed = {bytes(column).decode() for column, _, computed in listed if computed}
    kinds = connection.execute("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", [table])
    numbered = not any(without_rowid for (without_rowid,) in kinds)
    alias = _row_number(places) if numbered else None
    if rows is not None and alias is None:
        raise ValueError(f"the rows of {table!r} have no numbers")
    row = f"{name}.{alias}" if alias else None
    # Qualified, because SQLite reads "missing" as a text where there is no such column.
    key = sorted((column for column, place in places.items() if place), key=places.__getitem__)
    own_order = [f"{name}.{quote_identifier(column)}" for column in key] if not numbered else [row] if row else []
    wanted = [f"{name}.{quote_identifier(column)} COLLATE BINARY" for column in order]
    return _Selection(
        table=name,
        columns=tuple(f"{name}.{quote_identifier(column)}" for column in columns),
        computed=tuple(column in computed for column in columns),
        where=f"{row} BETWEEN {rows.first} AND {rows.last}" if rows else "true",
        row=row,
        order=(*wanted, *own_order) if wanted or not numbered else (),
        total=(bool(own_order) or not wanted) and computed.isdisjoint(order),
    )


@contextmanager
def _driver(path: Path) -> Iterator[adbc.AdbcConnection]:
    with (
        adbc_driver_sqlite.connect(f"{path.resolve().as_uri()}?mode=ro") as database,
        adbc.AdbcConnection(database) as connection,
    ):
        yield connection


@contextmanager
def _asked(driver: adbc.AdbcConnection, query: str, batch_rows: int) -> Iterator[pa.RecordBatchReader]:
    with adbc.AdbcStatement(driver) as statement:
        statement.set_options(**{adbc_driver_sqlite.StatementOptions.BATCH_ROWS.value: str(batch_rows)})
        statement.set_sql_query(query)
        stream, _ = statement.execute_query()
        with pa.RecordBatchReader.from_stream(stream) as reader:
            yield reader


def _storage_classes(driver: adbc.AdbcConnection, selection: _Selection) -> tuple[list[str | None], int]:
    """Ask SQLite which storage class the cells of each column have, in one pass over the rows.

    SQLite looks for a row that is not like those before it; what it finds is learned, and the search goes on there. It
    is the driver's SQLite that is asked: it is the newer one, and reads neither text nor BLOB to measure it.

    Returns:
        For each column its one class, ``null`` where every cell is, None where it has several; and a number of bytes
        that no row has more of.
    """
    classes: list[str | None] = [None if computed else _NULL for computed in selection.computed]
    row_bytes = _SMALL_ROW_BYTES
    since = ""
    listed = ", ".join([selection.row or "NULL", *(f"typeof({column})" for column in selection.columns)])
    while True:
        pairs = list(zip(selection.columns, classes, strict=True))
        sized = [f"coalesce(octet_length({column}), 0)" for column, kind in pairs if kind in ("text", "blob", None)]
        size = _balanced(sized or ["0"], "+")
        others = [
            f"{column} IS NOT NULL" + (f" AND typeof({column}) <> '{kind}'" if kind != _NULL else "")
            for column, kind in pairs
            if kind is not None
        ]
        unlike = _balanced([*(f"({other})" for other in others), f"({size} > {row_bytes})"], "OR")
        query = f"SELECT {size}, {listed} {selection.tree}{since} AND {unlike} LIMIT 1"
        with _asked(driver, query, 1) as reader:
            found = reader.read_all()
        if not found.num_rows:
            return classes, row_bytes
        found_bytes, number, *kinds = (column[0].as_py() for column in found.columns)
        classes = [_learned(known, kind) for known, kind in zip(classes, kinds, strict=True)]
        if found_bytes > row_bytes:
            row_bytes = 1 << found_bytes.bit_length()
        if selection.row:
            since = f" AND {selection.row} >= {number}"


def _learned(known: str | None, found: str) -> str | None:
    if found in (_NULL, known):
        return known
    return found if known == _NULL else None


def _balanced(terms: Sequence[str], operator: str) -> str:
    """Join terms as a tree: SQLite takes a thousand columns, but no expression that is a thousand levels deep."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return f"({_balanced(terms[:middle], operator)} {operator} {_balanced(terms[middle:], operator)})"


@dataclass(frozen=True)
class _Reading:
    """One pass over the rows: the driver for columns of one class, SQLite's own cursor for the others."""

    driver: adbc.AdbcConnection
    connection: sqlite3.Connection
    selection: _Selection
    classes: Sequence[str | None]
    what: str

    def batches(self, rows: int) -> Iterator[list[Cells]]:
        """Read batches of up to ``rows`` rows."""
        uniform = {at: _CLASSES[kind] for at, kind in enumerate(self.classes) if kind in _CLASSES}
        if not uniform or not self.selection.total:
            return self._singly(rows)
        return self._by_columns(uniform, rows)

    def _singly(self, rows: int) -> Iterator[list[Cells]]:
        with explained(self.what), closing(self._cursor(range(len(self.classes)))) as cursor:
            while found := cursor.fetchmany(rows):
                yield [Cells.of(values) for values in zip(*found, strict=True)]

    def _by_columns(self, uniform: Mapping[int, tuple[str, str, pa.DataType]], rows: int) -> Iterator[list[Cells]]:
        mixed = [at for at, kind in enumerate(self.classes) if kind is None]
        with closing(self._cursor(mixed)) as cursor:
            for batch in self._driver_batches(uniform, rows):
                length = batch.num_rows
                cells = [Cells(length)] * len(self.classes)
                for (at, (part, _, _)), array in zip(uniform.items(), batch.columns, strict=True):
                    cells[at] = _part(part, array)
                if mixed:
                    with explained(self.what):
                        found = cursor.fetchmany(length)
                    if len(found) != length:
                        raise _written_meanwhile()
                    for at, values in zip(mixed, zip(*found, strict=True), strict=True):
                        cells[at] = Cells.of(values)
                yield cells

    def _cursor(self, columns: Iterable[int]) -> sqlite3.Cursor:
        listed = [self.selection.columns[at] for at in columns]
        with explained(self.what):
            return self.connection.execute(self.selection.query(listed) if listed else "SELECT 1")

    def _driver_batches(
        self, uniform: Mapping[int, tuple[str, str, pa.DataType]], rows: int
    ) -> Iterator[pa.RecordBatch]:
        query = self.selection.query([self.selection.columns[at] for at in uniform])
        seeds = ", ".join(seed for _, seed, _ in uniform.values())
        # SQLite may leave out the order of a subquery, unless it has a LIMIT.
        rest = f"SELECT * FROM ({query} LIMIT -1)" if self.selection.order else query
        with _asked(self.driver, f"SELECT {seeds} UNION ALL {rest}", rows) as reader:
            _assert_types(reader.schema, [wanted for _, _, wanted in uniform.values()], self.what)
            first_row = 1
            for batch in reader:
                if batch.num_rows > first_row:
                    yield batch.slice(first_row)
                first_row = 0


def _part(name: str, array: pa.Array) -> Cells:
    """Make cells of the driver's column; like ``Cells.of``, a class without a cell has no part."""
    if array.null_count == len(array):
        return Cells(len(array))
    binary = name in ("texts", "blobs")
    return Cells(len(array), **{name: array.cast(pa.large_binary()) if binary else array})


def _gathered(batches: Iterator[list[Cells]], most_rows: int) -> Iterator[list[Cells]]:
    """Put small batches together, up to the number of rows and bytes that one may have."""
    held: list[list[Cells]] = []
    rows = size = 0
    for batch in batches:
        length, more = batch[0].length, sum(part.nbytes for cells in batch for part in cells.parts.values())
        if held and (rows + length > most_rows or size + more > BATCH_BYTES):
            yield _joined(held)
            held, rows, size = [], 0, 0
        held.append(batch)
        rows, size = rows + length, size + more
    if held:
        yield _joined(held)


def _joined(batches: Sequence[list[Cells]]) -> list[Cells]:
    return batches[0] if len(batches) == 1 else [Cells.concat(column) for column in zip(*batches, strict=True)]


def _row_number(columns: Iterable[str]) -> str | None:
    """Return a name of the row's number that no column has taken for itself."""
    taken = {column.lower() for column in columns}
    return next((alias for alias in ROW_NUMBERS if alias not in taken), None)


def _assert_types(schema: pa.Schema, wanted: Sequence[pa.DataType], what: str) -> None:
    if schema.types != wanted:
        raise MigrationError(
            f"{what}: the driver reads {', '.join(map(str, schema.types))}, not {', '.join(map(str, wanted))}",
            "Install the toolkit's own version of adbc-driver-sqlite (role migration_toolkit)",
        )


def _data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection commits (https://www.sqlite.org/pragma.html)."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _written_meanwhile() -> MigrationError:
    return MigrationError(
        "the source was written while it was read",
        "Stop its application, or give a copy of the file, and run again",
    )
