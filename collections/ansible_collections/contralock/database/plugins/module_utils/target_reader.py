"""PostgreSQL's rows as columns of Arrow, read in one snapshot of the whole database.

The ADBC driver asks for binary COPY and builds Arrow arrays from it, so that no value becomes a Python object. The
connection follows the same rules as any other here (``connection.py``): no password in the string, TLS verified by
name.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions
from psycopg import sql
from psycopg.conninfo import make_conninfo

from .connection import connection_refusal, session_parameters
from .errors import MigrationError

#: What the driver gathers before it hands over a batch. Its own 16 MB would be most of what a comparison needs.
DRIVER_BATCH_BYTES = 2 << 20
#: A batch is handed over at this size even when it has fewer rows: rows of many megabytes must not add up.
MAX_BATCH_BYTES = 16 << 20

#: How every transaction here is set up, after its snapshot. With row_security off the server refuses to read a table
#: whose policies would hide rows, where it would leave them out without a word. Rows come in the order of the heap, the
#: same each time: without helpers, and from its beginning.
SETTINGS = (
    "SET LOCAL row_security = off",
    "SET LOCAL lock_timeout = '60s'",
    "SET LOCAL max_parallel_workers_per_gather = 0",
    "SET LOCAL synchronize_seqscans = off",
)

MEND = "Mend that (see the server's log) and run again; nothing was written"


@dataclass(frozen=True)
class BlockRange:
    """Pages of a table's heap: from ``first`` on, up to and without ``end``; None means all that follow."""

    first: int
    end: int | None


@dataclass(frozen=True)
class TargetReader:
    """An open transaction of PostgreSQL; see ``open_target``. One thread at a time may read with it."""

    connection: adbc.Connection

    def read(self, query: str, what: str, batch_rows: int = 20_000) -> Generator[list[pa.Array], None, None]:
        """Run a query and hand over its columns.

        Args:
            query: A SELECT, as ``select_columns`` writes it.
            what: The object that is read, for the message (``table public.users``).
            batch_rows: The most rows in a batch; it has fewer where they are large, and at the end.

        Yields:
            One array per column, of the types that the driver has for PostgreSQL's; extension types are unwrapped
            (uuid is 16 bytes; numeric, json and jsonb are text).

        Raises:
            MigrationError: The server refuses or is gone.
        """
        try:
            with self.connection.cursor() as cursor:
                hint = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(DRIVER_BATCH_BYTES)}
                cursor.adbc_statement.set_options(**hint)
                cursor.execute(query)
                with cursor.fetch_record_batch() as reader:
                    for table in _rebatched(reader, batch_rows):
                        yield [_plain(column) for column in table.columns]
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            # A batch that fails to arrive is Arrow's error; the server's own words are in both.
            raise MigrationError(f"{what} cannot be read from PostgreSQL: {server_message(error)}", MEND) from None

    def interrupt(self) -> None:
        """End the query that another thread waits for, if there is one; its reading fails then."""
        self.connection.adbc_cancel()


@contextmanager
def open_target(conninfo: str, application_name: str, snapshot: str = "", options: str = "") -> Iterator[TargetReader]:
    """Open a read-only transaction that sees one moment of the database.

    Args:
        conninfo: A libpq connection string or URI without a secret (see ``connection.connect``).
        application_name: How the session shows itself in ``pg_stat_activity``.
        snapshot: The name of an exported snapshot to read; the moment of the first query without one.
        options: libpq's; see ``connection.options_like``. The driver asks for the server's types before anything can be
            set.

    Raises:
        MigrationError: There is no connection, or the snapshot is no longer there.
    """
    parameters = session_parameters(conninfo, application_name)
    if options:
        parameters["options"] = options
    try:
        connection = adbc.connect(make_conninfo("", **parameters))
    except adbc_driver_manager.Error as error:
        raise connection_refusal(error, conninfo) from None
    with connection:
        try:
            with connection.cursor() as cursor:
                for command in beginning(snapshot):
                    cursor.execute(command)
        except adbc_driver_manager.Error as error:
            raise MigrationError(
                f"a reading transaction cannot be opened in PostgreSQL: {server_message(error)}", MEND
            ) from None
        yield TargetReader(connection)


def beginning(snapshot: str = "") -> Iterator[str]:
    """Return the commands that a reading transaction begins with: one snapshot for all, whatever is written meanwhile.

    Args:
        snapshot: The name of an exported one; a new one without it.
    """
    yield "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    if snapshot:
        yield sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)).as_string()
    yield from SETTINGS


def select_columns(
    schema: str,
    table: str,
    columns: Sequence[str | sql.Composable],
    expressions: Sequence[sql.Composable] = (),
    *,
    blocks: BlockRange | None = None,
) -> str:
    """Write the SELECT for a table's columns.

    Args:
        schema: Name of the schema.
        table: Name of the table.
        columns: Names of its columns, in the order wanted, or what to select in place of one.
        expressions: What to select besides the columns, after them.
        blocks: Read only the rows that stand there.
    """
    named = [sql.Identifier(each) if isinstance(each, str) else each for each in columns]
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join([*named, *expressions]), sql.Identifier(schema, table)
    )
    if blocks:
        place = sql.Identifier(table, "ctid")
        ends = [sql.SQL("{} >= {}::tid").format(place, sql.Literal(f"({blocks.first},0)"))]
        if blocks.end is not None:
            ends.append(sql.SQL("{} < {}::tid").format(place, sql.Literal(f"({blocks.end},0)")))
        query = sql.SQL("{} WHERE {}").format(query, sql.SQL(" AND ").join(ends))
    return query.as_string()


def server_message(error: Exception) -> str:
    """Return the server's sentence out of the driver's, which repeats the query and ends with a code."""
    first = str(error).split("\n", 1)[0]
    return first.rpartition("ERROR:")[2].strip().removesuffix(".") or type(error).__name__


def _plain(column: pa.ChunkedArray) -> pa.Array:
    chunks = [_stored(chunk) for chunk in column.chunks]
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else pa.array([], _stored_type(column.type))


def _stored(array: pa.Array) -> pa.Array:
    """Unwrap an extension type, also that of a list's elements: Arrow can do little with these."""
    if isinstance(array.type, pa.BaseExtensionType):
        return array.storage
    if array.type == _stored_type(array.type):
        return array
    # Copied, because a slice of offsets and a mask do not go together.
    offsets = pa.array(array.offsets.to_numpy())
    return pa.ListArray.from_arrays(offsets, array.values.storage, mask=array.is_null())


def _stored_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind) and isinstance(kind.value_type, pa.BaseExtensionType):
        return pa.list_(kind.value_type.storage_type)
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _rebatched(reader: pa.RecordBatchReader, rows: int) -> Iterator[pa.Table]:
    """Cut the driver's batches anew: equally long batches on both sides are compared without being searched."""
    schema = pa.schema([field.with_type(_stored_type(field.type)) for field in reader.schema])
    held = schema.empty_table()
    for batch in reader:
        stored = pa.Table.from_arrays([_stored(column) for column in batch.columns], schema=schema)
        held = pa.concat_tables([held, stored])
        while held.num_rows >= rows:
            yield held.slice(0, rows)
            held = held.slice(rows)
        if held.nbytes > MAX_BATCH_BYTES:
            yield held
            held = schema.empty_table()
    if held.num_rows:
        yield held
