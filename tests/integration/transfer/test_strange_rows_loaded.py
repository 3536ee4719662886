"""Strange rows rather than values: keys that differ by case, nothing but NULLs, empty tables, cells of megabytes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.transfer.small_targets import examined, mapping, planned, small_source, small_target
from tests.integration.transfer.transfer_server import Server, Target, both_engines

MEGABYTES = 2 << 20
ID = "0b8e2a4c-6f3d-4e1a-9b7c-2d5f8a1e3c60"
#: A name of every sign of ASCII that no engine refuses.
SIGNS = "!#$%&()*+,-.:;<=>?@[]^_{|}~"

SOURCE = f"""
CREATE TABLE people (name TEXT PRIMARY KEY, nick TEXT COLLATE NOCASE, email TEXT);
INSERT INTO people VALUES ('Bob', 'bob', 'A@x.org'), ('BOB', 'BOB', 'a@x.org'), ('bob ', 'Bob', NULL);
CREATE TABLE things (id UUID PRIMARY KEY, note TEXT);
INSERT INTO things VALUES ('{ID}', '');
CREATE TABLE blanks (a TEXT, b INTEGER, c DATETIME, d JSON, e BLOB);
INSERT INTO blanks VALUES (NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL);
CREATE TABLE nobody (id INTEGER PRIMARY KEY, a DECIMAL(5,2), d JSON);
CREATE TABLE large (id INTEGER PRIMARY KEY, text TEXT, document JSON, bytes BLOB);
CREATE TABLE "{SIGNS}" (id INTEGER PRIMARY KEY, "{SIGNS}" TEXT, "it's a/b" TEXT);
INSERT INTO "{SIGNS}" VALUES (1, 'a', 'b'), (2, NULL, '');
"""
TARGET = f"""
CREATE TABLE people (name text PRIMARY KEY, nick text UNIQUE, email text UNIQUE);
CREATE TABLE things (id uuid PRIMARY KEY, note text);
CREATE TABLE blanks (a text, b integer, c timestamptz(3), d jsonb, e bytea);
CREATE TABLE nobody (id bigint PRIMARY KEY, a numeric(5,2), d jsonb);
CREATE TABLE large (id bigint PRIMARY KEY, text text, document jsonb, bytes bytea);
CREATE TABLE "{SIGNS}" (id bigint PRIMARY KEY, "{SIGNS}" text, "it's a/b" text);
"""
NEITHER = "the same as in another row, where PostgreSQL wants each once"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = small_source(tmp_path_factory.mktemp("rows") / "rows.sqlite", SOURCE)
    long = "\u00e9\\\n\t" * (MEGABYTES // 5)
    with closing(sqlite3.connect(path)) as connection, connection:
        document = json.dumps({"b": long, "a": list(range(1000))}, ensure_ascii=False)
        rows = [(1, long, document, bytes(MEGABYTES)), (2, "", "[]", b""), (3, long + "x", "null", b"\xff" * MEGABYTES)]
        connection.executemany("INSERT INTO large VALUES (?, ?, ?, ?)", rows)
    return path


@pytest.fixture(scope="module")
def target(server: Server) -> Iterator[Target]:
    with small_target(server, TARGET) as made:
        yield made


@both_engines
def test_strange_rows_arrive(file: Path, target: Target, scratch: Path, engine: str) -> None:
    plan = planned(file, target, {})
    record = scratch / "record.json"
    report = transfer(Transfer(file, target.conninfo, plan, scratch, record, "rows", discard_rows=True, engine=engine))
    assert {name: table.rows for name, table in report.tables.items()} == {
        "people": 3,
        "things": 1,
        "blanks": 2,
        "nobody": 0,
        "large": 3,
        SIGNS: 2,
    }
    found = compare_file(file, target.conninfo, mapping({}), Options(b"key", expected=plan.catalog.description))
    assert found.equal, found.differences
    with connect(target.conninfo, "test of strange rows") as connection:
        query = "SELECT length(text), length(document->>'b'), length(bytes) FROM large ORDER BY id"
        characters = 4 * (MEGABYTES // 5)
        assert connection.execute(query).fetchall() == [
            (characters, characters, MEGABYTES),
            (0, None, 0),
            (characters + 1, None, MEGABYTES),
        ]


def test_keys_that_are_one_after_their_conversion_are_found(file: Path, target: Target, tmp_path: Path) -> None:
    """SQLite takes a uuid twice, in two spellings; PostgreSQL's uuid and an address in lower case are one."""
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("INSERT INTO things VALUES (?, 'again')", [ID.upper()])
    document = {"tables": {"people": {"columns": {"email": {"rules": ["lower"]}}}}}
    findings = examined(copy, target, document).findings
    assert {(each.table, each.column, each.reason) for each in findings} == {
        ("people", "email", NEITHER),
        ("things", "id", NEITHER),
    }
    assert examined(file, target, {}).ready
    with pytest.raises(MigrationError, match="the same as in another row"):
        examined(copy, target, {}).raise_unless_ready()
