"""Where a table is cut: at places where both orders agree, and somewhere in between where they do not."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from ansible_collections.contralock.database.plugins.module_utils.columnar_reader import RowRange
from ansible_collections.contralock.database.plugins.module_utils.comparison_parts import (
    LEAST_PIECES,
    MOST_PIECES,
    Part,
    cut,
)
from ansible_collections.contralock.database.plugins.module_utils.target_reader import BlockRange


def pieces(count: int) -> list[RowRange]:
    return [RowRange(10 * number + 1, 10 * number + 10) for number in range(count)]


def test_the_same_order_is_cut_where_the_rows_stand():
    assert cut(pieces(10), [0, 7, 14, 21, 28, 35, 42, 49, 56, 63], 70) == [
        Part(RowRange(1, 40), BlockRange(0, 28)),
        Part(RowRange(41, 80), BlockRange(28, 56)),
        Part(RowRange(81, 100), BlockRange(56, None)),
    ]


def test_a_stretch_that_two_loaders_filled_at_once_stays_in_one_part():
    """Pieces 0 to 3 and 4 to 7 were written side by side: between them both orders have no cut before the last one."""
    places = [0, 20, 40, 60, 1, 21, 41, 61, 80, 90, 100, 110]
    assert [part.rows for part in cut(pieces(12), places, 120)] == [
        RowRange(1, 70),
        RowRange(71, 110),
        RowRange(111, 120),
    ]
    assert [part.blocks.first for part in cut(pieces(12), places, 120) if part.blocks] == [0, 61, 110]


def test_without_any_place_the_parts_are_the_same_fractions():
    count = 2 * MOST_PIECES
    parts = cut(pieces(count), [0, *[None] * (count - 1)], 1000)
    assert [part.blocks for part in parts] == [BlockRange(0, 500), BlockRange(500, None)]


def test_a_row_that_was_moved_to_the_end_costs_one_cut():
    places = [10 * number for number in range(60)]
    places[4] = 5000
    first, second, *_ = (part.rows for part in cut(pieces(60), places, 6000))
    assert (first, second) == (RowRange(1, 50), RowRange(51, 90))


@pytest.mark.parametrize("seed", range(20))
def test_every_row_and_every_page_is_in_one_part(seed):
    chance = random.Random(seed)
    count, blocks = chance.randrange(2, 90), chance.randrange(1, 5000)
    places = [
        0,
        *(chance.choice([None, chance.randrange(blocks), number * blocks // count]) for number in range(1, count)),
    ]
    parts = cut(pieces(count), places, blocks)
    assert parts[0].blocks is not None
    assert parts[0].blocks.first == 0
    assert parts[-1].blocks is not None
    assert parts[-1].blocks.end is None
    for part, following in pairwise(parts):
        assert part.rows is not None and part.blocks is not None
        assert following.rows is not None and following.blocks is not None
        assert part.rows.last + 1 == following.rows.first
        assert part.blocks.end == following.blocks.first >= part.blocks.first
        assert LEAST_PIECES * 10 <= part.rows.last - part.rows.first + 1 <= MOST_PIECES * 10
    assert sum(part.rows.last - part.rows.first + 1 for part in parts if part.rows) == 10 * count
