"""What the conversions promise, held against a real PostgreSQL and the driver that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import Column, snapshot
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells
from ansible_collections.contralock.database.plugins.module_utils.conversion_base import Conversion
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.target_reader import _plain
from psycopg import sql

from tests.throwaway_cluster import Cluster
from tests.unit.conversions.conversion_tables import IDS, TABLES
from tests.unit.conversions.type_table import TypeTable

#: Settings of a session that change how PostgreSQL reads or prints values: none may change what is loaded.
ODD_SETTINGS = (
    "SET timezone = 'America/St_Johns'",
    "SET datestyle = 'SQL, DMY'",
    "SET bytea_output = 'escape'",
    "SET extra_float_digits = 0",
    "SET intervalstyle = 'iso_8601'",
)


@dataclass(frozen=True)
class Target:
    """A database with one table per case: ``place`` orders the rows, ``value`` has the case's type."""

    connection: psycopg.Connection[tuple[object, ...]]
    reader: adbc.Connection
    columns: Sequence[Column]

    def load(self, table: TypeTable, texts: Sequence[str | None]) -> None:
        """Put texts into the value's column, as COPY does it: by the type's input function."""
        name = sql.Identifier(table_name(table))
        self.connection.execute(sql.SQL("TRUNCATE {}").format(name))
        with self.connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
            for place, text in enumerate(texts):
                copy.write_row((place, text))

    def read(self, table: TypeTable) -> pa.Array:
        with self.reader.cursor() as cursor:
            cursor.execute(f'SELECT value FROM "{table_name(table)}" ORDER BY place')
            return _plain(cursor.fetch_arrow_table().column(0))

    def conversion(self, table: TypeTable) -> Conversion:
        (column,) = (each for each in self.columns if each.table == table_name(table) and each.name == "value")
        found = conversion_for(column, table.declared_type, table.labels, table.encoding)
        assert found is not None
        return found


def table_name(table: TypeTable) -> str:
    return f"things {TABLES.index(table)}"


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[Target]:
    with cluster.database() as database, psycopg.connect(database.conninfo, autocommit=True) as connection:
        for table in TABLES:
            if table.labels:
                labels = sql.SQL(", ").join(map(sql.Literal, table.labels))
                connection.execute(
                    sql.SQL("CREATE TYPE {} AS ENUM ({})").format(sql.Identifier(table.sql_type), labels)
                )
            create = sql.SQL("CREATE TABLE {} (place integer, value {})")
            connection.execute(create.format(sql.Identifier(table_name(table)), sql.SQL(table.sql_type)))
        with adbc.connect(database.conninfo, autocommit=True) as reader:
            yield Target(connection, reader, snapshot(connection).columns)


tables = pytest.mark.parametrize("table", TABLES, ids=IDS)


def everything(table: TypeTable) -> Cells:
    return Cells.of([None, *(stored for stored, _ in table.fits)])


@tables
def test_the_catalog_says_what_the_tables_of_cases_say(target: Target, table: TypeTable) -> None:
    real, assumed = target.conversion(table).target, table.conversion().target
    assert (real.type_name, real.modifier) == (assumed.type_name, assumed.modifier)


@tables
@pytest.mark.parametrize("settings", [(), ODD_SETTINGS], ids=["plain", "odd settings"])
def test_what_is_loaded_is_read_back_the_same(target: Target, table: TypeTable, settings: Sequence[str]) -> None:
    conversion = target.conversion(table)
    forward = conversion.forward(everything(table))
    for setting in settings:
        target.connection.execute(setting)
    try:
        target.load(table, conversion.render(forward).to_pylist())
    finally:
        target.connection.execute("RESET ALL")
    read = target.read(table)
    assert read.type == conversion.arrow_type
    assert all(conversion.same(forward, read).to_pylist())
    assert all(conversion.same(read, forward).to_pylist())
    back = conversion.forward(conversion.back(read))
    assert all(conversion.same(back, read).to_pylist())


@tables
def test_one_changed_cell_is_seen(target: Target, table: TypeTable) -> None:
    """Each row in its turn has the value of the row before, or NULL: same() says so, and of that row only."""
    conversion = target.conversion(table)
    forward = conversion.forward(everything(table))
    rendered = conversion.render(forward).to_pylist()
    changed = [rendered[-1], *rendered[:-1]]
    target.load(table, changed)
    expected = conversion.render(forward).to_pylist()
    equal = conversion.same(forward, target.read(table)).to_pylist()
    assert equal == [one == other for one, other in zip(changed, expected, strict=True)]
