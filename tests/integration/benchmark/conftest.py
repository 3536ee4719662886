"""The same rows in both databases."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, Ticker, write_source
from ansible_collections.contralock.database.plugins.module_utils.workload_clients import Place

from tests.integration.benchmark.measuring import mark, script
from tests.throwaway_cluster import Cluster

RICH = "UPDATE wallets SET status = 'ACTIVE', currency = 'USD', balance = 1000000"


@pytest.fixture(scope="module")
def places(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """The same rows in both databases; money moves in them from test to test."""
    folder = tmp_path_factory.mktemp("benchmark")
    file = folder / "copy.sqlite"
    write_source(Order(file, 600), Ticker(sys.stderr, quiet=True))
    with closing(sqlite3.connect(file)) as session, session:
        session.execute(RICH)
    with cluster.database() as database:
        common = ("--profile", "contralock", "--target", database.conninfo, "--quiet")
        script("apply_schema.py", *common)
        script("transfer_data.py", file, *common, "--engine", "arrow", "--directory", folder / "state")
        mark(database.conninfo, "Scratch database of a test")
        yield Place("sqlite", file=file), Place("postgresql", target=database.conninfo)
