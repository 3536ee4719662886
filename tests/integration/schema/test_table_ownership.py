"""Tables that are given to the application's role, and taken back: who may do what, and what later runs make of it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, ask, perform
from ansible_collections.contralock.database.plugins.module_utils.table_ownership import holder_of

from tests.integration.schema.steps import BIO, TYPES, USERS, catalog_of, changes_of, refused
from tests.throwaway_cluster import Cluster, Database

NUMBERED = (
    "CREATE TABLE numbered (id integer GENERATED ALWAYS AS IDENTITY, users_id integer REFERENCES users (id));"
    "CREATE SEQUENCE alone; CREATE VIEW ids AS SELECT id FROM users;",
    "DROP VIEW ids; DROP SEQUENCE alone; DROP TABLE numbered;",
)
CHANGES = changes_of(TYPES, USERS, NUMBERED)
OBJECTS = [
    "sequence public.alone",
    "table public.numbered",
    "table public.users",
    "type public.role",
    "view public.ids",
]
ALTERED = [
    "constraint public.users.users_role_key: new, is UNIQUE (role)",
    "index public.users.users_role_key: new, is CREATE UNIQUE INDEX users_role_key ON public.users USING btree (role)",
]


@pytest.fixture
def application(database: Database) -> Iterator[str]:
    """The application's role as prepare.yml leaves it: it may work on rows, and the owner is its member."""
    name = f"{database.name}_application"
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"CREATE ROLE {name} LOGIN; GRANT {name} TO {database.owner}")
        administrator.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {database.owner} IN SCHEMA public"
            f" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name};"
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {database.owner} IN SCHEMA public GRANT USAGE ON SEQUENCES TO {name}"
        )
        yield name
        administrator.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


@pytest.fixture
def as_application(cluster: Cluster, database: Database, application: str) -> Iterator[Connection]:
    """The application's session."""
    with connect(cluster.conninfo(database.name, application), "test of the application") as opened:
        yield opened


def owners(connection: Connection) -> set[str]:
    query = """
        SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
         UNION SELECT pg_get_userbyid(typowner) FROM pg_type WHERE typnamespace = 'public'::regnamespace"""
    return {name for (name,) in connection.execute(query)}


def rights(connection: Connection, role: str) -> list[tuple[bool, ...]]:
    query = """
        SELECT has_table_privilege(%(role)s, 'users', 'SELECT, INSERT, UPDATE, DELETE'),
               has_table_privilege(%(role)s, 'users', 'TRUNCATE'), has_table_privilege(%(role)s, 'ids', 'SELECT'),
               has_sequence_privilege(%(role)s, 'alone', 'USAGE'),
               has_schema_privilege(%(role)s, 'public', 'CREATE')"""
    return connection.execute(query, {"role": role}).fetchall()


def test_tables_and_types_are_given_once_and_the_schema_stays_the_same(
    connection: Connection, database: Database, application: str
) -> None:
    perform(connection, Request(CHANGES))
    before = catalog_of(connection)
    asked = ask(connection, Request(CHANGES, tables_owner=application))
    assert (asked.handed_over, asked.changed, owners(connection)) == (OBJECTS, True, {database.owner})
    given = perform(connection, Request(CHANGES, tables_owner=application))
    assert (given.handed_over, given.applied, given.changed) == (OBJECTS, [], True)
    assert (owners(connection), holder_of(connection, "public")) == ({application}, application)
    again = perform(connection, Request(CHANGES, tables_owner=application))
    assert (again.handed_over, again.altered, again.changed) == ([], [], False)
    assert catalog_of(connection) == before
    assert snapshot(connection).faults(database.owner) == []


def test_the_owner_still_does_all_that_he_did(connection: Connection, application: str) -> None:
    perform(connection, Request(CHANGES, tables_owner=application))
    connection.execute("INSERT INTO users VALUES (1, 'client'); TRUNCATE users, numbered; ANALYZE users")
    connection.execute("ALTER TABLE numbered DROP CONSTRAINT numbered_users_id_fkey; DROP INDEX users_role")
    connection.execute("ALTER TABLE numbered ADD FOREIGN KEY (users_id) REFERENCES users (id)")
    connection.execute("CREATE INDEX users_role ON users (role)")
    later = changes_of(TYPES, USERS, NUMBERED, BIO)
    report = perform(connection, Request(later, tables_owner=application))
    assert (report.applied, report.handed_over) == (["0004_step"], [])
    report = perform(connection, Request(later, "reverted", tables_owner=application))
    assert (report.version, len(report.reverted)) == (None, 4)


def test_what_a_later_change_makes_is_given_too(connection: Connection, application: str) -> None:
    perform(connection, Request(CHANGES[:2], tables_owner=application))
    report = perform(connection, Request(CHANGES, tables_owner=application))
    assert (report.applied, report.handed_over) == (
        ["0003_bio"],
        ["sequence public.alone", "table public.numbered", "view public.ids"],
    )
    assert owners(connection) == {application}


