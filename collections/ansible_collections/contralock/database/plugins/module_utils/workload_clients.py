"""A user of the application, or of its database: carries out one operation after the other and says how each ended."""

from __future__ import annotations

import http.client
import json
import queue
import re
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import errors

from .connection import Connection, connect
from .errors import MigrationError
from .source_file import quote_identifier
from .workload import Names, Operation, Values, Workload, body_of, folded, sql_for

Kind = Literal["busy", "locked", "other"]
APPLICATION_NAME = "contralock benchmark"
#: As long as the application itself waits for a busy SQLite file (files/application/src/config/database.js).
BUSY_SECONDS = 5.0
ANSWER_SECONDS = 60.0

_BUSY = re.compile(r"SQLITE_BUSY|database is locked")
_LOCKED = re.compile(r"SQLITE_LOCKED|table is locked|deadlock detected|could not obtain lock|could not serialize")
_UNKNOWN_FATE = re.compile(r"may have happened or not")

_TABLES_OF_SQLITE = """
SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"""
_TABLES_OF_POSTGRESQL = """
SELECT c.relname, a.attname
  FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace"""


class OperationError(Exception):
    """An operation that was not done.

    Args:
        kind: What the database said.
        words: How it said it.
        unknown: Whether it may have been done all the same.
    """

    def __init__(self, kind: Kind, words: str, *, unknown: bool = False) -> None:
        super().__init__(words)
        self.kind: Kind = kind
        self.unknown = unknown


class Client(Protocol):
    """What carries operations out."""

    def do(self, operation: Operation, values: Values) -> None:
        """Carry one out.

        Raises:
            OperationError: It was not done, or nobody knows.
        """

    def close(self) -> None:
        """Give the connection back."""


