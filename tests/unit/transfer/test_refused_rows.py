"""A refused row is named by its key and what the constraint is about; secrets and what cannot be read are left out."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import Catalog, Column, Constraint, Index
from ansible_collections.contralock.database.plugins.module_utils.pgloader import find_faults
from ansible_collections.contralock.database.plugins.module_utils.refused_rows import RefusedRows

SECRET = "hunter2"
ID = "5d0c0a4e-3f0c-4a43-9c57-0f5b1d6f5a01"


def column(position: int, name: str, type_name: str) -> Column:
    return Column("public", "users", name, position, type_name, type_name, "pg_catalog", -1, False, None, "", False, "")


def constraint(name: str, kind: str, *columns: str) -> Constraint:
    return Constraint("public", "users", name, kind, "", True, columns, None, ())


ROWS = RefusedRows(
    Catalog(
        schema="public",
        owner="owner",
        tables=(),
        columns=(
            column(1, "id", "uuid"),
            column(2, "email", "text"),
            column(3, "password", "text"),
            column(4, "age", "int4"),
        ),
        constraints=(
            constraint("users_pkey", "primary key", "id"),
            constraint("users_email_key", "unique", "email"),
            constraint("users_boss_fkey", "foreign key", "id"),
            constraint("old_enough", "check", "age"),
            constraint("long_enough", "check", "password"),
        ),
        indexes=(Index("public", "users", "users_lower", "", True, True, True, False, False, ("lower(email)",)),),
        enums=(),
        others=(),
    ),
    frozenset({("users", "password")}),
)

CHECK = 'new row for relation "users" violates check constraint "{}"'
#: The server's message, its DETAIL, and what is told.
CASES = [
    (
        'duplicate key value violates unique constraint "users_email_key"',
        "Key (email)=(a@b.c) already exists.",
        "users: email = a@b.c already exists",
    ),
    (
        'could not create unique index "users_lower"',
        "Key (lower(email))=(ä (1), b) is duplicated.",
        "users: lower(email) = ä (1), b is duplicated",
    ),
    (
        'insert or update on table "users" violates foreign key constraint "users_boss_fkey"',
        f'Key (id)=({ID}) is not present in table "bosses".',
        f'users: id = {ID} is not present in table "bosses"',
    ),
    (
        'could not create unique index "users_lower"',
        f"Key (lower(password))=({SECRET}) is duplicated.",
        "users: lower(password) = (sensitive) is duplicated",
    ),
    (CHECK.format("old_enough"), f"Failing row contains ({ID}, a@b.c, {SECRET}, 7).", f"users: id = {ID}, age = 7"),
    (
        CHECK.format("long_enough"),
        f"Failing row contains ({ID}, a@b.c, {SECRET}, 7).",
        f"users: id = {ID}, password = (sensitive)",
    ),
    # Which comma is the row's and which a value's, nobody can say: the key stands before them.
    (CHECK.format("old_enough"), f"Failing row contains ({ID}, a, b, {SECRET}, 7).", f"users: id = {ID}"),
    (CHECK.format("unknown"), f"Failing row contains ({ID}, a@b.c, {SECRET}, 7).", ""),
    ('null value in column "age"', f"Failing row contains ({ID}, a@b.c, {SECRET}, 7).", ""),
    (CHECK.format("old_enough"), "", ""),
    (
        'conflicting key value violates exclusion constraint "users_email_key"',
        f"Key (email)=({SECRET}) conflicts with existing key (email)=({SECRET}).",
        "",
    ),
]


@pytest.mark.parametrize(("message", "detail", "told"), CASES)
def test_what_is_told(message: str, detail: str, told: str) -> None:
    assert ROWS.told(message, detail) == told


@pytest.mark.parametrize(("message", "detail", "told"), CASES)
def test_pgloader_s_lines_are_read_alike(message: str, detail: str, told: str) -> None:
    line = f"2026-11-22T11:21:05.296000Z ERROR Database error 23505: {message}"
    (fault,) = find_faults([line, f"DETAIL: {detail}", f'CONTEXT: COPY users, line 1: "{SECRET}"'], ROWS)
    assert fault.removeprefix(f"Database error 23505: {message}") == (f" ({told})" if told else "")
    assert SECRET not in fault
