"""Names the rows for which a server has refused a load, in the words of an assessment.

A server's sentence (``bigint out of range``) names neither row nor column, or one row of many. So the source is
examined and PostgreSQL asked about its rows as an assessment does it: only after the refusal, when the target is empty
again, so that a load without a fault pays nothing for it.
"""

from __future__ import annotations

import re

import psycopg

from .connection import connect
from .constraint_judge import judge_constraints
from .errors import MigrationError
from .findings import Examination, examine_file, refusal_of
from .run_step import counted
from .source_file import Progress as Counted
from .transfer_order import APPLICATION_NAME, Progress, Transfer

#: SQLSTATEs of what rows do: values, constraints, limits (a row's, an index entry's), and what a function raises.
_OF_ROWS = re.compile(r"Database error (?:22|23|54|P0)")


def examine_source(order: Transfer, say: Progress) -> Examination:
    """Find everything of the source that does not fit.

    Raises:
        MigrationError: The source cannot be read.
    """
    return examine_file(order.source, order.plan, _telling(say), workers=order.workers, folder=order.directory)


def named_refusal(order: Transfer, refusal: MigrationError, say: Progress) -> MigrationError | None:
    """Return what an assessment would have said; None where that is nothing, or where nobody can be asked.

    Args:
        order: The load that was refused; the target is as it was before.
        refusal: Of the load.
        say: Told how far the search is.
    """
    faults = refusal.details.get("faults")
    if not any(_OF_ROWS.search(str(fault)) for fault in (faults if isinstance(faults, list) else [])):
        return None
    try:
        found = examine_source(order, say)
        with connect(order.target, APPLICATION_NAME) as connection:
            judged = judge_constraints(connection, order.source, order.plan, found.waiting, _telling(say))
    except (MigrationError, psycopg.Error):
        return None
    named = refusal_of((*found.findings, *judged.findings))
    if named:
        named.details["faults"] = faults
    return named


def _telling(say: Progress) -> Counted:
    def told(table: str, rows: int, of_rows: int) -> None:
        line = f"examine: {table}, {rows:,} of {counted(of_rows, 'row')}"
        say({"table": table, "rows": rows, "of_rows": of_rows, "line": line})

    return told
