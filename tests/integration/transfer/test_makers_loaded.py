"""What Django, Rails, Prisma and SQLAlchemy write, and hand-made lists: loaded by both engines, and equal afterwards.

The values are spelled as each maker's own source says (``source_encoding``); the tables say who wrote them.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.transfer.small_targets import examined, mapping, planned, small_source, small_target
from tests.integration.transfer.transfer_server import Server, Target, both_engines

HEX = "0b8e2a4c6f3d4e1a9b7c2d5f8a1e3c60"
UUID = "0b8e2a4c-6f3d-4e1a-9b7c-2d5f8a1e3c60"
MOMENT = "2024-01-03 09:10:55.791+00"

SOURCE = f"""
CREATE TABLE django (id char(32) NOT NULL PRIMARY KEY, at datetime, day date, clock time, flag bool, doc text);
INSERT INTO django VALUES ('{HEX}', '2024-01-03 09:10:55.791000', '2024-01-03', '09:10:55.791000', 1,
                           '{{"b": "caf\\u00e9"}}');
INSERT INTO django (id, at) VALUES ('{"f" * 32}', '2024-01-03 09:10:55');
CREATE TABLE rails (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, at datetime(6), day date, clock time, flag boolean,
                    old_flag boolean, doc json);
INSERT INTO rails VALUES (7, '2024-01-03 09:10:55.791000', '2024-01-03', '2000-01-01 09:10:55.791000', 1, 't',
                          '{{"a":"\\u003cb\\u003e"}}');
INSERT INTO rails (id, flag, old_flag) VALUES (8, 0, 'f');
CREATE TABLE prisma (id TEXT NOT NULL PRIMARY KEY, at DATETIME, day DATE, flag BOOLEAN, adapted DATETIME, doc JSONB);
INSERT INTO prisma VALUES ('{UUID}', 1704273055791, 1704240000000, 1, '2024-01-03T09:10:55.791+00:00',
                           '{{"b":1,"a":[]}}');
CREATE TABLE alchemy (id CHAR(32) NOT NULL PRIMARY KEY, at DATETIME, day DATE, clock TIME, flag BOOLEAN, doc JSON);
INSERT INTO alchemy VALUES ('{HEX}', '2024-01-03 09:10:55.791000', '2024-01-03', '09:10:55.791000', 0, '[1, 2.5]');
CREATE TABLE lists (tags TEXT, numbers TEXT, ids TEXT, moods TEXT, clock TEXT);
INSERT INTO lists VALUES ('["a","b, {{c}}","",null]', '[1.5,-2]', '["{UUID}"]', '["calm",null]', '09:10:55.791');
INSERT INTO lists VALUES ('[]', '[]', '[]', '[]', '23:59:59'), (NULL, NULL, NULL, NULL, NULL),
                         ('[]', '[]', '[]', '[]', NULL);
"""
TARGET = """
CREATE TYPE mood AS ENUM ('calm', 'so so');
CREATE TABLE django (id uuid PRIMARY KEY, at timestamptz, day date, clock time, flag boolean, doc jsonb);
CREATE TABLE rails (id bigint PRIMARY KEY, at timestamptz(6), day date, clock time(6), flag boolean, old_flag boolean,
                    doc jsonb);
CREATE TABLE prisma (id uuid PRIMARY KEY, at timestamp(3), day date, flag boolean, adapted timestamptz(3), doc jsonb);
CREATE TABLE alchemy (id uuid PRIMARY KEY, at timestamptz, day date, clock time, flag boolean, doc json);
CREATE TABLE lists (tags text[], numbers numeric(4,1)[], ids uuid[], moods mood[], clock time(3));
"""


def written_by(maker: str, *columns: str, **others: str) -> dict[str, Any]:
    entries = {**dict.fromkeys(columns, maker), **others}
    return {"columns": {column: {"written_by": who} for column, who in entries.items()}}


#: Django wrote most of it; the other tables say column by column who wrote them.
DOCUMENT: dict[str, Any] = {
    "written_by": "django",
    "tables": {
        "rails": written_by("rails", "at", "day", "clock", "flag", "doc", old_flag="rails_5_1"),
        "prisma": written_by("prisma", "id", "at", "day", "flag", "doc", adapted="prisma_adapter"),
        "alchemy": written_by("sqlalchemy", "id", "at", "day", "clock", "flag", "doc"),
    },
}

EXPECTED = {
    "django": ["flag", "doc->>'b'", "at", "day", "clock"],
    "rails": ["flag AND old_flag", "doc->>'a'", "at", "day", "clock"],
    "prisma": ["flag", "doc->>'b'", "at AT TIME ZONE 'UTC'", "day", "(adapted AT TIME ZONE 'UTC')::time"],
    "alchemy": ["NOT flag", "doc->>1", "at", "day", "clock"],
}
TOLD = {"django": "caf\u00e9", "rails": "<b>", "prisma": "1", "alchemy": "2.5"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_source(tmp_path_factory.mktemp("makers") / "makers.sqlite", SOURCE)


@pytest.fixture(scope="module")
def target(server: Server) -> Iterator[Target]:
    with small_target(server, TARGET) as made:
        yield made


@pytest.fixture
def far_from_utc() -> Iterator[None]:
    """A process in a zone with half hours and a summer time: it is nowhere allowed to matter."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TZ", "PGTZ"):
            patch.setenv(name, "America/St_Johns")
        time.tzset()
        assert time.tzname[0] == "NST"
        yield
    time.tzset()


