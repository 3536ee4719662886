"""Which schema changes a database has seen: the record table, and the lock that keeps two runners apart.

The table lives in a schema of its own, so that nothing of it shows in the application's schema. Each record keeps
the catalog before and after its change: the one after shows drift, the one before is what a way back has to restore.
The table's comment is the last change's name: so the application, to whose role all of this is closed, can tell it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from .catalog import Catalog, Description
from .connection import Connection
from .database_lock import lock_key, one_at_a_time
from .errors import MigrationError
from .schema_files import Change

SCHEMA = "contralock_migration"
TABLE = sql.Identifier(SCHEMA, "schema_changes")
LOCK_KEY = lock_key("contralock_migration.schema_changes")

_CREATE = sql.SQL(
    """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {table} (
    name text PRIMARY KEY,
    position integer NOT NULL UNIQUE,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text NOT NULL DEFAULT session_user,
    duration_ms integer NOT NULL,
    catalog_before jsonb NOT NULL,
    catalog jsonb NOT NULL
)"""
).format(schema=sql.Identifier(SCHEMA), table=TABLE)

_EXISTS = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = %s AND c.relname = 'schema_changes')"""


@dataclass(frozen=True)
class Record:
    """A change that was applied; ``catalog_before`` and ``catalog`` describe the schema around it."""

    name: str
    position: int
    checksum: str
    applied_at: datetime
    applied_by: str
    duration_ms: int
    catalog_before: Description
    catalog: Description


def read_records(connection: Connection) -> list[Record]:
    """Return the records in the order of their changes; none when there is no record table.

    Raises:
        MigrationError: The table is there and cannot be read.
    """
    # Not to_regclass(): it fails where the schema is closed to this role, and that has a mend of its own below.
    if connection.execute(_EXISTS, [SCHEMA]).fetchone() == (False,):
        return []
    columns = sql.SQL(", ").join(map(sql.Identifier, Record.__dataclass_fields__))
    try:
        with connection.cursor(row_factory=class_row(Record)) as cursor:
            cursor.execute(sql.SQL("SELECT {} FROM {} ORDER BY position").format(columns, TABLE))
            return cursor.fetchall()
    except psycopg.Error as error:
        raise MigrationError(
            f"cannot read the record of schema changes {SCHEMA}.schema_changes: {error.diag.message_primary or error}",
            "Connect as the role that applied them, or restore the table from a backup",
        ) from None


def add_record(
    connection: Connection, change: Change, duration_ms: int, before: Description, after: Description
) -> None:
    """Record a change, making the record table for the first one."""
    connection.execute(_CREATE)
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (name, position, checksum, duration_ms, catalog_before, catalog)"
            " VALUES (%s, %s, %s, %s, %s, %s)"
        ).format(TABLE),
        [change.name, change.number, change.checksum, duration_ms, Jsonb(dict(before)), Jsonb(dict(after))],
    )
    _tell_last(connection)


def remove_record(connection: Connection, name: str) -> None:
    """Delete a record; with the last one the table goes, and its schema unless something else lives there."""
    connection.execute(sql.SQL("DELETE FROM {} WHERE name = %s").format(TABLE), [name])
    if _tell_last(connection):
        return
    connection.execute(sql.SQL("DROP TABLE {}").format(TABLE))
    kept = (psycopg.errors.DependentObjectsStillExist, psycopg.errors.InsufficientPrivilege)
    with contextlib.suppress(*kept), connection.transaction():
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA)))


def _tell_last(connection: Connection) -> bool:
    """Write the last change's name into the table's comment; whether there is one."""
    query = sql.SQL("SELECT name FROM {} ORDER BY position DESC LIMIT 1").format(TABLE)
    if (last := connection.execute(query).fetchone()) is None:
        return False
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(TABLE, sql.Literal(last[0])))
    return True


def drifted(last: Record, catalog: Catalog, drift: list[str]) -> MigrationError:
    """Return the error of a schema that is not what its last change left; ``drift`` says how, in sentences."""
    return MigrationError(
        f"schema {catalog.schema} is not what schema change {last.name} left: {'; '.join(drift)}",
        "Undo what was changed by hand (or by the application), and write it as a schema change of its own after"
        f" {last.name}.up.sql",
        {"drift": drift},
    )


@contextlib.contextmanager
def one_runner(connection: Connection, wait_seconds: int) -> Iterator[None]:
    """Keep other runners of schema changes out of this database for the length of the block.

    Raises:
        MigrationError: Another runner held it all the time; the message names its session.
    """

    def refusal(holder: str) -> MigrationError:
        return MigrationError(
            f"another run of schema changes still holds the lock after {wait_seconds} s ({holder})",
            "Wait until it has ended and run again, or wait longer (lock_wait)",
        )

    with one_at_a_time(connection, LOCK_KEY, wait_seconds, refusal):
        yield


def refuse_foreign(records: Sequence[Record], foreign: Mapping[str, str]) -> None:
    """Refuse a target whose schema came by another profile.

    Args:
        records: Of the target; none is no reason.
        foreign: See ``foreign_changes``.

    Raises:
        MigrationError: Names the other profile.
    """
    if names := sorted({foreign[record.checksum] for record in records if record.checksum in foreign}):
        raise MigrationError(
            f"the target has the schema of the profile {' or '.join(names)}, and another profile is given",
            "Give that profile, or a database with the schema of the one that you mean",
        )


def assert_own_schema(connection: Connection, foreign: Mapping[str, str]) -> None:
    """Refuse a target whose schema came by another profile; a record that cannot be read is no reason.

    Raises:
        MigrationError: See ``refuse_foreign``.
    """
    records: list[Record] = []
    with contextlib.suppress(MigrationError):
        records = read_records(connection)
    refuse_foreign(records, foreign)


def refuse_edited(changes: Sequence[Change], records: Sequence[Record]) -> None:
    """Hold the files against the record.

    Raises:
        MigrationError: An applied change's file is missing, or is not the text that was applied.
    """
    files = {change.name: change for change in changes}
    for record in records:
        change = files.get(record.name)
        if change is None:
            raise MigrationError(
                f"schema change {record.name} was applied at {record.applied_at:%Y-%m-%d %H:%M:%S %Z} by"
                f" {record.applied_by}, and its files are missing",
                "Bring the files back from version control: without them there is no way back",
            )
        if change.checksum != record.checksum:
            raise MigrationError(
                f"schema change {record.name} was edited after it was applied: the file's SHA-256 is"
                f" {change.checksum}, the applied one is {record.checksum}",
                "Restore the file as it was applied, and write the edit as a new change",
            )
