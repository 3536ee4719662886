"""What only the text of a SQLite schema says is read by its tokens."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_ddl import (
    read_index_text,
    read_table_text,
    spelled,
    tokens_of,
)

TABLE = """CREATE TABLE IF NOT EXISTS main."odd (name" ( -- CHECK (in a comment)
  id INTEGER PRIMARY KEY AUTOINCREMENT, /* , */
  [a,b] TEXT COLLATE "NoCase" DEFAULT 'x, CHECK (no)' CHECK (length([a,b]) > 1),
  `sum` INT GENERATED ALWAYS AS (id * 2) STORED, half REAL AS (id + (1)) VIRTUAL,
  parent INT CONSTRAINT up REFERENCES t (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED CHECK (parent > 0),
  "check" TEXT, "constraint" TEXT DEFAULT (abs(-1)),
  CONSTRAINT both_set CHECK ((id IS NOT NULL) AND "check" <> ')'),
  FOREIGN KEY (id) REFERENCES other (id) NOT DEFERRABLE INITIALLY DEFERRED, UNIQUE ("check")
) STRICT"""


def test_a_table_tells_what_no_pragma_does() -> None:
    found = read_table_text(TABLE)
    assert list(found.columns) == ["id", "a,b", "sum", "half", "parent", "check", "constraint"]
    assert [(each.name, spelled(each.expression)) for each in found.checks] == [
        ("", "length([a,b]) > 1"),
        ("", "parent > 0"),
        ("both_set", "(id IS NOT NULL) AND \"check\" <> ')'"),
    ]
    assert [(each.name, each.deferred) for each in found.references] == [("up", True), ("", False)]
    assert (found.collation("A,B"), found.collation("check"), found.autoincrement) == ("NOCASE", "", True)
    generated = {name: spelled(each.generated) for name, each in found.columns.items() if each.generated}
    assert generated == {"sum": "id * 2", "half": "id + (1)"}


@pytest.mark.parametrize(
    ("sql", "members", "where"),
    [
        ("CREATE INDEX i ON t (a)", ["a"], None),
        ("CREATE UNIQUE INDEX i ON t (a COLLATE NOCASE DESC, lower(b || ',') ASC)", ["a", "lower(b || ',')"], None),
        ('CREATE INDEX "where" ON t ("where") WHERE "where" IS NOT NULL', ['"where"'], '"where" IS NOT NULL'),
        ("CREATE INDEX i ON t (coalesce(a, b), 'it''s')", ["coalesce(a, b)", "'it''s'"], None),
    ],
)
def test_an_index_tells_its_expressions(sql: str, members: list[str], where: str | None) -> None:
    found = read_index_text(sql)
    assert [spelled(member) for member in found.members] == members
    assert (found.where and spelled(found.where)) == where


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("'it''s'", "text", "it's"),
        ('"a""b"', "name", 'a"b'),
        ("`a``b`", "name", "a`b"),
        ("[a b]", "name", "a b"),
        ("x'00ff'", "blob", "x'00ff'"),
        ("0x1F", "number", "0x1F"),
        (".5e-3", "number", ".5e-3"),
        ("grösse", "word", "grösse"),
        ("->>", "sign", "->>"),
    ],
)
def test_tokens_keep_their_kind(text: str, kind: str, value: str) -> None:
    (token,) = tokens_of(f" {text} -- comment")
    assert (token.kind, token.value) == (kind, value)


@pytest.mark.parametrize("text", ["", "CREATE TABLE t", "CREATE TABLE t (", "CREATE TABLE t (a INT CHECK", "'", "/*"])
def test_a_text_that_is_cut_off_is_no_accident(text: str) -> None:
    assert [name for name in read_table_text(text).columns if name != "a"] == []
    assert read_index_text(text).where is None
