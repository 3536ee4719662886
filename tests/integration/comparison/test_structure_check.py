"""The target's structure against what the schema changes recorded, and against what the source itself declared."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.profile import Mapping, NamingRule
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes

from tests.integration.comparison.loaded_target import UNRECORDED, Pair
from tests.throwaway_cluster import Database

SOURCE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL, code TEXT, UNIQUE (email, name));
CREATE UNIQUE INDEX codes ON people (code);
CREATE UNIQUE INDEX some ON people (name) WHERE code IS NOT NULL;
CREATE UNIQUE INDEX lowered ON people (lower(name));
CREATE TABLE notes (id INTEGER PRIMARY KEY, person INTEGER REFERENCES people (id), said TEXT,
  other INTEGER REFERENCES people);
INSERT INTO people VALUES (1, 'a@example.org', 'A', 'x');
INSERT INTO notes VALUES (1, 1, 'hello', NULL);
"""
TARGET = """
CREATE TABLE people (
  id bigint PRIMARY KEY, email text NOT NULL CONSTRAINT people_email_key UNIQUE, name text DEFAULT 'nobody', code text);
CREATE TABLE notes (id bigint PRIMARY KEY, person bigint REFERENCES people (id), said text NOT NULL, other bigint);
CREATE INDEX notes_person ON notes (person);
CREATE INDEX codes ON people (code);
CREATE UNIQUE INDEX named ON people (code) WHERE name IS NOT NULL;
"""
NOTES = [
    "notes: refers to people in the source, and to nothing in the target: other",
    "people: NOT NULL in the source, and may be NULL in the target: name",
    "people: unique in the source, and not in the target: code",
    "people: unique in the source, and not in the target: lower(name)",
    "people: unique in the source, and not in the target: name WHERE code IS NOT NULL",
]


@pytest.fixture
def recorded(tmp_path: Path, database: Database) -> Pair:
    """A target whose schema was made by schema changes."""
    path = tmp_path / "small.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SOURCE)
    schema = tmp_path / "schema"
    schema.mkdir()
    (schema / "0001_tables.up.sql").write_text(TARGET)
    (schema / "0001_tables.down.sql").write_text("DROP TABLE notes, people;\n")
    with connect(database.conninfo, "test") as connection:
        perform(connection, Request(load_changes(schema)))
    pair = Pair(path, database.conninfo, Mapping(NamingRule.SNAKE_CASE))
    pair.load()
    return pair


def test_what_was_recorded_is_what_has_to_be(recorded: Pair) -> None:
    found = recorded.compare()
    assert (found.catalog_faults, found.equal) == ((), True)
    assert sorted(found.notes) == NOTES


def test_a_unique_key_of_names_that_need_quotes_is_found(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "small.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript('CREATE TABLE k ("Id" INTEGER PRIMARY KEY, "order" TEXT UNIQUE, "Grp" TEXT UNIQUE)')
    pair = Pair(path, database.conninfo, Mapping(NamingRule.KEEP))
    pair.sql('CREATE TABLE k ("Id" bigint PRIMARY KEY, "order" text UNIQUE, "Grp" text)')
    assert list(pair.compare().notes) == [UNRECORDED, "k: unique in the source, and not in the target: Grp"]


def test_a_unique_key_without_regard_to_case_is_found_where_the_target_folds(
    tmp_path: Path, database: Database
) -> None:
    """As a draft folds them: lower() in the collation "C" knows the letters that NOCASE knows."""
    path = tmp_path / "small.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            'CREATE TABLE k (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE, "B b" TEXT COLLATE NOCASE, c TEXT,'
            " d TEXT COLLATE RTRIM UNIQUE, e TEXT COLLATE NOCASE UNIQUE, f INTEGER COLLATE NOCASE UNIQUE,"
            ' g TEXT UNIQUE, h TEXT COLLATE NOCASE UNIQUE, UNIQUE ("B b", c))'
        )
    pair = Pair(path, database.conninfo, Mapping(NamingRule.KEEP))
    pair.sql(
        'CREATE TABLE k (id bigint PRIMARY KEY, a text, "B b" varchar(20), c text, d text, e text UNIQUE,'
        " f bigint UNIQUE, g text, h text)",
        'CREATE UNIQUE INDEX k1 ON k (lower(a COLLATE "C"))',
        'CREATE UNIQUE INDEX k2 ON k (c, upper("B b" COLLATE "C"))',
        "CREATE UNIQUE INDEX k3 ON k (rtrim(d))",
        "CREATE UNIQUE INDEX k4 ON k (lower(g))",
        "CREATE UNIQUE INDEX k5 ON k (lower(h || 'x'))",
    )
    assert sorted(pair.compare().notes) == [
        "k: unique in the source, and it cannot be told whether k5 says the same: h",
        "k: unique without regard to case in the source, and with it in the target: e",
        UNRECORDED,
    ]


