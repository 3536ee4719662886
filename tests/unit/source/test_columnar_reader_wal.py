"""The fast reader and a source in WAL mode: what only the log has is read, by several threads, and nothing is left."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from ansible_collections.contralock.database.plugins.module_utils.columnar_reader import RowRange, read_columns
from ansible_collections.contralock.database.plugins.module_utils.source_wait import lacks_log

from tests.unit.source.read_cells import COUNT, by_rows, whole

Make = Callable[..., Path]

WAL = "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t "
WAL += COUNT.format(3000).replace("SELECT i FROM", "SELECT i, 'x' FROM")


def test_a_file_in_wal_mode_can_be_read_by_several_threads(make: Make) -> None:
    """Two libraries that share its -shm make it anew under each other: every fortieth reading failed, or worse."""
    path = make(WAL)

    def read(_number: int) -> int:
        return sum(batch[0].length for batch in read_columns(path, "t", ["a", "b"]))

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(read, range(250))) == {3000}


def test_what_only_the_wal_has_is_read_too(make: Make, tmp_path: Path) -> None:
    path = make(WAL)
    copy = tmp_path / "copy.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as application:
        application.execute("PRAGMA wal_autocheckpoint = 0")
        application.execute("UPDATE t SET b = 'new' WHERE a = 2")
        # As a killed application leaves it.
        for ending in ("", "-wal"):
            copy.with_name(copy.name + ending).write_bytes(path.with_name(path.name + ending).read_bytes())
    assert copy.with_name("copy.sqlite-wal").stat().st_size
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere/link.sqlite"
    link.symlink_to(copy)
    assert lacks_log(link) == ""
    assert whole(read_columns(link, "t", ["a", "b"])) == by_rows(copy, ["a", "b"])
    assert whole(read_columns(copy, "t", ["a", "b"])) == by_rows(copy, ["a", "b"])
    assert sum(batch[0].length for batch in read_columns(copy, "t", ["a"], rows=RowRange(2, 3))) == 2


def test_what_is_still_in_the_write_ahead_log_is_read(make: Make, tmp_path: Path) -> None:
    path = make("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    (tmp_path / "copy").mkdir()
    with closing(sqlite3.connect(path)) as writer:
        with writer:
            writer.execute("INSERT INTO t VALUES ('in the log')")
        for ending in ("", "-wal"):
            copy = tmp_path / "copy" / f"{path.name}{ending}"
            copy.write_bytes(path.with_name(f"{path.name}{ending}").read_bytes())
    read = whole(read_columns(tmp_path / "copy" / path.name, "t", ["a"]))
    assert read == [[("integer", 1), ("text", b"in the log")]]


def test_nothing_is_left_beside_the_file(make: Make) -> None:
    path = make("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    before = path.read_bytes()
    assert whole(read_columns(path, "t", ["a"])) == [[("integer", 1)]]
    assert path.read_bytes() == before
    assert {each.name for each in path.parent.iterdir()} <= {path.name, f"{path.name}-wal", f"{path.name}-shm"}
