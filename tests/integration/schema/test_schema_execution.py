"""A change's text runs whole or not at all, and the server itself sees to it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import (
    SETTINGS,
    Connection,
    connect,
    settings_of,
)
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, ask, perform

from tests.integration.schema.steps import catalog_of, changes_of, recorded, refused
from tests.throwaway_cluster import Database

NOTHING = "-- nothing to take back: the test ends before"

#: Texts that have to run as they stand.
WHOLE = {
    "statements need what earlier ones made": """
        CREATE TYPE role AS ENUM ('a', 'b');
        CREATE TABLE users (id integer PRIMARY KEY, role role DEFAULT 'b');
        INSERT INTO users VALUES (1);
        ALTER TABLE users ADD COLUMN twice integer;
        UPDATE users SET twice = id * 2;
        CREATE VIEW doubled AS SELECT twice FROM users;
        CREATE INDEX ON users (twice);""",
    "quotes of every kind": """
        CREATE TABLE "users $$ ' "" \\ %s {x} $1" (note text DEFAULT 'it''s $$ \\ %s %(x)s {y} $1 END;');
        CREATE TABLE users (t text DEFAULT E'a\\nb', u text DEFAULT $q$ $$ ' $q$);
        -- a comment with ' and $$ and END;
        /* and /* a nested */ one */""",
    "blocks and functions": """
        DO $body$ BEGIN EXECUTE 'CREATE TABLE users (id integer)'; END $body$;
        CREATE FUNCTION one() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
        CREATE FUNCTION two() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT 2; END;
        SELECT one(), two();""",
    "no semicolon at the end": "CREATE TABLE users (id integer)",
    "letters from afar": "CREATE TABLE users (id integer, café text DEFAULT '日本 🙂')",
}


@pytest.mark.parametrize("title", WHOLE)
def test_a_text_runs_as_it_stands(connection: Connection, title: str) -> None:
    report = perform(connection, Request(changes_of((WHOLE[title], NOTHING))))
    assert report.applied == ["0001_types"]
    assert "table public.users" in catalog_of(connection)


#: Texts that would leave the transaction, or cannot be in one -> what the server says.
ESCAPES = {
    "COMMIT;": "EXECUTE of transaction commands",
    "COMMIT AND CHAIN;": "EXECUTE of transaction commands",
    "ROLLBACK;": "EXECUTE of transaction commands",
    "END;": "EXECUTE of transaction commands",
    "BEGIN;": "EXECUTE of transaction commands",
    "SAVEPOINT a;": "EXECUTE of transaction commands",
    "PREPARE TRANSACTION 'x';": "EXECUTE of transaction commands",
    "DO $$ BEGIN COMMIT; END $$;": "invalid transaction termination",
    "CREATE PROCEDURE go() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; CALL go();": "invalid transaction termination",
    "CREATE INDEX CONCURRENTLY ON first (id);": "cannot run inside a transaction block",
    "VACUUM first;": "VACUUM cannot",
    "COPY first FROM STDIN;": "cannot COPY to/from client",
    "END; $$; COMMIT; DO $$ BEGIN": "syntax error at or near",
    "'; END; COMMIT; --": "unterminated quoted string",
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_leaves_the_transaction(connection: Connection, database: Database, escape: str) -> None:
    before = catalog_of(connection)
    text = f"CREATE TABLE first (id integer);\n{escape}\nCREATE TABLE second (id integer);"
    error = refused(connection, Request(changes_of((text, NOTHING))), "0001_types.up.sql", ESCAPES[escape])
    assert "transaction" in error.mend or ESCAPES[escape].startswith(("unterminated", "syntax error"))
    assert catalog_of(connection) == before
    assert recorded(database.conninfo) is None


#: A faulty text -> where the message has to point.
PLACES = {
    "CREATE TABLE é (id integer);\n-- 日本\nCREAT TABLE x ();": [
        "line 3 (CREAT TABLE x ();)",
        'syntax error at or near "CREAT"',
    ],
    "CREATE TABLE t (id integer);\n\nINSERT INTO t\n  VALUES ('x');": ["line 4 (VALUES ('x');)", 'integer: "x"'],
    "CREATE TABLE t (id nothing);": ["line 1 (CREATE TABLE t (id nothing);)", 'type "nothing" does not exist'],
    "SELECT 1;\n\n\n  SELECT none FROM pg_class;\n": ["line 4 (SELECT none FROM pg_class;)", 'column "none"'],
    "CREATE TABLE t (id integer);\r\nSELEC;": ["line 2 (SELEC;)"],
}


@pytest.mark.parametrize("text", PLACES)
def test_a_failure_points_at_its_line(connection: Connection, text: str) -> None:
    error = refused(connection, Request(changes_of((text, NOTHING))), "0001_types.up.sql", *PLACES[text])
    assert error.mend
    assert error.details["sqlstate"]


SECRET = "s3cret-token"
CELLS = f"CREATE TABLE t (a text, b text UNIQUE); INSERT INTO t VALUES ('{SECRET}', '1'), ('{SECRET}', '2');\n"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE t ALTER a TYPE integer USING a::integer;", "invalid input syntax for type integer"),
        ("ALTER TABLE t ALTER a TYPE jsonb USING a::jsonb;", "invalid input syntax for type json"),
        ("ALTER TABLE t ADD UNIQUE (a);", "could not create unique index"),
        ("ALTER TABLE t ADD CHECK (a = '');", "is violated by some row"),
        ("INSERT INTO t SELECT * FROM t;", "duplicate key value violates unique constraint"),
    ],
)
def test_values_of_the_data_are_not_shown(connection: Connection, statement: str, words: str) -> None:
    perform(connection, Request(changes_of((CELLS, NOTHING))))
    error = refused(connection, Request(changes_of((CELLS, NOTHING), (statement, NOTHING))), words)
    assert SECRET not in str(error)
    assert SECRET not in str(error.details)
    assert "server's log" in error.mend


def test_a_deferred_constraint_fails_its_change(connection: Connection, database: Database) -> None:
    text = """CREATE TABLE a (id integer PRIMARY KEY);
        CREATE TABLE b (a integer REFERENCES a DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO b VALUES (1);"""
    refused(connection, Request(changes_of((text, NOTHING))), "violates foreign key constraint")
    assert recorded(database.conninfo) is None


def test_what_a_text_sets_for_the_session_ends_with_it(connection: Connection) -> None:
    settings = "CREATE SCHEMA elsewhere; SET search_path = elsewhere; SET default_transaction_read_only = on;"
    report = perform(connection, Request(changes_of((settings, NOTHING), ("CREATE TABLE here (id integer)", NOTHING))))
    assert report.version == "0002_users"
    assert "table public.here" in catalog_of(connection)


def test_a_temporary_table_cannot_take_a_tables_place(connection: Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE users (id integer)")
    perform(connection, Request(changes_of(("CREATE TABLE users (id integer); ALTER TABLE users ADD a text", NOTHING))))
    assert "column public.users.a" in catalog_of(connection)


def test_the_statement_timeout_of_a_role_does_not_end_a_change(connection: Connection, database: Database) -> None:
    connection.execute(f"ALTER ROLE {database.owner} SET statement_timeout = '100ms'")
    with connect(database.conninfo, "test") as limited:
        perform(limited, Request(changes_of(("SELECT pg_sleep(0.3); CREATE TABLE t ()", NOTHING))))


def test_a_text_means_the_same_whatever_a_role_prescribes(connection: Connection, database: Database) -> None:
    connection.execute(f"ALTER ROLE {database.owner} SET standard_conforming_strings = off")
    with connect(database.conninfo, "test") as prescribed:
        perform(prescribed, Request(changes_of((r"CREATE TABLE t (a text CHECK (a ~ '^\d+\.$'))", NOTHING))))
    (check,) = snapshot(connection).constraints
    assert connection.execute("SELECT %s = %s", [check.text, r"CHECK ((a ~ '^\d+\.$'::text))"]).fetchone() == (True,)


#: What a role prescribes for its sessions: of each setting that a session here relies on, another value.
PRESCRIBED: Mapping[str, str] = {
    "statement_timeout": "20s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "20s",
    "idle_session_timeout": "20s",
    "transaction_timeout": "20s",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "datestyle": "SQL, DMY",
    "client_min_messages": "error",
    "synchronous_commit": "off",
}


def test_a_run_keeps_its_settings_whatever_a_role_prescribes(connection: Connection, database: Database) -> None:
    assert PRESCRIBED.keys() == SETTINGS.keys()
    known = settings_of(connection)
    for name in known:
        connection.execute(f"ALTER ROLE {database.owner} SET {name} = '{PRESCRIBED[name]}'")
    with connect(database.conninfo, "test") as prescribed:
        wanted = settings_of(prescribed)
        assert {**wanted, "datestyle": "ISO"} == {name: SETTINGS[name] for name in known}
        assert wanted["datestyle"] == "ISO, DMY"
        # Of a change's text the limit of a wait is its own: lock_wait.
        asked = " ".join(
            f"ASSERT current_setting('{name}') = '{value}', '{name} is ' || current_setting('{name}');"
            for name, value in wanted.items()
            if name != "lock_timeout"
        )
        up = f"CREATE TABLE {{}} (); DO $$ BEGIN {asked} END $$; SET datestyle = 'German'; SET array_nulls = off;"
        down = f"DROP TABLE {{}}; DO $$ BEGIN {asked} END $$; SET datestyle = 'German'; SET array_nulls = off;"
        changes = changes_of(*((up.format(table), down.format(table)) for table in ("one", "two")))
        for state in ("present", "reverted"):
            request = Request(changes, state)
            for verb in (ask, perform, ask):
                verb(prescribed, request)
                assert settings_of(prescribed) == wanted
            assert ask(prescribed, request).pending == []


def test_a_role_that_comes_with_the_connection_owns_what_is_made(
    connection: Connection, database: Database, other_role: str
) -> None:
    connection.execute(f"GRANT CREATE ON DATABASE {database.name} TO {other_role}")
    changes = changes_of(("CREATE TABLE t ()", "DROP TABLE t"), ("CREATE TABLE u ()", "DROP TABLE u"))
    with connect(f"{database.conninfo} options='-c role={other_role}'", "test") as as_other:
        perform(as_other, Request(changes))
        assert {table.owner for table in snapshot(as_other).tables} == {other_role}
        perform(as_other, Request(changes, "reverted"))
