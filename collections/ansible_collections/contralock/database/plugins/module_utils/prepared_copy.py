"""A private copy of the source that says everything in PostgreSQL's words, so that a loader has nothing to decide.

Its tables and columns have the target's names; every column is declared TEXT, so that SQLite changes nothing; each cell
is NULL or a text that PostgreSQL's input function turns into exactly the planned value. It holds what is carried and
nothing else. Each batch goes through the guard that ``examine`` uses: what was found an hour ago is not what is read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from .durable_files import new_private_file
from .errors import MigrationError
from .findings import RuleCount, SourceExaminer
from .plan import Plan, TablePlan
from .row_bytes import row_bytes, too_large_rows
from .source_file import quote_identifier
from .source_reader import one_view, read_table

#: Called with the target's table, the rows so far and all rows there are, both over all tables.
Counted = Callable[[str, int, int], None]

#: A crash costs the copy, which is made anew, so nothing is written twice or waited for. Large pages are fewer.
_PRAGMAS = ("page_size = 65536", "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE")


@dataclass(frozen=True)
class PreparedTable:
    """What was written of one table: rows, bytes of all its texts in UTF-8, bytes of its largest row, seconds."""

    rows: int
    bytes: int
    largest_row_bytes: int
    seconds: float


@dataclass(frozen=True)
class Prepared:
    """The prepared copy.

    Attributes:
        path: The file, 0600.
        tables: Target table to what was written of it; all tables of the plan, empty ones included.
        rule_counts: What the profile's rules changed.
        seconds: How long it took.
    """

    path: Path
    tables: Mapping[str, PreparedTable]
    rule_counts: tuple[RuleCount, ...]
    seconds: float

    @property
    def rows(self) -> Mapping[str, int]:
        """Target table to the number of its rows."""
        return {name: table.rows for name, table in self.tables.items()}

    @property
    def largest_row_bytes(self) -> int:
        """Bytes of the largest row of all."""
        return max((table.largest_row_bytes for table in self.tables.values()), default=0)

    def assert_rows_up_to(self, limit: int, engine: str) -> None:
        """Refuse rows that the engine cannot carry.

        Raises:
            MigrationError: Names each table that has one, with the bytes of its largest row.
        """
        largest = {name: table.largest_row_bytes for name, table in self.tables.items()}
        if refusal := too_large_rows(largest, limit, engine):
            raise refusal


def prepare_copy(source: sqlite3.Connection, plan: Plan, path: Path, counted: Counted | None = None) -> Prepared:
    """Write the prepared copy, unless something does not fit.

    Args:
        source: From ``open_source``; read in one transaction.
        plan: What goes where.
        path: The file to make; it must not exist, and is gone again when this fails. Keys that are too many for memory
            are put aside beside it.
        counted: Told after each batch.

    Raises:
        MigrationError: Something of the source does not fit, in the words of ``findings``; there is no room; or SQLite
            refuses a name.
    """
    begun = time.monotonic()
    total = sum(table.source.rows for table in plan.tables)
    os.close(new_private_file(path))
    try:
        with (
            _refusals_told(path),
            contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy,
            contextlib.closing(SourceExaminer(plan, path.parent)) as examiner,
        ):
            for pragma in _PRAGMAS:
                copy.execute(f"PRAGMA {pragma}")
            copy.execute("BEGIN")
            writer = _Writer(examiner, counted or (lambda *_: None), total)
            with one_view(source):
                for table in plan.tables:
                    writer.write(source, copy, table)
            found = examiner.finish()
            found.raise_unless_ready()
            copy.execute("COMMIT")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Prepared(path, writer.tables, found.rule_counts, time.monotonic() - begun)


class _Writer:
    """Writes one table after the other; after the first finding it only looks for more."""

    def __init__(self, examiner: SourceExaminer, counted: Counted, total: int) -> None:
        self.tables: dict[str, PreparedTable] = {}
        self._examiner = examiner
        self._fits = True
        self._counted = counted
        self._total = total
        self._rows = 0

    def write(self, source: sqlite3.Connection, copy: sqlite3.Connection, table: TablePlan) -> None:
        begun = time.monotonic()
        names = [quote_identifier(column.target.name) for column in table.columns]
        copy.execute(f"CREATE TABLE {quote_identifier(table.target)} ({', '.join(f'{name} TEXT' for name in names)})")
        insert = f"INSERT INTO {quote_identifier(table.target)} VALUES ({', '.join('?' * len(names))})"
        part = self._examiner.part(table)
        size = largest = 0
        for batch in read_table(source, table.source.name, table.source_columns):
            values = part.add(batch)
            self._fits = self._fits and part.fits
            if self._fits:
                texts = [column.conversion.render(each) for column, each in zip(table.columns, values, strict=True)]
                copy.executemany(insert, zip(*(each.to_pylist() for each in texts), strict=True))
                of_rows = row_bytes(texts)
                size += pc.sum(of_rows).as_py()
                largest = max(largest, pc.max(of_rows).as_py())
            self._rows += len(values[0])
            self._counted(table.target, self._rows, max(self._total, self._rows))
        self.tables[table.target] = PreparedTable(part.rows, size, largest, time.monotonic() - begun)


@contextlib.contextmanager
def _refusals_told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        # SQLITE_ERROR is a statement that SQLite refuses: names that PostgreSQL tells apart by case alone, or takes for
        # its own. What else there is concerns the file.
        named = error.sqlite_errorcode == sqlite3.SQLITE_ERROR
        raise MigrationError(
            f"the prepared copy {path} cannot be written: {error}",
            "Take the engine arrow, which needs no copy: SQLite knows no such names beside each other"
            if named
            else "Make room on its filesystem, or choose another scratch directory",
        ) from None
