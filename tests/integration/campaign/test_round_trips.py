"""Any schema, any rows: loaded by both engines, the same; read back, the cells that the application had written.

``--examples N`` tables (200 unless said otherwise) with each engine, twenty at a time: an engine takes long to begin.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import psycopg
import pyarrow.compute as pc
import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options as Assessed
from ansible_collections.contralock.database.plugins.module_utils.assessment import assess_file
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import Assessment, Verdict
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_schema as mapping_schema
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import Mapping, parse_mapping
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.target_reader import open_target, select_columns
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from hypothesis import HealthCheck, Phase, given, settings

from tests.integration.campaign.made_databases import KINDS, LABELS, NAMES, MadeTable, made_databases
from tests.integration.comparison.loaded_target import PROJECT, Pair
from tests.throwaway_cluster import Cluster

#: Names to tables, parents before their children.
Tables = dict[str, MadeTable]

AT_ONCE = 20
#: Of so many databases one is assessed before, as it is and with a misfit.
ASSESSED = 5
#: A smaller database is found by taking tables away, not by shrinking each value of twenty tables.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
SCHEMA = mapping_schema(PROJECT / "files" / "profiles" / "mapping.schema.json")
FILES = itertools.count()


def made_source(path: Path, tables: Tables) -> None:
    with closing(sqlite3.connect(path)) as source, source:
        for name, table in tables.items():
            source.execute(table.created(name, target=False))
            holes = ", ".join("?" * len(table.kinds))
            source.executemany(f"INSERT INTO {name} VALUES ({holes})", table.rows)


def made_target(target: str, tables: Tables) -> None:
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute(f"CREATE TYPE state AS ENUM {LABELS!r}")
        for name, table in tables.items():
            connection.execute(table.created(name, target=True).encode())


def made_mapping(tables: Tables) -> Mapping:
    entries = {}
    for name, table in tables.items():
        columns = {NAMES[at]: {"written_by": KINDS[kind].maker} for at, kind in enumerate(table.kinds)}
        entries[name] = {"columns": columns}
    return parse_mapping({"version": 1, "naming": "keep", "tables": entries}, SCHEMA)


def assert_way_back(pair: Pair, plan: Plan, tables: Tables) -> None:
    """PostgreSQL's values become a SQLite file again: with the same cells, or with the document's meaning."""
    made = pair.source.with_suffix(".back")
    made_source(made, {name: replace(table, rows=()) for name, table in tables.items()})
    with closing(sqlite3.connect(made)) as file, open_target(pair.target, "round trip") as target, file:
        for table in plan.tables:
            names = [column.target.name for column in table.columns]
            for values in target.read(select_columns("public", table.target, names), table.target):
                backs = [column.conversion.back(each) for column, each in zip(table.columns, values, strict=True)]
                listed = ", ".join(f'"{name}"' for name in names)
                for column, value, each in zip(table.columns, values, backs, strict=True):
                    assert pc.all(column.conversion.same(column.conversion.forward(each), value)).as_py() is True
                rows = ([each.python(row) for each in backs] for row in range(len(values[0])))
                file.executemany(f"INSERT INTO {table.target} ({listed}) VALUES ({', '.join('?' * len(names))})", rows)
    with closing(sqlite3.connect(made)) as back, closing(sqlite3.connect(pair.source)) as before:
        for name, table in tables.items():
            exact = [f'"{NAMES[at]}"' for at, kind in enumerate(table.kinds) if not KINDS[kind].is_document]
            query = f"SELECT {', '.join([*exact, '0'])} FROM {name}"
            assert sorted(map(repr, back.execute(query))) == sorted(map(repr, before.execute(query)))
    made.unlink()


def assert_misfit_refused(pair: Pair, order: Transfer, tables: Tables) -> None:
    """One cell of a class that no maker writes: an assessment is not ready, and the load refuses it in its words."""
    full = [name for name, table in tables.items() if table.rows and table.key < len(table.kinds)]
    if not full:
        return
    name = full[len(full) // 2]
    table = tables[name]
    column = NAMES[len(table.kinds) - 1]
    wrong = 5 if table.kinds[-1] == "bytea" else b"\xff"
    spoiled = Path(shutil.copy(pair.source, pair.source.with_suffix(".spoiled")))
    with closing(sqlite3.connect(spoiled)) as file, file:
        file.execute(f'UPDATE {name} SET "{column}" = ? WHERE rowid = (SELECT max(rowid) FROM {name})', [wrong])
    assessment = assessed(replace(pair, source=spoiled), order)
    assert assessment.verdict is Verdict.NOT_READY
    assert [(each.table, each.column, each.count) for each in assessment.findings] == [(name, column, 1)]
    with pytest.raises(MigrationError) as refused:
        transfer(replace(order, source=spoiled))
    assert [asdict(each) for each in assessment.findings] == list(refused.value.details["findings"])
    spoiled.unlink()


def assessed(pair: Pair, order: Transfer) -> Assessment:
    options = Assessed(pair.source.parent, engine=order.engine)
    return assess_file(pair.source, pair.target, pair.mapping, options, lambda *_: None)


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[str]:
    with cluster.database() as database:
        yield database.conninfo


@pytest.mark.parametrize("engine", ["pgloader", "arrow"])
def test_there_and_back(engine: str, target: str, tmp_path_factory, pytestconfig) -> None:
    folder = tmp_path_factory.mktemp(engine)
    chosen = {"max_examples": max(1, pytestconfig.getoption("examples") // AT_ONCE), "deadline": None, "database": None}
    unhealthy = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

    chosen_for = itertools.cycle(range(ASSESSED))

    @settings(**chosen, phases=PHASES, suppress_health_check=unhealthy, derandomize=True)
    @given(made_databases(AT_ONCE))
    def there_and_back(tables: Tables) -> None:
        pair = Pair(folder / f"{next(FILES)}.sqlite", target, made_mapping(tables))
        made_source(pair.source, tables)
        made_target(target, tables)
        with closing(open_source(pair.source)) as source, connect(target, "round trip") as connection:
            plan = make_plan(pair.mapping, read_schema(source), snapshot(connection))
        record = folder / "record.json"
        record.unlink(missing_ok=True)
        order = Transfer(pair.source, target, plan, folder / "scratch", record, "trip", engine=engine)
        if next(chosen_for) == 0:
            assert assessed(pair, order).verdict is Verdict.READY
            assert_misfit_refused(pair, order, tables)
        transfer(order)
        comparison = pair.compare(batch_rows=5)
        assert comparison.equal, comparison.differences
        assert comparison.rows == sum(len(table.rows) for table in tables.values())
        assert_way_back(pair, plan, tables)
        pair.source.unlink()

    there_and_back()
