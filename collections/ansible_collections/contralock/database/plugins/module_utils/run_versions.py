"""Which versions took part in a load."""

from __future__ import annotations

import contextlib
import platform
import sqlite3

import psycopg
import pyarrow as pa

from .connection import Connection
from .errors import MigrationError
from .schema_history import read_records


def versions_of(connection: Connection) -> dict[str, str]:
    """Return the versions of the server, of the libraries that read and write, and of the target's schema, by name."""
    versions = {
        "PostgreSQL": connection.info.parameter_status("server_version") or "unknown",
        "SQLite": sqlite3.sqlite_version,
        "Python": platform.python_version(),
        "psycopg": psycopg.__version__,
        "pyarrow": pa.__version__,
    }
    # Where there is no record, or it is closed to this role, there is no version to tell.
    with contextlib.suppress(MigrationError):
        records = read_records(connection)
        versions |= {"schema": records[-1].name} if records else {}
    return versions
