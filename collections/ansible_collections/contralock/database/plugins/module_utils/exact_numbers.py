"""Numbers that a cell of SQLite holds just as a decimal text says them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def within_64_bits(number: int | Decimal) -> bool:
    """Tell whether a whole number can be a cell of class INTEGER."""
    return -(1 << 63) <= number < 1 << 63


def exact_number(text: str, *, whole: bool = True) -> int | float | None:
    """Return the number that a decimal text says, as a cell of class INTEGER or REAL; None where that would round it.

    Args:
        text: Of digits, with or without a sign, a point and an exponent; or one of the words that are no number.
        whole: A whole number is one of class INTEGER, where 64 bits hold it, as in columns of affinity NUMERIC.
    """
    try:
        said = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return None
    if not said.is_finite():
        return None
    if whole and within_64_bits(said) and said == int(said):
        return int(said)
    number = float(said)
    return number if Decimal(repr(number)) == said else None
