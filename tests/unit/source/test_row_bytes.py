"""The bytes of the largest row: exact from where they matter, and 0 below, whatever the columns are."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ansible_collections.contralock.database.plugins.module_utils import row_bytes
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.row_bytes import largest_row, too_large_rows

from tests.unit.conversions.type_table import column

TEXT, BYTES, ARRAY, INTEGER = (conversion_for(column(name), "TEXT") for name in ("text", "bytea", "text[]", "bigint"))


@pytest.mark.parametrize(
    ("of", "value", "expected"),
    [
        (TEXT, "x" * 1_000_000, 1_000_000),
        (TEXT, "x" * 999_999, 0),
        (TEXT, "ü" * 500_000, 1_000_000),
        # Two digits for each byte, and the two signs before them.
        (BYTES, b"x" * 499_999, 1_000_000),
        (BYTES, b"x" * 499_998, 0),
        (BYTES, b"x" * 600_000, 1_200_002),
        # The braces and the comma, and quotes around an element that needs them (PostgreSQL's manual, 8.15.6).
        (ARRAY, ["x" * 400_000, "y" * 600_000], 1_000_003),
        (ARRAY, ["x" * 400_000, "y " * 300_000], 1_000_005),
        (TEXT, None, 0),
    ],
    ids=lambda given: str(given)[:20],
)
def test_one_value(of, value, expected):
    assert largest_row([of], [pa.array([None, value], of.arrow_type)]) == expected


def test_the_cells_of_a_row_are_added_and_those_of_others_are_not():
    columns = [pa.array(["x" * 700_000, "x" * 400_000, ""]), pa.array(["y" * 200_000, "y" * 700_000, "y" * 999_000])]
    assert largest_row([TEXT, TEXT], columns) == 1_100_000


def test_rows_without_a_cell_or_without_rows():
    assert largest_row([], []) == 0
    assert largest_row([TEXT], [pa.array([], pa.string())]) == 0


@pytest.mark.parametrize("bound", [0, 40, 300, 1000])
def test_it_is_what_spelling_every_row_gives(monkeypatch, bound):
    """Against the plain way, with a bound so low that it matters in ordinary rows."""
    chance = random.Random(bound)
    monkeypatch.setattr(row_bytes, "NOTED_BYTES", bound)
    makers = (
        (TEXT, lambda: "ü" * chance.randrange(200)),
        (BYTES, lambda: chance.randbytes(chance.randrange(200))),
        (ARRAY, lambda: ["a", None, "b" * chance.randrange(99)]),
        (INTEGER, lambda: chance.randrange(-(2**63), 2**63)),
    )
    for _ in range(20):
        rows = range(chance.randrange(1, 30))
        values = [pa.array([chance.choice([None, make()]) for _ in rows], of.arrow_type) for of, make in makers]
        texts = [of.render(each) for (of, _), each in zip(makers, values, strict=True)]
        most = pc.max(row_bytes.row_bytes(texts)).as_py()
        assert largest_row([of for of, _ in makers], values) == (most if most >= bound else 0)


def test_the_refusal_names_the_tables_that_are_too_large():
    refusal = too_large_rows({"notes": 12_000_001, "users": 12_000_000}, 12_000_000, "pgloader")
    assert refusal is not None
    assert refusal.fact == (
        "the source has rows that are too large for pgloader, which carries up to 12,000,000 bytes"
        " (notes 12,000,001 bytes)"
    )
    assert "data_transfer_engine" in refusal.mend
    assert too_large_rows({"users": 12_000_000}, 12_000_000, "pgloader") is None
