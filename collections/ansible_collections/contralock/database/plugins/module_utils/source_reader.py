"""Reads the rows of a SQLite table, column by column, and coerces nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from .cells import Cells
from .row_selection import select_rows
from .source_file import explained, table_of_source

BATCH_ROWS = 20_000
#: Rows of many megabytes come in smaller batches: about this much is in memory at once.
BATCH_BYTES = 64 << 20
_FIRST_ROWS = 256


def read_table(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    batch_rows: int = BATCH_ROWS,
) -> Iterator[list[Cells]]:
    """Read a table in batches; rows come as from ``columnar_reader.read_columns``.

    Args:
        connection: From ``open_source``.
        table: The table's exact name.
        columns: At least one exact name of a column.
        batch_rows: The most rows of a batch. A batch may have fewer, the first ones have.

    Yields:
        One ``Cells`` for each of the columns, of one length, which is never 0.

    Raises:
        MigrationError: SQLite cannot read the table: a page is damaged, a column is missing.
        ValueError: The connection would decode texts, or no column is named.
    """
    if connection.text_factory is not bytearray:
        raise ValueError("open the source with open_source: this connection decodes its texts")
    if not columns:
        raise ValueError(f"no column of {table!r} is named")
    with explained(table_of_source(table)):
        selection = select_rows(connection, table, columns, None)
        with closing(connection.execute(selection.query(selection.columns))) as cursor:
            wanted = min(batch_rows, _FIRST_ROWS)
            while rows := cursor.fetchmany(wanted):
                batch = [Cells.of(values) for values in zip(*rows, strict=True)]
                del rows
                size = sum(part.nbytes for cells in batch for part in cells.parts.values())
                wanted = max(1, min(batch_rows, BATCH_BYTES * batch[0].length // max(1, size)))
                yield batch


@contextmanager
def one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """Let everything in the block be read as it was when the block began, unless the caller's transaction sees to it.

    A live file in rollback-journal mode holds its writers up meanwhile.

    Raises:
        MigrationError: SQLite cannot begin to read.
    """
    if connection.in_transaction:
        yield
        return
    with explained("the source"):
        connection.execute("BEGIN")
        # The view is that of the first read.
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
