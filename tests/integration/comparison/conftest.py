"""A ContraLock source, and a target that was loaded from it once and is copied for each test."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import (
    Form,
    Order,
    Ticker,
    write_source,
)

from tests.integration.comparison.loaded_target import CONTRALOCK, Pair, contralock_mapping, run_files
from tests.integration.schema.test_connection import server
from tests.throwaway_cluster import Cluster, Database

__all__ = ["server"]

ROWS = 600


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("comparison") / "source.sqlite"
    write_source(Order(path, ROWS, 7, Form.DEPLOYED, False), Ticker(sys.stderr, quiet=True))
    return path


@pytest.fixture(scope="session")
def template(cluster: Cluster, source: Path) -> Iterator[Database]:
    """The loaded target; nobody stays connected to it."""
    with cluster.database() as fresh:
        run_files(fresh.conninfo, sorted((CONTRALOCK / "schema").glob("*.up.sql")))
        # A superuser loads without regard to foreign keys; the owner of everything stays the database's.
        Pair(
            source, f"{fresh.superuser_conninfo} options='-c session_replication_role=replica'", contralock_mapping()
        ).load()
        yield fresh


@pytest.fixture
def pair(cluster: Cluster, template: Database, source: Path) -> Iterator[Pair]:
    """A copy of the loaded target, to be spoilt; the changes are made without regard to foreign keys."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE {template.name} OWNER {template.owner}")
    yield Pair(source, cluster.conninfo(name, template.owner), contralock_mapping())
    with psycopg.connect(cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
