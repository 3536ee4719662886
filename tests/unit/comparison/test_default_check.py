"""Which DEFAULT is one value, so that it can be compared, and which is another each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import Column
from ansible_collections.contralock.database.plugins.module_utils.default_check import DefaultCheck

COLUMN = Column("public", "t", "c", 1, "text", "text", "pg_catalog", -1, False, None, "", False, "")


def check(default: str | None, **changes: object) -> DefaultCheck:
    return DefaultCheck(replace(COLUMN, default=default, **changes))  # type: ignore[arg-type] # because of the test


@pytest.mark.parametrize(
    "default",
    [
        None,
        "0",
        "'-1'::integer",
        "(-1)",
        "(-1)::bigint",
        "1.5",
        "true",
        "NULL::text",
        "'USD'::character varying",
        "'it''s now()'::text",
        "'a'::character varying(10)",
        "'{\"a\": {}}'::jsonb",
        "'pending'::public.enum_users_status",
        "'x'::public.\"Mixed\"",
        "'{}'::text[]",
        "'2024-01-01 00:00:00+00'::timestamp with time zone",
        "'2024-01-01 00:00:00'::timestamp(3) without time zone",
        "'00000000-0000-4000-8000-000000000000'::uuid",
    ],
)
def test_constants_are_compared(default):
    assert check(default).constant
    assert check(default).note is None


@pytest.mark.parametrize(
    "default",
    [
        "now()",
        "CURRENT_TIMESTAMP",
        "CURRENT_DATE",
        "gen_random_uuid()",
        "nextval('public.t_id_seq'::regclass)",
        "('a'::text || now())",
        "lower('A'::text)",
        "'now'::text || 'x'",
        "(random() * (10)::double precision)",
    ],
)
def test_what_changes_is_only_asked_whether_it_is_there(default):
    assert not check(default).constant
    assert check(default).note == (
        f"t.c is filled by its DEFAULT {default}, another value each time: compared was only that there is one"
    )
    assert check(default).expressions()[0].as_string() == '"t"."c" IS NULL'


def test_an_identity_is_only_asked_whether_it_is_there():
    assert check(None, identity="always").note is not None
    assert check(None, identity="always").expressions()[0].as_string() == '"t"."c" IS NULL'


def test_braces_of_json_survive():
    wrong, value = check("'{\"a\": {}}'::jsonb", type="jsonb").expressions()
    assert wrong.as_string() == """"t"."c"::text IS DISTINCT FROM CAST(('{"a": {}}'::jsonb) AS jsonb)::text"""
    assert value.as_string() == f'CASE WHEN {wrong.as_string()} THEN "t"."c"::text END'
