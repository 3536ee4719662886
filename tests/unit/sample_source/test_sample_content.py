"""The generated rows: each check finds nothing in a fresh file, and finds the fault that is planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.sample_source.ddl import TABLES, columns
from ansible_collections.contralock.database.plugins.module_utils.sample_source.text import AWKWARD

from tests.unit.sample_source import source_checks
from tests.unit.sample_source.source_checks import CHECKS, Source

GHOST = "'00000000-0000-4000-8000-000000000000'"
FAULTS = [
    (source_checks.foreign_keys, f'UPDATE "milestones" SET "project" = {GHOST} WHERE rowid = 1'),
    (source_checks.storage_classes, 'UPDATE "projects" SET "budget" = 12.5 WHERE rowid = 1'),
    (source_checks.storage_classes, 'UPDATE "audit_trails" SET "metadata" = \'{}\' WHERE rowid = 1'),
    (source_checks.storage_classes, 'UPDATE "transactions" SET "description" = 0 WHERE "description" IS NULL'),
    (source_checks.shapes, 'UPDATE "messages" SET "_id" = upper("_id") WHERE rowid = 1'),
    (source_checks.shapes, 'UPDATE "users" SET "createdAt" = \'2024-01-01T00:00:00Z\' WHERE rowid = 1'),
    (source_checks.shapes, 'UPDATE "notifications" SET "read" = 2 WHERE rowid = 1'),
    (source_checks.shapes, "UPDATE \"projects\" SET \"title\" = printf('%.256c', 'x') WHERE rowid = 1"),
    (source_checks.json_texts, 'UPDATE "projects" SET "escrow" = \'\' WHERE rowid = 1'),
    (source_checks.json_texts, 'UPDATE "users" SET "profile" = \'{"a": 1}\' WHERE rowid = 1'),
    (source_checks.ids_in_json, f'UPDATE "messages" SET "readBy" = \'["\' || {GHOST} || \'"]\' WHERE rowid = 1'),
    (source_checks.loose_ids, f'UPDATE "audit_trails" SET "entityId" = {GHOST} WHERE rowid = 1'),
    (source_checks.loose_ids, 'UPDATE "transactions" SET "disputeId" = "projectId" WHERE "disputeId" IS NOT NULL'),
    (source_checks.belonging, 'UPDATE "projects" SET "milestones" = \'[]\' WHERE rowid = 1'),
    (
        source_checks.belonging,
        'UPDATE "transactions" SET "projectId" = (SELECT max("_id") FROM "projects") WHERE "milestoneId" IS NOT NULL',
    ),
    (source_checks.belonging, 'UPDATE "messages" SET "conversationId" = NULL WHERE "parentId" IS NOT NULL'),
    (source_checks.belonging, 'UPDATE "messages" SET "conversationId" = NULL'),
    (source_checks.belonging, 'UPDATE "messages" SET "senderId" = (SELECT max("_id") FROM "users")'),
    (source_checks.belonging, 'UPDATE "wallets" SET "userId" = (SELECT max("_id") FROM "users")'),
    (source_checks.belonging, 'UPDATE "notifications" SET "relatedEntityId" = "userId"'),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nothing_is_wrong(source: Source, check):
    assert check(source) == []


@pytest.mark.parametrize(("check", "fault"), FAULTS)
def test_a_planted_fault_is_found(spoilable: Source, check, fault):
    spoilable.run(fault)
    assert check(spoilable)


def test_a_damaged_page_is_found(spoilable: Source):
    path = spoilable.database.execute("PRAGMA database_list").fetchone()[2]
    size = spoilable.database.execute("PRAGMA page_count").fetchone()[0] * 4096
    with Path(path).open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    assert source_checks.integrity(spoilable)


def free_texts(source: Source) -> set[str]:
    """Every text of the columns that people fill in."""
    return {
        value
        for table in TABLES
        for column in columns(table)
        if column.kind in {"string", "text"}
        for value in source.column(table, column.name)
        if value is not None
    }


def missing_kinds(found: set[str]) -> list[str]:
    return [kind for kind, texts in AWKWARD.items() if not found & set(texts)]


def test_each_kind_of_awkward_text_occurs(source: Source):
    assert missing_kinds(free_texts(source)) == []


def test_each_kind_of_awkward_text_occurs_inside_json(source: Source):
    inside = {text for _, _, value in source_checks.json_values(source) for text in source_checks.strings(value)}
    assert missing_kinds(inside) == ["long"]  # which is for TEXT columns only


@pytest.mark.parametrize("kind", AWKWARD)
def test_a_missing_kind_is_named(kind):
    assert missing_kinds({texts[0] for other, texts in AWKWARD.items() if other != kind}) == [kind]


def test_the_awkward_texts_are_valid_and_without_nul():
    for text in (text for texts in AWKWARD.values() for text in texts):
        assert text.encode("utf-8").decode("utf-8") == text
        assert text and "\0" not in text


@pytest.mark.parametrize(("table", "name"), [("users", "linkedinId"), ("transactions", "description")])
def test_empty_text_stands_beside_null(source: Source, table, name):
    found = set(source.column(table, name))
    assert {"", None} < found


def test_enums_hold_what_their_model_does_not_know(source: Source):
    assert {"active", "verified", "pending", "suspended"} == set(source.column("users", "status"))


def test_disputes_hold_empty_appeals_and_a_number_in_exponent_form(source: Source):
    assert "" in source.column("disputes", "appeal")
    assert all('"totalAmount":1e+21' in fee for fee in source.column("disputes", "disputeFee"))


def test_some_amounts_are_negative(source: Source):
    amounts = source.column("transactions", "amount")
    assert 0 < sum(amount < 0 for amount in amounts) < len(amounts) / 10


def test_dates_do_not_run_backwards(source: Source):
    for table in TABLES:
        assert all(created <= updated for created, updated in source.values(table, "createdAt", "updatedAt"))


def test_passwords_are_bcrypt_hashes(source: Source):
    passwords = source.column("users", "password")
    assert len(set(passwords)) == len(passwords)
    for password in passwords:
        assert len(password) == 60
        assert password.startswith("$2a$12$")
        # bcrypt encodes 128 bits of salt in 22 characters: the last one carries two bits.
        assert password[28] in ".Oeu"


def test_a_conversation_ends_with_its_last_message(source: Source):
    said = {key: rest for key, *rest in source.values("messages", "_id", "content", "createdAt")}
    talks = source.values("conversations", "lastMessageId", "lastMessage", "lastMessageAt")
    assert talks
    assert all(said[key] == [content, when] for key, content, when in talks)


def test_participants_are_the_parties_of_the_project(source: Source):
    parties = {key: people for key, *people in source.values("projects", "_id", "client", "freelancer")}
    for project, participants in source.values("conversations", "projectId", "participants"):
        assert json.loads(participants) == parties[project]


def test_forms_of_one_seed_hold_the_same_work(write):
    # Those made by migrations have other keys for the seeded users, which are repeated everywhere.
    samples = [write(300, form) for form in Form if form is not Form.FROM_MIGRATIONS]
    for table in set(TABLES) - {"users"}:
        names = [column.name for column in columns(table)]
        assert len({repr(sample.values(table, *names)) for sample in samples}) == 1
    assert len({repr(sample.values("users", "_id", "password", "profile")) for sample in samples}) == 1


def js_normal(email: str) -> str:
    """JavaScript's trim() and toLowerCase(), for ASCII addresses."""
    return email.strip("\t\n\u000b\u000c\r \u00a0\ufeff").lower()


