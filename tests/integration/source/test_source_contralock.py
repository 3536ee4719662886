"""The profile contralock, held against sources of all four forms."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import Catalog
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.findings import Examination, examine
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.source_file import assert_sound, open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.integration.profile.contralock_target import COLUMNS, PROFILE

MAPPING = load_profile(PROFILE).mapping
Look = Callable[[Form], tuple[Plan, Examination]]


def look_at(path: Path, catalog: Catalog) -> tuple[Plan, Examination]:
    with closing(open_source(path)) as source:
        assert_sound(source)
        plan = make_plan(MAPPING, read_schema(source), catalog)
        return plan, examine(source, plan)


@pytest.fixture
def look(samples: dict[Form, Path], contralock: Catalog) -> Look:
    return lambda form: look_at(samples[form], contralock)


@pytest.mark.parametrize("form", [Form.DEPLOYED, Form.PLAN, Form.LONGLIVED])
def test_good_sources_are_ready(look: Look, form: Form) -> None:
    plan, examination = look(form)
    assert (examination.findings, examination.notes, examination.waiting) == ((), (), ())
    assert sum(examination.rows.values()) == 3000
    assert {table.target for table in plan.tables} == set(COLUMNS)
    assert all(table.key == ("id",) for table in plan.tables)
    named = {(count.table, count.column, count.rule) for count in examination.rule_counts}
    assert {("users", "email", "lower"), ("disputes", "appeal", "empty_text_as_null")} <= named


def test_what_a_form_lacks_is_filled(look: Look) -> None:
    plan, _ = look(Form.DEPLOYED)
    assert {table.target: table.defaulted for table in plan.tables if table.defaulted} == {
        "users": ("avatar", "phone", "bio", "is_kyc_verified", "stripe_customer_id", "notification_preferences",
                  "deleted_at"),
    }  # fmt: skip


def test_the_secrets_of_users_are_marked(look: Look) -> None:
    plan, _ = look(Form.DEPLOYED)
    assert {column.source for column in plan.table("users").columns if column.sensitive} == {
        "password", "resetPasswordToken", "emailVerificationToken", "twoFactorSecret", "backupCodes",
    }  # fmt: skip


@pytest.mark.parametrize(("form", "stray"), [(Form.LONGLIVED, "users_backup"), (Form.FROM_MIGRATIONS, "SequelizeMeta")])
def test_strays_are_left_behind_with_a_reason_or_refused(
    samples: dict[Form, Path], contralock: Catalog, form: Form, stray: str
) -> None:
    with closing(open_source(samples[form])) as source:
        schema = read_schema(source)
    assert make_plan(MAPPING, schema, contralock).tables_left_behind == {stray: MAPPING.tables_left_behind[stray]}
    with pytest.raises(MigrationError, match=f"tables of the source that have no place in the target: {stray}"):
        make_plan(replace(MAPPING, tables_left_behind={}), schema, contralock)


def test_keys_that_are_no_uuids_are_refused_with_the_other_profile(look: Look) -> None:
    _, examination = look(Form.FROM_MIGRATIONS)
    assert examination.findings[0].keys == ("user-1", "user-2", "user-3", "user-4")
    with pytest.raises(MigrationError) as refused:
        examination.raise_unless_ready()
    assert "users._id at user-1 and 3 more, value 'user-1': text that is no uuid" in refused.value.fact
    assert refused.value.mend == "Use the profile 'contralock_deployed', which takes keys that are no UUIDs"


SPOILED = {
    "UPDATE users SET status = 'dormant' WHERE rowid = 3": "users.status",
    "UPDATE users SET email = (SELECT upper(email) FROM users WHERE rowid = 1) WHERE rowid = 2": "users.email",
    "UPDATE users SET emailVerified = 'true' WHERE rowid = 2": "users.emailVerified",
    "UPDATE users SET password = NULL WHERE rowid = 2": "users.password",
    "UPDATE users SET backupCodes = '{' WHERE rowid = 2": "users.backupCodes",
    "UPDATE projects SET budget = 12.5 WHERE rowid = 2": "projects.budget",
    "UPDATE projects SET deadline = 'Invalid date' WHERE rowid = 2": "projects.deadline",
    "UPDATE projects SET freelancer = '00000000-0000-4000-8000-000000000000' WHERE rowid = 2": "projects.freelancer",
    "UPDATE arbitrators SET successRate = 97.555 WHERE rowid = 1": "arbitrators.successRate",
    "UPDATE arbitrators SET successRate = 100.5 WHERE rowid = 1": "arbitrators.successRate",
    "UPDATE wallets SET balance = -5 WHERE rowid = 2": "wallets.balance",
    "UPDATE messages SET content = CAST(x'610062' AS TEXT) WHERE rowid = 2": "messages.content",
}


@pytest.mark.parametrize("sql", SPOILED)
def test_one_spoiled_value_is_found(samples: dict[Form, Path], contralock: Catalog, tmp_path: Path, sql: str) -> None:
    copy = tmp_path / "spoiled.sqlite"
    copy.write_bytes(samples[Form.DEPLOYED].read_bytes())
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        # A file from before the column was NOT NULL.
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '')")
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        assert database.execute(sql).rowcount == 1
    with closing(open_source(copy)) as source:
        examination = examine(source, make_plan(MAPPING, read_schema(source), contralock))
    (finding,) = examination.findings
    assert f"{finding.table}.{finding.column}" == SPOILED[sql]
    assert (finding.shown or "").startswith("length ") == (finding.column == "backupCodes")
