"""Whoever writes a source while it is loaded is noticed, and whoever reads it is nobody's fault."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils import columnar_reader
from ansible_collections.contralock.database.plugins.module_utils.columnar_reader import read_columns
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_watch import watched
from ansible_collections.contralock.database.plugins.module_utils.storage_classes import Learned, learn_classes

Make = Callable[..., Path]
SMALL = "CREATE TABLE t (a); INSERT INTO t VALUES (1);"
WRITTEN = "^the source was written while it was loaded"
LOCKER = """
import sqlite3, sys, time
with sqlite3.connect(sys.argv[1], isolation_level=None) as writer:
    writer.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    time.sleep(0.5)
    writer.execute("ROLLBACK")
"""


def commit(path: Path) -> None:
    with closing(sqlite3.connect(path)) as writer, writer:
        writer.execute("UPDATE t SET a = a + 1")


def put_another_in_its_place(path: Path) -> None:
    other = Path(shutil.copy2(path, path.with_name("other.sqlite")))
    other.replace(path)


def read(path: Path) -> None:
    with closing(open_source(path)) as source:
        source.execute("SELECT a FROM t").fetchall()


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("write", [commit, put_another_in_its_place])
def test_a_file_that_is_written_is_refused_whatever_was_wrong(
    make: Make, mode: str, write: Callable[[Path], None]
) -> None:
    path = make(f"PRAGMA journal_mode = {mode}; {SMALL}")
    for fault in (None, MigrationError("a value does not fit")):
        with watched(path, "loaded") as watch, pytest.raises(MigrationError, match=WRITTEN), watch.unwritten():
            write(path)
            if fault:
                raise fault


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_readers_are_nobodys_fault(make: Make, mode: str) -> None:
    path = make(f"PRAGMA journal_mode = {mode}; {SMALL}")
    with watched(path, "loaded") as watch:
        with watch.unwritten():
            read(path)
        with pytest.raises(MigrationError, match=r"^a value does not fit"), watch.unwritten():
            raise MigrationError("a value does not fit")


def test_a_lock_that_ended_meanwhile_is_told_as_a_lock(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver waits for nobody, and SQLite, which is asked why then, does."""
    path = make(SMALL)

    def locked_then(*given: Any) -> Learned:
        with subprocess.Popen([sys.executable, "-c", LOCKER, str(path)], stdout=subprocess.PIPE) as locker:
            assert locker.stdout
            assert locker.stdout.readline() == b"locked\n"
            return learn_classes(*given)

    monkeypatch.setattr(columnar_reader, "learn_classes", locked_then)
    words = r"^table 't' of the source is locked by another process .*\. Stop the process that writes it, and run again"
    with pytest.raises(MigrationError, match=words):
        list(read_columns(path, "t", ["a"]))
