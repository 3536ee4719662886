"""Small sources and targets by hand, beside the profile's: their tables, their plan, and what an examination finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.findings import Examination, examine
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_schema as read_document
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import Mapping, parse_mapping
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.integration.profile.contralock_target import PROFILE
from tests.integration.transfer.transfer_server import OWNER, Server, Target


@contextmanager
def small_target(server: Server, script: str) -> Iterator[Target]:
    """Make a database whose schema is what the owner's script makes of an empty one."""
    with server.database() as fresh:
        with psycopg.connect(fresh.administrator, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION {OWNER}")
            connection.execute(f"SET ROLE {OWNER}")
            connection.execute(script.encode())
        yield fresh


def small_source(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(script)
    return path


def mapping(document: dict[str, Any]) -> Mapping:
    """A mapping of these entries; names stay as they are."""
    return parse_mapping(
        {"version": 1, "naming": "keep", **document}, read_document(PROFILE.parent / "mapping.schema.json")
    )


def planned(file: Path, target: Target, document: dict[str, Any]) -> Plan:
    with closing(open_source(file)) as source, connect(target.conninfo, "test of a small source") as connection:
        return make_plan(mapping(document), read_schema(source), snapshot(connection))


def examined(file: Path, target: Target, document: dict[str, Any]) -> Examination:
    with closing(open_source(file)) as source:
        return examine(source, planned(file, target, document))
