"""What a way back would lose: tables and columns that go while they hold values."""

from __future__ import annotations

from collections.abc import Mapping, Set

from psycopg import sql

from .catalog import Catalog, Description
from .connection import Connection
from .errors import MigrationError
from .run_step import counted

#: A table, and a column of a table.
TableName = str
ColumnName = tuple[str, str]

#: (oid of the table, number of the column; 0 is the table) -> (table, column; empty for the table).
Stored = Mapping[tuple[int, int], tuple[str, str]]

# By oid and number, because a table that is dropped and made again has its name and its catalog, but not its rows.
_STORED = """
SELECT c.oid::bigint, coalesce(a.attnum, 0), c.relname::text, coalesce(a.attname::text, '')
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %s
 CROSS JOIN LATERAL (SELECT NULL::int2 AS attnum, NULL::name AS attname
                      UNION ALL
                     SELECT attnum, attname FROM pg_attribute
                      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a
 WHERE c.relkind IN ('r', 'p')"""


def stored(connection: Connection, schema: str) -> Stored:
    """Return every table and column of a schema with its identity."""
    rows = connection.execute(_STORED, [schema]).fetchall()
    return {(table_oid, number): (table, column) for table_oid, number, table, column in rows}


def vanished(before: Stored, after: Stored) -> tuple[set[TableName], set[ColumnName]]:
    """Return the tables that are gone, and the columns that are gone from tables that are not."""
    gone = before.keys() - after.keys()
    tables = {before[each][0] for each in gone if each[1] == 0}
    columns = {before[each] for each in gone if each[1] != 0 and (each[0], 0) not in gone}
    return tables, columns


def missing_from(catalog: Catalog, restored: Description) -> tuple[str, set[TableName], set[ColumnName]]:
    """Return the schema, and the tables and columns of a catalog that an earlier description does not know."""
    tables = {each.name for each in catalog.tables if each.object not in restored}
    columns = {(each.table, each.name) for each in catalog.columns if each.object not in restored}
    return catalog.schema, tables, {(table, column) for table, column in columns if table not in tables}


def lock(connection: Connection, schema: str, tables: Set[TableName]) -> None:
    """Keep everyone else out of the tables until the transaction ends: what is counted stays true."""
    for table in sorted(tables):
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(schema, table)))


def refuse(connection: Connection, schema: str, tables: Set[TableName], columns: Set[ColumnName]) -> None:
    """Refuse to lose values.

    Args:
        connection: Reads the tables.
        schema: Where they are.
        tables: Tables that would go: no row may be in them.
        columns: Columns (table, column) that would go: they may hold only NULL.

    Raises:
        MigrationError: Names each table with its rows and each column with its values, counted.
    """
    found = [
        *((f"table {schema}.{table}", "row", _count(connection, schema, table)) for table in sorted(tables)),
        *(
            (f"column {schema}.{table}.{column}", "value", _count(connection, schema, table, column))
            for table, column in sorted(columns)
        ),
    ]
    if held := {name: (count, unit) for name, unit, count in found if count}:
        listed = ", ".join(f"{name} ({counted(count, unit)})" for name, (count, unit) in held.items())
        raise MigrationError(
            f"the way back would lose data: {listed}",
            "Save it first, then say that it may go with allow_data_loss",
            {"data_loss": {name: count for name, (count, _) in held.items()}},
        )


def _count(connection: Connection, schema: str, table: str, column: str | None = None) -> int:
    """Count rows, or values that are not NULL; ONLY, because each partition is counted by itself."""
    what = sql.SQL("*") if column is None else sql.Identifier(column)
    query = sql.SQL("SELECT count({}) FROM ONLY {}").format(what, sql.Identifier(schema, table))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
