"""One moment of a PostgreSQL database, which any number of sessions read at the same time.

A session exports its snapshot and stays in its transaction; the others import it
(https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION). So a live database
can be read by several workers, and what they read belongs together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from .catalog import Catalog, Column, snapshot
from .connection import Connection, beside_values, connect, options_like
from .errors import MigrationError
from .target_reader import MEND, TargetReader, beginning, open_target, server_message

#: From this version on a condition on ctid reads only the pages that it names (PostgreSQL 14's release notes).
BLOCK_RANGES_SINCE = 140000
#: The kind of ``catalog.Table`` that is one heap; others have several, or none here.
ORDINARY = "table"


@dataclass(frozen=True)
class Moment:
    """An open transaction whose snapshot others read; see ``open_moment``."""

    connection: Connection
    target: str
    application_name: str
    snapshot: str
    options: str

    def reader(self) -> AbstractContextManager[TargetReader]:
        """Open another session that sees the same moment.

        Raises:
            MigrationError: There is no connection, or no more than so many.
        """
        return open_target(self.target, self.application_name, self.snapshot, self.options)

    def catalog(self, schema: str) -> Catalog:
        """Read a schema from the catalog.

        Raises:
            MigrationError: There is no such schema, or it cannot be read.
        """
        with _told(f"the catalog of schema {schema}"):
            return snapshot(self.connection, schema)

    def blocks_of(self, catalog: Catalog, table: str) -> int | None:
        """Return how many pages a table's heap has; None where it cannot be read by pages.

        Raises:
            MigrationError: The server refuses.
        """
        kinds = {each.name: each.kind for each in catalog.tables}
        if kinds.get(table) != ORDINARY or self.connection.info.server_version < BLOCK_RANGES_SINCE:
            return None
        query = "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int"
        name = sql.Identifier(catalog.schema, table).as_string()
        with _told(f"the size of {name}"):
            found = self.connection.execute(query, [name]).fetchone()
        return int(found[0]) if found else None

    def block_of(self, key: Sequence[Column], values: Sequence[str | None]) -> int | None:
        """Return the page on which a row stands; None when there is no such row.

        Args:
            key: The columns of the table's primary key.
            values: Texts that PostgreSQL's input functions read.

        Raises:
            MigrationError: The server refuses.
        """
        table = beside_values(key[0].schema, key[0].table)
        equal = sql.SQL(" AND ").join(
            sql.SQL(f"{{}} = CAST(%s AS {column.type})").format(beside_values(column.name)) for column in key
        )
        query = sql.SQL("SELECT (ctid::text::point)[0]::bigint FROM {} WHERE {}").format(table, equal)
        with _told(f"table {key[0].schema}.{key[0].table}"):
            found = self.connection.execute(query, list(values), prepare=True).fetchone()
        return int(found[0]) if found else None


@contextmanager
def open_moment(target: str, application_name: str) -> Iterator[Moment]:
    """Open a read-only transaction whose snapshot other sessions can import as long as it is open.

    Args:
        target: A libpq connection string or URI without a secret (see ``connection.connect``).
        application_name: How the sessions show themselves in ``pg_stat_activity``.

    Raises:
        MigrationError: There is no connection.
    """
    with closing(connect(target, application_name)) as connection:
        with _told("a snapshot"):
            options = options_like(connection)
            connection.execute("BEGIN")
            for command in beginning():
                connection.execute(command)
            ((name,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
        yield Moment(connection, target, application_name, str(name), options)


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise MigrationError(f"{what} cannot be read from PostgreSQL: {server_message(error)}", MEND) from None
