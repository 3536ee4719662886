"""Files that are no whole SQLite database are refused before anything is read from them."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.source_file import (
    assert_sound,
    explained,
    open_source,
)

Make = Callable[..., Path]
FILLED = """
    CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);
    CREATE INDEX t_b ON t (b);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO t SELECT i, hex(i) FROM n;
"""


def refusal(path: Path) -> MigrationError:
    with pytest.raises(MigrationError) as refused, closing(open_source(path)) as source:
        assert_sound(source)
    assert refused.value.mend
    return refused.value


def test_a_whole_file_is_opened_and_found_sound(make: Make) -> None:
    seen: list[tuple[str, int, int]] = []
    with closing(open_source(make(FILLED))) as source:
        assert_sound(source, lambda *step: seen.append(step))
        assert source.execute("SELECT b, x'00' FROM t LIMIT 1").fetchone() == (bytearray(b"31"), b"\0")
    assert seen == [("integrity", 0, 2), ("foreign keys", 1, 2), ("foreign keys", 2, 2)]


def test_nothing_can_be_written(make: Make) -> None:
    with closing(open_source(make())) as source:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            source.execute("INSERT INTO t VALUES (1, 'x')")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            source.execute("CREATE TEMP TABLE u (a)")
        source.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            source.execute("INSERT INTO t VALUES (1, 'x')")


@pytest.mark.parametrize("name", ["a b.sqlite", "a?mode=rw.sqlite", "a#b.sqlite", "100%25.sqlite", "ä.sqlite"])
def test_any_file_name_is_taken_literally(make: Make, name: str) -> None:
    open_source(make(FILLED, name)).close()


def plant_missing(path: Path) -> None:
    path.unlink()


def plant_empty(path: Path) -> None:
    path.write_bytes(b"")


def plant_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def plant_device(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def plant_text(path: Path) -> None:
    path.write_text("id,name\n1,a\n" * 100)


def plant_encrypted(path: Path) -> None:
    path.write_bytes(hashlib.sha512(b"x").digest() * (path.stat().st_size // 64))


def plant_cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def plant_cut_off_in_the_first_page(path: Path) -> None:
    os.truncate(path, 700)


def plant_damaged_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(3 * 4096 + 100)
        file.write(b"\xff" * 2000)


def plant_row_missing_in_an_index(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX t_b ON t (a)' WHERE name = 't_b'")


def plant_null(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE t SET b = NULL WHERE a = 7")
        database.execute("PRAGMA writable_schema = ON")
        sql = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL)"
        database.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 't'", [sql])


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (plant_missing, "there is no file"),
        (plant_empty, "is empty"),
        (plant_directory, "is a directory"),
        (plant_device, "is no regular file"),
        (plant_text, "is not a SQLite database, or it is encrypted"),
        (plant_encrypted, "is not a SQLite database, or it is encrypted"),
        (plant_cut_off, "is damaged or cut off"),
        (plant_cut_off_in_the_first_page, "is damaged or cut off|is not a SQLite database"),
        (plant_damaged_page, "fails SQLite's integrity check"),
        (plant_row_missing_in_an_index, "fails SQLite's integrity check"),
        (plant_null, "has NULL in a column that is declared NOT NULL: t.b at a 7. Give these cells a value"),
    ],
)
def test_what_is_not_whole_is_refused(make: Make, plant: Callable[[Path], None], message: str) -> None:
    path = make(FILLED)
    plant(path)
    assert re.search(message, str(refusal(path)))


def test_utf_16_is_refused_and_the_told_commands_make_a_copy_that_is_not(make: Make, tmp_path: Path) -> None:
    path = make("""PRAGMA encoding = 'UTF-16'; PRAGMA user_version = 42; PRAGMA application_id = -7;
        CREATE TABLE t (a TEXT); INSERT INTO t (rowid, a) VALUES (77, 'ä€😀')""")
    refused = refusal(path)
    assert "keeps its text in UTF-16le" in refused.fact
    commands = re.search(r"sqlite3 OLD .* && sqlite3 NEW '[^']*'", refused.mend)
    assert commands
    copy = tmp_path / "copy.sqlite"
    subprocess.run(commands[0].replace("OLD", str(path)).replace("NEW", str(copy)), shell=True, check=True)
    with closing(open_source(copy)) as source:
        assert_sound(source)
        told = [source.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")]
        assert told == [(42,), (-7,)]
        assert source.execute("SELECT rowid, a FROM t").fetchall() == [(77, bytearray("ä€😀".encode()))]


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to("gone")
    assert "there is no file" in str(refusal(tmp_path / "link.sqlite"))


def test_at_most_ten_findings_are_listed(make: Make) -> None:
    path = make(FILLED)
    plant_row_missing_in_an_index(path)
    error = refusal(path)
    assert len(error.details["integrity_check"]) == 10
    assert error.fact.endswith("and more than 10")


ORPHANS = """
    CREATE TABLE parent (id TEXT PRIMARY KEY);
    CREATE TABLE child (id TEXT PRIMARY KEY, "from" TEXT REFERENCES parent (id));
    INSERT INTO parent VALUES ('p1');
    INSERT INTO child VALUES ('c0', 'p1'), ('c1', 'lost'), ('c2', NULL);
