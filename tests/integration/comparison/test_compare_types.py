"""Every type and both ways to identify rows, on a small source; each planted fault is found in exactly its place."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options, assess_file
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import as_document, as_lines
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import (
    ColumnMapping,
    Default,
    EmptyTextAsNull,
    Mapping,
    NamingRule,
    TableMapping,
)
from ansible_collections.contralock.database.plugins.module_utils.profile import Condition as When

from tests.integration.comparison.loaded_target import UNRECORDED, Pair, told
from tests.throwaway_cluster import Cluster, Database

SECRET = "Zq7-seeded-secret"

SOURCE = f"""
CREATE TABLE things (
    _id VARCHAR(36) PRIMARY KEY, name TEXT, code VARCHAR(20), fixed CHAR(4), mood TEXT, flag TINYINT(1), small INTEGER,
    whole INTEGER, big BIGINT, price DECIMAL(8,2), ratio DOUBLE, at DATETIME, doc JSON, raw JSON, token VARCHAR(99),
    clock TIME);
INSERT INTO things VALUES
 ('0A000000-0000-4000-8000-00000000000F', 'Zoë', 'AbC', 'ab', 'calm', 1, 7, 70, 9007199254740993, 97.5, 0.1,
  '2024-01-03 09:10:55.791 +00:00', '{{"b": [1, {{"deep": {{"er": "value one"}}}}], "a": null}}', '{{"x":1.0}}',
  '{SECRET}-1', '23:59:59'),
 ('0b000000-0000-4000-8000-000000000001', '', 'x', '', 'so so', 0, -7, -70, -9223372036854775808, 100, -0.0,
  '1999-12-31 23:59:59.999 +00:00', '[]', '[]', '{SECRET}-2', NULL),
 ('0c000000-0000-4000-8000-000000000002', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL);
INSERT INTO things (_id, name, doc) VALUES ('0d000000-0000-4000-8000-000000000003', 'n', '');
CREATE TABLE links (a INTEGER, b TEXT, PRIMARY KEY (a, b));
INSERT INTO links VALUES (1, '1'), (1, '11'), (11, '1'), (2, 'x');
CREATE TABLE events (what TEXT, amount DECIMAL(5,2), token TEXT);
INSERT INTO events VALUES ('a', 1, '{SECRET}-3'), ('a', 1, '{SECRET}-3'), ('a', 1, NULL), ('', NULL, NULL),
 (NULL, 2.5, NULL);
CREATE TABLE empty (n INTEGER PRIMARY KEY);
"""

TARGET = """
CREATE TYPE mood AS ENUM ('calm', 'so so', 'wild');
CREATE TABLE things (
    id uuid PRIMARY KEY, name text, code varchar(20), fixed char(4), mood mood, flag boolean, small smallint,
    whole integer, big bigint, price numeric(8,2), ratio double precision, at timestamptz(3), doc jsonb, raw json,
    token varchar(99), clock time,
    seen boolean DEFAULT false, note text, level mood DEFAULT 'calm', settings jsonb DEFAULT '{"a": 1, "b": {}}',
    pin varchar(9), born timestamptz NOT NULL DEFAULT now(), cost numeric(5,2) DEFAULT 0);