def test_the_application_alters_what_it_was_given_and_nothing_before(
    connection: Connection, as_application: Connection, application: str
) -> None:
    perform(connection, Request(CHANGES))
    for statement in ("ALTER TABLE users ADD UNIQUE (role)", "CREATE TYPE mood AS ENUM ('good')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_application.execute(statement.encode())
    perform(connection, Request(CHANGES, tables_owner=application))
    as_application.execute("ALTER TABLE users ADD UNIQUE (role); CREATE TYPE mood AS ENUM ('good')")
    for statement in ("CREATE SCHEMA mine", "SELECT name FROM contralock_migration.schema_changes"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_application.execute(statement.encode())


def test_what_it_alters_is_told_and_let_be(
    connection: Connection, as_application: Connection, application: str, database: Database
) -> None:
    request = Request(CHANGES, tables_owner=application)
    perform(connection, request)
    as_application.execute("ALTER TABLE users ADD UNIQUE (role)")
    for report in (ask(connection, request), perform(connection, request), ask(connection, Request(CHANGES))):
        assert (report.altered, report.changed) == (ALTERED, False)
    assert snapshot(connection).faults(database.owner) == []


@pytest.mark.parametrize("deed", ["a new change", "a way back", "taking the tables back", "another role"])
def test_with_something_to_do_an_altered_schema_is_refused(
    connection: Connection, as_application: Connection, application: str, database: Database, deed: str
) -> None:
    perform(connection, Request(CHANGES, tables_owner=application))
    as_application.execute("ALTER TABLE users ADD UNIQUE (role)")
    request = {
        "a new change": Request(changes_of(TYPES, USERS, NUMBERED, BIO), tables_owner=application),
        "a way back": Request(CHANGES, "reverted", tables_owner=application),
        "taking the tables back": Request(CHANGES, tables_owner=""),
        "another role": Request(CHANGES, tables_owner=database.owner),
    }[deed]
    error = refused(connection, request, "is not what schema change 0003_bio left", *ALTERED)
    assert error.details["drift"] == ALTERED
    connection.execute("ALTER TABLE users DROP CONSTRAINT users_role_key")
    assert perform(connection, request).changed


def test_without_a_gift_an_altered_schema_is_refused_whoever_did_it(connection: Connection, application: str) -> None:
    perform(connection, Request(CHANGES))
    connection.execute(f"GRANT CREATE ON SCHEMA public TO {application}; ALTER TABLE users OWNER TO {application}")
    refused(connection, Request(CHANGES), f"owned by {application}")
    refused(connection, Request(CHANGES, tables_owner=application), f"owned by {application}")


def test_taken_back_the_application_has_the_rights_that_it_had(
    connection: Connection, application: str, database: Database
) -> None:
    perform(connection, Request(CHANGES))
    before = rights(connection, application)
    assert before == [(True, False, True, True, False)]
    perform(connection, Request(CHANGES, tables_owner=application))
    assert rights(connection, application) == [(True, True, True, True, True)]
    report = perform(connection, Request(CHANGES, tables_owner=""))
    assert (report.handed_over, rights(connection, application)) == (OBJECTS, before)
    assert (owners(connection), holder_of(connection, "public")) == ({database.owner}, None)
    assert not perform(connection, Request(CHANGES, tables_owner="")).changed
    assert not perform(connection, Request(CHANGES, tables_owner=database.owner)).changed


def test_what_the_application_made_is_taken_back_too(
    connection: Connection, as_application: Connection, application: str
) -> None:
    perform(connection, Request(CHANGES, tables_owner=application))
    as_application.execute("CREATE TABLE its_own (id integer)")
    connection.execute("DROP TABLE its_own")
    assert perform(connection, Request(CHANGES, tables_owner="")).handed_over == OBJECTS


def test_a_role_whose_member_the_owner_is_not_gets_nothing(
    connection: Connection, database: Database, application: str
) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"REVOKE {application} FROM {database.owner}")
    words = f"giving the tables of schema public to {application}: must be"
    error = refused(connection, Request(CHANGES, tables_owner=application), words, "applied in this run and kept")
    assert error.details["applied"] == [change.name for change in CHANGES]
    assert (owners(connection), holder_of(connection, "public")) == ({database.owner}, None)


def test_a_role_that_is_not_there_gets_nothing(connection: Connection, database: Database) -> None:
    refused(connection, Request(CHANGES, tables_owner="nobody_here"), 'role "nobody_here" does not exist')
    assert owners(connection) == {database.owner}


def test_no_tables_are_no_fault(connection: Connection, application: str) -> None:
    nothing = changes_of(("SELECT 1;", "SELECT 1;"))
    assert perform(connection, Request(nothing, tables_owner=application)).handed_over == []
    assert perform(connection, Request(nothing, "reverted", tables_owner=application)).version is None


def test_of_what_is_taken_back_the_application_keeps_no_right(connection: Connection, application: str) -> None:
    """With the last record the mark goes, by which anybody knew what to take back."""
    connection.execute("CREATE TABLE before (a integer)")
    perform(connection, Request(CHANGES, tables_owner=application))
    perform(connection, Request(CHANGES, state="reverted", tables_owner=application, allow_data_loss=True))
    query = "SELECT has_schema_privilege(%s, 'public', 'CREATE')"
    assert connection.execute(query, [application]).fetchone() == (False,)
    assert application not in owners(connection)
