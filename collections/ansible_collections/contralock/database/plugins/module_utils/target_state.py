"""What the target holds and who is connected to it: rows counted, fingerprinted and emptied, CONNECT, sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row

from .catalog import SPELLING
from .connection import Connection, set_locally
from .errors import MigrationError

#: How long a backend may take to notice that it was told to end.
END_SECONDS = 20.0
LOCK_WAIT_MILLISECONDS = 30_000
#: What pg_stat_activity has as the port of a session on a Unix socket.
SOCKET = -1

# A parallel worker shows neither address nor TLS: those are the session's that it works for.
_SESSIONS = """
SELECT a.pid, a.usename::text AS user, a.application_name, host(a.client_addr) AS client_address,
       a.client_port, s.version AS tls_version
  FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s ON s.pid = a.pid
 WHERE a.usename = %s AND a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND a.backend_type IS DISTINCT FROM 'parallel worker'
 ORDER BY a.backend_start, a.pid"""

# Only members of a role may end its sessions, so that we leave other roles' alone, whatever they call themselves.
_BACKENDS = """
SELECT pid FROM pg_stat_activity
 WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
   AND starts_with(application_name, %s)
 ORDER BY pid"""

_REFERRING = """
SELECT c.relname, r.relname
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_class r ON r.oid = k.confrelid
  JOIN pg_namespace n ON n.oid = r.relnamespace AND n.nspname = %(schema)s
 WHERE k.contype = 'f' AND r.relname = ANY (%(tables)s::text[])
   AND NOT (c.relname = ANY (%(tables)s::text[]) AND c.relnamespace = r.relnamespace)
 ORDER BY 1, 2"""


# Ours call themselves so; superusers may do everything.
_WRITERS = """
SELECT DISTINCT format('pid %%s, application_name %%L, user %%I', a.pid, a.application_name, a.usename)
  FROM pg_stat_activity a
  JOIN pg_namespace n ON n.nspname = %(schema)s
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = ANY (%(tables)s)
 WHERE a.datname = current_database() AND a.backend_type = 'client backend'
   AND NOT starts_with(a.application_name, 'contralock ')
   AND has_table_privilege(a.usesysid, c.oid, 'INSERT, UPDATE, DELETE')
 ORDER BY 1"""

# Where the setting comes from is the server's word for it (pg_settings.source).
_READ_ONLY = """
SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
       (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only')"""


@dataclass(frozen=True)
class Session:
    """A session of a role in this database.

    PostgreSQL hides ``client_address``, ``client_port`` and ``tls_version`` from whoever neither is this role, nor has
    its rights by inheritance, nor those of ``pg_read_all_stats``; they are None then. On a Unix socket ``client_port``
    is -1 and the other two are None; ``tls_version`` is None without TLS as well.
    (https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW)
    """

    pid: int
    user: str
    application_name: str
    client_address: str | None
    client_port: int | None
    tls_version: str | None

    @property
    def is_hidden(self) -> bool:
        """Whether PostgreSQL does not tell the asking role where the session comes from, and whether it uses TLS."""
        return self.client_port is None

    @property
    def is_plain(self) -> bool:
        """Whether it crosses a network without TLS, as far as that is told."""
        return self.client_port not in (None, SOCKET) and not self.tls_version


def assert_writable(connection: Connection) -> None:
    """Refuse a target that takes no rows.

    Raises:
        MigrationError: See ``unwritable``.
    """
    if refusal := unwritable(connection):
        raise refusal


def unwritable(connection: Connection) -> MigrationError | None:
    """Return why a target takes no rows: it is a standby, or somebody has made its sessions read-only; None if it does.

    A session could undo the latter for itself, and none here does: providers do it when a disk is nearly full.

    Args:
        connection: Not in a transaction.
    """
    found = connection.execute(_READ_ONLY).fetchone()
    in_recovery, read_only, source = found or (False, False, "")
    info = connection.info
    if in_recovery:
        return MigrationError(
            f"the server of {info.dbname!r} is a standby, which takes no rows", "Connect to the primary server"
        )
    if read_only:
        database, role = (sql.Identifier(name).as_string() for name in (info.dbname, info.user))
        setting = "RESET default_transaction_read_only"
        resets = {
            "database": f"ALTER DATABASE {database} {setting}",
            "user": f"ALTER ROLE {role} {setting}",
            "database user": f"ALTER ROLE {role} IN DATABASE {database} {setting}",
            "client": "take it out of the connection string or PGOPTIONS",
        }
        back = resets.get(str(source), "set it to off in the server's configuration, and reload that")
        return MigrationError(
            f"sessions in {info.dbname!r} may not write: default_transaction_read_only is on ({source})",
            f"Find out why; providers set it when the server's disk is nearly full. Make room, then: {back}",
        )
    return None


def row_counts(connection: Connection, schema: str, tables: Iterable[str]) -> dict[str, int]:
    """Count the rows of each table, all in one view of the database.

    Args:
        connection: Not in a transaction.
        schema: The tables' schema, unquoted.
        tables: The tables' names, unquoted.

    Raises:
        psycopg.Error: A table is missing, row security would hide rows, or the server does not answer.
    """
    return {table: int(str(count)) for table, count in _ask(connection, schema, tables, "count(*)").items()}


def target_fingerprint(connection: Connection, schema: str, tables: Iterable[str]) -> dict[str, str]:
    """Return ``rows:sum`` for each table, all in one view of the database; equal when the rows are, in any order.

    The sum is that of PostgreSQL's 64-bit hash of each row's text, so two tables that differ in one cell agree with a
    chance of about 2^-64. Everything is computed on the server.

    Args:
        connection: Not in a transaction, or in one that holds the tables (``lock_tables``).
        schema: The tables' schema, unquoted.
        tables: The tables' names, unquoted.

    Raises:
        psycopg.Error: As in ``row_counts``.
    """
    # t alone would be a column of that name, where the table has one (manual, "Using Composite Types in Queries").
    value = "count(*)::text || ':' || coalesce(sum(hashtextextended((t.*)::text, 0)), 0)::text"
    return {table: str(found) for table, found in _ask(connection, schema, tables, value).items()}


def _ask(connection: Connection, schema: str, tables: Iterable[str], value: str) -> dict[str, object]:
    answers: dict[str, object] = {}
    alone = connection.info.transaction_status is TransactionStatus.IDLE
    with connection.transaction():
        if alone:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        set_locally(connection, {**SPELLING, "row_security": "off"})
        for table in tables:
            query = sql.SQL("SELECT {} FROM {} t").format(sql.SQL(value), sql.Identifier(schema, table))
            found = connection.execute(query).fetchone()
            answers[table] = found[0] if found else None
    return answers


def assert_emptiable(connection: Connection, schema: str, tables: Sequence[str]) -> None:
    """Refuse tables that TRUNCATE could not empty because a table that stays refers to them.

    Raises:
        MigrationError: Names each such pair.
    """
    if found := connection.execute(_REFERRING, {"schema": schema, "tables": list(tables)}).fetchall():
        pairs = ", ".join(f"{table} refers to {referenced}" for table, referenced in found)
        raise MigrationError(
            f"tables outside of the move refer to tables in it ({pairs}): a failed load could not be taken back",
            "Carry these tables too, or make them after the move",
        )


def lock_tables(connection: Connection, schema: str, tables: Sequence[str]) -> None:
    """Let nobody else read or write the tables until the open transaction ends.

    Raises:
        MigrationError: Another session holds a table.
    """
    with _lock_refused(connection):
        connection.execute(sql.SQL("LOCK {} IN ACCESS EXCLUSIVE MODE").format(_names(schema, tables)))


def empty_tables(connection: Connection, schema: str, tables: Sequence[str]) -> None:
    """Take all rows out of the tables, in the open transaction or in one of its own; their sequences begin anew.

    Raises:
        MigrationError: Another session holds a table, or a table that is not named refers to one that is.
    """
    try:
        with _lock_refused(connection):
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(_names(schema, tables)))
    except psycopg.errors.FeatureNotSupported as error:
        raise MigrationError(
            f"the tables of {connection.info.dbname!r} cannot be emptied: {error.diag.message_primary}"
            f" ({error.diag.message_detail})",
            "Carry the referring table too, or drop its foreign key",
        ) from None


