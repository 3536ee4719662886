"""A server with TLS and passwords, databases with the profile's schema on it, and a directory for a load's files."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from psycopg import sql

from tests.integration.profile.contralock_target import UPS, run_change
from tests.integration.transfer.transfer_server import (
    APPLICATION,
    OWNER,
    SECRET,
    Server,
    Target,
    certificate,
    free_port,
)
from tests.throwaway_cluster import throwaway_cluster


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    ca_key, ca = certificate(folder, "ca")
    other = certificate(folder, "other")[1]
    signed = ["-CA", str(ca), "-CAkey", str(ca_key), "-addext", "subjectAltName=DNS:localhost"]
    key, file = certificate(folder, "localhost", *signed)
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on", "password_encryption": "scram-sha-256"}
    rules = ["local all postgres trust", f"hostssl all {OWNER},{APPLICATION} all scram-sha-256"]
    files = {"server.crt": file.read_text(), "server.key": key.read_text()}
    passfile = folder / "pgpass"
    passfile.touch(mode=0o600)
    escaped = SECRET.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:*:*:{escaped}\n")
    with throwaway_cluster(settings, rules, files) as cluster:
        with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
            for role in (OWNER, APPLICATION):
                password = sql.Literal(SECRET)
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), password))
            connection.execute(f"CREATE DATABASE model OWNER {OWNER}")
            connection.execute("REVOKE ALL ON DATABASE model FROM PUBLIC")
        made = Server(cluster, port, ca, other, passfile)
        with psycopg.connect(made.conninfo(), autocommit=True) as connection:
            for up in UPS:
                run_change(connection, up.read_text())
        yield made


@pytest.fixture
def target(server: Server) -> Iterator[Target]:
    """A fresh copy of the database with the profile's schema."""
    name = f"target_{secrets.token_hex(4)}"
    with psycopg.connect(server.cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE model OWNER {OWNER} STRATEGY file_copy")
        administrator.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        yield Target(name, server.conninfo(dbname=name), server.cluster.conninfo(name), server)
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def owner(target: Target) -> Iterator[Connection]:
    """The owner's session, as the verbs open it."""
    with connect(target.conninfo, "test of the transfer") as opened:
        yield opened


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A private directory with a short path: a socket's may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="transfer-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
