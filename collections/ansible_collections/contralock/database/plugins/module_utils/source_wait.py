"""What a shell's verbs do around a source: say what they wait for, and leave nothing beside the file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from .errors import MigrationError
from .file_holders import describe_holders
from .source_file import LOCK_WAIT_SECONDS, SIDE_FILES, open_source, side_file

LOOK_SECONDS = 0.5
_LOCKED = "SQLITE_BUSY"
#: What is said of a file that somebody else uses.
_IN_USE = ("is locked by another process", "the source was written while")
#: https://www.sqlite.org/fileformat2.html#file_format_version_numbers: the two bytes that say WAL mode.
_MODE, _WAL_MODE = slice(18, 20), b"\x02\x02"


@contextmanager
def reading_source(path: Path, say: Callable[[str], None], note: Callable[[str], None]) -> Iterator[None]:
    """Begin the block when the file can be read, and leave nothing beside it; see the functions below.

    Args:
        path: The SQLite file, which this process has not opened yet.
        say: Told what is waited for.
        note: Told what may be missing, once the block has begun.

    Raises:
        MigrationError: See ``wait_until_readable``; who has the file open is named, too, when it is locked later, or
            was written meanwhile.
    """
    lacking = lacks_log(path)
    with no_side_files_left(path):
        wait_until_readable(path, say)
        if lacking:
            note(lacking)
        try:
            yield
        except MigrationError as error:
            if any(words in error.fact for words in _IN_USE):
                error.add_note(_in_use(path))
            raise


def wait_until_readable(path: Path, say: Callable[[str], None], wait_seconds: float = LOCK_WAIT_SECONDS) -> None:
    """Wait for whoever keeps a file locked, and say so.

    Args:
        path: The SQLite file.
        say: Told twice a second what is waited for.
        wait_seconds: How long.

    Raises:
        MigrationError: See ``open_source``; of a lock it is told who has the file open.
    """
    begun = time.monotonic()
    while True:
        try:
            open_source(path, LOOK_SECONDS).close()
        except MigrationError as error:
            if _LOCKED not in error.fact:
                raise
            waited = time.monotonic() - begun
            in_use = _in_use(path)
            if waited >= wait_seconds:
                error.add_note(in_use)
                raise
            say(f"waiting for {path}, which is locked: {waited:.0f} of {wait_seconds:.0f} s. {in_use}")
        else:
            return


def lacks_log(path: Path) -> str:
    """Return a sentence when a file in WAL mode has no -wal beside it; empty otherwise, or when that cannot be told.

    Whoever closes it last takes the -wal away, so it may well be whole. It looks at the file without SQLite, which
    would end all locks that this process has on it.
    """
    if side_file(path, "-wal").exists():
        return ""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            header = file.read(_MODE.stop)
    except OSError:
        return ""
    if header[_MODE] != _WAL_MODE:
        return ""
    return (
        f"{path} is in WAL mode and has no -wal beside it. That is right where nobody had the file open, and of a copy "
        "that sqlite3's .backup made; but one that cp made while the application ran lacks its latest rows: make it "
        "with sqlite3 APP.sqlite '.backup COPY.sqlite', or copy the -wal, too"
    )


def _in_use(path: Path) -> str:
    return f"It is in use by {describe_holders(path)}"


@contextmanager
def no_side_files_left(path: Path) -> Iterator[None]:
    """Let reading in the block leave nothing beside a file that had nothing beside it.

    A reader of a file in WAL mode makes a -wal and a -shm and may not remove them; SQLite does so when a connection
    that may write is the last to close (https://www.sqlite.org/walformat.html). With an empty -wal nothing is written.
    """
    sides = [side_file(path, ending) for ending in SIDE_FILES]
    clean = not any(side.exists() for side in sides)
    try:
        yield
    finally:
        wal = sides[SIDE_FILES.index("-wal")]
        with suppress(OSError, sqlite3.Error):
            if clean and wal.exists() and not wal.stat().st_size:
                named = f"{path.resolve().as_uri()}?mode=rw"
                with closing(sqlite3.connect(named, uri=True, isolation_level=None, timeout=0.0)) as connection:
                    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
