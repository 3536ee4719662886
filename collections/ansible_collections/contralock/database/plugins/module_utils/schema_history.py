"""Which schema changes a database has seen: the record table, and the lock that keeps two runners apart.

The table lives in a schema of its own, so that nothing of it shows in the application's schema. Each record keeps
the catalog before and after its change: the one after shows drift, the one before is what a way back has to restore.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from .catalog import Catalog, Description
from .connection import Connection, set_locally
from .errors import MigrationError
from .schema_files import Change

SCHEMA = "contralock_migration"
TABLE = sql.Identifier(SCHEMA, "schema_changes")
#: The key of the advisory lock, a signed bigint made of the record table's name.
LOCK_KEY = int.from_bytes(hashlib.sha256(b"contralock_migration.schema_changes").digest()[:8], "big", signed=True)

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

# The manual's pg_locks page tells how a bigint key is split into classid and objid.
_HOLDER = """
SELECT format('pid %%s, application_name %%L, user %%I', a.pid, a.application_name, a.usename)
  FROM pg_locks l
  JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
  JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted
   AND l.classid::bigint = (%(key)s::bigint >> 32) & 4294967295 AND l.objid::bigint = %(key)s::bigint & 4294967295
   AND l.objsubid = 1"""


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


def remove_record(connection: Connection, name: str) -> None:
    """Delete a record; with the last one the table goes, and its schema unless something else lives there."""
    connection.execute(sql.SQL("DELETE FROM {} WHERE name = %s").format(TABLE), [name])
    left = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(TABLE)).fetchone()
    if left != (0,):
        return
    connection.execute(sql.SQL("DROP TABLE {}").format(TABLE))
    kept = (psycopg.errors.DependentObjectsStillExist, psycopg.errors.InsufficientPrivilege)
    with contextlib.suppress(*kept), connection.transaction():
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA)))


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

    The lock belongs to the session: a killed runner's ends with its connection.

    Raises:
        MigrationError: Another runner held it all the time; the message names its session.
    """
    try:
        with connection.transaction():
            set_locally(connection, {"lock_timeout": f"{max(wait_seconds * 1000, 1)}ms"})
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    except psycopg.errors.LockNotAvailable:
        holders = connection.execute(_HOLDER, {"key": LOCK_KEY}).fetchall()
        named = "; ".join(str(holder) for (holder,) in holders) or "a session that has just ended"
        raise MigrationError(
            f"another run of schema changes still holds the lock after {wait_seconds} s ({named})",
            "Wait until it has ended and run again, or wait longer (lock_wait)",
        ) from None
    try:
        yield
    finally:
        # A broken connection has lost the lock already, and its error must not be covered by another one.
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])


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
