"""String.prototype.trim and toLowerCase; the expected values are what Node 20 answers."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.ecmascript import to_lower_case, trim

#: All code units that Node's trim removes, asked one by one from U+0000 to U+FFFF.
TRIMMED = [
    *range(0x9, 0xE),
    0x20,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
    0xFEFF,
]

LOWERED = [
    ("ADA", "ada"),
    ("\u0130", "i\u0307"),  # LATIN CAPITAL LETTER I WITH DOT ABOVE
    ("I\u0307", "i\u0307"),
    ("\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c2"),  # a final sigma
    ("\u03a3", "\u03c3"),
    ("\u0391\u03a3\u0391", "\u03b1\u03c3\u03b1"),
    ("\u0391\u03a3.", "\u03b1\u03c2."),
    ("\u0391\u03a3\u0301", "\u03b1\u03c2\u0301"),
    ("\u1e9e", "\u00df"),
    ("\u212a\u212b", "k\u00e5"),  # KELVIN SIGN, ANGSTROM SIGN
    ("\U00010400", "\U00010428"),
    ("\u01c5", "\u01c6"),
    ("stra\u00dfe", "stra\u00dfe"),
]


def test_exactly_these_characters_are_trimmed() -> None:
    assert [code for code in range(0x10000) if trim(f"{chr(code)}x{chr(code)}") == "x"] == TRIMMED


def test_only_the_ends_are_trimmed() -> None:
    assert trim(" \n a  b\ufeff") == "a  b"
    assert trim(" \t") == ""


@pytest.mark.parametrize(("before", "after"), LOWERED)
def test_lower_case(before: str, after: str) -> None:
    assert to_lower_case(before) == after
