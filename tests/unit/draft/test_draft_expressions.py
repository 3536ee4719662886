"""Expressions are taken over where they mean the same on PostgreSQL, and nowhere else."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_ddl import tokens_of
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_expressions import (
    Known,
    implied,
    translate,
)

COLUMNS = {
    "a": Known("a"),
    "b c": Known('"b c"'),
    "flag": Known("flag", boolean=True),
    "name": Known("name", folded=True, text=True),
    "t": Known("t", text=True),
    "u": Known("u", text=True),
}


@pytest.mark.parametrize(
    ("sqlite", "postgresql"),
    [
        ("a >= 0", "a >= 0"),
        ("A == 1 OR [b c] != 'x''y'", "a = 1 OR \"b c\" <> 'x''y'"),
        ("a IN ('x', 'y') AND NOT a IS NULL", "a IN ('x', 'y') AND NOT a IS NULL"),
        ("a IS NOT NULL", "a IS NOT NULL"),
        ("a BETWEEN -1 AND 2.5", "a BETWEEN - 1 AND 2.5"),
        ("flag = 1 AND a = 1", "flag = true AND a = 1"),
        ("flag <> 0", "flag <> false"),
        ("flag IN (0, 1) AND a IN (0, 1)", "flag IN (false, true) AND a IN (0, 1)"),
        ("flag NOT IN (0)", "flag NOT IN (false)"),
        ("ifnull(a, 0) * (a + 2)", "coalesce(a, 0) * (a + 2)"),
        # In other collations PostgreSQL knows more letters than those of ASCII.
        ("lower(name)", 'lower(name COLLATE "C")'),
        ("upper(a || 'x') = lower('Ä')", "upper((a || 'x') COLLATE \"C\") = lower('Ä' COLLATE \"C\")"),
        ("lower(trim(upper([b c])))", 'lower((trim(upper("b c" COLLATE "C"))) COLLATE "C")'),
        ("a || '-' || \"b c\"", "a || '-' || \"b c\""),
        ("CASE WHEN a > 1 THEN 'x' ELSE 'y' END", "CASE WHEN a > 1 THEN 'x' ELSE 'y' END"),
        # SQLite orders texts by their bytes, a database of PostgreSQL as it was made.
        ("t > 'a' AND u = 'x' AND a >= 1", "t COLLATE \"C\" > 'a' AND u = 'x' AND a >= 1"),
        ("'m' BETWEEN t AND u OR u = 'x'", "'m' BETWEEN t COLLATE \"C\" AND u COLLATE \"C\" OR u = 'x'"),
        ("NOT t = 'x' AND u NOT BETWEEN 'a' AND 'b'", "NOT t = 'x' AND u COLLATE \"C\" NOT BETWEEN 'a' AND 'b'"),
        ("CASE WHEN a THEN t ELSE u END < 'x'", 'CASE WHEN a THEN t COLLATE "C" ELSE u COLLATE "C" END < \'x\''),
        ("length(t) > 5 AND lower(u) <= 'm'", "length(t) > 5 AND lower(u COLLATE \"C\") <= 'm'"),
        (
            "trim(name) < 'x' AND (t || u) >= 'y'",
            'trim(name COLLATE "C") < \'x\' AND (t COLLATE "C" || u COLLATE "C") >= \'y\'',
        ),
    ],
)
def test_what_means_the_same_is_taken_over(sqlite: str, postgresql: str) -> None:
    assert translate(tokens_of(sqlite), COLUMNS) == postgresql


@pytest.mark.parametrize(
    "sqlite",
    [
        "",
        "a / 2",  # an error by zero there, NULL here
        "a % 2",
        "a LIKE 'x%'",  # blind to case here
        "a GLOB 'x*'",
        "a IS 1",
        "a IS NOT 1",
        "name = 'x'",  # compared by NOCASE here
        "lower(name || 'x')",
        "unknown > 1",
        '"unknown" > 1',  # a text for SQLite
        "substr(a, 0, 2) = 'x'",
        "strftime('%Y', a) > '2000'",
        "json_extract(a, '$.x') = 1",
        "a ->> 'x' = 1",
        "a = 0x1F",
        "a = x'00'",
        "a + 1 || 'x'",  # || binds closer here
        "a(1)",
        "a & 1",
        "t.a > 1",
        "EXISTS (SELECT 1)",
        "RAISE(ABORT, 'x')",
    ],
)
def test_what_may_mean_something_else_is_not(sqlite: str) -> None:
    assert translate(tokens_of(sqlite), COLUMNS) is None


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ('(JSON_VALID("x") OR "x" IS NULL)', ("x", "json")),
        ("json_valid(X)", ("x", "json")),
        ("x IN (0, 1)", ("x", "boolean")),
        ("((x IN (1,0)))", ("x", "boolean")),
        ("typeof(x) = 'integer'", ("x", "type")),
        ('JSON_VALID("x") OR "y" IS NULL', None),
        ('JSON_VALID("x") AND "x" IS NULL', None),
        ("x IN (0, 1, 2)", None),
        ("x IN (0, 1) OR y", None),
        ("(x) IN (0, 1)", None),
        ("typeof(x) = y", None),
        ("", None),
    ],
)
def test_a_check_that_a_type_makes_needless_is_known(check: str, told: tuple[str, str] | None) -> None:
    found = implied(tokens_of(check))
    assert (found and (found.column, found.evidence)) == told
