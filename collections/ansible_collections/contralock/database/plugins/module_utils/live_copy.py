"""Copying a SQLite database that others are writing, through SQLite's backup API.

A rollback-journal database has one lock for all: as long as a reader has it, a writer's commit waits. The backup API
takes the lock for each step of pages and lets it go in between, and starts again when somebody wrote meanwhile
(https://www.sqlite.org/c3ref/backup_finish.html). In small steps it therefore holds nobody up and may never end; in one
go it ends and holds the writers up. So small steps are tried first, and one go only where its pause, as measured in
those steps, is within the limit; it is broken off when it takes longer after all. In WAL mode readers hold nobody up.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from .durable_files import assert_room, new_private_file
from .errors import MigrationError
from .file_holders import describe_holders
from .source_file import Progress, explained, open_source

#: What one step copies. About 5 ms where the file is in memory, 50 ms from a slow disk.
STEP_BYTES = 1 << 20
#: After so many new beginnings the writers are taken to be too busy for small steps.
RESTARTS_BEFORE_ONE_GO = 20
#: Part of the limit that the expected pause may take: the measure is made in small steps, and machines waver.
CAUTION = 0.8
#: So many single pages may take longer than the limit before it is the disk's fault, and not a busy processor's.
SLOW_PAGES = 20
#: SQLite's codes that only a file which is written can be the reason of, and the system's for them.
_OF_DESTINATION = {
    "SQLITE_FULL": errno.ENOSPC,
    "SQLITE_IOERR_WRITE": errno.EIO,
    "SQLITE_IOERR_TRUNCATE": errno.EIO,
}
#: How long to wait before a locked file is asked again, in seconds.
_LOCKED_SLEEP = 0.005
_LOCK_WAIT_MS = 5000


@dataclass(frozen=True)
class Limits:
    """What a backup of a running application may cost it.

    Attributes:
        pause_ms: The longest time for which writers may be held up at a stretch, in milliseconds. Keep it below the
            application's busy timeout (node's sqlite3: 1000), or its writes fail meanwhile. A step that takes longer,
            on a slow disk or a busy machine, is followed by smaller ones; its time is what is reported.
        seconds: How long the copying may take altogether.
    """

    pause_ms: int = 250
    seconds: float = 300.0


def copy_live(source: Path, destination: Path, limits: Limits, report: Progress) -> LiveCopy:
    """Copy a database that others may be writing, as it is at one moment.

    Args:
        source: The live file. It is opened for reading, by SQLite alone.
        destination: Made anew with mode 0600; it is not synced.
        limits: What it may cost.
        report: Called with what is done, pages done, and of how many.

    Raises:
        MigrationError: The source cannot be read, there is no room, or writers are so busy that it could only be done
            by holding them up beyond the limit: the refusal says for how long.
        OSError: The destination cannot be written: there was room before, or another limit than the disk's own.
    """
    with closing(_open(source)) as reading:
        size = _number(reading, "page_count") * _number(reading, "page_size")
        assert_room(destination.parent, size, f"the backup of {source}")
        copying = LiveCopy(source, destination, limits, report, reading)
        copying.run()
    return copying


class _TooManyWritersError(Exception):
    """Small steps are not going to end."""


class _TooLongError(Exception):
    """Holding the lock takes longer than it may."""


@dataclass
class LiveCopy:
    """One copy by SQLite's backup API, and what it cost the writers.

    ``pause`` is the longest time, in seconds, between two moments at which no lock was held: at least as long as any
    writer was held up by it.
    """

    source: Path
    destination: Path
    limits: Limits
    report: Progress
    reading: sqlite3.Connection
    step_pages: int = 1
    journal_mode: str = ""
    pause: float = 0.0
    restarts: int = 0
    _pages: int = 0
    _copied: int = 0
    _copying_seconds: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Make the copy; ``pause``, ``restarts`` and ``journal_mode`` are known afterwards."""
        with explained(f"the source {self.source}"):
            self._prepare()
            if self.journal_mode == "wal":
                # The snapshot of one read transaction: a writer neither waits for it nor makes it begin again.
                self._in_one_go(limit=None)
                self.pause = 0.0
                return
            try:
                self._in_steps()
            except _TooManyWritersError:
                self._in_one_go(self.limits.pause_ms / 1000)

    def _prepare(self) -> None:
        self.step_pages = max(STEP_BYTES // _number(self.reading, "page_size"), 1)
        ((mode,),) = self.reading.execute("PRAGMA journal_mode").fetchall()
        self.journal_mode = bytes(mode).decode()

    def _in_steps(self) -> None:
        """Copy in small steps; smaller ones when a step holds the writers up too long."""
        slow_pages = 0
        while True:
            try:
                self._copy(_InSteps(self))
            except _TooLongError:
                slow_pages += self.step_pages == 1
                if slow_pages > SLOW_PAGES:
                    raise self._refusal(f"copying single pages of {self.source} took too long. One go") from None
                self.step_pages = max(self.step_pages // 4, 1)
            else:
                return

    def _in_one_go(self, limit: float | None) -> None:
        # Waiting for the lock is no pause of a writer: it is the writer that has it.
        self.reading.execute(f"PRAGMA busy_timeout = {_LOCK_WAIT_MS}")
        self.reading.execute("BEGIN")
        try:
            self.reading.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            begun = time.monotonic()
            self._copy(_InOneGo(self, begun, limit))
        except _TooLongError:
            raise self._refusal(f"copying {self.source} in one go took too long and was broken off: it") from None
        finally:
            self.reading.execute("ROLLBACK")
        self.pause = max(self.pause, time.monotonic() - begun)

    def _copy(self, watch: _InSteps | _InOneGo) -> None:
        self.destination.unlink(missing_ok=True)
        os.close(new_private_file(self.destination))
        with closing(sqlite3.connect(self.destination, isolation_level=None)) as writing:
            # Nobody else sees it yet. Its pages are synced at the end, and not while writers wait.
            writing.execute("PRAGMA synchronous = OFF")
            writing.execute("PRAGMA journal_mode = OFF")
            watch.resume()
            try:
                self.reading.backup(writing, pages=self.step_pages, progress=watch, sleep=0)
            except sqlite3.OperationalError as error:
                # One exception for both files: of a live source nobody shall be told to restore it from a backup.
                if code := _OF_DESTINATION.get(getattr(error, "sqlite_errorname", "")):
                    raise OSError(code, str(error), str(self.destination)) from error
                raise

    def note_step(self, seconds: float, total: int) -> None:
        """Note a step that copied pages."""
        self._pages = total
        self._copied += self.step_pages
        self._copying_seconds += seconds

    def expected_seconds(self) -> float:
        """How long one go would take, from the steps so far."""
        return self._copying_seconds / max(self._copied, 1) * self._pages

    def out_of_time(self) -> bool:
        """Tell whether the copying has taken as long as it may."""
        return time.monotonic() - self._begun > self.limits.seconds

    def too_busy(self) -> MigrationError:
        """Say that writers leave no time for steps, and one go would take too long."""
        return self._refusal(
            f"{self.source} could not be copied in {self.limits.seconds:g} s: it was written or locked all the time"
            f" ({self.restarts} new beginnings; in use by {describe_holders(self.source)}). One go"
        )

    def _refusal(self, fact: str) -> MigrationError:
        limit = self.limits.pause_ms
        details: dict[str, object] = {"pause_limit_ms": limit, "restarts": self.restarts}
        if not self._pages:
            fact = f"{fact} would hold the writers up for a time that is not known, since no page could be copied"
            return MigrationError(fact, "Back up when the application writes less", details)
        expected = round(self.expected_seconds() * 1000)
        return MigrationError(
            f"{fact} would hold the writers up for about {expected} ms, and the limit is {limit} ms",
            f"Raise the limit (pause_limit_ms) above {round(expected / CAUTION)}, if the application's busy timeout is"
            " longer than that, or back up when it writes less",
            {**details, "expected_pause_ms": expected},
        )


class _InSteps:
    """Called by sqlite3 after each step: measures it, and sees whether writers made the copying begin again."""

    def __init__(self, copying: LiveCopy) -> None:
        self._copying = copying
        self._resumed = 0.0
        self._remaining: int | None = None
        # A step that finds the file locked comes back at once: waiting inside of it would look like a pause.
        copying.reading.execute("PRAGMA busy_timeout = 0")

    def resume(self) -> None:
        self._resumed = time.monotonic()

    def __call__(self, status: int, remaining: int, total: int) -> None:
        seconds = time.monotonic() - self._resumed
        copying = self._copying
        if status in (sqlite3.SQLITE_OK, sqlite3.SQLITE_DONE):
            copying.pause = max(copying.pause, seconds)
            copying.note_step(seconds, total)
            copying.report("back up", total - remaining, total)
            if seconds * 1000 > copying.limits.pause_ms and status != sqlite3.SQLITE_DONE:
                raise _TooLongError
            if self._remaining is not None and remaining >= self._remaining > 0:
                copying.restarts += 1
            self._remaining = remaining
        else:
            time.sleep(_LOCKED_SLEEP)
        if status != sqlite3.SQLITE_DONE:
            self._give_up_if_hopeless()
        self.resume()

    def _give_up_if_hopeless(self) -> None:
        copying = self._copying
        if copying.out_of_time():
            raise copying.too_busy()
        affordable = copying.limits.pause_ms / 1000 * CAUTION
        if copying.restarts >= RESTARTS_BEFORE_ONE_GO and copying.expected_seconds() <= affordable:
            raise _TooManyWritersError


class _InOneGo:
    """Called by sqlite3 after each step inside one read transaction: breaks off when it takes too long."""

    def __init__(self, copying: LiveCopy, begun: float, limit: float | None) -> None:
        self._copying = copying
        self._begun = begun
        self._limit = limit
        self._resumed = begun

    def resume(self) -> None:
        self._resumed = time.monotonic()

    def __call__(self, status: int, remaining: int, total: int) -> None:
        now = time.monotonic()
        self._copying.note_step(now - self._resumed, total)
        if self._limit is None:
            # Only here: where writers wait, telling would be a part of their time.
            self._copying.report("back up", total - remaining, total)
        elif now - self._begun > self._limit and status != sqlite3.SQLITE_DONE:
            raise _TooLongError
        self.resume()


def _open(source: Path) -> sqlite3.Connection:
    """Open the source, and name who keeps it locked when that is why it cannot be read."""
    try:
        return open_source(source, _LOCK_WAIT_MS / 1000)
    except MigrationError as error:
        if "SQLITE_BUSY" not in error.fact:
            raise
        fact = f"{error.fact}; it is in use by {describe_holders(source)}"
        raise MigrationError(fact, error.mend, error.details) from error


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
