"""The affinity of a SQLite column, which decides in which storage class a written value ends.

Source: https://www.sqlite.org/datatype3.html, section 3.1, whose five rules are asked in this order. A column that is
declared JSON, UUID, DATETIME or DECIMAL(5,2) matches none of the first four and is NUMERIC.
"""

from __future__ import annotations

from enum import StrEnum


class Affinity(StrEnum):
    """What SQLite tries to make of a value that is written to the column."""

    INTEGER = "integer"
    TEXT = "text"
    BLOB = "blob"
    REAL = "real"
    NUMERIC = "numeric"


_RULES: tuple[tuple[Affinity, tuple[str, ...]], ...] = (
    (Affinity.INTEGER, ("INT",)),
    (Affinity.TEXT, ("CHAR", "CLOB", "TEXT")),
    (Affinity.BLOB, ("BLOB",)),
    (Affinity.REAL, ("REAL", "FLOA", "DOUB")),
)


def affinity_of(declared_type: str) -> Affinity:
    """Return the affinity of a column that was declared with this type; without a type it is BLOB."""
    name = declared_type.upper()
    if not name:
        return Affinity.BLOB
    return next((kind for kind, parts in _RULES if any(part in name for part in parts)), Affinity.NUMERIC)


def holds_numbers(declared_type: str) -> bool:
    """Tell whether SQLite makes a number of a text that looks like one when it is written to the column."""
    return affinity_of(declared_type) in (Affinity.INTEGER, Affinity.REAL, Affinity.NUMERIC)
