"""Whether there is room for all that a window writes on the application's host, asked before the application stops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .durable_files import assert_room, refused_politely
from .source_file import SIDE_FILES


@dataclass(frozen=True)
class Need:
    """What is going to be written where: ``what`` names it in a refusal, ``directory`` may not be there yet."""

    what: str
    directory: Path
    bytes: int


def needs_of_window(source: Path, backups: Path, scratch: Path, room_factor: float) -> list[Need]:
    """Return what a cut-over writes at most, and its way back: the fenced file stays until that is over.

    Args:
        source: The live file; what its write-ahead log holds is going to be in it.
        backups: Where the backup goes.
        scratch: Where the engine's own files go.
        room_factor: Theirs to the source, in bytes.

    Raises:
        MigrationError: The source cannot be looked at.
    """
    with refused_politely(f"cannot look at {source}"):
        real = source.resolve(strict=True)
        beside = [real.with_name(real.name + ending) for ending in SIDE_FILES if ending != "-shm"]
        size = real.stat().st_size + sum(each.stat().st_size for each in beside if each.exists())
    return [
        Need("the backup", backups, size),
        Need("the load's own files", scratch, int(size * room_factor)),
        Need("the file that the way back restores", real.parent, size),
    ]


def assert_room_for(source: Path, needs: Iterable[Need]) -> None:
    """Refuse when a filesystem has no room for all that goes there.

    Raises:
        MigrationError: With the directory, what goes there, what it needs and what is free.
    """
    by_filesystem: dict[int, list[tuple[Path, Need]]] = {}
    for need in needs:
        with refused_politely(f"cannot look for room for {need.what} of {source}"):
            wanted = need.directory.absolute()
            there = next(each for each in (wanted, *wanted.parents) if each.exists())
            by_filesystem.setdefault(there.stat().st_dev, []).append((there, need))
    for found in by_filesystem.values():
        if written := [(there, need) for there, need in found if need.bytes]:
            what = " and ".join(need.what for _, need in written)
            assert_room(written[0][0], sum(need.bytes for _, need in written), f"{what} of {source}")