@both_engines
@pytest.mark.usefixtures("far_from_utc")
def test_each_maker_s_values_arrive_as_it_means_them(file: Path, target: Target, scratch: Path, engine: str) -> None:
    plan = planned(file, target, DOCUMENT)
    record = scratch / "record.json"
    transfer(Transfer(file, target.conninfo, plan, scratch, record, "makers", discard_rows=True, engine=engine))
    with connect(target.conninfo, "test of makers") as connection:
        connection.execute("SET timezone = 'UTC'")
        for table, columns in EXPECTED.items():
            texts = ", ".join(f"({column})::text" for column in columns)
            row = connection.execute(f"SELECT {texts} FROM {table} WHERE day IS NOT NULL".encode()).fetchone()
            assert row == ("true", TOLD[table], MOMENT, "2024-01-03", "09:10:55.791"), table
        lists = connection.execute("SELECT tags, numbers::text, ids::text, moods::text FROM lists").fetchall()
    assert (["a", "b, {c}", "", None], "{1.5,-2.0}", f"{{{UUID}}}", "{calm,NULL}") in lists
    assert (None,) * 4 in lists
    assert lists.count(([], "{}", "{}", "{}")) == 2
    found = compare_file(file, target.conninfo, mapping(DOCUMENT), Options(b"key", expected=plan.catalog.description))
    assert found.equal, found.differences


def test_another_maker_s_spelling_does_not_fit(file: Path, target: Target) -> None:
    """Nothing is guessed: with the wrong maker each of these columns is refused, with the mend that names the word."""
    document = {"written_by": "sequelize"}
    findings = {f"{each.table}.{each.column}": each for each in examined(file, target, document).findings}
    assert findings.keys() == {
        *("django.id", "django.at", "rails.at", "rails.clock", "rails.old_flag", "prisma.at", "prisma.day"),
        *("alchemy.id", "alchemy.at"),
    }
    assert "written_by" in findings["django.id"].mend
    assert "written_by" in findings["django.at"].mend
    assert "rails_5_1" in findings["rails.old_flag"].mend


def test_a_rule_decides_where_two_encodings_meet(file: Path, target: Target, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.sqlite"
    mixed.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(mixed)) as connection, connection:
        connection.execute("INSERT INTO rails (id, old_flag) VALUES (9, 1)")
        connection.execute(f"INSERT INTO prisma (id, adapted) VALUES ('{UUID.replace('0', '1')}', 1704273055791)")
    refused = examined(mixed, target, DOCUMENT).findings
    assert sorted((each.column, each.count) for each in refused) == [("adapted", 1), ("old_flag", 1)]
    assert [each.keys for each in refused if each.column == "old_flag"] == [("9",)]
    tables = DOCUMENT["tables"]
    columns = {table: dict(entry["columns"]) for table, entry in tables.items()}
    columns["rails"]["old_flag"] = {"written_by": "rails", "rules": [{"map": {"t": "1", "f": "0"}}]}
    columns["prisma"]["adapted"] = {"written_by": "prisma_adapter", "rules": [{"epoch": "milliseconds"}]}
    document = {**DOCUMENT, "tables": {table: {"columns": entries} for table, entries in columns.items()}}
    examination = examined(mixed, target, document)
    assert examination.findings == ()
    assert sorted((each.column, each.rule, each.count) for each in examination.rule_counts) == [
        ("adapted", "epoch", 1),
        ("old_flag", "map", 2),
    ]


def test_arrays_have_single_values(file: Path, target: Target, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(damaged)) as connection, connection:
        connection.execute("INSERT INTO lists (moods) VALUES ('[\"wild\"]')")
    with pytest.raises(MigrationError, match=r"no label of public\.mood, in an element of the array"):
        examined(damaged, target, DOCUMENT).raise_unless_ready()
