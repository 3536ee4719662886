"""A part of a source that is whole in itself: some rows of every table, and every row that these refer to.

It cuts a private copy down; nothing else may have the file open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import MigrationError
from .source_file import quote_identifier
from .source_schema import SourceForeignKey, SourceTable, read_schema

#: Knuth's multiplicative hash (The Art of Computer Programming, 6.4) spreads neighbouring rowids over 2^32 values, so
#: that a subset is neither the oldest rows nor every tenth of them, and is the same in each rehearsal.
_SPREAD = 2654435761
_RANGE = 2**32
#: Of a rowid: with more of them, or a sign, the product is no whole number of 64 bits.
_LOW_BITS = 2**31 - 1


def cut_to_subset(path: Path, fraction: float) -> dict[str, tuple[int, int]]:
    """Delete rows of a private copy until about ``fraction`` of each table is left, foreign keys complete.

    Args:
        path: The copy; it is changed in place and made smaller.
        fraction: The share of rows to start from, above 0 and up to 1. Rows that they refer to are kept as well, so
            that tables which others refer to keep more.

    Returns:
        Table -> rows before and after.

    Raises:
        MigrationError: The fraction is out of its range.
    """
    assert_fraction(fraction)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA foreign_keys = OFF")
        # A crash costs the copy, which is made anew.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        schema = read_schema(connection)
        # The application's triggers would refuse a deletion, or write rows for it; this copy is not the application's.
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {quote_identifier(name)}")
        before = _count(connection, schema.tables)
        tables = [table for table in schema.tables if not table.without_rowid]
        _mark(connection, tables, fraction)
        _complete(connection, schema.tables)
        for table in tables:
            name = quote_identifier(table.name)
            connection.execute(f"DELETE FROM {name} WHERE rowid NOT IN (SELECT kept FROM temp.{_kept(table)})")
        after = _count(connection, schema.tables)
        connection.execute("VACUUM")
        return {name: (rows, after[name]) for name, rows in before.items()}
    finally:
        connection.close()


def assert_fraction(fraction: float) -> None:
    """Refuse what is no part of a whole.

    Raises:
        MigrationError: It is not above 0 and up to 1.
    """
    if not 0 < fraction <= 1:
        raise MigrationError(
            f"a subset of {fraction} is no part of the source", "Give a fraction above 0 and up to 1, such as 0.1"
        )


def _mark(connection: sqlite3.Connection, tables: Iterable[SourceTable], fraction: float) -> None:
    """Choose the rows to start from; a table that has rows keeps one at least."""
    limit = int(fraction * _RANGE)
    for table in tables:
        name, kept = quote_identifier(table.name), _kept(table)
        connection.execute(f"CREATE TEMP TABLE {kept} (kept INTEGER PRIMARY KEY)")
        part = f" WHERE ((rowid & {_LOW_BITS}) * {_SPREAD}) % {_RANGE} < {limit}" if fraction < 1 else ""
        connection.execute(f"INSERT INTO temp.{kept} SELECT rowid FROM {name}{part}")
        connection.execute(f"INSERT OR IGNORE INTO temp.{kept} SELECT min(rowid) FROM {name} HAVING min(rowid) NOTNULL")


def _complete(connection: sqlite3.Connection, tables: Sequence[SourceTable]) -> None:
    """Add the rows that kept rows refer to, until nothing is added; cycles and self-references end so as well.

    A table without rowids is kept whole: nothing is added to it, and all its rows are kept ones.
    """
    parents = {table.name.casefold(): table for table in tables if not table.without_rowid}
    references = [
        (child, foreign_key, parents[foreign_key.table.casefold()])
        for child in tables
        for foreign_key in child.foreign_keys
        if foreign_key.table.casefold() in parents
    ]
    while sum(_add_parents(connection, *reference) for reference in references):
        pass


def _add_parents(
    connection: sqlite3.Connection, child: SourceTable, foreign_key: SourceForeignKey, parent: SourceTable
) -> int:
    referenced = foreign_key.referenced_columns or parent.key
    pairs = zip(foreign_key.columns, referenced, strict=True)
    match = " AND ".join(f"p.{quote_identifier(there)} = c.{quote_identifier(here)}" for here, there in pairs)
    kept = "" if child.without_rowid else f" WHERE c.rowid IN (SELECT kept FROM temp.{_kept(child)})"
    return connection.execute(
        f"INSERT OR IGNORE INTO temp.{_kept(parent)} SELECT p.rowid"
        f" FROM {quote_identifier(child.name)} AS c JOIN {quote_identifier(parent.name)} AS p ON {match}{kept}"
    ).rowcount


def _kept(table: SourceTable) -> str:
    return quote_identifier(f"kept {table.name}")


def _count(connection: sqlite3.Connection, tables: Iterable[SourceTable]) -> dict[str, int]:
    counted = ((table.name, f"SELECT count(*) FROM {quote_identifier(table.name)}") for table in tables)
    return {name: int(connection.execute(query).fetchone()[0]) for name, query in counted}
