"""The plan between small sources and targets: what has no place, no source or no conversion is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan

Planned = Callable[..., tuple[sqlite3.Connection, Plan]]

SQLITE = """CREATE TABLE Users (_id VARCHAR(255) PRIMARY KEY, firstName TEXT NOT NULL, "from" TEXT);"""
POSTGRESQL = """CREATE TABLE users (id text PRIMARY KEY, first_name varchar(20) NOT NULL, "from" text);"""
DOCUMENT: dict[str, Any] = {"naming": "snake_case", "renames": {"_id": "id"}}
UUID_KEYS = {"key": {"type": "uuid", "otherwise": "other"}}


def columns(**entries: Any) -> dict[str, Any]:
    return {"tables": {"users": {"columns": entries}}}


def problems(planned: Planned, sqlite: str, postgresql: str, **document: Any) -> dict[str, list[str]]:
    with pytest.raises(MigrationError) as refused:
        planned(sqlite, postgresql, **document)
    assert refused.value.mend
    found = refused.value.details["problems"]
    assert all(name in refused.value.fact for names in found.values() for name in names)
    return found


def test_names_types_and_keys_meet(planned: Planned) -> None:
    _, plan = planned(SQLITE, POSTGRESQL, **DOCUMENT)
    (table,) = plan.tables
    assert (table.source.name, table.target, table.key, table.source_key) == ("Users", "users", ("id",), ("_id",))
    assert table.source_columns == ("_id", "firstName", "from")
    assert [column.target.type for column in table.columns] == ["text", "character varying(20)", "text"]
    assert [column.conversion.target for column in table.columns] == [column.target for column in table.columns]
    assert (table.defaulted, table.left_behind, plan.tables_left_behind, plan.notes) == ((), {}, {}, ())
    assert (plan.schema, plan.key_otherwise) == ("public", None)
    assert plan.table("users").column("first_name").source == "firstName"


def test_the_mappings_exceptions_reach_the_columns(planned: Planned) -> None:
    document = columns(first_name={"rules": ["trim", {"truncate": 20}], "sensitive": True})
    _, plan = planned(SQLITE, POSTGRESQL, **DOCUMENT, **document)
    column = plan.table("users").column("first_name")
    assert ([rule.name for rule in column.rules], column.sensitive) == (["trim", "truncate"], True)
    assert not plan.table("users").column("id").sensitive


def test_what_is_left_behind_comes_with_its_reason(planned: Planned) -> None:
    reason = "Nobody reads it any more"
    left = {"tables": {"log": reason, "absent": reason}, "columns": {"users": {"from": reason, "absent": reason}}}
    postgresql = POSTGRESQL.replace(', "from" text', "")
    _, plan = planned(SQLITE + "CREATE TABLE log (a)", postgresql, **DOCUMENT, left_behind=left)
    assert plan.tables_left_behind == {"log": reason}
    assert plan.table("users").left_behind == {"from": reason}


def test_what_is_never_carried_may_be_on_both_sides(planned: Planned) -> None:
    sessions, reason = "CREATE TABLE sessions (a text)", {"sessions": "Users log in again"}
    both = {"left_behind": {"tables": reason}, "never_carried": reason}
    _, plan = planned(SQLITE + sessions, POSTGRESQL + sessions, **DOCUMENT, **both)
    assert ([table.target for table in plan.tables], plan.tables_left_behind) == (["users"], reason)


def test_what_the_source_lacks_is_filled_where_the_mapping_allows_it(planned: Planned) -> None:
    postgresql = POSTGRESQL.replace("NOT NULL,", "NOT NULL, phone text, role text NOT NULL DEFAULT 'x',")
    absent = {"when_absent": "target_default"}
    _, plan = planned(SQLITE, postgresql, **DOCUMENT, **columns(phone=absent, role=absent))
    assert plan.table("users").defaulted == ("phone", "role")


@pytest.mark.parametrize("spelling", ["given", "first", "vorname"])
def test_one_of_several_spellings_is_found(planned: Planned, spelling: str) -> None:
    document = columns(first_name={"source": ["given", "first", "vorname"]})
    _, plan = planned(SQLITE.replace("firstName", spelling), POSTGRESQL, **DOCUMENT, **document)
    assert plan.table("users").column("first_name").source == spelling


def test_two_spellings_at_once_are_refused(planned: Planned) -> None:
    document = columns(first_name={"source": ["given", "firstName"]})
    with pytest.raises(MigrationError, match="'firstName' and 'given' would both become 'first_name'"):
        planned(SQLITE.replace(")", ", given TEXT)").replace("(255, given TEXT)", "(255)"), POSTGRESQL, **DOCUMENT,
                **document)  # fmt: skip


REFUSED: dict[str, tuple[str, str, dict[str, Any], dict[str, list[str]]]] = {
    "stray table": (
        SQLITE + "CREATE TABLE users_backup (a); CREATE TABLE SequelizeMeta (a)",
        POSTGRESQL,
        {},
        {"stray_table": ["SequelizeMeta (would be sequelize_meta)", "users_backup"]},
    ),
    "stray column": (
        SQLITE.replace('"from"', "legacyScore REAL, bare, [from]"),
        POSTGRESQL,
        {},
        {"stray_column": ["Users.legacyScore (would be legacy_score)", "Users.bare"]},
    ),
    "table without source": (
        SQLITE,
        POSTGRESQL + "CREATE TABLE logs (a text); CREATE TABLE sessions (a text)",
        {"never_carried": {"sessions": "Users log in again"}},
        {"table_without_source": ["logs"]},
    ),
    "a source's table that is never carried": (
        SQLITE + "CREATE TABLE Sessions (a)",
        POSTGRESQL + "CREATE TABLE sessions (a text)",
        {"never_carried": {"sessions": "Users log in again"}},
        {"never_carried": ["Sessions (would be sessions)"]},
    ),
    "column without source": (
        SQLITE,
        POSTGRESQL.replace("NOT NULL,", "NOT NULL, phone text DEFAULT '',"),
        {},
        {"column_without_source": ["users.phone"]},
    ),
    "nothing carried": (
        "CREATE TABLE users (a TEXT)",
        "CREATE TABLE users (b text)",
        {
            "renames": {},
            "left_behind": {"columns": {"users": {"a": "Nobody reads it"}}},
            **columns(b={"when_absent": "target_default"}),
        },
        {"nothing_carried": ["users"]},
    ),
    "unfillable column": (
        SQLITE,
        POSTGRESQL.replace("NOT NULL,", "NOT NULL, phone text NOT NULL, fax text NOT NULL,"),
        columns(phone={"when_absent": "target_default"}),
        {"unfillable": ["users.phone", "users.fax"]},
    ),
    "unknown entries": (
        SQLITE,
        POSTGRESQL,
        {
            "tables": {
                "people": {"source": "persons"},
                "users": {"columns": {"frist_name": {"rules": ["trim"]}, "x": {"sensitive": True}}},
            },
            "left_behind": {"columns": {"Usres": {"x": "Nobody reads it"}}},
            "never_carried": {"sessions": "Users log in again"},
            "renames": {"_id": "id", "a": "b"},
        },
        {
            "unknown_entry": [
                "tables.people",
                "left_behind.columns.Usres (did you mean 'users'?)",
                "never_carried.sessions",
                "tables.users.columns.frist_name (did you mean 'first_name'?)",
                "tables.users.columns.x",
                "renames.a: b",
            ]
        },
    ),
    "the naming rule beside a named source": (
        SQLITE,
        POSTGRESQL,
        columns(first_name={"source": "givenName", "when_absent": "target_default"}),
        {"stray_column": ["Users.firstName (would be first_name)"], "unfillable": ["users.first_name"]},
    ),
    "the naming rule beside a table's named source": (
        SQLITE,
        POSTGRESQL,
        {"tables": {"users": {"source": "people"}}},
        {"stray_table": ["Users (would be users)"], "table_without_source": ["users"]},
    ),
    "generated column": (
        SQLITE,
        POSTGRESQL.replace('"from" text', '"from" text GENERATED ALWAYS AS (id || first_name) STORED'),
        {},
        {"generated": ["users.from"]},
    ),
    "no conversion": (
        SQLITE,
        POSTGRESQL.replace('"from" text', '"from" point'),
        {},
        {"no_conversion": ["users.from (point)"]},
    ),
    "a DEFAULT that computes": (
        "CREATE TABLE users (id TEXT PRIMARY KEY)",
        "CREATE SEQUENCE s; CREATE TABLE users (id text PRIMARY KEY DEFAULT 'U' || nextval('s'))",
        {"renames": {}},
        {"sequence": ["users.id"]},
    ),
    "a sequence that is looked up": (
        "CREATE TABLE users (id INTEGER PRIMARY KEY)",
        "CREATE SEQUENCE s; CREATE TABLE users (id bigint PRIMARY KEY DEFAULT nextval('s'::text))",
        {"renames": {}},
        {"sequence": ["users.id"]},
    ),
    "key that is no uuid": (SQLITE, POSTGRESQL, UUID_KEYS, {"key_not_uuid": ["users.id (text)"]}),
    "another key": (
        SQLITE,
        POSTGRESQL.replace("text PRIMARY KEY", "text").replace("NOT NULL", "PRIMARY KEY"),
        {},
        {"other_key": ["users (_id in the source, first_name in the target)"]},
    ),
    "no key any more": (
        SQLITE,
        POSTGRESQL.replace("PRIMARY KEY", ""),
        {},
        {"other_key": ["users (_id in the source, none in the target)"]},
    ),
    "a part of the key": (
        SQLITE,
        POSTGRESQL.replace("PRIMARY KEY", "").replace(");", ", PRIMARY KEY (id, first_name));"),
        {},
        {"other_key": ["users (_id in the source, id, first_name in the target)"]},
    ),
    "a key that the source does not fill": (
        "CREATE TABLE users (a TEXT)",
        "CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), a text)",
        {"renames": {}, **columns(id={"when_absent": "target_default"})},
        {"other_key": ["users (none in the source, id in the target)"]},
    ),
    "quarantine": (
        SQLITE,
        POSTGRESQL,
        columns(first_name={"rules": ["quarantine"]}),
        {"quarantine": ["users.first_name"]},
    ),
    "defaults that do not fit": (
        "CREATE TABLE users (id TEXT PRIMARY KEY, n INTEGER, e TEXT, j TEXT)",
        "CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE users (id text PRIMARY KEY, n int NOT NULL, e e, j jsonb)",
        {
            "renames": {},
            **columns(
                n={"rules": [{"default": {"value": "none", "when": "is_null"}}]},
                e={
                    "rules": [
                        {"default": {"value": "A", "when": "is_not_in_enum"}},
                        "lower",
                        {"default": {"value": "c", "when": "is_null"}},
                        {"default": {"value": "b", "when": "is_empty_text"}},
                    ]
                },
                j={"rules": [{"default": {"value": {"a": [1]}, "when": "is_not_json"}}]},
            ),
        },
        {
            "unfit_default": [
                "users.n ('none': text in a whole-number column)",
                "users.e ('c': text that is no label of public.e)",
            ]
        },
    ),
    "unsuitable rules": (
        "CREATE TABLE users (id TEXT PRIMARY KEY, u TEXT, n BLOB)",
        "CREATE TABLE users (id text PRIMARY KEY, u uuid, n bytea)",
        {
            "renames": {},
            **columns(
                id={"rules": [{"epoch": "seconds"}, {"default": {"value": "x", "when": "is_not_in_enum"}}]},
                u={"rules": [{"truncate": 3}, {"default": {"value": "x", "when": "is_not_json"}}]},
                n={"rules": ["lower"]},
            ),
        },
        {
            "unsuitable_rule": [
                "epoch on users.id (text)",
                "default on users.id (text)",
                "truncate on users.u (uuid)",
                "default on users.u (uuid)",
                "lower on users.n (bytea)",
            ]
        },
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_come_out_even_is_refused(planned: Planned, case: str) -> None:
    sqlite, postgresql, document, expected = REFUSED[case]
    document = {**DOCUMENT, **document}
    if not document["renames"]:
        del document["renames"]
    assert problems(planned, sqlite, postgresql, **document) == expected


def test_problems_of_all_kinds_are_in_one_message(planned: Planned) -> None:
    with pytest.raises(MigrationError) as refused:
        planned(SQLITE + "CREATE TABLE log (a)", POSTGRESQL.replace('"from" text', '"from" point'), **DOCUMENT)
    assert str(refused.value).splitlines() == [
        "source, profile and target do not go together:",
        "- tables of the source that have no place in the target: log",
        "  Add them to the schema, place them in the mapping with 'source', or leave them behind there with a reason "
        "(left_behind.tables).",
        "- columns of a type that there is no conversion for: users.from (point)",
        "  Give them another type in the schema, or leave the source's columns behind with a reason.",
    ]


def test_a_target_without_tables_is_told_to_get_its_schema(planned: Planned) -> None:
    with pytest.raises(MigrationError, match="the schema public of the target holds no tables") as refused:
        planned(SQLITE, "SELECT", **DOCUMENT)
    assert "apply_schema.py" in refused.value.mend


def test_names_that_become_one_are_refused(planned: Planned) -> None:
    with pytest.raises(MigrationError, match="'firstName' and 'first_name' would both become 'first_name'"):
        planned('CREATE TABLE Users (_id PRIMARY KEY, firstName, first_name, "from")', POSTGRESQL, **DOCUMENT)
    with pytest.raises(MigrationError, match="'UserS' and 'user_s' would both become 'user_s'"):
        planned("CREATE TABLE UserS (a); CREATE TABLE user_s (a)", POSTGRESQL, **DOCUMENT)


def test_names_that_postgresql_would_cut_are_refused(planned: Planned) -> None:
    with pytest.raises(MigrationError, match="has 64 bytes"):
        planned(f"CREATE TABLE {'a' * 64} (a)", POSTGRESQL, **DOCUMENT)


def test_a_table_without_a_key_has_none(planned: Planned) -> None:
    _, plan = planned("CREATE TABLE t (a TEXT)", "CREATE TABLE t (a text)")
    assert (plan.table("t").key, plan.table("t").source_key) == ((), ())


def test_a_key_that_only_the_target_declares_is_the_key(planned: Planned) -> None:
    _, plan = planned("CREATE TABLE t (a TEXT)", "CREATE TABLE t (a text PRIMARY KEY)")
    assert plan.table("t").key == ("a",)


def test_a_composite_key_has_the_targets_order(planned: Planned) -> None:
    _, plan = planned(
        "CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE t (x text, a text, PRIMARY KEY (x, a))",
        renames={"b": "x"},
    )
    assert (plan.table("t").key, plan.table("t").source_key) == (("x", "a"), ("b", "a"))


def test_what_stays_by_its_nature_is_noted(planned: Planned) -> None:
    sqlite = """CREATE TABLE t (a TEXT, b TEXT AS (a || 'x')); CREATE VIEW v AS SELECT 1;
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END;"""
    postgresql = """CREATE TABLE t (a text, b text);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER act BEFORE INSERT ON t EXECUTE FUNCTION f();"""
    _, plan = planned(sqlite, postgresql)
    assert plan.notes == (
        "Views of the source that are not moved: v",
        "Triggers of the source that are not moved: tr on t",
        "Columns that SQLite computes and that become ordinary ones: t.b",
        "Triggers of the target that act on the load: t.act",
    )


def test_a_column_that_postgresql_computes_needs_no_source(planned: Planned) -> None:
    postgresql = "CREATE TABLE t (a text, l text GENERATED ALWAYS AS (lower(a)) STORED)"
    _, plan = planned("CREATE TABLE t (a TEXT)", postgresql)
    assert (plan.table("t").source_columns, plan.table("t").defaulted) == (("a",), ())


def test_parents_come_before_their_children(planned: Planned) -> None:
    names = ["b", "a", "d", "c"]
    sqlite = "".join(f"CREATE TABLE {name} (id TEXT PRIMARY KEY, p TEXT, q TEXT);" for name in names)
    postgresql = (
        sqlite
        + """
        ALTER TABLE a ADD FOREIGN KEY (p) REFERENCES d; ALTER TABLE d ADD FOREIGN KEY (p) REFERENCES c;
        ALTER TABLE a ADD FOREIGN KEY (q) REFERENCES a;"""
    )
    _, plan = planned(sqlite, postgresql)
    assert [table.target for table in plan.tables] == ["b", "c", "d", "a"]


def test_a_cycle_of_foreign_keys_is_cut_somewhere(planned: Planned) -> None:
    sqlite = "".join(f"CREATE TABLE {name} (id TEXT PRIMARY KEY, p TEXT);" for name in "abc")
    postgresql = sqlite + "".join(f"ALTER TABLE {a} ADD FOREIGN KEY (p) REFERENCES {b};" for a, b in ("ab", "ba", "ca"))
    _, plan = planned(sqlite, postgresql)
    assert [table.target for table in plan.tables] == ["a", "b", "c"]


def test_labels_of_an_enumeration_reach_its_conversion(planned: Planned) -> None:
    _, plan = planned("CREATE TABLE t (a TEXT)", "CREATE TYPE e AS ENUM ('x', 'Y'); CREATE TABLE t (a e)")
    assert plan.table("t").column("a").conversion.labels == ("x", "Y")


@pytest.mark.parametrize("key", ["bigint GENERATED ALWAYS AS IDENTITY", "serial", "int DEFAULT nextval('\"It''s\"')"])
def test_a_column_of_a_sequence_is_carried(planned: Planned, key: str) -> None:
    sequence = """CREATE SEQUENCE "It's";"""
    _, plan = planned("CREATE TABLE t (id INTEGER PRIMARY KEY)", f"{sequence} CREATE TABLE t (id {key} PRIMARY KEY)")
    assert [column.source for column in plan.table("t").columns] == ["id"]
