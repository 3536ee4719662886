"""A server with TLS and passwords, and what the tests of the transfer know of it."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import difference, snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.load_mark import set_mark
from ansible_collections.contralock.database.plugins.module_utils.target_restore import TargetRecord, database_oid
from ansible_collections.contralock.database.plugins.module_utils.target_state import row_counts
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer

from tests.tls_server import TlsServer

OWNER = "contralock_owner"
APPLICATION = "contralock_app"
#: Signs that break URIs, password files and shells.
SECRET = "s3cret: P@55\\word/#'\"$%"
ROWS = 300
PGLOADER = shutil.which("pgloader")
#: For what holds whatever loads.
both_engines = pytest.mark.parametrize("engine", ["pgloader", "arrow"])


@dataclass(frozen=True)
class Server(TlsServer):
    """One whose database ``model`` has the profile's schema."""

    @contextlib.contextmanager
    def database(self) -> Iterator[Target]:
        """Make a fresh copy of the database with the profile's schema, and drop it at the end."""
        name = f"target_{secrets.token_hex(4)}"
        with psycopg.connect(self.cluster.conninfo(), autocommit=True) as administrator:
            administrator.execute(f"CREATE DATABASE {name} TEMPLATE model OWNER {OWNER} STRATEGY file_copy")
            administrator.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
            yield Target(name, self.conninfo(dbname=name), self.cluster.conninfo(name), self)
            administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class Target:
    """A database with the profile's schema: ``conninfo`` over TLS as its owner, ``administrator`` by socket."""

    name: str
    conninfo: str
    administrator: str
    server: Server


def begun(order: Transfer, owner: Connection) -> TargetRecord:
    """Return the record of a load that has begun; its mark is in the target, and nothing more."""
    record = order.record_of(database_oid(owner))
    set_mark(owner, record.mark, order.record.parent)
    return record


def plant(order: Transfer, *statements: str) -> None:
    """Change the source, as an application does that commits each statement."""
    with contextlib.closing(sqlite3.connect(order.source, isolation_level=None)) as source:
        for statement in statements:
            source.execute(statement)


def replanned(order: Transfer, owner: Connection) -> Transfer:
    """Return the same order after the schema was changed."""
    return replace(order, plan=replace(order.plan, catalog=snapshot(owner)))


def assert_empty_and_whole(order: Transfer, connection: Connection) -> None:
    assert set(row_counts(connection, "public", order.tables).values()) == {0}
    assert difference(order.plan.catalog.description, snapshot(connection).description) == []


@functools.cache
def real_version() -> str:
    """What the real one says; it takes a fifth of a second to say so."""
    done = subprocess.run([str(PGLOADER), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.replace("'", "")


def fake_pgloader(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another pgloader before the real one, which `$REAL` names; it says the real one's version."""
    program = folder / "bin" / "pgloader"
    program.parent.mkdir(exist_ok=True)
    asked = f"[ \"$1\" = --version ] && exec echo '{real_version()}'" if "version" not in script else ""
    program.write_text(f"#!/bin/sh\nREAL={PGLOADER}\n{asked}\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