"""


def test_an_orphan_is_named_with_its_key_and_parent(make: Make) -> None:
    shown = "child id 'c1': from 'lost' is in no row of parent"
    fact = f"the source has 1 row that refers to a row that is not there: {shown}"
    assert refusal(make(ORPHANS)).fact == fact


def test_a_source_without_orphans_is_sound(make: Make) -> None:
    with closing(open_source(make(ORPHANS.replace(", ('c1', 'lost')", "")))) as source:
        assert_sound(source)


@pytest.mark.parametrize(
    ("child", "values", "shown"),
    [
        ("child (p TEXT REFERENCES parent)", "('x')", "child rowid 1: p 'x'"),
        ("child (rowid TEXT, p TEXT REFERENCES parent)", "('a', 'x')", "child _rowid_ 1: p 'x'"),
        ("child (a, b, p REFERENCES parent, PRIMARY KEY (b, a))", "(1, 2, 'x')", "child b, a 2, 1: p 'x'"),
        ("child (a PRIMARY KEY, p REFERENCES parent) WITHOUT ROWID", "(1, 'x')", "a row of child: p"),
        # As it stands there, and no programming language's spelling of it.
        ('"chi""ld" ("p q" REFERENCES parent)', "('x\"''\n\\')", "chi\"ld rowid 1: p q 'x\"'\\n\\'"),
    ],
)
def test_orphans_of_any_table_are_named(make: Make, child: str, values: str, shown: str) -> None:
    name = child[: child.index("(")] if not child.startswith('"') else '"chi""ld"'
    path = make(f"CREATE TABLE parent (id TEXT PRIMARY KEY); CREATE TABLE {child}; INSERT INTO {name} VALUES {values}")
    assert f"{shown} is in no row of parent" in str(refusal(path))


def test_many_orphans_are_counted(make: Make) -> None:
    rows = ", ".join(f"('c{number:03}', 'lost')" for number in range(3, 33))
    error = refusal(make(f"{ORPHANS}; INSERT INTO child VALUES {rows}"))
    assert error.details["orphans"] == 31
    assert "; and 21 more" in error.fact


KILLED_WRITER = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = " + sys.argv[2])
database.execute("PRAGMA cache_size = 1")
database.execute("PRAGMA synchronous = FULL")
database.execute("BEGIN")
database.execute("UPDATE t SET b = 'torn'")
if sys.argv[2] == "WAL":
    database.execute("COMMIT")
os._exit(9)
"""


def kill_a_writer(path: Path, mode: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path), mode], check=False)


def test_a_transaction_that_was_never_finished_is_refused(make: Make) -> None:
    path = make(FILLED)
    kill_a_writer(path, "DELETE")
    assert path.with_name("source.sqlite-journal").exists()
    assert "hot rollback journal" in str(refusal(path))


def test_what_the_write_ahead_log_holds_is_read(make: Make) -> None:
    path = make(FILLED)
    kill_a_writer(path, "WAL")
    assert path.with_name("source.sqlite-wal").stat().st_size > 0
    with closing(open_source(path)) as source:
        assert_sound(source)
        assert source.execute("SELECT DISTINCT b FROM t").fetchall() == [(bytearray(b"torn"),)]


def test_reading_leaves_a_file_in_wal_mode_as_it_is(make: Make) -> None:
    path = make(f"PRAGMA journal_mode = WAL; {FILLED}")
    before = path.read_bytes()
    open_source(path).close()
    assert path.read_bytes() == before
    log = path.with_name("source.sqlite-wal")
    assert not log.exists() or log.stat().st_size == 0


def test_a_writer_that_holds_the_file_is_named_as_the_reason(make: Make) -> None:
    path = make(FILLED)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MigrationError, match="is locked by another process"):
            open_source(path, wait_seconds=0.05)


def test_other_errors_of_sqlite_are_explained_too() -> None:
    with pytest.raises(MigrationError, match=r"table 't' cannot be read: no such table: t\."), explained("table 't'"):
        sqlite3.connect(":memory:").execute("SELECT * FROM t")


@pytest.mark.parametrize(
    ("schema", "named", "mend"),
    [
        ("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (own(a))", "function own, which SQLite", "DROP INDEX i"),
        ("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a) WHERE own(a) > 'a'", "the function own,", "DROP INDEX i"),
        ("CREATE TABLE t (a TEXT, b TEXT AS (own(a)) NOT NULL)", "the function own,", "ALTER TABLE t DROP COLUMN b"),
        ("CREATE TABLE t (a TEXT COLLATE ours); CREATE INDEX i ON t (a)", "the collation ours,", "DROP INDEX i"),
        ("CREATE TABLE t (a TEXT CHECK (own(a) > 'a'), b TEXT AS (own(a)) STORED)", "", ""),
    ],
)
def test_what_the_application_brings_along_is_named_and_can_be_dropped_without_it(
    tmp_path: Path, schema: str, named: str, mend: str
) -> None:
    path = tmp_path / "own.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.create_function("own", 1, str, deterministic=True)
        connection.create_collation("ours", lambda one, other: (one > other) - (one < other))
        connection.executescript(f"{schema}; INSERT INTO t (a) VALUES ('x'), ('y')")
    if named:
        with closing(open_source(path)) as source, pytest.raises(MigrationError, match=named) as raised:
            assert_sound(source)
        assert "drop what names it" in str(raised.value)
        assert "backup" not in str(raised.value)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(mend)
    with closing(open_source(path)) as source:
        assert_sound(source)
        assert source.execute("SELECT a FROM t").fetchall() == [(bytearray(b"x"),), (bytearray(b"y"),)]
