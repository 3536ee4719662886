"""The application's data in SQLite, in either form of the source."""

from __future__ import annotations

import datetime
import sqlite3
import threading
import uuid
from pathlib import Path

BUSY_SECONDS = 5.0


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


class SqliteStore:
    """One connection, kept open; like the application's own it creates a file that is missing.

    It knows the form of the tables (``notifications`` with ``_id`` and ``userId``, or ``Notifications`` with ``id`` and
    ``user_id``) by looking at them.
    """

    type = "sqlite"

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._tables = {name.lower(): name for name in self._table_names()}
        missing = {"users", "notifications"} - self._tables.keys()
        if missing:
            self._connection.close()
            raise sqlite3.DatabaseError(f"{path} has no table {' and no table '.join(sorted(missing))}")

    def check(self) -> dict[str, str | None]:
        """Run a query; say what a person wants to know about the connection."""
        with self._lock:
            self._connection.execute(f"SELECT 1 FROM {quote(self._tables['users'])} LIMIT 1").fetchone()
        return {"message": "SQLite answers", "tls": None}

    def counts(self) -> dict[str, int]:
        """Table -> number of rows."""
        with self._lock:
            return {
                name: self._connection.execute(f"SELECT count(*) FROM {quote(name)}").fetchone()[0]
                for name in self._table_names()
            }

    def add_notification(self, message: str) -> str:
        """Insert a notification for the first user; returns its id."""
        users = self._columns("users")
        columns = self._columns("notifications")
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " +00:00"
        new = str(uuid.uuid4())
        values = {
            "id": new,
            "type": "SYSTEM_MESSAGE",
            "title": "Stand-in",
            "message": message,
            "read": 0,
            "priority": "NORMAL",
            "createdat": now,
            "updatedat": now,
        }
        names = [quote(columns[name]) for name in [*values, "userid"]]
        first_user = f"SELECT min({quote(users['id'])}) FROM {quote(self._tables['users'])}"
        insert = (
            f"INSERT INTO {quote(self._tables['notifications'])} ({', '.join(names)})"
            f" VALUES ({'?, ' * len(values)}({first_user}))"
        )
        with self._lock:
            self._connection.execute(insert, list(values.values()))
        return new

    def close(self) -> None:
        """Close the connection, when no statement is under way."""
        with self._lock:
            self._connection.close()

    def _table_names(self) -> list[str]:
        query = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY name"
        )
        return [name for (name,) in self._connection.execute(query)]

    def _columns(self, table: str) -> dict[str, str]:
        """Column without underscores and in lower case -> its name."""
        with self._lock:
            rows = self._connection.execute("SELECT name FROM pragma_table_info(?)", [self._tables[table]]).fetchall()
        return {name.replace("_", "").lower(): name for (name,) in rows}
