"""A server with TLS and passwords, databases with the profile's schema on it, and a directory for a load's files."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.plan import make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.profile.contralock_target import PROFILE, UPS, run_change
from tests.integration.transfer.transfer_server import (
    APPLICATION,
    OWNER,
    ROWS,
    SECRET,
    Server,
    Target,
    fake_pgloader,
)
from tests.tls_server import tls_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with tls_server(tmp_path_factory.mktemp("tls"), SECRET, (OWNER, APPLICATION), "model") as running:
        with psycopg.connect(running.cluster.conninfo(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE model OWNER {OWNER}")
            connection.execute("REVOKE ALL ON DATABASE model FROM PUBLIC")
        with psycopg.connect(running.conninfo(), autocommit=True) as connection:
            for up in UPS:
                run_change(connection, up.read_text())
        yield Server(**vars(running))


@pytest.fixture
def target(server: Server) -> Iterator[Target]:
    """A fresh copy of the database with the profile's schema."""
    with server.database() as fresh:
        yield fresh


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


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source as the deployed application writes it."""
    return write_source(Order(tmp_path_factory.mktemp("source") / "app.sqlite", ROWS, 1, Form.DEPLOYED)).order.path


@pytest.fixture(scope="session")
def rows_file(server: Server, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's rows as SQL for an administrator, so that a test need not wait for a loader."""
    folder = tmp_path_factory.mktemp("rows")
    with server.database() as filled, connect(filled.conninfo, "test of the transfer") as connection:
        transfer(planned(connection, sample, filled, folder / "scratch", folder / "record"))
        dump = ["pg_dump", "--data-only", "--disable-triggers", "--no-owner", f"--file={folder / 'rows.sql'}"]
        subprocess.run([*dump, filled.administrator], check=True)
    return folder / "rows.sql"


@pytest.fixture
def engine() -> str:
    """What loads, unless a test says otherwise (``both_engines``)."""
    return "pgloader"


@pytest.fixture
def copied(sample: Path, tmp_path: Path) -> Path:
    """The sample once more, to plant faults in."""
    return Path(shutil.copy(sample, tmp_path / "source.sqlite"))


@pytest.fixture
def order(copied: Path, target: Target, owner: Connection, scratch: Path, engine: str) -> Transfer:
    """The sample into the target by the profile's plan."""
    return replace(planned(owner, copied, target, scratch, copied.with_name("target_before.json")), engine=engine)


def planned(owner: Connection, source: Path, target: Target, scratch: Path, record: Path) -> Transfer:
    with contextlib.closing(open_source(source)) as opened:
        plan = make_plan(load_profile(PROFILE).mapping, read_schema(opened), snapshot(owner))
    return Transfer(source, target.conninfo, plan, scratch, record, "test")


@pytest.fixture
def loads_and_then(
    order: Transfer, target: Target, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """A pgloader that loads everything, runs some SQL as the owner, and ends with exit code 0."""

    def install(sql: str) -> None:
        file = order.source.with_name("then.sql")
        file.write_text(f"SET ROLE {OWNER}; SET search_path TO public;\n{sql};\n")
        psql = f'psql -qX -v ON_ERROR_STOP=1 -f {rows_file} -f {file} "{target.administrator}"'
        fake_pgloader(order.source.parent, f"exec {psql}", monkeypatch)

    return install


@pytest.fixture
def quick_pgloader(loads_and_then: Callable[[str], None]) -> None:
    """A pgloader that loads exactly the sample, and fast; the other engine is fast by itself."""
    loads_and_then("SELECT")
