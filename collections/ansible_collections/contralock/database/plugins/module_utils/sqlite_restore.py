"""Put a backup back under the SQLite file's own name: byte for byte, with its owner and mode, in one step.

The copy is made beside the file under a name that ends in ``.restored.part``, with the checksum taken of what is read
and again of what the disk has. Stale side files go before it gets its name: a ``-wal`` or ``-journal`` that belonged to
another state of the file would be played into it.
"""

from __future__ import annotations

import grp
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .durable_files import assert_room, copy_synced, dress, move, refused_politely, sha256_of, sync_directory
from .errors import MigrationError
from .fence_directory import kind_of, put_in_place, remove_fence
from .file_holders import assert_no_holders, find_holders
from .source_file import SIDE_FILES, Progress
from .sqlite_backup import assert_checksum, assert_sound_file, find_backup
from .sqlite_fence import found_names


@dataclass(frozen=True)
class Ownership:
    """Whose the restored file is: names or numbers as text, and the permissions as ``0640``; empty: the original's."""

    owner: str = ""
    group: str = ""
    mode: str = ""


@dataclass(frozen=True)
class Restoration:
    """What is put where.

    Attributes:
        backup: The copy that was made when the application was stopped.
        sha256: Its checksum, as noted then.
        path: The file's own name.
        ownership: What the file had.
        original: The file as it was moved aside; None for the one that the fence names, or the latest. Its extended
            attributes (access lists, labels) are taken over.
        keep_original: Whether it stays when its bytes are the backup's. One with others always stays.
        sound: Whether the restored bytes have to pass SQLite's own checks before they get the file's name.
    """

    backup: Path
    sha256: str
    path: Path
    ownership: Ownership = field(default_factory=Ownership)
    original: Path | None = None
    keep_original: bool = False
    sound: bool = False


@dataclass(frozen=True)
class Restored:
    """What stands under the file's own name now.

    Attributes:
        path: That name, symbolic links followed.
        changed: Whether this call changed anything.
        bytes: Its size.
        sha256: Of its bytes: the backup's.
        original: ``kept``, ``removed``, ``absent``, ``put back`` when it is what stands there, ``different`` when its
            bytes are others and it was kept for it, or ``unknown`` in a prediction.
    """

    path: Path
    changed: bool
    bytes: int
    sha256: str
    original: str


def restore_file(wanted: Restoration, progress: Progress | None = None) -> Restored:
    """Put a backup in the place of a fence, or of nothing. It never replaces a file.

    Args:
        wanted: What is put where.
        progress: Called with what is done, bytes done, and of how many.

    Returns:
        What was done. A file that is the backup already is left alone, with whatever SQLite has beside it.

    Raises:
        MigrationError: The backup is missing, was changed or contradicts itself; another file stands there; somebody
            has the original open and has written it; there is no room. The backup and the original are as they were.
    """
    path, original = _whereabouts(wanted)
    part = path.with_name(f"{path.name}.restored.part")
    with refused_politely(f"cannot restore {path}"):
        size = _assert_backup(wanted)
        changed = not _is_restored(path, wanted.sha256)
        if changed and _is_held_unwritten(original, wanted):
            _remove_side_files(path)
            (put_in_place if kind_of(path) == "fence" else move)(original, path)
            sync_directory(path.parent)
            return Restored(path, True, size, wanted.sha256, "put back")
        if changed:
            assert_no_holders(original)
            wanted = replace(wanted, ownership=_ownership(wanted.ownership, original), original=original)
            assert_room(path.parent, size, f"the restored {path.name}")
            _write_part(wanted, part, progress)
            _remove_side_files(path)
            (put_in_place if kind_of(path) == "fence" else move)(part, path)
        changed = _remove_left_over(part) or changed
        said, removed = _see_to(original, wanted.sha256, wanted.keep_original)
        sync_directory(path.parent)
    return Restored(path, changed or removed, size, wanted.sha256, said)


def check_backup(wanted: Restoration) -> Restored:
    """Check that the backup is there and has its checksum, and nothing else.

    The application may be using the file, on the way back that was killed after it was started, or PostgreSQL.

    Raises:
        MigrationError: The backup is missing or was changed.
    """
    with refused_politely(f"cannot read {wanted.backup}"):
        size = _assert_backup(wanted)
        return Restored(wanted.path.resolve(), False, size, wanted.sha256, "unknown")


def predict_restore(wanted: Restoration) -> Restored:
    """Say whether the file would be restored, and change nothing.

    Raises:
        MigrationError: As ``restore_file``, before anything is written; who has the file open is not asked.
    """
    path, original = _whereabouts(wanted)
    with refused_politely(f"cannot restore {path}"):
        size = _assert_backup(wanted)
        changed = not _is_restored(path, wanted.sha256)
        if changed:
            _ownership(wanted.ownership, original)
            assert_room(path.parent, size, f"the restored {path.name}")
    return Restored(path, changed, size, wanted.sha256, "unknown")


