"""The profile `contralock_deployed`: the forms of a source that it is for, and an application that owns its tables."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import Comparison
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.plan import make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.sample_source.ddl import TABLES
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.target_restore import restore_target
from ansible_collections.contralock.database.plugins.module_utils.target_state import target_fingerprint
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.profile.sequelize_start import start_application
from tests.integration.transfer.transfer_server import OWNER, Server, Target, begun

PROFILE = Path(__file__).parents[3] / "files" / "profiles" / "contralock_deployed"
CHANGES = load_changes(PROFILE / "schema")
MAPPING = load_profile(PROFILE).mapping
ROWS = 240
STRAYS = {Form.DEPLOYED: [], Form.LONGLIVED: ["users_backup"], Form.FROM_MIGRATIONS: ["SequelizeMeta"]}


@pytest.fixture(scope="module")
def model(server: Server) -> Iterator[str]:
    """A database with the profile's schema, to be copied."""
    with psycopg.connect(server.cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE model_deployed OWNER {OWNER}")
        with connect(server.conninfo(dbname="model_deployed"), "test of the deployed profile") as connection:
            perform(connection, Request(CHANGES))
        yield "model_deployed"
        administrator.execute("DROP DATABASE model_deployed WITH (FORCE)")


@pytest.fixture
def deployed(server: Server, model: str) -> Iterator[Target]:
    """A fresh copy of it."""
    name = f"deployed_{secrets.token_hex(4)}"
    with psycopg.connect(server.cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE {model} OWNER {OWNER} STRATEGY file_copy")
        yield Target(name, server.conninfo(dbname=name), server.cluster.conninfo(name), server)
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def application(server: Server, deployed: Target) -> Iterator[str]:
    """A role that owns the tables, of which the owner of the database is a member."""
    role = f"{deployed.name}_application"
    with psycopg.connect(server.cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"CREATE ROLE {role} LOGIN; GRANT {role} TO {OWNER}")
        with connect(deployed.conninfo, "test of the deployed profile") as connection:
            assert len(perform(connection, Request(CHANGES, tables_owner=role)).handed_over) == 13 + 19
        yield role
        with psycopg.connect(deployed.administrator, autocommit=True) as inside:
            inside.execute(f"REASSIGN OWNED BY {role} TO {OWNER}; DROP OWNED BY {role}")
        administrator.execute(f"DROP ROLE {role}")


def source_of(form: Form, folder: Path) -> Path:
    return write_source(Order(folder / "app.sqlite", ROWS, 3, form)).order.path


def order_of(source: Path, target: Target, scratch: Path) -> Transfer:
    with contextlib.closing(open_source(source)) as opened, connect(target.conninfo, "test of the plan") as connection:
        plan = make_plan(MAPPING, read_schema(opened), snapshot(connection))
    return Transfer(source, target.conninfo, plan, scratch, source.with_name("record.json"), "test")


def compared(source: Path, target: Target) -> Comparison:
    return compare_file(source, target.conninfo, MAPPING, Options(b"key of the tests"))


@pytest.mark.parametrize("form", [Form.LONGLIVED, Form.FROM_MIGRATIONS])
def test_what_the_application_has_written_moves_cell_for_cell(
    form: Form, deployed: Target, scratch: Path, tmp_path: Path
) -> None:
    source = source_of(form, tmp_path)
    order = order_of(source, deployed, scratch)
    assert (list(order.plan.tables_left_behind), len(order.plan.tables)) == (STRAYS[form], 12)
    transfer(replace(order, engine="arrow"))
    found = compared(source, deployed)
    assert (found.equal, found.rows, found.catalog_faults) == (True, ROWS, ())
    assert found.notes == ()


@pytest.mark.parametrize("engine", ["pgloader", "arrow"])
def test_tables_that_the_application_owns_are_loaded_compared_and_altered(
    engine: str, deployed: Target, application: str, scratch: Path, tmp_path: Path
) -> None:
    source = source_of(Form.DEPLOYED, tmp_path)
    transfer(replace(order_of(source, deployed, scratch), engine=engine))
    found = compared(source, deployed)
    assert (found.equal, found.notes) == (True, ())
    with (
        psycopg.connect(deployed.administrator, autocommit=True) as session,
        connect(deployed.conninfo, "test of the deployed profile") as owner,
    ):
        loaded = target_fingerprint(owner, "public", TABLES)
        session.execute(f"SET SESSION AUTHORIZATION {application}")
        for number in (1, 2):
            start_application(session)
            report = perform(owner, Request(CHANGES, tables_owner=application))
            assert ([len(report.altered), report.changed], number) == ([2 * number, False], number)
        assert target_fingerprint(owner, "public", TABLES) == loaded
    assert compared(source, deployed).equal


def test_a_load_into_tables_that_the_application_owns_is_taken_back(
    deployed: Target, application: str, scratch: Path, tmp_path: Path
) -> None:
    order = order_of(source_of(Form.DEPLOYED, tmp_path), deployed, scratch)
    with connect(deployed.conninfo, "test of the deployed profile") as owner:
        before = snapshot(owner).description
        record = begun(order, owner)
        _half_load(owner)
        restored = restore_target(deployed.conninfo, replace(record, application_name="nobody"))
        assert restored.rows == {"users": 1}
        assert snapshot(owner).description == before


def _half_load(owner: Connection) -> None:
    """Leave what a killed load leaves: rows, and a foreign key that is gone."""
    owner.execute(
        'INSERT INTO users (_id, email, password, "firstName", "lastName", role)'
        " VALUES ('user-1', 'a@b.test', 'x', 'A', 'B', 'client')"
    )
    owner.execute("ALTER TABLE projects DROP CONSTRAINT projects_client_fkey")