@contextmanager
def _lock_refused(connection: Connection) -> Iterator[None]:
    """Say it when another session holds a table for too long; the block is (part of) a transaction."""
    try:
        with connection.transaction():
            set_locally(connection, {"lock_timeout": f"{LOCK_WAIT_MILLISECONDS}ms"})
            yield
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(
            f"the tables of {connection.info.dbname!r} cannot be emptied: another session has used one of them for"
            f" {LOCK_WAIT_MILLISECONDS // 1000} s",
            "End the sessions in this database (pg_stat_activity names them) and run again",
        ) from None


def _names(schema: str, tables: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(schema, table) for table in tables)


def may_connect(connection: Connection, role: str) -> bool:
    """Tell whether a role has CONNECT on this database, by itself, through PUBLIC or through another role.

    Raises:
        MigrationError: There is no such role.
    """
    try:
        found = connection.execute("SELECT has_database_privilege(%s, current_database(), 'CONNECT')", [role])
    except psycopg.errors.UndefinedObject:
        raise MigrationError(f"there is no role {role!r}", "Run prepare.yml, or correct the role's name") from None
    row = found.fetchone()
    return bool(row and row[0])


def grant_connect(connection: Connection, role: str) -> bool:
    """Let a role connect to this database; return whether that was a change.

    Raises:
        MigrationError: There is no such role, or the granting role may not grant.
    """
    if may_connect(connection, role):
        return False
    _change_connect(connection, role, "GRANT CONNECT ON DATABASE {} TO {}", wanted=True)
    return True


