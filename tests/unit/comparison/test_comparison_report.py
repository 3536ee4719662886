"""The same findings for a machine, for a person, for the journal, and as one sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
    Comparison,
    Difference,
    Kind,
    TableComparison,
    UncarriedRows,
    as_document,
    as_facts,
    as_lines,
    later_writes,
    raise_unless_equal,
    result,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError

SAME = TableComparison("users", 1200, 1200, 36_000, 0, 0, 0, 0, 1.0)
OTHER = TableComparison("wallets", 10, 11, 80, 3, 2, 1, 2, 0.5)
FOUND = (
    Difference("wallets", "id=1", "balance", Kind.DIFFERS, "5", "6"),
    Difference("wallets", "id=2", None, Kind.MISSING),
    Difference("wallets", "id=3", None, Kind.EXTRA),
)
EQUAL = Comparison((SAME,), seconds=1.0)
UNEQUAL = Comparison((SAME, OTHER), FOUND, notes=("something was not compared",), seconds=1.5)
FAULTY = Comparison((SAME,), catalog_faults=("index public.users.i: is invalid",), seconds=1.0)


def test_lines():
    assert as_lines(EQUAL) == [
        "users        1,200 rows         36,000 cells  the same",
        "the same: 36,000 cells in 1,200 rows of 1 table, no difference, in 1.0 s",
    ]
    assert as_lines(UNEQUAL) == [
        "users          1,200 rows         36,000 cells  the same",
        "wallets           10 rows             80 cells  3 cells differ in 2 rows, 1 row missing in the target,"
        " 2 rows only in the target",
        "note: something was not compared",
        "difference: wallets id=1: balance is 5 in the source and 6 in the target",
        "difference: wallets id=2: missing in the target",
        "difference: wallets id=3: only in the target",
        "... and 3 more",
        "not the same: 36,080 cells in 1,210 rows of 2 tables, 6 differences, in 1.5 s",
    ]


def test_rows_that_are_never_carried_are_named_and_no_difference():
    left = (UncarriedRows("audit", 1200, "The server's own"), UncarriedRows("sessions", 1, "Users log in again"))
    found = replace(EQUAL, uncarried=left)
    assert as_lines(found)[1:3] == [
        "never carried: audit has 1,200 rows in the target, a way back leaves them there: The server's own",
        "never carried: sessions has 1 row in the target, a way back leaves it there: Users log in again",
    ]
    document = as_document(found)
    assert (document["equal"], document["later_rows"]) == (True, 0)
    assert document["never_carried"] == [
        {"table": "audit", "rows": 1200, "reason": "The server's own"},
        {"table": "sessions", "rows": 1, "reason": "Users log in again"},
    ]


def test_document_facts_and_later_writes_agree():
    document = as_document(UNEQUAL)
    assert json.loads(json.dumps(document)) == document
    assert (document["equal"], document["number"], document["later_rows"]) == (False, 6, 5)
    writes = later_writes(UNEQUAL)["wallets"]
    assert (writes.added, writes.changed, writes.removed) == (2, 2, 1)
    assert later_writes(EQUAL) == {}
    facts = as_facts(UNEQUAL)
    assert (facts["rows"], facts["cells"], facts["differences"]) == (1210, 36_080, 6)
    assert facts["tables"] == {
        "users": {"rows": 1200, "cells": 36_000, "differences": 0, "compare_seconds": 1.0},
        "wallets": {"rows": 10, "cells": 80, "differences": 6, "compare_seconds": 0.5},
    }


def test_a_difference_is_raised_with_its_numbers():
    raise_unless_equal(EQUAL)
    with pytest.raises(MigrationError) as caught:
        raise_unless_equal(UNEQUAL)
    assert caught.value.fact == (
        f"the target does not hold what the source gives ({result(UNEQUAL)}): wallets id=1: balance is 5 in the source"
        " and 6 in the target; wallets id=2: missing in the target; wallets id=3: only in the target; 3 more"
    )
    assert caught.value.details["number"] == 6
    with pytest.raises(MigrationError, match=r"1 fault in the catalog\): index public\.users\.i: is invalid"):
        raise_unless_equal(FAULTY)


def test_one_extra_row_is_enough_to_be_unequal():
    for changes in ((1, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        assert not Comparison((SAME, TableComparison("t", 1, 1, 1, *changes, 0.0))).equal
    assert not FAULTY.equal
