"""The application's data in PostgreSQL, in the schema of the profile ``contralock`` or ``contralock_deployed``."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
from psycopg import sql

from .settings import Settings

APPLICATION_NAME = "contralock"
TABLES = """
    SELECT c.relname FROM pg_class AS c
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
#: By the key of users, which tells the profiles apart: ``contralock_deployed`` leaves the key to the application.
KEYS = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname IN ('id', '_id')"
INSERTS = {
    "id": """
        INSERT INTO notifications (user_id, type, title, message)
        VALUES ((SELECT id FROM users ORDER BY id LIMIT 1), 'SYSTEM_MESSAGE', 'Stand-in', %s)
        RETURNING id""",
    "_id": """
        INSERT INTO notifications (_id, "userId", type, title, message, "createdAt", "updatedAt")
        VALUES (gen_random_uuid(), (SELECT _id FROM users ORDER BY _id LIMIT 1), 'SYSTEM_MESSAGE', 'Stand-in', %s,
                now(), now())
        RETURNING _id""",
}
TLS = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


class PostgresqlStore:
    """One connection, kept open and opened anew when it was lost.

    ``DB_SSL=true`` means TLS with the server verified by name against ``DB_SSL_CA``; anything else means none.
    """

    type = "postgresql"

    def __init__(self, settings: Settings) -> None:
        self._lock = threading.Lock()
        self._parameters: dict[str, Any] = {
            "host": settings.db_host,
            "port": settings.db_port,
            "dbname": settings.db_name,
            "user": settings.db_user,
            "password": settings.db_pass or None,
            "sslmode": "verify-full" if settings.db_ssl else "disable",
            "sslrootcert": settings.db_ssl_ca or None,
            "application_name": APPLICATION_NAME,
            "connect_timeout": 5,
            "autocommit": True,
        }
        self._connection = psycopg.connect(**self._parameters)

    def check(self) -> dict[str, str | None]:
        """Run a query; say what a person wants to know about the connection."""
        self._execute("SELECT 1 FROM users LIMIT 1")
        ((tls,),) = self._execute(TLS)
        return {"message": "PostgreSQL answers", "tls": tls}

    def counts(self) -> dict[str, int]:
        """Table -> number of rows."""
        count = sql.SQL("SELECT count(*) FROM {}")
        return {name: self._execute(count.format(sql.Identifier(name)))[0][0] for (name,) in self._execute(TABLES)}

    def add_notification(self, message: str) -> str:
        """Insert a notification for the first user; returns its id. It is never tried twice."""
        ((key,),) = self._execute(KEYS)
        ((new,),) = self._execute(INSERTS[key], [message])
        return str(new)

    def close(self) -> None:
        """Close the connection, when no statement is under way."""
        with self._lock:
            self._connection.close()

    def _execute(self, query: Any, values: list[str] | None = None) -> list[tuple[Any, ...]]:  # noqa: ANN401 (psycopg's own union)
        with self._lock:
            if self._connection.closed:
                self._connection = psycopg.connect(**self._parameters)
            return self._connection.execute(query, values).fetchall()
