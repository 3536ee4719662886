"""Which versions took part in a load."""

from __future__ import annotations

import platform
import sqlite3

import psycopg
import pyarrow as pa

from .connection import Connection


def versions_of(connection: Connection) -> dict[str, str]:
    """Return the versions of the server and of the libraries that read and write, by name."""
    return {
        "PostgreSQL": connection.info.parameter_status("server_version") or "unknown",
        "SQLite": sqlite3.sqlite_version,
        "Python": platform.python_version(),
        "psycopg": psycopg.__version__,
        "pyarrow": pa.__version__,
    }
