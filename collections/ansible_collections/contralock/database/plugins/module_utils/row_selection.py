"""Which rows of a table are read, and by which words of SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .source_file import ROW_NUMBERS, explained, quote_identifier, table_of_source
from .source_schema import SourceTable

#: Rows of a part of a table: enough that opening the file costs nothing, few enough that workers end together.
PART_ROWS = 100_000


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
    with explained(table_of_source(table.name)):
        if table.rows <= rows_per_part:
            return (None,)
        ends = f"SELECT (SELECT min({row}) FROM {name}), (SELECT max({row}) FROM {name})"
        ((first, last),) = connection.execute(ends).fetchall()
        if first is None:
            return (None,)
        span = last - first + 1
        if span <= 2 * table.rows:
            parts = -(-table.rows // rows_per_part)
            starts = [first + span * part // parts for part in range(parts)]
        else:
            starts = [first]
            jump = f"SELECT {row} FROM {name} NOT INDEXED WHERE {row} >= ? ORDER BY {row} LIMIT 1 OFFSET ?"
            while found := connection.execute(jump, [starts[-1], rows_per_part]).fetchone():
                starts.append(found[0])
    ends_of_parts = [*(start - 1 for start in starts[1:]), last]
    return tuple(RowRange(start, end) for start, end in zip(starts, ends_of_parts, strict=True))


@dataclass(frozen=True)
class Selection:
    """What is read of a table.

    Attributes:
        table: Its name, quoted.
        columns: An expression for each column.
        computed: Whether SQLite computes the column while it reads; another version may spell numbers otherwise.
        where: The condition of the rows.
        row: The number of a row; None where there is none.
        order: Terms of ORDER BY where rows have no numbers, so that two readers meet each row in the same place;
            otherwise it is the order of the table's own tree.
    """

    table: str
    columns: tuple[str, ...]
    computed: tuple[bool, ...]
    where: str
    row: str | None
    order: tuple[str, ...]

    @property
    def tree(self) -> str:
        """FROM and WHERE along the table's own tree; with its indexes SQLite might take another way."""
        return f"FROM {self.table} NOT INDEXED WHERE {self.where}"

    def where_also(self, condition: str) -> Selection:
        """Return these rows without those that fail a condition."""
        return replace(self, where=f"{self.where}{condition}")

    def query(self, columns: Sequence[str]) -> str:
        """Write the SELECT of these expressions, in order."""
        selected = f"SELECT {', '.join(columns)}"
        if not self.order:
            return f"{selected} {self.tree}"
        return f"{selected} FROM {self.table} WHERE {self.where} ORDER BY {', '.join(self.order)}"


def select_rows(connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: RowRange | None) -> Selection:
    """Write the words for some columns and rows of a table.

    Args:
        connection: From ``open_source``.
        table: The table's exact name.
        columns: Exact names of its columns.
        rows: A part; all rows without one.

    Raises:
        ValueError: Rows are named by number where the table has no numbers.
    """
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
    return Selection(
        table=name,
        columns=tuple(f"{name}.{quote_identifier(column)}" for column in columns),
        computed=tuple(column in computed for column in columns),
        where=f"{row} BETWEEN {rows.first} AND {rows.last}" if rows else "true",
        row=row,
        order=() if numbered else tuple(f"{name}.{quote_identifier(column)}" for column in key),
    )


def _row_number(columns: Iterable[str]) -> str | None:
    """Return a name of the row's number that no column has taken for itself."""
    taken = {column.lower() for column in columns}
    return next((alias for alias in ROW_NUMBERS if alias not in taken), None)