def revoke_connect(connection: Connection, role: str) -> bool:
    """Keep a role from connecting to this database; return whether that was a change. Its sessions go on.

    Raises:
        MigrationError: There is no such role, or it may connect all the same, through PUBLIC or another role.
    """
    if not may_connect(connection, role):
        return False
    _change_connect(connection, role, "REVOKE CONNECT ON DATABASE {} FROM {}", wanted=False)
    return True


def _change_connect(connection: Connection, role: str, statement: str, *, wanted: bool) -> None:
    database = connection.info.dbname
    try:
        connection.execute(sql.SQL(statement).format(sql.Identifier(database), sql.Identifier(role)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise MigrationError(
            f"{connection.info.user!r} may not decide who connects to {database!r}: {error.diag.message_primary}",
            "Connect as the database's owner",
        ) from None
    # The server answers a GRANT without the right to grant with a warning only.
    if may_connect(connection, role) is not wanted:
        raise MigrationError(
            f"role {role!r} {'may still not' if wanted else 'may still'} connect to {database!r}",
            "Connect as the database's owner"
            if wanted
            else "Revoke CONNECT from PUBLIC and from the roles that it is a member of; run prepare.yml",
        )


def sessions_of(connection: Connection, role: str) -> list[Session]:
    """Return the role's sessions in this database, the oldest first, but for the asking one."""
    with connection.cursor(row_factory=class_row(Session)) as cursor:
        return cursor.execute(_SESSIONS, [role]).fetchall()


def writers(connection: Connection, schema: str, tables: Sequence[str]) -> list[str]:
    """Describe the sessions in this database, ours apart, whose roles may write into one of the tables."""
    found = connection.execute(_WRITERS, {"schema": schema, "tables": list(tables)})
    return [str(session) for (session,) in found]


def end_backends(connection: Connection, application_name: str) -> int:
    """End the sessions of our own role in this database whose application_name begins so, and wait until they are gone.

    Args:
        connection: As the same role; it needs no further right.
        application_name: The beginning of the name; not empty.

    Returns:
        How many there were.

    Raises:
        MigrationError: Some are still there.
    """
    if not application_name:
        raise ValueError("without a name, everybody's sessions would be ended")

    def left() -> list[int]:
        return [int(pid) for (pid,) in connection.execute(_BACKENDS, [application_name]).fetchall()]

    return _end(connection, left, "an earlier load")


def end_sessions(connection: Connection, role: str) -> int:
    """End a role's sessions in this database, wait until they are gone, and return how many there were.

    Raises:
        MigrationError: Some are still there.
    """
    return _end(connection, lambda: [session.pid for session in sessions_of(connection, role)], f"role {role!r}")


def _end(connection: Connection, left: Callable[[], list[int]], whose: str) -> int:
    """End those sessions whose process ids are left, and those that show themselves meanwhile, until there are none."""
    ended: set[int] = set()
    deadline = time.monotonic() + END_SECONDS
    while pids := left():
        if new := [pid for pid in pids if pid not in ended]:
            connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid", [new])
            ended.update(new)
        if time.monotonic() > deadline:
            raise MigrationError(
                f"sessions of {whose} do not end (pid {', '.join(map(str, pids))} on the server)",
                "Look at them in pg_stat_activity; a server that waits for its disk cannot end them before that",
            )
        time.sleep(0.05)
    return len(ended)
