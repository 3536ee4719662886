"""The ways in which an application leaves its SQLite file."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from tests.integration.source_file_care.source_files import content, make_database, running, writer

HALF_A_TRANSACTION = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN")
connection.execute("UPDATE users SET content = zeroblob(3900)")
print("in the middle", flush=True)
time.sleep(60)
"""


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def leave_open_wal(path: Path) -> None:
    with writer(path) as process:
        time.sleep(0.1)
        kill(process)


def leave_hot_journal(path: Path, journal_mode: str) -> None:
    with running(HALF_A_TRANSACTION, path, journal_mode) as process:
        kill(process)


#: How the application left its file -> made by.
LEFT = {
    "closed": make_database,
    "wal closed": lambda path: make_database(path, "wal"),
    "wal killed": lambda path: leave_open_wal(make_database(path, "wal")),
    "journal hot": lambda path: leave_hot_journal(make_database(path, megabytes=0.3), "delete"),
    "journal kept": lambda path: make_database(path, "persist"),
    "journal kept and hot": lambda path: leave_hot_journal(make_database(path, megabytes=0.3), "persist"),
}


def rows(directory: Path) -> list[tuple[object, ...]]:
    """What SQLite reads in a copy of the directory: what the application has committed."""
    copy = directory.with_name(f"{directory.name} read")
    shutil.copytree(directory, copy)
    with closing(sqlite3.connect(copy / "app.sqlite")) as connection:
        connection.execute("SELECT count(*) FROM users").fetchone()
    found = content(copy / "app.sqlite")
    shutil.rmtree(copy)
    return found


def placed(templates: Path, name: str, directory: Path) -> Path:
    shutil.copytree(templates / name, directory)
    return directory / "app.sqlite"
