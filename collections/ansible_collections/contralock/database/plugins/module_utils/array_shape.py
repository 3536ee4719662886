"""Arrays of the target that are no list: of several dimensions, or not counted from 1.

The ADBC driver reads an array as the list of its elements, whatever its dimensions, and stumbles over some lower
bounds; PostgreSQL tells such arrays apart (``'{{1,2}}' <> '{1,2}'``, ``'[0:1]={1,2}' <> '{1,2}'``). No conversion makes
one, so that wherever it stands it differs; it is read as the text that PostgreSQL writes, beside the lists.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

# https://www.postgresql.org/docs/current/functions-array.html: both are NULL for an empty array.
_IS_NO_LIST = "(array_ndims({0}) > 1 OR array_lower({0}, 1) <> 1)"


def lists_only(name: sql.Composable) -> sql.Composable:
    """Return an expression for a column of arrays: its value where that is a list, NULL elsewhere."""
    return sql.SQL(f"CASE WHEN {_IS_NO_LIST} THEN NULL ELSE {{0}} END").format(name)


def other_shapes(name: sql.Composable) -> sql.Composable:
    """Return an expression for a column of arrays: its value as text where that is no list, NULL elsewhere."""
    return sql.SQL(f"CASE WHEN {_IS_NO_LIST} THEN {{0}}::text END").format(name)


def written(lists: pa.Array, shapes: pa.Array) -> pa.Array:
    """Return arrays as texts.

    Args:
        lists: Those that are lists, as texts.
        shapes: What ``other_shapes`` found.
    """
    return lists if shapes.null_count == len(shapes) else pc.coalesce(shapes.cast(lists.type), lists)
