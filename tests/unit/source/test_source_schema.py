"""The schema is read as SQLite itself understands it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import (
    SourceColumn,
    SourceForeignKey,
    SourceSchema,
    read_schema,
)

Opened = Callable[..., sqlite3.Connection]

SCRIPT = """
    CREATE TABLE [Order "1"] (
        _id VARCHAR(255) UNIQUE PRIMARY KEY, "from" INTEGER NOT NULL DEFAULT '0', at DATETIME DEFAULT CURRENT_TIMESTAMP,
        doubled AS ("from" * 2), kept INTEGER AS ("from" * 3) STORED, bare);
    CREATE TABLE line ("order" TEXT REFERENCES [ORDER "1"], number INTEGER, parent_order, parent_number,
        PRIMARY KEY (number, "order"),
        FOREIGN KEY (parent_order, parent_number) REFERENCES line ("order", number)) WITHOUT ROWID;
    CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;
    CREATE TABLE keyless (a, b);
    INSERT INTO counted DEFAULT VALUES;
    INSERT INTO keyless VALUES (1, 2), (1, 2);
    CREATE VIEW seen AS SELECT * FROM keyless;
    CREATE TRIGGER tr AFTER INSERT ON keyless BEGIN SELECT 1; END;
    ANALYZE;
"""


@pytest.fixture
def schema(opened: Opened) -> SourceSchema:
    return read_schema(opened(SCRIPT))


def test_the_applications_tables_views_and_triggers_are_listed(schema: SourceSchema) -> None:
    assert [table.name for table in schema.tables] == ['Order "1"', "counted", "keyless", "line"]
    assert schema.views == ("seen",)
    assert schema.triggers == ("tr on keyless",)


def test_columns_say_all_that_is_declared(schema: SourceSchema) -> None:
    assert schema.table('Order "1"').columns == (
        SourceColumn("_id", "VARCHAR(255)", False, None, 1, False),
        SourceColumn("from", "INTEGER", True, "'0'", 0, False),
        SourceColumn("at", "DATETIME", False, "CURRENT_TIMESTAMP", 0, False),
        SourceColumn("doubled", "", False, None, 0, True),
        SourceColumn("kept", "INTEGER", False, None, 0, True),
        SourceColumn("bare", "", False, None, 0, False),
    )
    assert schema.table("line").column("order").declared_type == "TEXT"


def test_keys_have_their_declared_order(schema: SourceSchema) -> None:
    keys = {table.name: table.key for table in schema.tables}
    assert keys == {'Order "1"': ("_id",), "counted": ("id",), "keyless": (), "line": ("number", "order")}


def test_foreign_keys_are_complete(schema: SourceSchema) -> None:
    assert schema.table("line").foreign_keys == (
        SourceForeignKey(("order",), 'Order "1"', ("_id",)),
        SourceForeignKey(("parent_order", "parent_number"), "line", ("order", "number")),
    )


def test_kinds_of_tables_are_told_apart(schema: SourceSchema) -> None:
    kinds = {table.name: (table.without_rowid, table.strict, table.rows) for table in schema.tables}
    assert kinds == {
        'Order "1"': (False, False, 0),
        "counted": (False, True, 1),
        "keyless": (False, False, 2),
        "line": (True, False, 0),
    }


def test_virtual_tables_are_refused(opened: Opened) -> None:
    with pytest.raises(MigrationError, match="virtual tables, which are not moved: 'found'"):
        read_schema(opened("CREATE TABLE t (a); CREATE VIRTUAL TABLE found USING fts5 (body)"))


def test_a_database_without_tables_is_refused(opened: Opened) -> None:
    with pytest.raises(MigrationError, match="no tables"):
        read_schema(opened("CREATE TABLE t (a); DROP TABLE t"))


def test_a_name_that_is_no_text_is_refused(make: Callable[..., Path]) -> None:
    path = make("CREATE TABLE t (abcdef)")
    path.write_bytes(path.read_bytes().replace(b"abcdef", b"abc\xffef"))
    with closing(open_source(path)) as source, pytest.raises(MigrationError, match="is no UTF-8"):
        read_schema(source)


@pytest.mark.parametrize("form", Form)
def test_samples_of_every_form_are_understood(samples: dict[Form, Path], form: Form) -> None:
    stray = {Form.LONGLIVED: {"users_backup"}, Form.FROM_MIGRATIONS: {"SequelizeMeta"}}
    with closing(open_source(samples[form])) as source:
        schema = read_schema(source)
    assert len(schema.tables) == 12 + len(stray.get(form, ()))
    assert stray.get(form, set()) <= {table.name for table in schema.tables}
    assert sum(table.rows for table in schema.tables if table.name not in stray.get(form, ())) == 1500
    assert sum(len(table.foreign_keys) for table in schema.tables) == 23
    assert all(table.key for table in schema.tables)
