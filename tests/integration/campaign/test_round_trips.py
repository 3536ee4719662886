"""Any schema, any rows: loaded by both engines, the same; read back, the cells that the application had written.

``--examples N`` tables (200 unless said otherwise) with each engine, twenty at a time: an engine takes long to begin.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_schema as mapping_schema
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import parse_mapping
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_reader import read_table
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.target_reader import open_target, select_columns
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.campaign.made_databases import KINDS, LABELS, MadeTable, made_tables
from tests.integration.comparison.loaded_target import PROJECT, Pair
from tests.throwaway_cluster import Cluster

AT_ONCE = 20
#: A smaller database is found by taking tables away, not by shrinking each value of twenty tables.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
SCHEMA = mapping_schema(PROJECT / "files" / "profiles" / "mapping.schema.json")
FILES = itertools.count()


def made_source(path: Path, tables: Sequence[MadeTable]) -> None:
    with closing(sqlite3.connect(path)) as source, source:
        for number, table in enumerate(tables):
            columns = [f"c{at} {KINDS[kind].declared}" for at, kind in enumerate(table.kinds)]
            key = [f"PRIMARY KEY ({', '.join(f'c{at}' for at in range(table.key))})"] if table.key else []
            source.execute(f"CREATE TABLE t{number} ({', '.join([*columns, *key])})")
            holes = ", ".join("?" * len(table.kinds))
            source.executemany(f"INSERT INTO t{number} VALUES ({holes})", table.rows)


def made_target(target: str, tables: Sequence[MadeTable]) -> None:
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute(f"CREATE TYPE state AS ENUM {LABELS!r}")
        for number, table in enumerate(tables):
            columns = [f"c{at} {KINDS[kind].target}" for at, kind in enumerate(table.kinds)]
            key = [f"PRIMARY KEY ({', '.join(f'c{at}' for at in range(table.key))})"] if table.key else []
            connection.execute(f"CREATE TABLE t{number} ({', '.join([*columns, *key])})")


def made_mapping(tables: Sequence[MadeTable]):
    entries = {}
    for number, table in enumerate(tables):
        columns = {f"c{at}": {"written_by": KINDS[kind].maker} for at, kind in enumerate(table.kinds)}
        entries[f"t{number}"] = {"columns": columns}
    return parse_mapping({"version": 1, "naming": "keep", "tables": entries}, SCHEMA)


def assert_way_back(pair: Pair, plan: Plan, tables: Sequence[MadeTable]) -> None:
    """PostgreSQL's values become the cells of the source again: exactly, or with the document's meaning."""
    with closing(open_source(pair.source)) as source, open_target(pair.target, "round trip") as target:
        for table in plan.tables:
            made = tables[int(table.target[1:])]
            names = [column.target.name for column in table.columns]
            stored = [Cells.concat(parts) for parts in zip(*read_table(source, table.source.name, names), strict=True)]
            (values,) = list(target.read(select_columns("public", table.target, names), table.target)) or [None]
            if not made.rows:
                assert values is None
                continue
            kinds = [KINDS[made.kinds[int(name[1:])]] for name in names]
            backs = [column.conversion.back(each) for column, each in zip(table.columns, values, strict=True)]
            rows = range(len(made.rows))
            exact = [at for at, kind in enumerate(kinds) if not kind.is_document]
            before = sorted(repr([stored[at].stored(row) for at in exact]) for row in rows)
            assert sorted(repr([backs[at].stored(row) for at in exact]) for row in rows) == before
            for at, column in enumerate(table.columns):
                again = column.conversion.forward(backs[at])
                assert column.conversion.same(again, values[at]).to_pylist() == [True] * len(rows)


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[str]:
    with cluster.database() as database:
        yield database.conninfo


@pytest.mark.parametrize("engine", ["pgloader", "arrow"])
def test_there_and_back(engine: str, target: str, tmp_path_factory, pytestconfig) -> None:
    folder = tmp_path_factory.mktemp(engine)
    chosen = {"max_examples": max(1, pytestconfig.getoption("examples") // AT_ONCE), "deadline": None, "database": None}
    unhealthy = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

    @settings(**chosen, phases=PHASES, suppress_health_check=unhealthy, derandomize=True)
    @given(st.lists(made_tables(), min_size=AT_ONCE, max_size=AT_ONCE))
    def there_and_back(tables: list[MadeTable]) -> None:
        pair = Pair(folder / f"{next(FILES)}.sqlite", target, made_mapping(tables))
        made_source(pair.source, tables)
        made_target(target, tables)
        with closing(open_source(pair.source)) as source, connect(target, "round trip") as connection:
            plan = make_plan(pair.mapping, read_schema(source), snapshot(connection))
        record = folder / "record.json"
        record.unlink(missing_ok=True)
        transfer(Transfer(pair.source, target, plan, folder / "scratch", record, "trip", engine=engine))
        comparison = pair.compare(batch_rows=5)
        assert comparison.equal, comparison.differences
        assert comparison.rows == sum(len(table.rows) for table in tables)
        assert_way_back(pair, plan, tables)
        pair.source.unlink()

    there_and_back()
