"""Reads the rows of a SQLite file that nobody writes, many times faster than row by row, and coerces nothing.

The ADBC driver for SQLite builds Arrow columns without a Python object for each cell. But it takes a column's type from
its first batch and bends what comes later to it: 5 becomes '5', 2^53+1 beside 1.5 another number, text in a column of
BLOBs is taken for bytes (https://arrow.apache.org/adbc/current/driver/sqlite.html). So SQLite is asked which storage
classes each column has in the first rows, and where the others are not like them, reading stops there and goes on with
what SQLite says of all that is left (``storage_classes.py``). A column with one class comes through the driver, whose
first row then says which; the others come as ``read_table`` reads them. The cells are the same either way.

The driver brings a second SQLite library into the process. POSIX drops every lock that a process has on a file as soon
as one of the two closes it: read with it a snapshot, a backup, a file whose application has stopped, and nothing that
this process keeps locked or others write. Nor may the two share the -shm of a file in WAL mode: locks keep processes
apart and not libraries, so that one would make it anew under the other. So the driver reads such a file as one that
never changes, which it is while its -wal is empty; and where it is not, SQLite's own cursor reads alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import adbc_driver_manager as adbc
import pyarrow as pa

from .cells import Cells
from .errors import MigrationError
from .row_selection import PART_ROWS, RowRange, Selection, select_rows, split_rows
from .source_file import RESTORE, STOP_WRITER, data_version, explained, open_source, side_file, table_of_source
from .source_reader import BATCH_BYTES, BATCH_ROWS
from .source_watch import written_meanwhile
from .storage_classes import NULL, Learned, asked, guarded, learn_classes, open_driver

__all__ = ["PART_ROWS", "RowRange", "read_columns", "split_rows"]

#: Storage class -> part of ``Cells``, what makes the driver give the column its type, and that type. Of a column of
#: bytes the driver takes texts too, as they are, and no numbers.
_CLASSES: dict[str, tuple[str, str, pa.DataType]] = {
    "integer": ("integers", "0", pa.int64()),
    "real": ("reals", "0.0", pa.float64()),
    "text": ("texts", "x''", pa.binary()),
    "blob": ("blobs", "x''", pa.binary()),
}
#: Rows of a batch of the driver's: the first one's have to be looked at before, and all of one stay in the processor's
#: cache. Of larger rows than these a batch has fewer.
_DRIVER_ROWS = 2000
_SMALL_ROW_BYTES = BATCH_BYTES // _DRIVER_ROWS
#: Of a batch of rows whose size nobody has looked at.
_UNKNOWN_ROWS = 256
_DRIVER_ERRORS = (adbc.Error, pa.ArrowException, OSError)


def read_columns(
    path: Path,
    table: str,
    columns: Sequence[str],
    *,
    rows: RowRange | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Generator[list[Cells], None, None]:
    """Read a table, or a part of it, in batches; all of them, or close it in the thread that reads.

    Rows come by their number, in a table WITHOUT ROWID by its primary key.

    Args:
        path: The file; nobody may write it, and this process may not hold a lock on it.
        table: The table's exact name.
        columns: At least one exact name of a column.
        rows: A part from ``split_rows``; the whole table without one.
        batch_rows: The most rows of a batch; those of large rows have fewer.

    Yields:
        One ``Cells`` for each of the columns, of one length, which is never 0; cell for cell what ``read_table`` gives.

    Raises:
        MigrationError: The file or the table cannot be read, or it was written meanwhile.
        ValueError: No column is named, or rows by number where the table has no numbers.
    """
    if not columns:
        raise ValueError(f"no column of {table!r} is named")
    what = table_of_source(table)
    with closing(open_source(path)) as connection:
        with explained(what):
            version = data_version(connection)
            selection = select_rows(connection, table, columns, rows)
            in_wal_mode = connection.execute("PRAGMA journal_mode").fetchone()[0] == b"wal"
        try:
            # Closed here and below: SQLite's objects belong to the thread that made them.
            if in_wal_mode and _has_content(side_file(path, "-wal")):
                with closing(_by_rows(connection, selection, what, _UNKNOWN_ROWS)) as small:
                    yield from _gathered(small, batch_rows)
            else:
                with open_driver(path, unchanging=in_wal_mode) as driver:
                    reading = _Reading(driver, connection, selection, what)
                    with closing(reading.batches(min(batch_rows, _DRIVER_ROWS))) as small:
                        yield from _gathered(small, batch_rows)
        except _DRIVER_ERRORS as error:
            raise _explained_by_sqlite(error, connection, selection, what, version) from error
        with explained(what):
            if data_version(connection) != version:
                raise written_meanwhile("read")


@dataclass(frozen=True)
class _Reading:
    """One pass over rows: the driver for columns of one class, SQLite's own cursor for the others."""

    driver: adbc.AdbcConnection
    connection: sqlite3.Connection
    selection: Selection
    what: str

    def batches(self, most: int) -> Generator[list[Cells], None, None]:
        """Read batches of up to ``most`` rows."""
        read = 0
        if first := self._first(most):
            try:
                with closing(self._known(most, first, guarded(self.selection, first))) as expected:
                    for batch in expected:
                        yield batch
                        read += batch[0].length
            except _DRIVER_ERRORS:
                # Something else came, and the batch with it is not handed over; or the file is damaged, and is again.
                pass
            else:
                return
        left = self.selection
        if read:
            left = left.where_also(f" AND {left.row} >= {self._number_at(read)}")
        known = learn_classes(self.driver, left, _SMALL_ROW_BYTES)
        with closing(replace(self, selection=left)._known(most, known)) as rest:
            yield from rest

    def _first(self, most: int) -> Learned | None:
        """Return what the first rows hold, as many as the driver's first batch has: in that it notices nothing.

        Returns:
            None where there are no more rows than that, or none to read with the driver.
        """
        row = self.selection.row
        last = self._number_at(most - 1) if row else None
        if last is None:
            return None
        first = learn_classes(self.driver, self.selection.where_also(f" AND {row} <= {last}"), _SMALL_ROW_BYTES)
        if not any(first.classes):
            return None
        # Where there is nothing yet, texts are as good a guess as any.
        return replace(first, classes=tuple("text" if kind == NULL else kind for kind in first.classes))

    def _number_at(self, place: int) -> int | None:
        """Return the number of a row by its place, from 0."""
        query = f"SELECT {self.selection.row} {self.selection.tree} LIMIT 1 OFFSET {place}"
        with explained(self.what):
            found = self.connection.execute(query).fetchone()
        return None if found is None else int(found[0])

    def _known(self, most: int, known: Learned, guard: str = "") -> Generator[list[Cells], None, None]:
        """Read rows whose classes are known; the driver under a condition that fails where they are not."""
        rows = max(1, min(most, BATCH_BYTES // known.row_bytes))
        uniform = {at: _CLASSES[kind] for at, kind in enumerate(known.classes) if kind in _CLASSES}
        if not uniform:
            return _by_rows(self.connection, self.selection, self.what, rows)
        mixed = [at for at, kind in enumerate(known.classes) if kind is None]
        return self._by_columns(uniform, mixed, rows, guard)

    def _by_columns(
        self, uniform: Mapping[int, tuple[str, str, pa.DataType]], mixed: Sequence[int], rows: int, guard: str
    ) -> Generator[list[Cells], None, None]:
        with closing(self._cursor(mixed)) as cursor:
            for batch in self._driver_batches(uniform, rows, guard):
                length = batch.num_rows
                cells = [Cells(length)] * len(self.selection.columns)
                for (at, (part, _, _)), array in zip(uniform.items(), batch.columns, strict=True):
                    cells[at] = _part(part, array)
                if mixed:
                    with explained(self.what):
                        found = cursor.fetchmany(length)
                    if len(found) != length:
                        raise written_meanwhile("read")
                    for at, values in zip(mixed, zip(*found, strict=True), strict=True):
                        cells[at] = Cells.of(values)
                yield cells

    def _cursor(self, columns: Iterable[int]) -> sqlite3.Cursor:
        listed = [self.selection.columns[at] for at in columns]
        with explained(self.what):
            return self.connection.execute(self.selection.query(listed) if listed else "SELECT 1")

    def _driver_batches(
        self, uniform: Mapping[int, tuple[str, str, pa.DataType]], rows: int, guard: str
    ) -> Iterator[pa.RecordBatch]:
        query = self.selection.where_also(guard).query([self.selection.columns[at] for at in uniform])
        seeds = ", ".join(seed for _, seed, _ in uniform.values())
        # SQLite may leave out the order of a subquery, unless it has a LIMIT.
        rest = f"SELECT * FROM ({query} LIMIT -1)" if self.selection.order else query
        with asked(self.driver, f"SELECT {seeds} UNION ALL {rest}", rows) as reader:
            _assert_types(reader.schema, [wanted for _, _, wanted in uniform.values()], self.what)
            first_row = 1
            for batch in reader:
                if batch.num_rows > first_row:
                    yield batch.slice(first_row)
                first_row = 0


def _explained_by_sqlite(
    error: Exception, connection: sqlite3.Connection, selection: Selection, what: str, version: int
) -> MigrationError:
    """Return the error of what the driver has few words for, and SQLite itself more.

    Raises:
        MigrationError: SQLite says what is wrong with the file.
    """
    with explained(what), closing(connection.execute(selection.query(selection.columns))) as cursor:
        for _ in cursor:
            pass
        if data_version(connection) != version:
            return written_meanwhile("read")
    words = str(error).splitlines()[0]
    if "is locked" in words:
        # By a writer that has ended since: SQLite itself has waited for it.
        return MigrationError(f"{what} is locked by another process ({words})", STOP_WRITER)
    return MigrationError(f"{what} cannot be read: {words}", RESTORE)


def _has_content(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _by_rows(
    connection: sqlite3.Connection, selection: Selection, what: str, rows: int
) -> Generator[list[Cells], None, None]:
    """Read with SQLite's own cursor."""
    with explained(what), closing(connection.execute(selection.query(selection.columns))) as cursor:
        while found := cursor.fetchmany(rows):
            yield [Cells.of(values) for values in zip(*found, strict=True)]


def _part(name: str, array: pa.Array) -> Cells:
    """Make cells of the driver's column; like ``Cells.of``, a class without a cell has no part."""
    if array.null_count == len(array):
        return Cells(len(array))
    binary = name in ("texts", "blobs")
    return Cells(len(array), **{name: array.cast(pa.large_binary()) if binary else array})


def _gathered(batches: Iterator[list[Cells]], most_rows: int) -> Iterator[list[Cells]]:
    """Put small batches together, to just the number of rows that one may have, or fewer bytes than that."""
    held: list[list[Cells]] = []
    rows = size = 0
    for batch in batches:
        left, more = batch, _nbytes(batch)
        if held and size + more > BATCH_BYTES:
            yield _joined(held)
            held, rows, size = [], 0, 0
        room = most_rows - rows
        if batch[0].length >= room:
            yield _joined([*held, [cells.slice(0, room) for cells in batch]])
            held, rows, size = [], 0, 0
            left = [cells.slice(room, batch[0].length - room) for cells in batch]
            more = _nbytes(left)
        if left[0].length:
            held.append(left)
            rows, size = rows + left[0].length, size + more
    if held:
        yield _joined(held)


def _nbytes(batch: Sequence[Cells]) -> int:
    return sum(part.nbytes for cells in batch for part in cells.parts.values())


def _joined(batches: Sequence[list[Cells]]) -> list[Cells]:
    return batches[0] if len(batches) == 1 else [Cells.concat(column) for column in zip(*batches, strict=True)]


def _assert_types(schema: pa.Schema, wanted: Sequence[pa.DataType], what: str) -> None:
    if schema.types != wanted:
        raise MigrationError(
            f"{what}: the driver reads {', '.join(map(str, schema.types))}, not {', '.join(map(str, wanted))}",
            "Install the toolkit's own version of adbc-driver-sqlite (role migration_toolkit)",
        )
