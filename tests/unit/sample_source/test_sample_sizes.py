from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.sample_source.ddl import TABLES
from ansible_collections.contralock.database.plugins.module_utils.sample_source.sizes import part, row_counts

from tests.unit.sample_source.source_checks import (
    Source,
    belonging,
    foreign_keys,
    ids_in_json,
    integrity,
    json_texts,
    loose_ids,
    shapes,
)

TOTALS = [*range(0, 3000), 50_000, 999_999, 1_000_000, 12_345_678]


def test_the_shares_add_up_exactly():
    assert all(sum(row_counts(total).values()) == total for total in TOTALS)


def test_no_row_lacks_what_it_refers_to():
    for total in TOTALS:
        n = row_counts(total)
        assert n["conversations"] <= n["projects"] <= max(1, n["milestones"]) or total < 3
        assert n["disputes"] <= n["conversations"] <= max(n["messages"], 1)
        assert n["wallets"] <= n["users"]
        assert n["arbitrators"] <= n["users"] // 2  # every second user is a freelancer
        assert bool(n["conversations"]) <= (n["users"] >= 2)


@pytest.mark.parametrize(("total", "parts"), [(0, 3), (2, 3), (7, 3), (1000, 7)])
def test_parts_add_up(total, parts):
    assert sum(part(total, index, parts) for index in range(parts)) == total


def written(source: Source) -> dict[str, int]:
    return {table: len(source.column(table, "_id")) for table in TABLES}


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("rows", [*range(0, 15), 50, 100, 777])
def test_tiny_sizes_are_exact_and_consistent(write, form, rows):
    source = write(rows, form)
    assert written(source) == row_counts(rows)
    for check in (integrity, foreign_keys, shapes, json_texts, ids_in_json, loose_ids, belonging):
        assert check(source) == []


@pytest.mark.parametrize("seed", range(5))
def test_several_blocks_are_exact_too(write, seed):
    source = write(20_000, Form.DEPLOYED, seed)
    assert len(source.column("projects", "_id")) > 2 * 256
    assert written(source) == row_counts(20_000)


def test_proportions_are_those_of_the_application():
    counts = row_counts(1_000_000)
    assert max(counts, key=counts.__getitem__) == "messages"
    assert min(counts, key=counts.__getitem__) == "arbitrators"
    assert counts["messages"] == pytest.approx(1_000_000 * 873 / 2836, rel=0.001)
