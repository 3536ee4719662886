"""The private PostgreSQL cluster of the tests: that of the library, with a role that has to show a password."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from ansible_collections.contralock.database.plugins.module_utils.private_cluster import (
    SUPERUSER,
    Cluster,
    Database,
    private_cluster,
)
from psycopg import sql

__all__ = ["PASSWORD_ROLE", "SUPERUSER", "Cluster", "Database", "throwaway_cluster"]

#: Members of this role have to show a password, so that a test can fail to.
PASSWORD_ROLE = "asks_for_password"
ACCESS_RULES = (f"local all +{PASSWORD_ROLE} scram-sha-256", "local all all trust")


@contextlib.contextmanager
def throwaway_cluster(
    settings: Mapping[str, str] | None = None,
    access_rules: Sequence[str] = ACCESS_RULES,
    files: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Run a private cluster for the length of the block; see ``private_cluster``."""
    with private_cluster(settings, access_rules, files) as cluster:
        with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(PASSWORD_ROLE)))
        yield cluster
