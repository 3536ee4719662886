"""A refused load says what helps: running again does not where a row never fits."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.load_faults import load_failure


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("Database error 54000: row is too big: size 8832, maximum size 8160", "Split the table"),
        ("Database error 54000: index row size 2840 exceeds btree version 4 maximum 2704", "Shorten the values"),
        ("Database error 22003: bigint out of range", "Mend the values in the source that do not fit"),
    ],
)
def test_the_mend_is_the_faults_own(fault: str, first: str) -> None:
    mend = load_failure("the server refused the load", [fault]).mend
    assert mend.startswith(first)
    assert "Run again" not in mend
