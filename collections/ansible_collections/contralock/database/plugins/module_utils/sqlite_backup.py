"""Backups of the SQLite file: of a running application by SQLite's backup API, of a stopped one byte for byte.

A backup has its name only when it is whole: it is synced, and has passed SQLite's integrity check and the check of the
foreign keys. Before that it is called ``<name>.part``, which a later run replaces.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .durable_files import (
    assert_room,
    copy_synced,
    move,
    refused_politely,
    sha256_of,
    sync_directory,
)
from .errors import MigrationError
from .file_holders import assert_no_holders
from .live_copy import Limits, copy_live
from .source_file import SIDE_FILES, Progress, assert_sound, explained


@dataclass(frozen=True)
class Backup:
    """A backup that is whole.

    Attributes:
        path: Where it is.
        changed: Whether this call made it, or found it.
        bytes: Its size; None when it is only predicted.
        sha256: Of its bytes, in hexadecimal digits; None when it is only predicted.
        journal_mode: The source's; None when the backup was only found, or made of a stopped file.
        longest_pause_ms: The longest time for which writers could be held up at a stretch, in milliseconds; None when
            nothing was running.
        restarts: How often writers made the copying begin again.
        seconds: What the copying took, without the checks.
        check_seconds: What SQLite's own checks of the copy took.
        hash_seconds: What reading it for its checksum took.
    """

    path: Path
    changed: bool
    bytes: int | None
    sha256: str | None
    journal_mode: str | None = None
    longest_pause_ms: float | None = None
    restarts: int = 0
    seconds: float = 0.0
    check_seconds: float = 0.0
    hash_seconds: float = 0.0


def back_up_running(
    source: Path, destination: Path, limits: Limits | None = None, progress: Progress | None = None
) -> Backup:
    """Take a snapshot of a database that others may be writing.

    A destination that exists was whole when it got its name; it is kept.

    Args:
        source: The live file. It is opened for reading, by SQLite alone.
        destination: Becomes a file of mode 0600.
        limits: What it may cost.
        progress: Called with what is done, pages (or checks) done, and of how many.

    Raises:
        MigrationError: The source cannot be read or contradicts itself, there is no room, or writers are so busy that
            it could only be done by holding them up beyond the limit: the refusal says for how long.
    """
    if (kept := find_backup(destination)) is not None:
        return kept
    started = time.monotonic()
    part = _part(destination)
    with refused_politely(f"cannot back up {source}"), _removed_on_failure(part):
        copied = copy_live(source, part, limits or Limits(), progress or (lambda *_: None))
        seconds = time.monotonic() - started
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        synced = time.monotonic()
        sha256 = sha256_of(part)
        hashed = time.monotonic()
        _give_name(part, destination, progress)
    return Backup(
        path=destination,
        changed=True,
        bytes=destination.stat().st_size,
        sha256=sha256,
        journal_mode=copied.journal_mode,
        longest_pause_ms=round(copied.pause * 1000, 1),
        restarts=copied.restarts,
        seconds=round(seconds, 3),
        check_seconds=round(time.monotonic() - hashed, 3),
        hash_seconds=round(hashed - synced, 3),
    )


def copy_stopped(
    source: Path, destination: Path, expected_sha256: str = "", progress: Progress | None = None
) -> Backup:
    """Copy the file of a stopped application byte for byte, without SQLite.

    Args:
        source: Nobody may have it open, and no side file with content may lie beside it.
        destination: Becomes a file of mode 0600. One that is there has to have the same bytes; it is kept.
        expected_sha256: The checksum that the source must have; empty when it is not known.
        progress: Called with what is done, bytes (or checks) done, and of how many.

    Raises:
        MigrationError: The source is in use, not whole, or not what was expected; the copy differs; there is no room.
    """
    _assert_stopped(source)
    if (kept := find_backup(destination)) is not None:
        with refused_politely(f"cannot read {source}"):
            found = sha256_of(source)
        _assert_unchanged(source, found, expected_sha256)
        assert_checksum(kept.path, kept.sha256, found)
        return kept
    started = time.monotonic()
    part = _part(destination)
    with refused_politely(f"cannot back up {source}"), _removed_on_failure(part):
        assert_room(destination.parent, source.stat().st_size, f"the backup of {source}")
        found = copy_synced(source, part, "back up", progress)
        seconds = time.monotonic() - started
        _assert_unchanged(source, found, expected_sha256)
        _give_name(part, destination, progress)
        size = destination.stat().st_size
    return Backup(destination, changed=True, bytes=size, sha256=found, seconds=round(seconds, 3))


def find_backup(path: Path) -> Backup | None:
    """Return the backup of this name, read anew, or None when there is none.

    Raises:
        MigrationError: It cannot be read.
    """
    with refused_politely(f"cannot read the backup {path}"):
        if not path.exists():
            return None
        return Backup(path, changed=False, bytes=path.stat().st_size, sha256=sha256_of(path))


def predict_backup(source: Path, destination: Path) -> Backup:
    """Say whether a backup is there or would be made, and change nothing.

    Raises:
        MigrationError: There is no such source, or no room for its copy.
    """
    if (kept := find_backup(destination)) is not None:
        return kept
    with refused_politely(f"cannot back up {source}"):
        size = source.stat().st_size
    # The run directory itself may be a prediction.
    assert_room(next(parent for parent in destination.parents if parent.exists()), size, f"the backup of {source}")
    return Backup(destination, changed=True, bytes=None, sha256=None)


def assert_checksum(path: Path, found: str | None, expected: str) -> None:
    """Refuse a backup whose checksum is another than the one that was noted.

    Raises:
        MigrationError: They differ.
    """
    if found != expected:
        raise MigrationError(
            f"the backup {path} has the sha256 {found}, and {expected} was noted when it was made: it was changed",
            "Do not use it: take another copy with the noted checksum, and find out who changed this one",
            {"found": found, "expected": expected},
        )


def assert_sound_file(path: Path, progress: Progress | None = None) -> None:
    """Check a database that nobody writes, without leaving a -wal or -shm beside it.

    Raises:
        MigrationError: It fails SQLite's integrity check, or rows refer to rows that are not there.
    """
    with explained(str(path)):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    with closing(connection):
        connection.text_factory = bytearray
        assert_sound(connection, progress)


@contextmanager
def _removed_on_failure(part: Path) -> Iterator[None]:
    """Leave no half backup behind: it holds everybody's data."""
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _assert_unchanged(source: Path, found: str, expected: str) -> None:
    if expected and found != expected:
        raise MigrationError(
            f"{source} has the sha256 {found}, and {expected} was expected: somebody changed it",
            "Find out who writes it, stop that, and begin again",
            {"found": found, "expected": expected},
        )


def _assert_stopped(source: Path) -> None:
    """Refuse a file that is in use, or that is not the whole database."""
    with refused_politely(f"cannot look at {source}"):
        if not source.is_file():
            raise MigrationError(f"there is no file {source}", "Name the SQLite file that the application used")
        # Who is writing has side files: the process is what the operator can do something about.
        assert_no_holders(source)
        beside = [source.with_name(source.name + ending) for ending in SIDE_FILES if ending != "-shm"]
        full = [side for side in beside if side.exists() and side.stat().st_size]
    if full:
        raise MigrationError(
            f"{source} is not the whole database: {', '.join(side.name for side in full)} beside it holds changes",
            "Fence the file first: that lets SQLite finish what is in there",
        )


def _give_name(part: Path, destination: Path, progress: Progress | None) -> None:
    """Check what was written and synced, then give it its name."""
    assert_sound_file(part, progress)
    move(part, destination)
    sync_directory(destination.parent)


def _part(destination: Path) -> Path:
    return destination.with_name(destination.name + ".part")
