"""Sources by hand, targets in a transaction that is rolled back, and the plan between them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import Catalog, snapshot
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_schema as read_document
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import Mapping, parse_mapping
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.integration.profile.contralock_target import PROFILE, UPS, run_change
from tests.throwaway_cluster import Cluster

DOCUMENT_SCHEMA = read_document(PROFILE.parent / "mapping.schema.json")


def mapping(**document: Any) -> Mapping:
    """A mapping of these entries; names stay as they are unless ``naming`` says otherwise."""
    return parse_mapping({"version": 1, "naming": "keep", **document}, DOCUMENT_SCHEMA)


@pytest.fixture(scope="session")
def _connection(cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    with cluster.database() as fresh, psycopg.connect(fresh.superuser_conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture
def target(_connection: psycopg.Connection[Any]) -> Callable[[str], Catalog]:
    """Return the catalog after a script."""

    def describe(script: str) -> Catalog:
        with _connection.transaction(force_rollback=True):
            _connection.execute(script.encode())
            return snapshot(_connection)

    return describe


@pytest.fixture(scope="session")
def contralock(cluster: Cluster) -> Catalog:
    """The catalog of the profile's own schema."""
    with cluster.database() as fresh, psycopg.connect(fresh.conninfo, autocommit=True) as connection:
        for up in UPS:
            run_change(connection, up.read_text())
        return snapshot(connection)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    """One file of each form."""
    folder = tmp_path_factory.mktemp("planned")
    return {form: write_source(Order(folder / f"{form}.sqlite", 3000, 1, form)).order.path for form in Form}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Callable[[str], sqlite3.Connection]]:
    """Write a SQLite file with a script and open it as the source."""
    with ExitStack() as stack:

        def write(script: str) -> sqlite3.Connection:
            path = tmp_path / "source.sqlite"
            path.unlink(missing_ok=True)
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.executescript(script)
            return stack.enter_context(closing(open_source(path)))

        yield write


@pytest.fixture
def planned(
    source: Callable[[str], sqlite3.Connection], target: Callable[[str], Catalog]
) -> Callable[..., tuple[sqlite3.Connection, Plan]]:
    """Return the opened source of one script and the plan into the target of another."""

    def plan(sqlite: str, postgresql: str, **document: Any) -> tuple[sqlite3.Connection, Plan]:
        connection = source(sqlite)
        return connection, make_plan(mapping(**document), read_schema(connection), target(postgresql))

    return plan
