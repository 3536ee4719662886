"""A connection as the verbs open it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect

from tests.throwaway_cluster import Cluster, Database


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo, "test of schema changes") as opened:
        yield opened


@pytest.fixture
def other_role(cluster: Cluster, database: Database) -> Iterator[str]:
    """A role that the owner may become, and that may make objects in the database."""
    name = f"{database.name}_other"
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"CREATE ROLE {name} LOGIN; GRANT {name} TO {database.owner}")
        administrator.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
        yield name
        administrator.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def cluster_reader(cluster: Cluster, database: Database, other_role: str) -> str:
    """The connection string of that other role."""
    return cluster.conninfo(database.name, other_role)