CREATE TABLE links (a integer, b text, PRIMARY KEY (a, b));
CREATE TABLE events (what text, amount numeric(5,2), token text);
CREATE TABLE empty (n integer PRIMARY KEY);
"""

ABSENT = ColumnMapping(may_be_absent=True)
MAPPING = Mapping(
    NamingRule.SNAKE_CASE,
    renames={"_id": "id"},
    tables={
        "things": TableMapping(
            columns={
                "doc": ColumnMapping(rules=(EmptyTextAsNull(), Default({"no": "doc"}, When.IS_NULL))),
                "token": ColumnMapping(sensitive=True),
                **dict.fromkeys(("seen", "note", "level", "settings", "born", "cost"), ABSENT),
                "pin": ColumnMapping(may_be_absent=True, sensitive=True),
            }
        ),
        "events": TableMapping(columns={"token": ColumnMapping(sensitive=True)}),
    },
)

FIRST, SECOND, THIRD, FOURTH = (
    "0a000000-0000-4000-8000-00000000000f",
    "0b000000-0000-4000-8000-000000000001",
    "0c000000-0000-4000-8000-000000000002",
    "0d000000-0000-4000-8000-000000000003",
)


@pytest.fixture
def small(tmp_path: Path, database: Database) -> Pair:
    path = tmp_path / "small.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SOURCE)
    pair = Pair(path, database.conninfo, MAPPING)
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(TARGET)
    pair.load()
    return pair


def test_equal_in_every_type(small: Pair) -> None:
    found = small.compare()
    assert found.differences == ()
    assert found.equal
    assert {table.table: (table.source_rows, table.target_rows, table.cells) for table in found.tables} == {
        "things": (4, 4, 4 * 16),
        "links": (4, 4, 8),
        "events": (5, 5, 15),
        "empty": (0, 0, 0),
    }
    assert found.notes == (
        UNRECORDED,
        "things.born is filled by its DEFAULT now(), another value each time: compared was only that there is one",
    )


#: name -> column of `things`, row, what is planted, the values as they are shown
PLANTED: dict[str, tuple[str, str, str, str, str]] = {
    "one letter": ("name", FIRST, "'Zoe'", "'Zoë'", "'Zoe'"),
    "NFD for NFC": ("name", FIRST, r"E'Zoe\u0308'", r"'Zo\xeb'", r"'Zoe\u0308'"),
    "trailing blank": ("name", FIRST, "'Zoë '", "'Zoë'", "'Zoë '"),
    "trailing NBSP": ("name", FIRST, r"E'Zoë\u00a0'", "'Zoë'", r"'Zoë\xa0'"),
    "empty for NULL": ("name", THIRD, "''", "NULL", "''"),
    "NULL for empty": ("name", SECOND, "NULL", "''", "NULL"),
    "the word NULL": ("name", THIRD, "'NULL'", "NULL", "'NULL'"),
    "case only": ("code", FIRST, "'aBc'", "'AbC'", "'aBc'"),
    "varchar": ("code", SECOND, "'y'", "'x'", "'y'"),
    "char": ("fixed", FIRST, "'ac'", "'ab  '", "'ac  '"),
    "enum neighbour": ("mood", FIRST, "'so so'", "'calm'", "'so so'"),
    "boolean": ("flag", FIRST, "false", "t", "f"),
    "boolean NULL": ("flag", SECOND, "NULL", "f", "NULL"),
    "smallint": ("small", FIRST, "8", "7", "8"),
    "integer sign": ("whole", FIRST, "-70", "70", "-70"),
    "one digit of a bigint": ("big", FIRST, "9007199254740992", "9007199254740993", "9007199254740992"),
    "least bigint": ("big", SECOND, "-9223372036854775807", "-9223372036854775808", "-9223372036854775807"),
    "numeric": ("price", FIRST, "97.51", "97.50", "97.51"),
    "last bit of a real": ("ratio", FIRST, "0.1::float8 + 1.4e-17", "0.1", "0.10000000000000002"),
    "sign of zero": ("ratio", SECOND, "'-0'", "0", "-0"),
    "1 ms": ("at", FIRST, "at + interval '1 ms'", "2024-01-03 09:10:55.791+00", "2024-01-03 09:10:55.792+00"),
    "an hour": ("at", FIRST, "at + interval '1 h'", "2024-01-03 09:10:55.791+00", "2024-01-03 10:10:55.791+00"),
    "midnight at the end of a day": ("clock", FIRST, "'24:00'", "23:59:59.000000", "24:00:00"),
    "infinity": ("at", FIRST, "'infinity'", "2024-01-03 09:10:55.791+00", "infinity, or beyond what can be shown"),
    "deep inside jsonb": (
        "doc",
        FIRST,
        """jsonb_set(doc, '{b,1,deep,er}', '"value two"')""",
        """'{"a": null, "b": [1, {"deep": {"er": "value one"}}]}'""",
        """'{"a": null, "b": [1, {"deep": {"er": "value two"}}]}'""",
    ),
    "SQL null for JSON null": ("doc", SECOND, "'null'", "'[]'", "'null'"),
    "the rule's value": ("doc", FOURTH, "'{}'", """'{"no": "doc"}'""", "'{}'"),
    "blank in json": ("raw", FIRST, """'{"x": 1.0}'""", """'{"x":1.0}'""", """'{"x": 1.0}'"""),
    "constant default": ("seen", FIRST, "true", "DEFAULT false", "'true'"),
    "default gone": ("seen", FIRST, "NULL", "DEFAULT false", "NULL"),
    "no default": ("note", FIRST, "'x'", "NULL (the source has no such column)", "'x'"),
    "enum default": ("level", FIRST, "'wild'", "DEFAULT 'calm'::public.mood", "'wild'"),
    "jsonb default": (
        "settings",
        FIRST,
        """'{"a": 1}'""",
        """DEFAULT '{"a": 1, "b": {}}'::jsonb""",
        """'{"a": 1}'""",
    ),
    "numeric default": ("cost", FIRST, "0.01", "DEFAULT 0", "'0.01'"),
}


def rounds() -> list[list[str]]:
    """The planted ones in groups in which no column occurs twice."""
    groups: list[list[str]] = []
    for name, (column, *_) in PLANTED.items():
        free = [group for group in groups if column not in {PLANTED[other][0] for other in group}]
        (free[0] if free else groups.append([]) or groups[-1]).append(name)
    return groups


@pytest.mark.parametrize("names", rounds(), ids=" + ".join)
def test_each_planted_value_is_found_in_its_place(small: Pair, names: list[str]) -> None:
    planted = [PLANTED[name] for name in names]
    small.sql(*(f"UPDATE things SET {column} = {value} WHERE id = '{key}'" for column, key, value, *_ in planted))
    found = small.compare()
    assert sorted(told(found.differences)) == sorted(
        ("things", f"id={key}", column, "differs") for column, key, *_ in planted
    )
    shown = {each.column: (each.source, each.target) for each in found.differences}
    assert shown == {column: (left, right) for column, _, _, left, right in planted}
    assert (found.number, found.equal) == (len(names), False)


def test_swapped_cells_are_two_differences(small: Pair) -> None:
    small.sql(
        f"UPDATE things SET price = CASE id WHEN '{FIRST}' THEN 100 ELSE 97.5 END WHERE id IN ('{FIRST}', '{SECOND}')"
    )
    assert told(small.compare().differences) == [
        ("things", f"id={FIRST}", "price", "differs"),
        ("things", f"id={SECOND}", "price", "differs"),
    ]


def test_rows_missing_added_and_with_another_key(small: Pair) -> None:
    new = "ffffffff-0000-4000-8000-000000000009"
    small.sql(
        f"DELETE FROM things WHERE id = '{SECOND}'",
        f"INSERT INTO things (id) VALUES ('{new}')",
        "UPDATE links SET b = '12' WHERE a = 1 AND b = '11'",
        "INSERT INTO empty VALUES (5)",
    )
    found = small.compare()
    assert sorted(told(found.differences), key=str) == sorted(
        [
            ("things", f"id={SECOND}", None, "missing in the target"),
            ("things", f"id={new}", None, "only in the target"),
            ("links", "a=1, b=11", None, "missing in the target"),
            ("links", "a=1, b=12", None, "only in the target"),
            ("empty", "n=5", None, "only in the target"),
        ],
        key=str,
    )
    assert [(table.table, table.missing, table.extra) for table in found.tables if not table.equal] == [
        ("empty", 0, 1),
        ("links", 1, 1),
        ("things", 1, 1),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("INSERT INTO events (amount) VALUES (2.5)", [("what=NULL, amount=2.50, token=NULL", "only in the target")]),
        ("DELETE FROM events WHERE what = ''", [("what='', amount=NULL, token=NULL", "missing in the target")]),
        (
            "UPDATE events SET what = 'b' WHERE what = 'a' AND token IS NULL",
            [
                ("what='a', amount=1.00, token=NULL", "missing in the target"),
                ("what='b', amount=1.00, token=NULL", "only in the target"),
            ],
        ),
    ],
    ids=["doubled", "missing", "changed"],
)
def test_a_table_without_a_key_is_a_multiset(small: Pair, change: str, expected: list[tuple[str, str]]) -> None:
    small.sql(change)
    assert [(each.key, each.kind.value) for each in small.compare().differences] == expected


def test_one_of_two_equal_rows_is_missed(small: Pair) -> None:
    small.sql("DELETE FROM events WHERE ctid = (SELECT min(ctid) FROM events WHERE what = 'a' AND token IS NOT NULL)")
    (missing,) = small.compare().differences
    assert missing.kind == "missing in the target"


def test_the_order_of_the_rows_does_not_matter(small: Pair) -> None:
    """Upper-case keys sort before lower-case ones as text, and where they belong as uuids."""
    count = 1500
    small.sqlite(
        f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        " INSERT INTO things (_id, name, doc) SELECT CASE i % 3 WHEN 0 THEN upper(u) ELSE u END, 'n', '1' FROM"
        " (SELECT i, printf('%08x-0000-4000-8000-00000000abcd', (i * 7919) % 100003 + 0x80000000) AS u FROM n)",
        "INSERT INTO events SELECT 'e' || (substr(_id, 5, 4)), 1, NULL FROM things WHERE _id LIKE '%abcd'",
    )
    small.sql("TRUNCATE things, events, links")
    small.load()
    small.sql(
        "CREATE TABLE shuffled AS SELECT * FROM events",
        "TRUNCATE events",
        "INSERT INTO events SELECT * FROM shuffled ORDER BY md5(what)",
        "DROP TABLE shuffled",
    )
    for rows in (30, 20_000):
        found = small.compare(batch_rows=rows)
        assert found.differences == ()
        assert [table.source_rows for table in found.tables] == [0, count + 5, 4, count + 4]
    small.sql("UPDATE things SET name = 'm' WHERE id = (SELECT max(id::text)::uuid FROM things)")
    assert small.compare(batch_rows=100).number == 1


def test_secrets_are_nowhere(small: Pair) -> None:
    small.sql(
        "UPDATE things SET token = token || 'x', pin = 'Pin9-secr'",
        "DELETE FROM events WHERE token IS NOT NULL",
        f"INSERT INTO events (token) VALUES ('{SECRET}-4')",
    )
    found = small.compare()
    assert found.number == 2 + 4 + 2 + 1
    said = json.dumps(as_document(found)) + "\n".join(as_lines(found)) + repr(found)
    assert SECRET not in said
    assert "Pin9" not in said
    first = found.differences[-9:]
    tokens = [each for each in first if each.column == "token"]
    assert len(tokens) == 2
    length = len(SECRET) + 2
    for each in tokens:
        assert each.source is not None and each.source.startswith(f"{length} characters, hmac:")
        assert each.target is not None and each.target.startswith(f"{length + 1} characters, hmac:")
    assert len({each.source for each in tokens}) == 2
    pins = {(each.source, str(each.target).split(":")[0]) for each in first if each.column == "pin"}
    assert pins == {("NULL (the source has no such column)", "9 characters, hmac")}


def test_a_value_that_does_not_fit_is_an_error_with_its_place(small: Pair) -> None:
    small.sqlite(f"UPDATE things SET flag = 'yes', token = x'00' WHERE _id = '{SECOND}'")
    with pytest.raises(MigrationError) as caught:
        small.compare()
    assert str(caught.value).startswith(f"things.flag (_id={SECOND}): the source's value does not fit: text in a ")
    small.sqlite("UPDATE things SET flag = 1")
    with pytest.raises(MigrationError) as caught:
        small.compare()
    assert f"things.token (_id={SECOND}): the source's value does not fit: binary data in a" in str(caught.value)


def test_two_source_rows_for_one_key(small: Pair) -> None:
    small.sqlite(f"INSERT INTO things (_id, doc) VALUES ('{SECOND.upper()}', '[]')")
    found = small.compare()
    assert (found.tables[-1].missing, found.tables[-1].extra) == (1, 0)


def test_a_source_that_is_written_meanwhile_is_refused(small: Pair) -> None:
    def write(_said: object) -> None:
        small.sqlite("UPDATE links SET b = b")

    with pytest.raises(MigrationError, match="was written while it was compared"):
        small.compare(progress=write)


def test_progress_says_table_rows_and_the_time_left(small: Pair) -> None:
    said: list[dict[str, object]] = []
    small.compare(progress=said.append)
    assert {each["table"] for each in said} == {"things", "links", "events"}
    assert [(each["rows"], each["of_rows"]) for each in said if each["table"] == "events"] == [(5, 5)]
    assert said[-1]["seconds_left"] == 0
    assert sum(1 for each in said if each["seconds_left"] > 0) >= 1  # type: ignore[operator] # because it is a number


def test_what_postgresql_computes_is_compared_too(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "computed.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("""
            CREATE TABLE g (id INTEGER PRIMARY KEY, r REAL, said TEXT AS (r || 'x'));
            INSERT INTO g (id, r) VALUES (1, 0.5), (2, 2.0)""")
    by_postgresql = {"g": dict.fromkeys(("said",), "PostgreSQL computes it")}
    pair = Pair(path, database.conninfo, Mapping(NamingRule.KEEP, columns_left_behind=by_postgresql))
    pair.sql("""CREATE TABLE g (id int PRIMARY KEY, r double precision,
        said text GENERATED ALWAYS AS (r || 'x') STORED, later text GENERATED ALWAYS AS (r || 'y') STORED)""")
    pair.load()
    found = pair.compare()
    assert told(found.differences) == [("g", "id=2", "said", "differs")]
    assert found.tables[0].cells == 2 * 3
    assert found.notes == (UNRECORDED, "g: PostgreSQL computes it, and it is held against nothing: later")


@pytest.mark.parametrize("language", [True, False], ids=["en-US", "C"])
def test_what_compares_texts_in_another_order_is_named(tmp_path: Path, cluster: Cluster, language: bool) -> None:
    path = tmp_path / "ordered.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("CREATE TABLE g (id INTEGER PRIMARY KEY, t TEXT, n INTEGER)")
    kind = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if language else "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
    with psycopg.connect(cluster.conninfo(), autocommit=True) as server:
        server.execute(f"CREATE DATABASE ordered TEMPLATE template0 ENCODING 'UTF8' {kind}".encode())
        try:
            pair = Pair(path, cluster.conninfo("ordered"), Mapping(NamingRule.KEEP))
            pair.sql(
                """CREATE TABLE g (id int PRIMARY KEY, t text CONSTRAINT later CHECK (t >= 'a'), n int CHECK (n > 3),
                CONSTRAINT plain CHECK (t <> 'x'), CONSTRAINT bytes CHECK (t COLLATE "C" > 'a'),
                low boolean GENERATED ALWAYS AS (t < 'b') STORED)""",
                "CREATE UNIQUE INDEX of_few ON g (n) WHERE t > 'a'; CREATE INDEX all_of_it ON g (t) WHERE n > 1",
            )
            assessed = assess_file(path, pair.target, pair.mapping, Options(tmp_path), lambda *_: None)
            found = pair.compare()
        finally:
            server.execute("DROP DATABASE ordered (FORCE)")
    notes = [note for note in found.notes if "orders texts otherwise" in note]
    assert notes == [note for note in assessed.notes if "orders texts otherwise" in note]
    assert [note.partition("from now on: ")[2].partition(". COLLATE")[0] for note in notes] == (
        ["g.later, g.low, g.of_few"] if language else []
    )
