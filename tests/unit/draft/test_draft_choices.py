"""Types, names, defaults, makers: what is chosen for a column follows from its declaration and its data."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.draft_profile import DraftOrder, draft_profile
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_defaults import draft_default
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_makers import find_maker, left_over_of
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_model import Draft
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_names import FreeNames, place_names
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_pages import mapping_text
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_sql import changes_of
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_types import column_of
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_schema as read_document
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_yaml
from ansible_collections.contralock.database.plugins.module_utils.naming import NamingRule
from ansible_collections.contralock.database.plugins.module_utils.profile import parse_mapping
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import (
    SourceColumn,
    SourceSchema,
    SourceTable,
)

DOCUMENT_SCHEMA = read_document(Path(__file__).parents[3] / "files" / "profiles" / "mapping.schema.json")
UUID = "3d0ca315-aff9-4fc2-be61-3b76b9a2d798"

Drafts = Callable[..., Draft]


@pytest.fixture
def draft(tmp_path: Path) -> Drafts:
    """Draft a profile for a script, and rows of its table t."""

    def make(script: str, rows: Iterable[tuple[Any, ...]] = (), **order: Any) -> Draft:
        path = tmp_path / "source.sqlite"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database, database:
            database.executescript(script)
            for row in rows:
                database.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", row)
        return draft_profile(path, DraftOrder(**order))

    return make


def asked(draft: Draft) -> str:
    return " | ".join(question.text for question in draft.questions)


#: Declared type, values, the type that follows, part of the question (empty: none is asked).
CHOICES: list[tuple[str, list[Any], str, str]] = [
    ("INTEGER", [1, 2**40], "bigint", ""),
    ("INTEGER", [], "bigint", ""),
    ("INTEGER", [1.5, 2.5], "double precision", "every value fits double precision"),
    ("INTEGER", [*range(99), "abc"], "bigint", "1 value does not fit bigint (text in a whole-number column)"),
    ("INTEGER", [*range(9), "abc"], "bigint", "1 value does not fit bigint"),
    ("VARCHAR(5)", ["abcde"], "varchar(5)", ""),
    ("VARCHAR(5)", ["abcdef"], "text", ""),
    ("VARCHAR(5)", ["äöüßé"], "varchar(5)", ""),
    ("CHAR(5)", ["ab   "], "varchar(5)", ""),
    ("VARCHAR", [None], "text", ""),
    ("TEXT", [UUID, None], "uuid", "never write another"),
    ("TEXT", [UUID.upper()], "text", ""),
    ("TEXT", [UUID, "user-1"], "text", ""),
    ("TEXT", ["5", "true"], "text", ""),
    ("TEXT", ['{"a": 1}', "[]"], "jsonb", "is the application ready for a JSON document"),
    ("TEXT", ['{"a": 1}', ""], "jsonb", "does '' mean NULL"),
    ("TEXT", ['{"a": 1}', "{"], "text", ""),
    ("TEXT", ['{"a": "\\u0000"}'], "json", "ready for a JSON document"),
    ("TEXT", ["2024-01-03 09:10:55.791 +00:00"], "timestamptz", "is the application ready for a time"),
    ("TEXT", ["2024-01-03 09:10:55"], "timestamp", "is the application ready for a time"),
    ("TEXT", ["2024-01-03"], "date", "is the application ready for a date"),
    ("TEXT", ["2024-01-03", "soon"], "text", ""),
    ("DATETIME", [1_704_273_055_791], "timestamp(3)", ""),
    ("DATETIME", [1_704_273_055], "timestamptz", "count seconds since 1970"),
    ("DATETIME", [5], "bigint", "every value fits bigint"),
    ("BOOLEAN", [0, 1], "boolean", ""),
    ("BOOLEAN", ["t", "f"], "boolean", ""),
    ("TINYINT(1)", [0, 1, None], "boolean", ""),
    ("TINYINT(1)", [0, 2], "bigint", ""),
    ("DECIMAL(5,2)", [1.25, 3], "numeric(5, 2)", ""),
    ("DECIMAL(5,2)", [1.255], "numeric", ""),
    ("DECIMAL(5,9)", [1.255], "numeric", ""),
    ("REAL", [1.5, 2], "double precision", ""),
    ("BLOB", [b"\x00"], "bytea", ""),
    ("BLOB", ["text"], "text", "every value fits text"),
    ("", [5], "bigint", ""),
    ("", [1.5, 2], "double precision", ""),
    ("", [b"x"], "bytea", ""),
    ("", ["x"], "text", ""),
    ("", ["x", 5], "text", "1 value does not fit text"),
    ("JSON", ['{"a": 1}'], "jsonb", ""),
    ("JSON", ["", ""], "text", "every value fits text"),
    ("UUID", [UUID], "uuid", ""),
    ("UUID", ["user-1"], "text", ""),
]


@pytest.mark.parametrize(("declared", "values", "wanted", "question"), CHOICES)
def test_a_type_follows_from_declaration_and_data(
    draft: Drafts, declared: str, values: list[Any], wanted: str, question: str
) -> None:
    made = draft(f"CREATE TABLE t (value {declared})", [(value,) for value in values])
    (column,) = made.tables[0].columns
    assert column.type == wanted
    assert question in asked(made)
    assert bool(question) is bool(asked(made))


def test_declarations_alone_decide_when_asked_to(draft: Drafts) -> None:
    made = draft("CREATE TABLE t (a TEXT, is_b INTEGER, c)", [("{}", 1, UUID)], by_data=False)
    assert [column.type for column in made.tables[0].columns] == ["text", "bigint", "uuid"]


def test_columns_that_a_key_joins_get_one_type(draft: Drafts) -> None:
    script = """CREATE TABLE parent (id VARCHAR(255) PRIMARY KEY, other INTEGER UNIQUE);
        CREATE TABLE t (a VARCHAR(255) REFERENCES parent (id), b TEXT REFERENCES parent,
          c REFERENCES parent (other));"""
    made = draft(f"{script} INSERT INTO parent VALUES ('{UUID}', 5)", [(UUID, None, None)])
    types = {f"{table.target}.{column.target}": column.type for table in made.tables for column in table.columns}
    assert (types["parent.id"], types["t.a"], types["t.b"]) == ("uuid", "uuid", "uuid")
    assert types["parent.other"] == types["t.c"] == "bigint"
    # A key that is no uuid keeps what refers to it a text, whatever else stands there.
    made = draft(f"{script} INSERT INTO parent VALUES ('{UUID}', 5), ('user-1', 6)", [(UUID, None, None)])
    types = {f"{table.target}.{column.target}": column.type for table in made.tables for column in table.columns}
    assert (types["parent.id"], types["t.a"], types["t.b"]) == ("varchar(255)", "varchar(255)", "text")


def test_a_key_between_different_kinds_is_left_out_and_asked_about(draft: Drafts) -> None:
    script = "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE t (a TEXT REFERENCES parent (id))"
    made = draft(script, [("x",)])
    assert not [piece for table in made.tables for piece in table.pieces]
    assert "the two sides hold different kinds of values" in asked(made)


@pytest.mark.parametrize(
    ("names", "rule", "placed"),
    [
        (["a", "b"], NamingRule.KEEP, ["a", "b"]),
        (["userId", "user_id"], NamingRule.SNAKE_CASE, ["user_id_2", "user_id"]),
        (["x" * 70, "x" * 71], NamingRule.KEEP, ["x" * 63, "x" * 61 + "_2"]),
        (["ä" * 40], NamingRule.KEEP, ["ä" * 31]),
        (["ctid", "ctid_2"], NamingRule.KEEP, ["ctid_3", "ctid_2"]),
    ],
)
def test_names_are_those_that_postgresql_takes(names: list[str], rule: NamingRule, placed: list[str]) -> None:
    found = place_names(names, rule, ["ctid"])
    assert [found[name] for name in names] == placed
    assert all(len(name.encode()) <= 63 for name in placed)


def test_a_name_that_cannot_be_the_rules_is_asked_about(draft: Drafts) -> None:
    made = draft(
        f"""CREATE TABLE t (userId, user_id, xmin, plain, {"x" * 70}); CREATE TABLE "OrderItems" (id);
        CREATE TABLE order_items (id); CREATE TABLE tables (id)""",
        naming=NamingRule.SNAKE_CASE,
        reserved=frozenset(["tables"]),
    )
    found = {place: each.text for each in made.questions for place in each.places if " here it is " in each.text}
    assert {place: text.partition(": here")[0] for place, text in found.items()} == {
        "t.userId": "the naming rule makes user_id of user_id, too",
        "OrderItems": "the naming rule makes order_items of order_items, too",
        "tables": "PostgreSQL's own catalog has a table of this name, which it finds first",
        "t.xmin": "every table of PostgreSQL has a column of this name",
        f"t.{'x' * 70}": "PostgreSQL does not take the whole name",
    }
    assert found["t.userId"].endswith(": here it is user_id_2; does the application find it there?")


def test_free_names_are_given_out_once() -> None:
    free = FreeNames(["a"])
    assert [free.take("a"), free.take("a"), free.take("b")] == ["a_2", "a_3", "b"]


@pytest.mark.parametrize(
    ("declared", "default", "sql_type", "sql", "question"),
    [
        ("INTEGER", "'0'", "bigint", "0", ""),
        ("INTEGER", "-5", "bigint", "-5", ""),
        ("INTEGER", "NULL", "bigint", None, ""),
        ("TINYINT(1)", "1", "boolean", "true", ""),
        ("BOOLEAN", "FALSE", "boolean", "false", ""),
        ("BOOLEAN", "2", "boolean", None, "does not fit boolean"),
        ("TEXT", "'it''s'", "text", "'it''s'", ""),
        ("TEXT", '"pending"', "text", "'pending'", ""),
        ("TEXT", "('x')", "text", "'x'", ""),
        ("TEXT", "7", "text", "'7'", ""),
        ("DECIMAL(5,2)", "1.5", "numeric(5, 2)", "1.50", ""),
        ("TEXT", "'{}'", "jsonb", "'{}'", ""),
        ("TEXT", "''", "jsonb", None, "does not fit jsonb"),
        ("DATETIME", "CURRENT_TIMESTAMP", "timestamptz", "now()", ""),
        ("DATETIME", "datetime('now')", "timestamp", "(now() AT TIME ZONE 'UTC')", ""),
        ("INTEGER", "strftime('%s', 'now')", "bigint", "extract(epoch FROM now())::bigint", ""),
        ("DATETIME", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "timestamptz", "now()", ""),
        ("DATETIME", "strftime('%y-%m-%dT%H:%M:%fZ', 'now')", "timestamptz", None, "is not taken over"),
        ("TEXT", "lower(hex(randomblob(16)))", "uuid", "gen_random_uuid()", ""),
        ("TEXT", "abs(random())", "text", None, "is not taken over"),
        ("TEXT", "CURRENT_TIMESTAMP", "boolean", None, "is not taken over"),
        ("BLOB", "x'00ff'", "bytea", r"'\x00ff'", ""),
    ],
)
def test_a_default_means_the_same(declared: str, default: str, sql_type: str, sql: str | None, question: str) -> None:
    conversion = conversion_for(column_of("t", "c", sql_type), declared)
    assert conversion is not None
    found = draft_default(SourceColumn("c", declared, False, default, 0, False), conversion, sql_type.partition("(")[0])
    assert found.sql == sql
    assert question in found.question
    assert bool(question) is bool(found.question)


def schema_of(**tables: str) -> SourceSchema:
    """Tables with columns as ``name type, name type``."""
    made = []
    for name, columns in tables.items():
        pairs = (each.strip().split(" ", 1) for each in columns.split(","))
        own = tuple(SourceColumn(one, kind, False, None, 0, False) for one, kind in pairs)
        made.append(SourceTable(name, own, (), 0))
    return SourceSchema(tuple(made))


@pytest.mark.parametrize(
    ("tables", "text", "maker"),
    [
        ({"django_migrations": "id integer"}, "", "django"),
        ({"schema_migrations": "version varchar"}, "", "plain"),
        ({"schema_migrations": "version varchar", "ar_internal_metadata": "key varchar"}, "", "rails"),
        ({"SequelizeMeta": "name VARCHAR(255)"}, "", "sequelize"),
        ({"_prisma_migrations": "id TEXT"}, "", "prisma"),
        ({"alembic_version": "version_num VARCHAR(32)"}, "", "sqlalchemy"),
        ({"a": "createdAt DATETIME, updatedAt DATETIME"}, "CREATE TABLE `a` (`createdAt` DATETIME)", "sequelize"),
        ({"a": "createdAt DATETIME, updatedAt DATETIME"}, 'CREATE TABLE "a" ("createdAt" DATETIME)', "plain"),
        ({"a": "id INTEGER"}, "CREATE TABLE a (\n\tid INTEGER NOT NULL, \n\tPRIMARY KEY (id)\n)", "sqlalchemy"),
        ({"a": "id INTEGER"}, "CREATE TABLE a (id INTEGER)", "plain"),
    ],
)
def test_a_maker_is_known_by_its_signs(tables: dict[str, str], text: str, maker: str) -> None:
    assert find_maker(schema_of(**tables), dict.fromkeys(tables, text)).name == maker


def test_a_maker_that_is_named_is_believed() -> None:
    schema = schema_of(django_migrations="id integer")
    assert find_maker(schema, {}, "plain").name == "plain"
    assert [find_maker(schema, {}, "rails_5_1").name, find_maker(schema, {}, "rails_5_1").encoding] == [
        "rails",
        "rails_5_1",
    ]


def test_only_a_copy_of_a_table_is_a_left_over() -> None:
    schema = schema_of(users="id UUID, name TEXT", users_backup="id UUID", logs_backup="id UUID", odd_backup="x INT")
    names = [table.name for table in schema.tables]
    assert {name: left_over_of(name, schema) for name in names if left_over_of(name, schema)} == {
        "users_backup": "users"
    }


def test_nothing_of_the_source_ends_a_comment_or_a_name(draft: Drafts, tmp_path: Path) -> None:
    evil = "x\x1b\n; DROP TABLE users; --"
    quoted = '"' + evil + '"'
    made = draft(f"""CREATE TABLE {quoted} ({quoted} "VARCHAR(9)\n); DROP TABLE users; --" DEFAULT 'a\n;''b',
        token TEXT CHECK (token LIKE 'x\n;'));
        CREATE VIEW "v\n; x" AS SELECT 'a\n' AS b""")
    for change in changes_of(made):
        for line in (change.up + change.down).splitlines():
            code, _, comment = line.partition("--")
            # It stands in quotes only: within the name that begins on the line before.
            assert "DROP TABLE users" not in code or line.startswith('; DROP TABLE users; --"')
            assert "\x1b" not in comment
    file = tmp_path / "mapping.yml"
    file.write_text(mapping_text(made))
    mapping = parse_mapping(read_yaml(file), DOCUMENT_SCHEMA)
    assert mapping.sensitive_columns() == {(evil, "token")}


@pytest.mark.parametrize("form", list(Form))
def test_the_sample_is_known_in_every_form(tmp_path: Path, form: Form) -> None:
    made = draft_profile(write_source(Order(tmp_path / "app.sqlite", 300, 1, form)).order.path, DraftOrder())
    assert made.maker.name == "sequelize"
    types = {f"{table.source}.{column.source}": column.type for table in made.tables for column in table.columns}
    # The rows that migration files sow have keys such as user-1.
    assert types["Users.id" if form is Form.PLAN else "users._id"] == (
        "varchar(255)" if form is Form.FROM_MIGRATIONS else "uuid"
    )
    assert list(made.left_behind) == (["users_backup"] if form is Form.LONGLIVED else [])
    assert ("SequelizeMeta.name" in types) is (form is Form.FROM_MIGRATIONS)


def test_a_file_of_accounts_alone_is_refused(draft: Drafts) -> None:
    with pytest.raises(MigrationError, match="no table that would move"):
        draft("CREATE TABLE _litestream_seq (id INTEGER)")
