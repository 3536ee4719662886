"""Small SQLite files, and processes that write or hold them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

WRITER = """
import json, sqlite3, sys, time
path, every, mode = sys.argv[1], float(sys.argv[2]), sys.argv[3]
connection = sqlite3.connect(path, isolation_level=None, timeout=10)
connection.execute(f"PRAGMA locking_mode = {mode}")
worst, count, ends = 0.0, 0, []
import signal
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
while not ends:
    begun = time.monotonic()
    connection.execute("INSERT INTO events (note) VALUES (?)", [f"note {count}"])
    worst, count = max(worst, time.monotonic() - begun), count + 1
    if count == 1:
        print("writing", flush=True)
    time.sleep(every)
print(json.dumps({"worst_ms": worst * 1000, "writes": count}), flush=True)
"""

HOLDER = """
import mmap, sys, time
path, how = sys.argv[1:]
file = open(path, "rb")
if how == "mapped":
    mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    file.close()
print("holding", flush=True)
time.sleep(60)
"""


def make_database(path: Path, journal_mode: str = "delete", megabytes: float = 0.1) -> Path:
    """A closed database with two tables, a foreign key, and about so much in it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.executescript(
            "CREATE TABLE users (id TEXT PRIMARY KEY, content BLOB);"
            "CREATE TABLE events (id INTEGER PRIMARY KEY, user TEXT REFERENCES users, note TEXT);"
            "INSERT INTO events (note) VALUES ('first')"
        )
        rows = ((f"user-{number}",) for number in range(int(megabytes * 250) + 1))
        connection.executemany("INSERT INTO users VALUES (?, randomblob(3900))", rows)
    path.chmod(0o640)
    return path


def content(path: Path) -> list[tuple[object, ...]]:
    """All rows of both tables."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [
            row for table in ("users", "events") for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")
        ]


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed its first line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def writer(path: Path, every: float = 0.02, locking_mode: str = "normal"):
    return running(WRITER, path, every, locking_mode)


def holder(path: Path, how: str = "open"):
    return running(HOLDER, path, how)


def ended(process: subprocess.Popen[str]) -> dict[str, float]:
    """Let a writer finish, and return what it measured."""
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def can_write(path: Path) -> bool:
    """Whether another process gets the lock to write; a fork would not do, since SQLite notes its locks in memory."""
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0); c.execute('BEGIN IMMEDIATE')"
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False).returncode == 0


def in_child(deed: Callable[[], object]) -> int:
    """Carry something out in a forked process; return how that ended: 0, 1 after an exception, or minus a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            deed()
        except BaseException:
            # Whatever it is, the child must not go on as a test run.
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
