"""How many rows lie in the target's tables that the profile never carries: a way back leaves them there."""

from __future__ import annotations

import psycopg
from psycopg import sql

from .comparison_report import UncarriedRows
from .plan import Plan
from .profile import Mapping
from .target_moment import Moment
from .target_reader import server_message


def count_uncarried(moment: Moment, plan: Plan, mapping: Mapping) -> tuple[list[UncarriedRows], list[str]]:
    """Count the rows of each table of the target that the profile calls never carried.

    Returns:
        The tables that have any, in the order of their names; and a sentence about each that cannot be counted, which
        is no reason to do nothing else: it may be somebody else's.
    """
    counted: list[UncarriedRows] = []
    notes: list[str] = []
    for table in sorted({each.name for each in plan.catalog.tables} & mapping.never_carried.keys()):
        # A partition is a table of its own in the catalog, and its rows are its own.
        query = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(plan.schema, table))
        try:
            # A refusal would otherwise end the transaction whose snapshot all others read.
            with moment.connection.transaction():
                ((rows,),) = moment.connection.execute(query).fetchall()
        except psycopg.Error as error:
            notes.append(f"the rows of {table}, which is never carried, cannot be counted: {server_message(error)}")
            continue
        if rows:
            counted.append(UncarriedRows(table, int(rows), mapping.never_carried[table]))
    return counted, notes