@dataclass(frozen=True)
class Place:
    """A database, and the application's instance on it.

    Args:
        database: ``sqlite`` or ``postgresql``.
        file: The SQLite file; None for PostgreSQL.
        target: The libpq connection string, without a password; empty for SQLite.
        url: Of the instance; empty for none.
    """

    database: str
    file: Path | None = None
    target: str = ""
    url: str = ""

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection | Connection]:
        """Have a session of one's own, for what is read before and after a measurement."""
        session = self.connect()
        try:
            yield session
        finally:
            session.close()

    def connect(self) -> sqlite3.Connection | Connection:
        """Open a session.

        Raises:
            MigrationError: PostgreSQL refuses it.
            sqlite3.Error: SQLite does.
        """
        if self.file is None:
            return connect(self.target, APPLICATION_NAME)
        # mode=rw: a file that is missing must not be made.
        address = f"{self.file.resolve().as_uri()}?mode=rw"
        return sqlite3.connect(
            address,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def names(self) -> Names:
        """Return the names of its tables and columns, by their folded forms."""
        query = _TABLES_OF_SQLITE if self.file else _TABLES_OF_POSTGRESQL
        found: dict[str, tuple[str, dict[str, str]]] = {}
        with self.opened() as session:
            for table, column in session.execute(query):
                _, columns = found.setdefault(folded(table), (quote_identifier(table), {}))
                columns[folded(column)] = quote_identifier(column)
        return found


class HttpClient:
    """Asks the application over a connection that is kept."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
        self._base = parts.path.rstrip("/")

    def do(self, operation: Operation, values: Values) -> None:
        """Ask, read the whole answer, and hold its status against success."""
        path = self._base + operation.path.format_map({name: quote(str(value)) for name, value in values.items()})
        body = body_of(operation, values)
        sent = None if body is None else json.dumps(body).encode()
        headers = {} if sent is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(operation.method, path, sent, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            words = f"{type(error).__name__}: {error}"
            # A connection that was never made has asked for nothing.
            unknown = operation.writes and not isinstance(error, ConnectionRefusedError)
            raise OperationError("other", words, unknown=unknown) from None
        if not 200 <= answer.status < 300:
            words = text.decode(errors="replace")[:500]
            unknown = operation.writes and _UNKNOWN_FATE.search(words) is not None
            raise OperationError(kind_of(words), f"{answer.status}: {words}", unknown=unknown)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def wait_for(url: str, seconds: float = 30.0) -> None:
    """Wait until something answers at an instance's URL, whatever it says.

    Raises:
        MigrationError: Nothing does.
    """
    deadline = time.monotonic() + seconds
    parts = urlsplit(url)
    while True:
        try:
            address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
            socket.create_connection(address, timeout=5).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"nothing answers at {url} within {seconds:g} s: {error}",
                    "Start the application's own instance there, and see its log",
                ) from None
            time.sleep(0.2)
        else:
            return


def kind_of(words: str) -> Kind:
    """Return what an error's words say about its cause."""
    if _BUSY.search(words):
        return "busy"
    return "locked" if _LOCKED.search(words) else "other"


@dataclass
class Statements:
    """The operations of a workload as a database takes them, read once."""

    place: Place
    workload: Workload
    _texts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find all names."""
        names, database = self.place.names(), self.place.database
        for name, operation in self.workload.operations.items():
            texts = operation.statements[database]
            self._texts[name] = tuple(sql_for(text, names, database) for text in texts)

    def of(self, operation: Operation) -> tuple[str, ...]:
        """Return an operation's statements."""
        return self._texts[operation.name]


class SqliteClient:
    """Works on the file by itself, in transactions that take the lock at once, as the application's do."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        session = statements.place.connect()
        assert isinstance(session, sqlite3.Connection)  # noqa: S101 (its place is a file)
        self._session = session

    def do(self, operation: Operation, values: Values) -> None:
        """Execute its statements; a write is all of them or none."""
        try:
            if operation.writes:
                self._session.execute("BEGIN IMMEDIATE")
            for text in self._statements.of(operation):
                cursor = self._session.execute(text, values)
                cursor.fetchall()
                _require_one_row(text, cursor.rowcount)
            if operation.writes:
                self._session.execute("COMMIT")
        except (sqlite3.Error, OperationError) as error:
            if self._session.in_transaction:
                self._session.execute("ROLLBACK")
            if isinstance(error, OperationError):
                raise
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            kind: Kind = {sqlite3.SQLITE_BUSY: "busy", sqlite3.SQLITE_LOCKED: "locked"}.get(code, "other")  # type: ignore[assignment]  # because mypy widens the literals
            raise OperationError(kind, str(error)) from None

    def close(self) -> None:
        """Close the session."""
        self._session.close()


class PostgresqlClient:
    """Works on PostgreSQL with a session of a pool that several clients share, as an application's do."""

    def __init__(self, statements: Statements, pool: queue.LifoQueue[Connection]) -> None:
        self._statements = statements
        self._pool = pool

    def do(self, operation: Operation, values: Values) -> None:
        """Wait for a session and execute the statements; a write is all of them or none."""
        session = self._pool.get()
        try:
            if operation.writes:
                with session.transaction():
                    self._execute(session, operation, values)
            else:
                self._execute(session, operation, values)
        except errors.OperationalError as error:
            conflict = isinstance(error, (errors.TransactionRollback, errors.LockNotAvailable))
            raise OperationError("locked" if conflict else "other", str(error), unknown=session.broken) from None
        except psycopg.Error as error:
            raise OperationError("other", str(error)) from None
        finally:
            self._pool.put(session)

    def _execute(self, session: Connection, operation: Operation, values: Values) -> None:
        for text in self._statements.of(operation):
            # Only this workload's own document becomes SQL.
            cursor = session.execute(text.encode(), values)
            if cursor.description:
                cursor.fetchall()
            _require_one_row(text, cursor.rowcount)

    def close(self) -> None:
        """Nothing is its own."""


def _require_one_row(text: str, changed: int) -> None:
    """Refuse a write that found nothing to change: half a transfer would be money made."""
    if text.lstrip()[:6].upper() in ("UPDATE", "INSERT", "DELETE") and changed != 1:
        raise OperationError("other", f"a statement has changed {changed} rows, and 1 is expected")


def clients_of(place: Place, way: str, workload: Workload, number: int, sessions: int) -> Iterator[Client]:
    """Yield clients, each for a thread.

    Args:
        place: Where they work.
        way: ``application`` or ``direct``.
        workload: Their operations.
        number: How many.
        sessions: How many sessions on PostgreSQL they share at the most.
    """
    if way == "application":
        yield from (HttpClient(place.url) for _ in range(number))
        return
    statements = Statements(place, workload)
    if place.file:
        yield from (SqliteClient(statements) for _ in range(number))
        return
    pool: queue.LifoQueue[Connection] = queue.LifoQueue()
    for _ in range(min(number, sessions)):
        session = place.connect()
        assert isinstance(session, psycopg.Connection)  # noqa: S101 (its place is a target)
        pool.put(session)
    yield from (PostgresqlClient(statements, pool) for _ in range(number))


def balances(place: Place, workload: Workload) -> Mapping[str, int]:
    """Return every account and what is on it, as the database itself says."""
    text = sql_for(workload.money, place.names(), place.database)
    with place.opened() as session:
        rows = session.execute(text, {})
        return {str(account): int(amount) for account, amount in rows}
