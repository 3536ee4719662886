"""One part of a table on its way: read through the guard, converted, and sent in COPY's own form, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from .binary_copy import form_for
from .columnar_reader import RowRange, read_columns
from .connection import Connection
from .finding_cells import RuleCount, TableExaminer
from .plan import TablePlan


class UnfitError(Exception):
    """A value of the source does not fit; an examination of everything says which, where and why."""


@dataclass(frozen=True)
class Part:
    """A table, or rows of it that are loaded beside the others; ``rows`` None is all of it."""

    table: TablePlan
    rows: RowRange | None


@dataclass(frozen=True)
class Copied:
    """What was loaded of a part."""

    part: Part
    rows: int
    bytes: int
    seconds: float
    rule_counts: tuple[RuleCount, ...]


def copy_part(connection: Connection, source: Path, schema: str, part: Part, told: Callable[[int], None]) -> Copied:
    """Load a part in one COPY, which is one transaction.

    Args:
        connection: To the target, not in a transaction.
        source: The SQLite file.
        schema: The target's schema.
        part: What to load.
        told: Called with the number of rows of each batch that was handed over; it may raise to end the load.

    Raises:
        UnfitError: A value does not fit.
        MigrationError: The source cannot be read.
        psycopg.Error: The server refuses a row, or is gone.
    """
    begun = time.monotonic()
    table = part.table
    form = form_for(table.columns)
    examiner = TableExaminer(table)
    size = 0
    names = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in table.columns)
    copy = sql.SQL("COPY {} ({}) FROM STDIN {}").format(
        sql.Identifier(schema, table.target), names, sql.SQL(form.options)
    )
    with (
        closing(read_columns(source, table.source.name, table.source_columns, rows=part.rows)) as batches,
        connection.cursor() as cursor,
        cursor.copy(copy) as stream,
    ):
        if form.head:
            stream.write(form.head)
        for batch in batches:
            values = examiner.add(batch)
            if examiner.findings:
                raise UnfitError
            content = form.encode(values)
            stream.write(content)
            size += len(content)
            told(len(values[0]))
        if form.tail:
            stream.write(form.tail)
    return Copied(part, examiner.rows, size, time.monotonic() - begun, examiner.rule_counts)
