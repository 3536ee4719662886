"""The mapping of the profile `contralock`, held against its schema on a real PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.profile import (
    ColumnMapping,
    Condition,
    Default,
    EmptyTextAsNull,
    Mapping,
    Quarantine,
    TableMapping,
    load_profile,
)

from tests.integration.profile.contralock_target import (
    COLUMNS,
    COLUMNS_QUERY,
    DEFAULTS,
    FOREIGN_KEYS,
    PROFILE,
    Connection,
)

MAPPING = load_profile(PROFILE).mapping

Catalog = dict[tuple[str, str], tuple[str, bool]]
TEXT_TYPES = ("text", "character varying(255)")
SECRET = re.compile(r"password|token|secret|code")


@pytest.fixture
def catalog(installed: Connection) -> Catalog:
    """(table, column) -> type, NOT NULL."""
    rows = installed.execute(COLUMNS_QUERY.encode())
    return {(table, column): (kind, not_null) for table, column, kind, not_null in rows.fetchall()}


def entries(mapping: Mapping) -> Iterator[tuple[tuple[str, str], ColumnMapping]]:
    for table, entry in mapping.tables.items():
        for column, exceptions in entry.columns.items():
            yield (table, column), exceptions


def unknown_columns(mapping: Mapping, catalog: Catalog) -> list[tuple[str, str]]:
    tables = {*mapping.tables, *mapping.never_carried} - {table for table, _ in catalog}
    return sorted(({key for key, _ in entries(mapping)} | {(table, "id") for table in tables}) - set(catalog))


def unruled_json(mapping: Mapping, catalog: Catalog) -> list[tuple[str, str]]:
    """Columns of JSON where '' would be refused although NULL is as good."""
    return sorted(
        key
        for key, (kind, not_null) in catalog.items()
        if kind == "jsonb"
        and not not_null
        and not any(
            isinstance(rule, EmptyTextAsNull) or (isinstance(rule, Default) and rule.when is Condition.IS_NOT_JSON)
            for rule in mapping.column(*key).rules
        )
    )


def open_secrets(mapping: Mapping, catalog: Catalog) -> list[tuple[str, str]]:
    return sorted(
        key
        for key, (kind, _) in catalog.items()
        if SECRET.search(key[1]) and kind in (*TEXT_TYPES, "jsonb") and key not in mapping.sensitive_columns()
    )


def unfillable(mapping: Mapping, catalog: Catalog) -> list[tuple[str, str]]:
    """Columns that may be absent at the source and could not be filled then."""
    return [
        key
        for key, exceptions in entries(mapping)
        if exceptions.may_be_absent and catalog[key][1] and ".".join(key) not in DEFAULTS
    ]


def ill_suited(mapping: Mapping, catalog: Catalog) -> list[tuple[str, str, str]]:
    """Rules for texts, JSON or enumerations on columns of another type."""
    wanted = {"trim": TEXT_TYPES, "lower": TEXT_TYPES, "truncate": TEXT_TYPES, "default": ("jsonb",)}
    return [
        (*key, rule.name)
        for key, exceptions in entries(mapping)
        for rule in exceptions.rules
        if catalog[key][0] not in wanted.get(rule.name, (catalog[key][0],))
    ]


def endangering_quarantines(mapping: Mapping, _: Catalog) -> list[tuple[str, str]]:
    """Quarantines that would take a row away from the rows that refer to it."""
    referred_to = {key.partition(">")[2] for key in FOREIGN_KEYS.split()}
    return [key for key, exceptions in entries(mapping) if key[0] in referred_to and Quarantine() in exceptions.rules]


CHECKS = [endangering_quarantines, unknown_columns, unruled_json, open_secrets, unfillable, ill_suited]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_mapping_suits_the_schema(catalog: Catalog, check: Any) -> None:
    assert check(MAPPING, catalog) == []


def changed(table: str, column: str, entry: ColumnMapping) -> Mapping:
    columns = MAPPING.tables[table].columns if table in MAPPING.tables else {}
    return replace(MAPPING, tables={**MAPPING.tables, table: TableMapping(columns={**columns, column: entry})})


@pytest.mark.parametrize(
    ("check", "place", "entry", "found"),
    [
        (unknown_columns, ("users", "e_mail"), ColumnMapping(sensitive=True), [("users", "e_mail")]),
        (unknown_columns, ("people", "id"), ColumnMapping(sensitive=True), [("people", "id")]),
        (unruled_json, ("disputes", "appeal"), ColumnMapping(), [("disputes", "appeal")]),
        (open_secrets, ("users", "backup_codes"), ColumnMapping(), [("users", "backup_codes")]),
        (
            endangering_quarantines,
            ("users", "email"),
            ColumnMapping(rules=(Quarantine(),)),
            [("users", "email")],
        ),
        (unfillable, ("users", "email"), ColumnMapping(may_be_absent=True), [("users", "email")]),
        (
            ill_suited,
            ("users", "status"),
            ColumnMapping(rules=(Default("pending", Condition.IS_NULL),)),
            [("users", "status", "default")],
        ),
    ],
)
def test_a_mapping_that_does_not_suit_is_seen(
    catalog: Catalog, check: Any, place: tuple[str, str], entry: ColumnMapping, found: list[Any]
) -> None:
    assert check(changed(*place, entry), catalog) == found


def test_the_replacement_for_broken_preferences_is_the_default(installed: Connection) -> None:
    (rule,) = MAPPING.column("users", "notification_preferences").rules
    assert isinstance(rule, Default)
    default = DEFAULTS["users.notification_preferences"].removesuffix("::jsonb").strip("'")
    assert rule == Default(json.loads(default), Condition.IS_NOT_JSON)


def camel_case(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), name)


#: What the deployed application lacks of the plan's users.
NOT_DEPLOYED = ("avatar", "phone", "bio", "is_kyc_verified", "stripe_customer_id", "notification_preferences",
                "deleted_at")  # fmt: skip
#: What the plan's users lack of the deployed application's.
NOT_PLANNED = ("status", "profile", "reset_password_token", "reset_password_expires", "email_verification_token",
               "two_factor_enabled", "two_factor_secret", "two_factor_verified_at", "two_factor_locked_until",
               "two_factor_failed_attempts", "backup_codes", "google_id", "linkedin_id")  # fmt: skip


def deployed(table: str, columns: Sequence[str]) -> dict[str, str]:
    """The deployed application's name of each column -> the target's."""
    special = {"id": "_id", "is_email_verified": "emailVerified"}
    lacking = NOT_DEPLOYED if table == "users" else ()
    return {special.get(column, camel_case(column)): column for column in columns if column not in lacking}


@pytest.mark.parametrize("table", COLUMNS)
def test_both_forms_of_the_source_find_their_columns(table: str) -> None:
    columns = COLUMNS[table].split()[::2]
    pascal_case = camel_case(f"_{table}")
    assert MAPPING.target_tables([table]) == {table: table}
    assert MAPPING.target_tables([pascal_case]) == {pascal_case: table}
    assert MAPPING.target_columns(table, columns) == {column: column for column in columns}
    names = deployed(table, columns)
    assert MAPPING.target_columns(table, names) == names


def test_exactly_the_columns_that_a_form_lacks_may_be_absent() -> None:
    absent = {key for key, exceptions in entries(MAPPING) if exceptions.may_be_absent}
    assert absent == {("users", column) for column in (*NOT_DEPLOYED, *NOT_PLANNED)}


def test_the_stray_tables_are_left_behind() -> None:
    strays = ["SequelizeMeta", "users_backup", "migration_canary"]
    assert MAPPING.target_tables([*strays, "users"]) == {"users": "users"}
