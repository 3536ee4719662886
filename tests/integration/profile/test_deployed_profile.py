"""The profile `contralock_deployed`: the tables that the application's own models make, and that they find again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import difference, snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source.ddl import TABLES, columns
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes

from tests.integration.profile.contralock_target import ENUMS, Connection
from tests.integration.profile.sequelize_start import (
    MIXED_CASE,
    TYPES,
    enum_name,
    start_application,
    start_indexing_service,
)
from tests.integration.profile.test_contralock_mapping import SECRET
from tests.integration.profile.test_contralock_profile import (
    REDUNDANT_INDEXES_QUERY,
    UNSUPPORTED_KEYS_QUERY,
    one_column,
)
from tests.throwaway_cluster import Cluster, Database

PROFILE = Path(__file__).parents[3] / "files" / "profiles" / "contralock_deployed"
CHANGES = load_changes(PROFILE / "schema")
#: How PostgreSQL spells Sequelize's types.
SPELLED = {
    "VARCHAR(255)": "character varying(255)",
    "DECIMAL(5,2)": "numeric(5,2)",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}


@pytest.fixture(scope="module")
def _deployed(cluster: Cluster) -> Iterator[Database]:
    with cluster.database() as fresh:
        with connect(fresh.conninfo, "test of the deployed profile") as connection:
            perform(connection, Request(CHANGES))
        yield fresh


@pytest.fixture
def deployed(_deployed: Database) -> Iterator[Connection]:
    """The schema in place, as its owner; what a test does to it is rolled back."""
    opened = psycopg.connect(_deployed.conninfo, autocommit=True)
    with opened as connection, connection.transaction(force_rollback=True):
        yield connection


def test_the_columns_are_the_application_s_own_in_its_order(deployed: Connection) -> None:
    expected = []
    for table in TABLES:
        for column in columns(table):
            kind = enum_name(table, column) if column.kind == "enum" else TYPES[column.kind].lower()
            spelled = SPELLED.get(kind.upper(), kind)
            expected.append((table, column.name, spelled, column.required or column.kind == "key"))
    query = """
        SELECT c.relname, a.attname, CASE t.typtype WHEN 'e' THEN t.typname ELSE format_type(t.oid, a.atttypmod) END,
               a.attnotnull
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
          JOIN pg_type t ON t.oid = a.atttypid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'migration_canary'
         ORDER BY array_position(%s, c.relname::text), a.attnum"""
    assert deployed.execute(query, [list(TABLES)]).fetchall() == expected


def test_the_defaults_are_the_models(deployed: Connection) -> None:
    expected = {
        f"{table}.{column.name}": column.default.strip("'") if column.kind != "bool" else str(bool(int(column.default)))
        for table in TABLES
        for column in columns(table)
        if column.default is not None
    } | {"migration_canary.written_at": "now()"}
    found = deployed.execute("""
        SELECT c.relname || '.' || a.attname, trim(split_part(pg_get_expr(d.adbin, d.adrelid), '::', 1), '''')
        FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE c.relnamespace = 'public'::regnamespace""")
    assert {name: text.capitalize() if text in ("true", "false") else text for name, text in found} == expected


def test_the_foreign_keys_are_the_models_under_postgresql_s_own_names(deployed: Connection) -> None:
    expected = sorted(
        f'{table}_{column.name}_fkey FOREIGN KEY ("{column.name}") REFERENCES {column.references}(_id)'
        for table in TABLES
        for column in columns(table)
        if column.references
    )
    found = one_column(
        deployed,
        """SELECT conname || regexp_replace(' ' || pg_get_constraintdef(oid), '\\("?(\\w+)"?\\) REF', '("\\1") REF')
             FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace""",
    )
    assert found == expected
    assert len(found) == 23


def test_the_other_constraints_are_the_keys_and_the_unique_address(deployed: Connection) -> None:
    query = """
        SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype <> 'f' AND connamespace = 'public'::regnamespace"""
    assert one_column(deployed, query) == sorted(
        [
            *(f"{table}_pkey PRIMARY KEY (_id)" for table in TABLES),
            "users_email_key UNIQUE (email)",
            "migration_canary_pkey PRIMARY KEY (token)",
        ]
    )


def test_the_enumerations_know_the_models_values_and_active(deployed: Connection) -> None:
    by_other_name = {other: name for name, other in MIXED_CASE.items()}
    expected = {by_other_name.get(name, name): sorted(values.split()) for name, values in ENUMS.items()}
    query = """
        SELECT t.typname::text, array_agg(e.enumlabel::text) FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
        GROUP BY 1"""
    assert {name: sorted(found) for name, found in deployed.execute(query)} == expected
    assert "active" in expected["enum_users_status"]


def test_no_index_is_redundant_and_every_foreign_key_has_one(deployed: Connection) -> None:
    assert one_column(deployed, REDUNDANT_INDEXES_QUERY) == []
    assert one_column(deployed, UNSUPPORTED_KEYS_QUERY) == []


def test_all_that_is_secret_is_marked_and_nothing_has_a_rule() -> None:
    mapping = load_profile(PROFILE).mapping
    names = {(table, column.name) for table in TABLES for column in columns(table) if column.kind != "date"}
    secret = {key for key in names if SECRET.search(key[1].lower())}
    trails = {("audit_trails", name) for name in ("oldValues", "newValues", "metadata")}
    assert mapping.sensitive_columns() == secret | trails
    assert [entry.rules for table in mapping.tables.values() for entry in table.columns.values() if entry.rules] == []
    assert set(mapping.tables_left_behind) == {"SequelizeMeta", "users_backup", "migration_canary"}


def test_the_way_back_leaves_nothing(database: Database) -> None:
    with connect(database.conninfo, "test of the deployed profile") as connection:
        before = snapshot(connection).description
        assert perform(connection, Request(CHANGES)).applied == [change.name for change in CHANGES]
        assert perform(connection, Request(CHANGES, "reverted")).version is None
        assert snapshot(connection).description == before


ONE_MORE = [
    "constraint public.users.users_email_key{}: new, is UNIQUE (email)",
    "index public.users.users_email_key{}: new,"
    " is CREATE UNIQUE INDEX users_email_key{} ON public.users USING btree (email)",
]


def test_a_start_of_the_application_adds_a_unique_key_and_changes_nothing_else(deployed: Connection) -> None:
    before = snapshot(deployed).description
    expected: list[str] = []
    for number in ("1", "2"):
        start_application(deployed)
        expected += [sentence.replace("{}", number) for sentence in ONE_MORE]
        assert difference(before, snapshot(deployed).description) == sorted(expected)


def test_its_indexing_service_adds_two_indexes_once(deployed: Connection) -> None:
    before = snapshot(deployed).description
    start_indexing_service(deployed)
    start_indexing_service(deployed)
    added = [sentence.split(":")[0] for sentence in difference(before, snapshot(deployed).description)]
    assert added == ["index public.users.idx_users_email", "index public.users.idx_users_role_status"]


@pytest.mark.parametrize(
    ("spoilt", "seen"),
    [
        ("ALTER TABLE projects RENAME CONSTRAINT projects_client_fkey TO other", "projects_client_fkey"),
        ('ALTER TABLE users ALTER "createdAt" TYPE timestamptz(3)', "column public.users.createdAt"),
        ('ALTER TABLE users ALTER "createdAt" SET NOT NULL', "column public.users.createdAt"),
        ('ALTER TABLE messages ALTER "readBy" DROP DEFAULT', "column public.messages.readBy"),
    ],
)
def test_a_schema_that_sequelize_would_change_is_seen(deployed: Connection, spoilt: str, seen: str) -> None:
    deployed.execute(spoilt.encode())
    before = snapshot(deployed).description
    start_application(deployed)
    assert any(seen in sentence for sentence in difference(before, snapshot(deployed).description))
