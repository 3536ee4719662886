"""Rows of which not even what cannot be put aside has room on a page of PostgreSQL's.

PostgreSQL puts long values aside (TOAST), and keeps 18 bytes of each in the row; numbers stay whole. What a row needs
depends on how its values compress, so PostgreSQL itself is asked, with the rows. PostgreSQL manual, appendix K
("PostgreSQL Limits") and "TOAST".
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from .catalog import Catalog
from .cells import Cells
from .constraint_trial import Trial

#: A row of so many columns always fits: of 8,160 bytes each may take 32, with what lies between two of them.
_ALWAYS_FIT = 240


def may_be_wide(catalog: Catalog, table: str) -> bool:
    """Tell whether a table of the target has so many columns that a row may not fit."""
    return len(catalog.columns_of(table)) > _ALWAYS_FIT


def first_wide_row(trial: Trial, batches: Iterable[list[Cells]]) -> tuple[int, psycopg.Error] | None:
    """Return the number of the first row that is too wide, from 0, and what the server says of it.

    Args:
        trial: Of the table, without a column for the numbers.
        batches: The cells of all columns of its plan.

    Raises:
        psycopg.Error: The server refuses for another reason.
    """
    done = 0
    for batch in batches:
        if refused := _refused(trial, batch, 0, batch[0].length):
            low, high = 0, batch[0].length - 1
            while low < high:
                middle = (low + high) // 2
                if _refused(trial, batch, low, middle + 1):
                    high = middle
                else:
                    low = middle + 1
            return done + low, _refused(trial, batch, low, low + 1) or refused
        done += batch[0].length
    return None


def _refused(trial: Trial, batch: list[Cells], first: int, end: int) -> psycopg.Error | None:
    """Put rows of a batch into the table and take them out again."""
    try:
        with trial.connection.transaction(force_rollback=True):
            trial.fill(trial.table.columns, [[cells.slice(first, end - first) for cells in batch]])
    except psycopg.errors.ProgramLimitExceeded as error:
        return error
    return None
