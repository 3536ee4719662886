"""The schema of the profile `contralock`, in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.profile.contralock_target import UPS, Connection, run_change
from tests.throwaway_cluster import Cluster


@pytest.fixture(scope="module")
def _installed(cluster: Cluster) -> Iterator[Connection]:
    with cluster.database() as fresh, psycopg.connect(fresh.conninfo, autocommit=True) as connection:
        for up in UPS:
            run_change(connection, up.read_text())
        yield connection


@pytest.fixture
def installed(_installed: Connection) -> Iterator[Connection]:
    """The schema in place; what a test does to it is rolled back."""
    with _installed.transaction(force_rollback=True):
        yield _installed
