"""References whose rows cannot be held against one another here are left to the load, and said to be."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from ansible_collections.contralock.database.plugins.module_utils.findings import examine
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan

Planned = Callable[..., tuple[sqlite3.Connection, Plan]]

#: Name -> the source, the target, and whether the reference ``f`` can be judged before the load.
CASES: dict[str, tuple[str, str, bool]] = {
    # PostgreSQL refuses the second row, SQLite takes it.
    "MATCH FULL over two columns": (
        "CREATE TABLE p (a INTEGER, b INTEGER, PRIMARY KEY (a, b)); INSERT INTO p VALUES (1, 1);"
        "CREATE TABLE c (a INTEGER, b INTEGER); INSERT INTO c VALUES (1, 1), (1, NULL)",
        "CREATE TABLE p (a int, b int, PRIMARY KEY (a, b));"
        "CREATE TABLE c (a int, b int, CONSTRAINT f FOREIGN KEY (a, b) REFERENCES p MATCH FULL)",
        False,
    ),
    "MATCH FULL over one column": (
        "CREATE TABLE p (a INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);"
        "CREATE TABLE c (a INTEGER); INSERT INTO c VALUES (1), (NULL)",
        "CREATE TABLE p (a int PRIMARY KEY); CREATE TABLE c (a int CONSTRAINT f REFERENCES p MATCH FULL)",
        True,
    ),
    "a table of that name in another schema": (
        "CREATE TABLE p (a INTEGER PRIMARY KEY); CREATE TABLE c (a INTEGER); INSERT INTO c VALUES (7)",
        "CREATE SCHEMA auth; CREATE TABLE auth.p (a int PRIMARY KEY); CREATE TABLE p (a int PRIMARY KEY);"
        "CREATE TABLE c (a int CONSTRAINT f REFERENCES auth.p)",
        False,
    ),
    "numbers of two scales": (
        "CREATE TABLE p (a DECIMAL PRIMARY KEY); INSERT INTO p VALUES (97.5);"
        "CREATE TABLE c (a DECIMAL); INSERT INTO c VALUES (97.5)",
        "CREATE TABLE p (a numeric PRIMARY KEY); CREATE TABLE c (a numeric(10,2) CONSTRAINT f REFERENCES p)",
        False,
    ),
    "numbers of one scale": (
        "CREATE TABLE p (a DECIMAL PRIMARY KEY); INSERT INTO p VALUES (97.5);"
        "CREATE TABLE c (a DECIMAL); INSERT INTO c VALUES (97.5)",
        "CREATE TABLE p (a numeric(8,2) PRIMARY KEY); CREATE TABLE c (a numeric(10,2) CONSTRAINT f REFERENCES p)",
        True,
    ),
    "a whole number to a decimal one": (
        "CREATE TABLE p (a DECIMAL PRIMARY KEY); INSERT INTO p VALUES (1);"
        "CREATE TABLE c (a INTEGER); INSERT INTO c VALUES (1)",
        "CREATE TABLE p (a numeric(10,2) PRIMARY KEY); CREATE TABLE c (a int CONSTRAINT f REFERENCES p)",
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_guessed_of_a_reference(planned: Planned, case: str) -> None:
    source, target, judged = CASES[case]
    found = examine(*planned(source, target))
    assert found.findings == ()
    assert [each.name for each in found.waiting] == ([] if judged else ["f"])
