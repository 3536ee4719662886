"""Applying and taking back: what is recorded, what is verified, and each refusal with nothing done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import schema_changes, schema_loss
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.run_versions import versions_of
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, ask, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import Change

from tests.integration.schema.steps import (
    BIO,
    NAMES,
    TYPES,
    USERS,
    catalog_of,
    changes_of,
    recorded,
    refused,
    three,
)
from tests.throwaway_cluster import Database

#: What the application's health check asks.
LAST_CHANGE = (Path(__file__).parents[3] / "files/application/src/health/last_change.sql").read_bytes()


def test_pending_changes_are_applied_once_and_told(connection: Connection, database: Database) -> None:
    lines: list[str] = []
    assert "schema" not in versions_of(connection)
    report = perform(connection, Request(three()), lines.append)
    assert versions_of(connection)["schema"] == "0003_bio"
    assert (report.applied, report.version, report.pending, report.changed) == (NAMES, "0003_bio", [], True)
    assert list(report.durations) == NAMES
    assert [line.rsplit(" in ", 1)[0] for line in lines] == [f"applied {name}" for name in NAMES]
    assert "-- 0001_types.up.sql\nCREATE TYPE role" in report.diff
    again = perform(connection, Request(three()))
    assert (again.applied, again.version, again.changed, again.diff) == ([], "0003_bio", False, "")
    assert recorded(database.conninfo) == NAMES


def test_a_record_keeps_who_when_and_both_catalogs(connection: Connection, database: Database) -> None:
    empty = catalog_of(connection)
    changes = three()
    perform(connection, Request(changes[:1]))
    first = catalog_of(connection)
    perform(connection, Request(changes[:2]))
    query = "SELECT position, checksum, applied_by, catalog_before, catalog, duration_ms >= 0, applied_at <= now()"
    rows = connection.execute(f"{query} FROM contralock_migration.schema_changes ORDER BY position").fetchall()
    assert rows == [
        (1, changes[0].checksum, database.owner, empty, first, True, True),
        (2, changes[1].checksum, database.owner, first, catalog_of(connection), True, True),
    ]


def test_the_record_is_closed_to_others(connection: Connection, cluster_reader: str) -> None:
    perform(connection, Request(three()))
    with connect(cluster_reader, "test") as other:
        assert "schema" not in versions_of(other)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("SELECT name FROM contralock_migration.schema_changes")


def test_the_application_reads_the_last_changes_name_without_a_right_to_the_record(
    connection: Connection, cluster_reader: str
) -> None:
    with connect(cluster_reader, "test") as other:
        assert other.execute(LAST_CHANGE).fetchall() == []
        perform(connection, Request(three()[:2]))
        perform(connection, Request(three()))
        assert other.execute(LAST_CHANGE).fetchall() == [("0003_bio",)]
        perform(connection, Request(three(), "reverted", to="0001"))
        assert other.execute(LAST_CHANGE).fetchall() == [("0001_types",)]
        perform(connection, Request(three(), "reverted"))
        assert other.execute(LAST_CHANGE).fetchall() == []


@pytest.mark.parametrize("state", ["present", "reverted"])
def test_asking_changes_nothing(connection: Connection, database: Database, state: schema_changes.State) -> None:
    changes = three()
    report = ask(connection, Request(changes))
    assert (report.pending, report.version, report.changed, report.applied) == (NAMES, None, True, [])
    assert recorded(database.conninfo) is None
    perform(connection, Request(changes[:2]))
    before = catalog_of(connection)
    report = ask(connection, Request(changes, state))
    expected = {"present": ["0003_bio"], "reverted": ["0002_users", "0001_types"]}
    assert (report.pending, report.version) == (expected[state], "0002_users")
    assert ("DROP TABLE users;" in report.diff) == (state == "reverted")
    assert catalog_of(connection) == before
    assert recorded(database.conninfo) == NAMES[:2]


def test_a_failed_change_leaves_nothing_and_the_earlier_ones_stay(connection: Connection, database: Database) -> None:
    faulty = ("CREATE TABLE half (id integer);\nALTER TABLE users ADD COLUMN x nothing;", "DROP TABLE half;")
    perform(connection, Request(changes_of(TYPES)))
    expected = catalog_of(connection)
    error = refused(
        connection,
        Request(changes_of(TYPES, USERS, faulty, BIO)),
        "0003_bio.up.sql, line 2",
        "(applied in this run and kept: 0002_users)",
    )
    unfinished = ("ALTER TABLE users\n    ADD COLUMN note\n", "--")
    words = "0003_bio.up.sql, line 3 (its end): syntax error at end of input"
    refused(connection, Request(changes_of(TYPES, USERS, unfinished)), words)
    assert error.details["applied"] == ["0002_users"]
    assert error.details["version"] == "0002_users"
    assert recorded(database.conninfo) == NAMES[:2]
    assert "table public.half" not in catalog_of(connection)
    report = perform(connection, Request(changes_of(TYPES, USERS, BIO)))
    assert report.applied == ["0003_bio"]
    perform(connection, Request(changes_of(TYPES, USERS, BIO), "reverted", to="1"))
    assert catalog_of(connection) == expected


def test_the_very_first_change_failing_leaves_no_record_schema(connection: Connection, database: Database) -> None:
    before = catalog_of(connection)
    refused(connection, Request(changes_of((f"{TYPES[0]} SELECT 1/0;", "--"))), "division by zero")
    assert catalog_of(connection) == before
    assert recorded(database.conninfo) is None


#: What happens to a database or to the files behind the back of the record -> what the refusal says.
HISTORIES = {
    "DROP INDEX users_role": ["index public.users.users_role: missing", "not what schema change 0003_bio left"],
    "ALTER TABLE users ALTER bio TYPE varchar(10)": ["column public.users.bio: was text, is now character varying(10)"],
    "CREATE TABLE stray (id integer); ALTER TYPE role ADD VALUE 'x'": [
        "table public.stray: new",
        "type public.role: was",
    ],
    "UPDATE contralock_migration.schema_changes SET checksum = 'f00' WHERE position = 2": [
        "0002_users was edited",
        "the applied one is f00",
    ],
    "UPDATE contralock_migration.schema_changes SET name = '0002_other' WHERE position = 2": [
        "0002_other was applied at",
        "its files are missing",
    ],
    "DELETE FROM contralock_migration.schema_changes WHERE position = 2": ["0002_users stand before 0003_bio"],
    "ALTER TABLE contralock_migration.schema_changes DROP checksum": [
        "cannot read the record of schema changes",
        "checksum",
    ],
}


@pytest.mark.parametrize("deed", HISTORIES)
def test_a_history_that_does_not_hold_is_refused(connection: Connection, database: Database, deed: str) -> None:
    perform(connection, Request(three()))
    connection.execute(deed)
    before = catalog_of(connection)
    request = Request(changes_of(TYPES, USERS, BIO, ("CREATE TABLE more ()", "DROP TABLE more")))
    refused(connection, request, *HISTORIES[deed])
    with pytest.raises(MigrationError):
        ask(connection, request)
    assert catalog_of(connection) == before


def test_a_record_of_someone_else_is_refused(connection: Connection, cluster_reader: str) -> None:
    perform(connection, Request(three()))
    with connect(cluster_reader, "test") as other:
        refused(other, Request(three()), "cannot read the record", "permission denied", "Connect as the role")


def test_another_schema_has_no_part_in_the_record(connection: Connection) -> None:
    perform(connection, Request(three()))
    connection.execute("CREATE SCHEMA other")
    refused(connection, Request(three(), schema="other"), "those of schema public, not of schema other")
    refused(connection, Request(three(), schema="nowhere"), "there is no schema 'nowhere'")


def test_a_schema_of_another_name(connection: Connection) -> None:
    connection.execute('CREATE SCHEMA "Odd one"')
    perform(connection, Request(three(), schema="Odd one"))
    assert connection.execute('SELECT count(*) FROM "Odd one".users').fetchone() == (0,)
    perform(connection, Request(three(), "reverted", schema="Odd one"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CREATE TABLE t (id integer); ALTER TABLE t ADD CHECK (id > 0) NOT VALID;", "t_id_check: is not validated"),
        ("CREATE TABLE t (id integer); ALTER TABLE t OWNER TO {other};", "table public.t: belongs to"),
        ("SET ROLE {other}; CREATE TYPE kind AS ENUM ('a');", "type public.kind: belongs to"),
    ],
)
def test_a_schema_that_is_not_whole_is_rolled_back(
    connection: Connection, database: Database, other_role: str, text: str, words: str
) -> None:
    before = catalog_of(connection)
    refused(connection, Request(changes_of((text.format(other=other_role), "--"))), "is not whole", words)
    assert catalog_of(connection) == before
    assert recorded(database.conninfo) is None


def test_a_superusers_change_cannot_pose_as_someone_else(database: Database) -> None:
    text = f"SET SESSION AUTHORIZATION {database.owner}; CREATE TABLE t ();"
    with connect(database.superuser_conninfo, "test") as administrator:
        refused(administrator, Request(changes_of((text, "--"))), f"table public.t: belongs to {database.owner}")


def test_a_record_that_differs_from_the_committed_schema_is_seen(
    connection: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_add_record = schema_changes.add_record

    def add_record_and_meddle(*arguments: object) -> None:
        # The record says something that the schema is not: as if the commit had not kept what the change made.
        after = {**arguments[-1], "table public.ghost": "permanent table"}  # type: ignore[dict-item]
        true_add_record(*arguments[:-1], after)  # type: ignore[arg-type]

    monkeypatch.setattr(schema_changes, "add_record", add_record_and_meddle)
    refused(connection, Request(three()), "table public.ghost: missing, was permanent table", "0001_types left")


def test_a_lock_that_never_comes_is_given_up(connection: Connection, database: Database) -> None:
    perform(connection, Request(three()[:2]))
    with psycopg.connect(database.conninfo) as application:
        application.execute("SELECT * FROM users")
        refused(connection, Request(three(), lock_wait=1), "0003_bio.up.sql", "lock timeout", "pg_blocking_pids()")
    assert recorded(database.conninfo) == NAMES[:2]


def test_the_way_back_restores_what_stood_before(connection: Connection, database: Database) -> None:
    empty = catalog_of(connection)
    changes = three()
    perform(connection, Request(changes[:2]))
    two = catalog_of(connection)
    perform(connection, Request(changes))
    lines: list[str] = []
    report = perform(connection, Request(changes, "reverted", to="0002"), lines.append)
    assert (report.reverted, report.version) == (["0003_bio"], "0002_users")
    assert lines[0].startswith("reverted 0003_bio in ")
    assert catalog_of(connection) == two
    assert not perform(connection, Request(changes, "reverted", to="0002")).changed
    report = perform(connection, Request(changes, "reverted"))
    assert (report.reverted, report.version) == (["0002_users", "0001_types"], None)
    assert catalog_of(connection) == empty
    assert recorded(database.conninfo) is None
    assert not perform(connection, Request(changes, "reverted")).changed
    assert perform(connection, Request(changes)).applied == NAMES


def test_the_record_schema_stays_when_something_else_lives_there(connection: Connection) -> None:
    perform(connection, Request(three()))
    connection.execute("CREATE TABLE contralock_migration.quarantine (id integer)")
    perform(connection, Request(three(), "reverted"))
    found = "SELECT relname FROM pg_class WHERE relnamespace = 'contralock_migration'::regnamespace AND relkind = 'r'"
    assert connection.execute(found).fetchall() == [("quarantine",)]
    perform(connection, Request(three()))


#: A down text for 0002_users that does not do its work -> what the refusal says.
DOWNS = {
    "DROP INDEX users_role;": ["table public.users: new", "does not restore"],
    "DROP TABLE users; DROP TYPE role;": ["type public.role: missing"],
    "DROP TABLE users; CREATE TABLE rest (id integer);": ["table public.rest: new"],
    "DROP TABLE user;": ["0002_users.down.sql, line 1"],
    "DROP TABLE users; COMMIT;": ["0002_users.down.sql", "transaction commands"],
    "DROP TABLE users; DROP SCHEMA contralock_migration CASCADE;": ["0002_users.down.sql", "does not exist"],
}


@pytest.mark.parametrize("down", DOWNS)
@pytest.mark.parametrize("allow_data_loss", [False, True])
def test_a_down_that_misses_is_rolled_back(
    connection: Connection, database: Database, down: str, allow_data_loss: bool
) -> None:
    changes = changes_of(TYPES, (USERS[0], down), BIO)
    perform(connection, Request(changes))
    perform(connection, Request(changes, "reverted", to="2"))
    before = catalog_of(connection)
    refused(connection, Request(changes, "reverted", allow_data_loss=allow_data_loss), *DOWNS[down])
    assert catalog_of(connection) == before
    assert recorded(database.conninfo) == NAMES[:2]


def plant_rows(connection: Connection) -> None:
    connection.execute("INSERT INTO users (id, role, bio) VALUES (1, 'client', 'x'), (2, 'client', NULL)")


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("1", "table public.users (2 rows)"),
        (None, "table public.users (2 rows)"),
        ("2", "column public.users.bio (1 value)"),
    ],
)
def test_values_are_not_dropped_without_leave(
    connection: Connection, database: Database, to: str | None, words: str
) -> None:
    perform(connection, Request(three()))
    plant_rows(connection)
    request = Request(three(), "reverted", to=to)
    error = refused(connection, request, "would lose data", words, "allow_data_loss")
    assert error.details["data_loss"]
    with pytest.raises(MigrationError, match="would lose data"):
        ask(connection, request)
    assert recorded(database.conninfo) == NAMES
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
    report = perform(connection, replace(request, allow_data_loss=True))
    assert report.reverted[0] == "0003_bio"


def test_nobody_writes_between_the_count_and_the_drop(
    connection: Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform(connection, Request(three()))
    true_refuse = schema_loss.refuse
    attempts: list[str] = []

    def count_and_write(counting: Connection, *what: object) -> None:
        true_refuse(counting, *what)  # type: ignore[arg-type]
        with connect(database.conninfo, "a late writer") as writer:
            writer.execute("SET lock_timeout = '200ms'")
            try:
                writer.execute("INSERT INTO users VALUES (1, 'client', 'late'); DELETE FROM users")
                attempts.append("wrote")
            except psycopg.errors.LockNotAvailable:
                attempts.append("was kept out")

    monkeypatch.setattr(schema_loss, "refuse", count_and_write)
    perform(connection, Request(three(), "reverted", to="2"))
    assert attempts == ["wrote", "was kept out"]  # before anything is done, and in the transaction of the deed


def test_columns_without_values_and_empty_tables_may_go(connection: Connection) -> None:
    perform(connection, Request(three()))
    connection.execute("INSERT INTO users (id, role) VALUES (1, 'client')")
    assert perform(connection, Request(three(), "reverted", to="2")).reverted == ["0003_bio"]
    connection.execute("DELETE FROM users")
    assert perform(connection, Request(three(), "reverted")).reverted == ["0002_users", "0001_types"]


def test_a_table_that_is_dropped_and_made_again_is_seen(connection: Connection, database: Database) -> None:
    again = f"{USERS[0]} -- made again"
    changes = changes_of(TYPES, USERS, ("COMMENT ON TABLE users IS 'x';", f"DROP TABLE users; {again}"))
    perform(connection, Request(changes))
    connection.execute("INSERT INTO users VALUES (1, 'client')")
    assert ask(connection, Request(changes, "reverted", to="2")).pending == ["0003_bio"]
    refused(connection, Request(changes, "reverted", to="2"), "table public.users (1 row)")
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
    assert recorded(database.conninfo) == NAMES


def test_a_column_that_is_dropped_and_made_again_is_seen(connection: Connection) -> None:
    down = "ALTER TABLE users DROP COLUMN role; ALTER TABLE users ADD role role NOT NULL DEFAULT 'client';"
    down += "ALTER TABLE users ALTER role DROP DEFAULT; CREATE INDEX users_role ON users (role);"
    changes = changes_of(TYPES, USERS, ("COMMENT ON TABLE users IS 'x';", down))
    perform(connection, Request(changes))
    connection.execute("INSERT INTO users VALUES (1, 'freelancer')")
    refused(connection, Request(changes, "reverted", to="2"), "column public.users.role (1 value)")


def test_rows_of_partitions_are_counted_once(connection: Connection) -> None:
    text = "CREATE TABLE logs (id integer) PARTITION BY RANGE (id);"
    text += "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (9);"
    changes = changes_of((text, "DROP TABLE logs;"))
    perform(connection, Request(changes))
    connection.execute("INSERT INTO logs VALUES (1), (2)")
    error = refused(connection, Request(changes, "reverted"), "table public.logs_1 (2 rows)")
    assert error.details["data_loss"] == {"table public.logs_1": 2}


def test_row_security_hides_no_row_from_the_count(connection: Connection) -> None:
    perform(connection, Request(three()))
    plant_rows(connection)
    secured = "ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
    eased = "ALTER TABLE users DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;"
    changes = changes_of(TYPES, USERS, BIO, (secured, eased))
    perform(connection, Request(changes))
    refused(connection, Request(changes, "reverted", to="1"), "row-level security")
    assert perform(connection, Request(changes)).version == "0004_step"


def test_to_belongs_to_the_way_back() -> None:
    with pytest.raises(MigrationError, match=r"'to' \('1'\) says how far to go back"):
        Request(three(), to="1")


def test_a_wait_is_not_negative() -> None:
    with pytest.raises(MigrationError, match="lock_wait is -1 seconds"):
        Request(three(), lock_wait=-1)


def test_a_lost_connection_is_told_with_its_mend(connection: Connection, database: Database) -> None:
    suicide: list[Change] = changes_of(TYPES, ("SELECT pg_terminate_backend(pg_backend_pid());", "--"))
    refused(connection, Request(suicide), "0002_users.up.sql", "kept: 0001_types", "Run again")
    assert recorded(database.conninfo) == ["0001_types"]