def test_plan_emails_need_trimming_and_lower_case_but_never_collide(write):
    emails = write(20_000, Form.PLAN).column("users", "email")
    disguised = [email for email in emails if js_normal(email) != email.lower()]
    assert any("\ufeff" in email for email in disguised)
    assert any("\u00a0" in email for email in disguised)
    assert any(email.startswith(" ") or email.endswith(" ") for email in disguised)
    assert any(email.strip().isupper() for email in emails)
    assert len({js_normal(email) for email in emails}) == len(emails)
    assert all(js_normal(email).split("@")[1] in {"example.com", "example.net", "example.org"} for email in emails)


@pytest.mark.parametrize("form", [form for form in Form if form is not Form.PLAN])
def test_deployed_emails_are_trimmed(write, form):
    assert not [email for email in write(5000, form).column("users", "email") if js_normal(email) != email.lower()]


def test_plan_users_have_few_preferences_that_are_no_json(write):
    preferences = write(20_000, Form.PLAN).column("users", "notificationPreferences")
    odd = [value for value in preferences if value in {"", "on"}]
    assert {"", "on"} == set(odd)
    assert len(odd) < len(preferences) / 50
    assert None in preferences


def test_plan_users_are_sometimes_deleted(write):
    deleted = write(20_000, Form.PLAN).column("users", "deletedAt")
    assert 0 < sum(value is not None for value in deleted) < len(deleted) / 5


def test_seeded_users_have_other_keys_only_where_migrations_ran(write):
    keys = {form: set(write(500, form).column("users", "_id")) for form in Form}
    assert {key for key in keys[Form.FROM_MIGRATIONS] if key.startswith("user-")} == {f"user-{n}" for n in (1, 2, 3, 4)}
    assert not any(key.startswith("user-") for form in set(Form) - {Form.FROM_MIGRATIONS} for key in keys[form])