#: What is done to the target, and the objects that the faults are about.
ALTERED = {
    "a type": ("ALTER TABLE notes ALTER person TYPE integer", ["column public.notes.person"]),
    "NOT NULL": ("ALTER TABLE people ALTER email DROP NOT NULL", ["column public.people.email"]),
    "a default": ("ALTER TABLE people ALTER name SET DEFAULT 'other'", ["column public.people.name"]),
    "a default gone": ("ALTER TABLE people ALTER name DROP DEFAULT", ["column public.people.name"]),
    "a unique key": (
        "ALTER TABLE people DROP CONSTRAINT people_email_key",
        ["constraint public.people.people_email_key", "index public.people.people_email_key"],
    ),
    "a foreign key": (
        "ALTER TABLE notes DROP CONSTRAINT notes_person_fkey",
        ["constraint public.notes.notes_person_fkey"],
    ),
    "an index": ("DROP INDEX notes_person", ["index public.notes.notes_person"]),
    "another index": ("CREATE INDEX more ON notes (said)", ["index public.notes.more"]),
    "a trigger": (
        "CREATE TRIGGER t BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ["trigger public.notes.t"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERED)
def test_what_was_altered_is_a_fault(recorded: Pair, name: str) -> None:
    command, objects = ALTERED[name]
    recorded.sql(command)
    found = recorded.compare()
    assert [fault.split(":")[0] for fault in found.catalog_faults] == objects
    assert (found.number, found.equal) == (0, False)


def test_an_invalid_index_is_a_fault(recorded: Pair, database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notes_person'::regclass")
    first, *_ = recorded.compare().catalog_faults
    assert first == "index public.notes.notes_person: is invalid"


def test_tables_that_are_never_carried_are_not_looked_at(recorded: Pair, database: Database) -> None:
    recorded.sql(
        "CREATE TABLE audit (id serial PRIMARY KEY, n bigint)",
        "ALTER TABLE audit ADD CONSTRAINT audit_n_fkey FOREIGN KEY (n) REFERENCES notes (id) NOT VALID",
        "CREATE INDEX audit_n ON audit (n)",
        "CREATE TRIGGER t BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    )
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'audit_n'::regclass")
    left_out = replace(recorded, mapping=replace(recorded.mapping, never_carried={"audit": "the server's own"}))
    assert left_out.compare().catalog_faults == ()
    recorded.sql("CREATE INDEX more ON notes (said)")
    assert len(left_out.compare().catalog_faults) == 1


def test_a_record_that_cannot_be_read_is_a_note(recorded: Pair, database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        connection.execute("ALTER TABLE contralock_migration.schema_changes OWNER TO postgres")
        connection.execute(f'REVOKE ALL ON contralock_migration.schema_changes FROM "{database.owner}"')
    found = recorded.compare()
    assert found.equal
    assert found.notes[0].startswith(
        "the schema was not held against the recorded one: cannot read the record of schema changes"
    )


def test_what_is_expected_counts_more_than_the_record(recorded: Pair) -> None:
    recorded.sql("DROP INDEX notes_person")
    now = recorded.plan().catalog.description
    assert recorded.compare(expected=now).catalog_faults == ()
    assert recorded.compare(expected={}).catalog_faults != ()