def _assert_backup(wanted: Restoration) -> int:
    """Refuse a backup that is missing or was changed; return its size in bytes."""
    found = find_backup(wanted.backup)
    if found is None or found.bytes is None:
        raise MigrationError(f"there is no backup {wanted.backup}", "Name the run directory that has it")
    assert_checksum(wanted.backup, found.sha256, wanted.sha256)
    return found.bytes


def _is_restored(path: Path, expected_sha256: str) -> bool:
    """Tell whether the backup stands there already; refuse what may not be replaced."""
    kind = kind_of(path)
    if kind in ("absent", "fence"):
        return False
    if kind == "file" and sha256_of(path) == expected_sha256:
        return True
    what = "a file with other bytes than the backup" if kind == "file" else "a directory with files in it"
    raise MigrationError(
        f"{path} is {what}, and nothing is replaced",
        "See who made it and whether anything in it is needed, move it away, and run again",
    )


def _is_held_unwritten(original: Path, wanted: Restoration) -> bool:
    """Tell whether somebody has the original open that still is what the backup is.

    What he writes later would be lost in a file without a name. So it goes back itself, and he and the application meet
    in it, as they did before the move. SQLite keeps what he has written already in side files, which there must not be.
    """
    side_files = [original.with_name(original.name + ending) for ending in SIDE_FILES]
    return (
        kind_of(original) == "file"
        and not (wanted.keep_original or wanted.sound)
        and bool(find_holders(original))
        and not any(file.exists() for file in side_files)
        and sha256_of(original) == wanted.sha256
    )


def _whereabouts(wanted: Restoration) -> tuple[Path, Path]:
    """The file's own name, symbolic links followed, and where the original is or would be."""
    path = wanted.path.resolve()
    if not path.parent.is_dir():
        raise MigrationError(f"there is no directory {path.parent}", "Make it with the owner and mode that it had")
    found, original = found_names(path)
    return found, wanted.original or original


def _ownership(given: Ownership, original: Path) -> Ownership:
    """Complete what is given by what the original has."""
    if kind_of(original) == "file":
        found = original.stat()
        return Ownership(
            given.owner or str(found.st_uid),
            given.group or str(found.st_gid),
            given.mode or f"{stat.S_IMODE(found.st_mode):04o}",
        )
    if not (given.owner and given.group and given.mode):
        raise MigrationError(
            f"nobody knows whose the restored file is: {original} is not there",
            "Give the owner, group and mode that the file had; the run's journal has them, at the step fence",
        )
    return given


def _write_part(wanted: Restoration, part: Path, progress: Progress | None) -> None:
    """Make the copy, with everything that the file had but its name."""
    ownership = wanted.ownership
    owner = _number("account", ownership.owner, lambda name: pwd.getpwnam(name).pw_uid)
    group = _number("group", ownership.group, lambda name: grp.getgrnam(name).gr_gid)
    like = wanted.original if wanted.original and kind_of(wanted.original) == "file" else None

    def finish(descriptor: int) -> None:
        dress(descriptor, owner, group, int(ownership.mode, 8), like)

    try:
        copied = copy_synced(wanted.backup, part, "restore", progress, finish)
        # The backup may have been changed between the look at it and now.
        assert_checksum(wanted.backup, copied, wanted.sha256)
        if wanted.sound:
            assert_sound_file(part, progress)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _remove_side_files(path: Path) -> None:
    for ending in SIDE_FILES:
        path.with_name(path.name + ending).unlink(missing_ok=True)
    sync_directory(path.parent)


def _number(what: str, name: str, look_up: Callable[[str], int]) -> int:
    if name.isdigit():
        return int(name)
    try:
        return look_up(name)
    except KeyError:
        raise MigrationError(
            f"there is no {what} {name!r}, to which the file belonged", "Make it again, or give its number"
        ) from None


def _remove_left_over(part: Path) -> bool:
    """Remove what a killed run left under the copy's name: the fence that was swapped out, or half a copy."""
    if kind_of(part) == "absent":
        return False
    if kind_of(part) == "fence":
        remove_fence(part)
    else:
        part.unlink()
    return True


def _see_to(original: Path, expected_sha256: str, keep: bool) -> tuple[str, bool]:
    """Keep or remove the original; say which, and whether it was removed now."""
    if kind_of(original) == "fence":
        # It was put back itself, by a run that was killed when the names were swapped.
        remove_fence(original)
        return "put back", True
    if kind_of(original) != "file":
        return "absent", False
    if sha256_of(original) != expected_sha256:
        return "different", False
    if keep:
        return "kept", False
    original.unlink()
    return "removed", True
