"""The journal of a run: one JSON record a line, appended and flushed to the disk before the caller goes on.

A record is a line that ends in a line feed. Whatever stands behind the last line feed was being written when its
process was killed: reading passes over it, and the next append cuts it off. Order is the file's order, never the
clock's.

Only the holder of the run's lock appends (``run_lock.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from .durable_files import new_private_file, sync_directory, write_all, write_new
from .errors import MigrationError

State = Literal["begun", "done", "failed", "taken_back"]
STATES: Mapping[str, State] = {state: state for state in get_args(State)}
UPTIME = Path("/proc/uptime")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Moment:
    """A point in time that two processes of one host agree on even when the clock is set.

    Args:
        time: UTC in ISO 8601 with milliseconds, for people.
        uptime: Seconds since the host's boot, suspension included (``/proc/uptime``, which a shell reads too): it never
            goes back.
        boot: The boot that ``uptime`` counts from (``/proc/sys/kernel/random/boot_id``).
    """

    time: str
    uptime: float
    boot: str

    @staticmethod
    def now() -> Moment:
        """Return this moment."""
        wall = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Moment(wall, float(UPTIME.read_text().split()[0]), BOOT_ID.read_text().strip())

    @staticmethod
    def of(record: Mapping[str, Any]) -> Moment:
        """Read what ``asdict`` wrote; a missing part makes a moment of an unknown boot."""
        return Moment(str(record.get("time", "")), float(record.get("uptime", 0.0)), str(record.get("boot", "")))

    def wall_seconds_until(self, later: Moment) -> float:
        """Return the seconds by the clock, which may have been set in between."""
        try:
            return (datetime.fromisoformat(later.time) - datetime.fromisoformat(self.time)).total_seconds()
        except ValueError:
            return 0.0

    def seconds_until(self, later: Moment) -> float:
        """Return the seconds from here to there, at least 0; over a reboot by the clock."""
        if self.boot == later.boot:
            return max(0.0, round(later.uptime - self.uptime, 3))
        return max(0.0, self.wall_seconds_until(later))


@dataclass(frozen=True)
class Record:
    """One line of the journal."""

    moment: Moment
    step: str
    state: State
    facts: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """Return the record as it stands in the file."""
        content = {
            "time": self.moment.time,
            "step": self.step,
            "state": self.state,
            "facts": dict(self.facts),
            "uptime": self.moment.uptime,
            "boot": self.moment.boot,
        }
        return json.dumps(content, ensure_ascii=False, separators=(", ", ": ")).encode() + b"\n"


def write_whole(path: Path, content: str, *, durable: bool = True) -> None:
    """Write a file of mode 0600 so that a reader sees the old content or the new, never a part.

    Raises:
        MigrationError: The disk is full or the directory is missing.
    """
    # One name per process: what a killed one left is overwritten or does no harm.
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.unlink(missing_ok=True)
        write_new(partial, content.encode(), durable=durable)
        partial.rename(path)
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def room_taken(path: Path, purpose: str, size: int) -> Iterator[Callable[[str], None]]:
    """Take the room for a file's next content before deeds that must be written down, as a full disk would come after.

    Args:
        path: What is going to be written, mode 0600, durably; no reader ever sees a part of it.
        purpose: A word; a path may have room for several contents.
        size: Bytes; what the content has beyond them needs room as ever.

    Yields:
        What writes the content, once; it raises as this does.

    Raises:
        MigrationError: The disk is full or the directory is missing.
    """
    room = path.with_name(f".{path.name}.{purpose}")
    with contextlib.ExitStack() as stack:
        try:
            # What a killed one left.
            room.unlink(missing_ok=True)
            descriptor = new_private_file(room)
            stack.callback(room.unlink, missing_ok=True)
            stack.callback(os.close, descriptor)
            os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
        except OSError as error:
            raise _unwritable(path, error) from error

        def write(content: str) -> None:
            try:
                write_all(descriptor, content.encode())
                os.ftruncate(descriptor, len(content.encode()))
                os.fsync(descriptor)
                room.rename(path)
                sync_directory(path.parent)
            except OSError as error:
                raise _unwritable(path, error) from error

        yield write


def append_record(path: Path, record: Record) -> None:
    """Append a record and flush it; cut off first what a killed writer left of its last one.

    Raises:
        MigrationError: The disk is full or the file cannot be written; the file is as it was then.
    """
    is_new = not path.exists()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = _end_of_records(descriptor)
            os.ftruncate(descriptor, end)
            _write_line(descriptor, record.line(), end)
        finally:
            os.close(descriptor)
        if is_new:
            sync_directory(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> MigrationError:
    return MigrationError(f"{path} could not be written: {error.strerror}", f"Look at the disk under {path.parent}")


def _end_of_records(descriptor: int) -> int:
    """Return the offset behind the last line feed."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).rfind(b"\n") + 1


def _write_line(descriptor: int, line: bytes, end: int) -> None:
    try:
        os.lseek(descriptor, end, os.SEEK_SET)
        write_all(descriptor, line)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def read_records(path: Path) -> list[Record]:
    """Read a journal, without what was being written when a process was killed.

    Raises:
        MigrationError: There is no journal, or a line is no record: nothing that a kill could leave.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MigrationError(f"{path} cannot be read: {error.strerror}", "Name the directory of a run") from error
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [_parse(path, number, line) for number, line in enumerate(lines, 1)]


def _parse(path: Path, number: int, line: bytes) -> Record:
    try:
        content = json.loads(line)
        state = STATES[content["state"]]
        return Record(Moment.of(content), str(content["step"]), state, dict(content["facts"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        mend = "A kill cannot do that: look who wrote into it, and keep a copy before you mend the line"
        raise MigrationError(f"{path}:{number} is no record of a journal", mend) from error


@dataclass(frozen=True)
class StepStanding:
    """Where one step stands after all records.

    Args:
        state: The state of its last record.
        facts: The facts of its last ``done``; empty when it never was done.
        begun: When it last began; None when only its end was recorded.
        ended: When its last attempt was done or failed; None while it runs. Taking it back does not count.
        message: What failed, when it failed.
    """

    state: State
    facts: Mapping[str, Any]
    begun: Moment | None
    ended: Moment | None
    message: str = ""

    @property
    def seconds(self) -> float | None:
        """How long the step's last attempt took; None while it runs."""
        if self.begun is None or self.ended is None:
            return None
        return self.begun.seconds_until(self.ended)


def standings(records: Sequence[Record]) -> dict[str, StepStanding]:
    """Sum up the records per step, in the order in which the steps first appear."""
    found: dict[str, StepStanding] = {}
    for record in records:
        before = found.get(record.step)
        if record.state == "begun":
            found[record.step] = StepStanding("begun", before.facts if before else {}, record.moment, None)
            continue
        kept = before.facts if before else {}
        found[record.step] = StepStanding(
            record.state,
            record.facts if record.state == "done" else kept,
            before.begun if before else None,
            (before.ended if before else None) if record.state == "taken_back" else record.moment,
            str(record.facts.get("message", "")) if record.state == "failed" else "",
        )
    return found
