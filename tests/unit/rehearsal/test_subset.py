"""A subset for a rehearsal: smaller, and every row that a kept row refers to is there."""

from __future__ import annotations

import sqlite3

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.subset import cut_to_subset


def faults(path):
    with sqlite3.connect(path) as connection:
        orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
        return orphans + [row for row in connection.execute("PRAGMA integrity_check") if row != ("ok",)]


@pytest.fixture
def make(tmp_path):
    def write(script: str):
        path = tmp_path / "source.sqlite"
        with sqlite3.connect(path) as connection:
            connection.executescript(script)
        connection.close()
        return path

    return write


CHAIN = """
    CREATE TABLE a (id TEXT PRIMARY KEY, b TEXT REFERENCES b (id));
    CREATE TABLE b (id TEXT PRIMARY KEY, a TEXT REFERENCES a (id), parent TEXT REFERENCES b);
    CREATE TABLE w (id TEXT PRIMARY KEY, a TEXT REFERENCES A (id)) WITHOUT ROWID;
    CREATE TABLE empty (id TEXT PRIMARY KEY, a TEXT REFERENCES a (id));
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
    INSERT INTO b SELECT 'b' || i, NULL, CASE WHEN i % 10 THEN 'b' || (i - 1) END FROM n;
    INSERT INTO a SELECT 'a' || substr(id, 2), id FROM b;
    UPDATE b SET a = 'a' || ((CAST(substr(id, 2) AS INTEGER) + 500) % 1000) WHERE id LIKE '%7';
    INSERT INTO w VALUES ('w', 'a999');
"""


def test_cycles_self_references_and_tables_without_rowids_stay_complete(make):
    path = make(CHAIN)
    assert faults(path) == []
    rows = cut_to_subset(path, 0.05)
    assert faults(path) == []
    assert 0 < rows["a"][1] < 1000
    assert 0 < rows["b"][1] < 1000
    assert rows["w"] == (1, 1)
    assert rows["empty"] == (0, 0)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT id FROM a WHERE id = 'a999'").fetchall() == [("a999",)]


#: Numbers of rows: counted, milliseconds, random ones of 63 bits, and below zero.
ROWIDS = ["i", "1700000000000 + i * 977", "(i * 922337203685477) % 9223372036854775807", "-i"]


@pytest.mark.parametrize("rowid", ROWIDS)
def test_parts_that_refer_to_nothing_keep_about_the_fraction_and_one_row_at_least(make, rowid):
    path = make(f"""
        CREATE TABLE many (x INTEGER PRIMARY KEY); CREATE TABLE one (x);
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
        INSERT INTO many SELECT {rowid} FROM n;
        INSERT INTO one VALUES (1);
    """)
    rows = cut_to_subset(path, 0.1)
    assert rows["one"] == (1, 1)
    assert 900 <= rows["many"][1] <= 1100


def test_the_application_s_triggers_have_no_say(make):
    path = make(
        CHAIN
        + """
        CREATE TABLE log (x);
        CREATE TRIGGER "never deleted" BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); END;
        CREATE TRIGGER noted AFTER DELETE ON b BEGIN INSERT INTO log VALUES (old.id); END;
    """
    )
    assert cut_to_subset(path, 0.05)["log"] == (0, 0)
    assert faults(path) == []


def test_the_whole_stays_the_whole(make):
    path = make(CHAIN)
    assert all(before == after for before, after in cut_to_subset(path, 1).values())


def test_the_application_s_source_becomes_smaller_and_stays_sound(tmp_path):
    path = tmp_path / "source.sqlite"
    write_source(Order(path, rows=5000, seed=3, form=Form.DEPLOYED))
    before = path.stat().st_size
    rows = cut_to_subset(path, 0.1)
    assert faults(path) == []
    assert path.stat().st_size < before / 2
    assert sum(after for _, after in rows.values()) < sum(count for count, _ in rows.values()) / 2


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan")])
def test_a_fraction_that_is_none_is_refused_before_anything_is_cut(make, fraction):
    path = make(CHAIN)
    before = path.read_bytes()
    with pytest.raises(MigrationError, match=r"such as 0\.1"):
        cut_to_subset(path, fraction)
    assert path.read_bytes() == before
