"""Keep every process away from a SQLite file: move it aside and put a directory in its place.

A changed mode stops neither root nor descriptors that are open, and a file that is merely gone is made anew, empty, by
the next process that opens it. A directory under the file's name stops both: SQLite cannot open it, nor create it.

The fence is raised while this process holds SQLite's exclusive lock, so that nobody writes between the last look and
the move. POSIX drops the locks that a process has on a file as soon as it closes *any* descriptor of that file. So up
to the end of the lock the file is opened by one SQLite connection and by nothing else, and its checksum is taken
afterwards, when it is out of everybody's way.

Where it stands is read from the two names alone, the file's own and the one that it is moved to, so that a run which
was killed anywhere is taken up by the next: see ``_RAISING`` and ``_LOWERING``.
"""

from __future__ import annotations

import re
import sqlite3
import stat
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from .durable_files import exchange, group_name, move, owner_name, refused_politely, sha256_of, sync_directory
from .errors import MigrationError
from .fence_directory import README, Kind, kind_of, make_fence, put_in_place, remove_fence
from .file_holders import assert_no_holders, find_holders
from .open_databases import databases_in
from .source_file import SIDE_FILES, explained

JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
#: How long a process that is just ending may hold the file, and SQLite may wait for its lock, in seconds.
PATIENCE_SECONDS = 5.0
#: How long the locked file has to stand still, in seconds: somebody may write past SQLite's locks.
WATCH_SECONDS = 0.5

#: What stands under the file's own name, what under the name that it is moved to -> what is left to do.
_RAISING: Mapping[tuple[Kind, Kind], str] = {
    ("file", "absent"): "raise",
    ("file", "fence"): "raise",  # killed before the names were swapped
    ("absent", "file"): "place",  # killed between moving and making the directory, where names cannot be swapped
    ("fence", "file"): "nothing",
}
_LOWERING: Mapping[tuple[Kind, Kind], str] = {
    ("fence", "file"): "lower",
    ("absent", "file"): "move back",
    ("file", "fence"): "clean up",  # killed after the names were swapped back, or before they were swapped at all
    ("file", "file"): "compare",  # restored from the backup; the original is kept beside it
    ("file", "absent"): "nothing",
}
_SPOKEN: Mapping[Kind, str] = {
    "absent": "nothing",
    "file": "a file",
    "fence": "a fence (a directory)",
    "other": "a directory with files in it, or no regular file",
}


@dataclass(frozen=True)
class Fence:
    """Where the file is, and what it is.

    Attributes:
        path: The file's own name, symbolic links followed.
        moved_to: Where it is while the fence stands.
        state: ``present`` when the fence stands, else ``absent``.
        changed: Whether this call changed anything.
        bytes: The file's size.
        inode: Its number: the same before, behind and after the fence.
        owner: Its owner's name, or number where it has none.
        group: Its group's name, or number.
        mode: Its permissions, as ``0640``.
        sha256: Of its bytes; None where nothing was moved, since the application may be writing it.
        journal_mode: As SQLite says, when this call took the lock.
        databases: The SQLite databases in the file's directory while the fence stands, itself included: whatever comes
            there later was made by somebody who does not know of the fence.
    """

    path: Path
    moved_to: Path
    state: str
    changed: bool
    bytes: int
    inode: int
    owner: str
    group: str
    mode: str
    sha256: str | None = None
    journal_mode: str | None = None
    databases: tuple[str, ...] = ()


def raise_fence(
    path: Path,
    run_id: str,
    patience: float = PATIENCE_SECONDS,
    watch: float = WATCH_SECONDS,
    expected_sha256: str = "",
) -> Fence:
    """Move the file of a stopped application aside, and put a directory in its place.

    Args:
        path: The file.
        run_id: Becomes part of the name that the file is moved to: ``<name>.before-<run id>``.
        patience: Seconds in which a process that is just ending may go away.
        watch: Seconds for which the locked file has to stand still.
        expected_sha256: The checksum that was noted when the fence was raised by a run that goes on; the file behind it
            has to have it still. Empty when it was never noted.

    Returns:
        The facts, with the checksum. Doing it again finds it done.

    Raises:
        MigrationError: Somebody has the file open or writes it; it has another name; it cannot be opened or moved; the
            two names hold something else; or it was changed behind the fence. The file is then where it was.
    """
    path, moved = names(path, run_id)
    action = _action(_RAISING, path, moved)
    journal_mode = None
    with refused_politely(f"cannot fence {path}"):
        if action == "raise":
            _assert_one_name(path)
            assert_no_holders(path, patience)
            journal_mode = _move_under_lock(path, moved, patience, watch)
            _assert_nobody_slipped_in(path, moved)
        elif action == "place":
            make_fence(path, moved)
        _remove_side_files(path)
        sync_directory(path.parent)
        sha256 = sha256_of(moved)
        if action != "raise":
            _assert_unchanged(moved, sha256, expected_sha256)
    facts = _facts(path, moved, changed=action != "nothing", raised=True)
    return replace(facts, sha256=sha256, journal_mode=journal_mode, databases=tuple(databases_in(path.parent)))


def lower_fence(path: Path, run_id: str = "", expected_sha256: str = "") -> Fence:
    """Put the file back under its own name; from wherever raising or lowering was killed.

    Args:
        path: The file's own name.
        run_id: As the fence was raised with. Empty when it is not known: what the fence itself says counts then, and
            the latest file that was moved aside.
        expected_sha256: The checksum that was taken when it was raised; the file is put back only with these bytes.
            Empty when it was never noted.

    Raises:
        MigrationError: The file was changed behind the fence; or the two names hold something else.
    """
    path, moved = names(path, run_id) if run_id else found_names(path)
    action = _action(_LOWERING, path, moved)
    sha256 = None
    with refused_politely(f"cannot put {path} back"):
        if action in ("lower", "move back"):
            sha256 = sha256_of(moved)
            _assert_unchanged(moved, sha256, expected_sha256)
        if action == "compare":
            _assert_same(path, moved)
        elif action == "move back":
            move(moved, path)
        elif action == "lower":
            put_in_place(moved, path)
        if action == "clean up":
            remove_fence(moved)
        sync_directory(path.parent)
    changed = action not in ("nothing", "compare")
    return replace(_facts(path, moved, changed=changed, raised=False), sha256=sha256)


def predict_fence(path: Path, run_id: str, raised: bool) -> Fence:
    """Say what raising or lowering would do, and change nothing. Who has the file open is not asked.

    Raises:
        MigrationError: The two names hold something that is in the way, or the file has another name.
    """
    path, moved = names(path, run_id) if run_id or raised else found_names(path)
    action = _action(_RAISING if raised else _LOWERING, path, moved)
    if action == "raise":
        _assert_one_name(path)
    return _facts(path, moved, changed=action not in ("nothing", "compare"), raised=raised)


def names(path: Path, run_id: str) -> tuple[Path, Path]:
    """Return the file's own name with symbolic links followed, and the name that it is moved to.

    Raises:
        MigrationError: The run's id is no part of a file's name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_id):
        raise MigrationError(f"{run_id!r} is no id of a run", "Use letters, digits, dots, hyphens and underscores")
    real = path.resolve()
    return real, real.with_name(f"{real.name}.before-{run_id}")


def found_names(path: Path) -> tuple[Path, Path]:
    """Return the file's own name, and the one that a fence moved it to: as the fence says, or the latest there is."""
    real = path.resolve()
    with refused_politely(f"cannot look at {real}"):
        latest = max(_moved_aside(real), default=real.with_name(f"{real.name}.before-"))
        readme = real / README
        said = readme.read_text(encoding="utf-8").splitlines() if kind_of(real) == "fence" and readme.exists() else []
    named = [moved for moved in _moved_aside(real) if str(moved) in said]
    return real, named[0] if named else latest


def _moved_aside(path: Path) -> list[Path]:
    return [other for other in path.parent.iterdir() if other.name.startswith(f"{path.name}.before-")]


def _action(table: Mapping[tuple[Kind, Kind], str], path: Path, moved: Path) -> str:
    with refused_politely(f"cannot look at {path}"):
        kinds = kind_of(path), kind_of(moved)
        others = sorted(other.name for other in _moved_aside(path) if other != moved)
    if kinds in table:
        return table[kinds]
    elsewhere = f"; another run left {', '.join(others)}" if others else ""
    mends = {
        ("absent", "absent"): "Name the SQLite file that the application uses",
        ("file", "file"): f"Compare the two: the database is {moved.name}. See who made {path.name}, and move it away",
    }
    mend = mends.get(kinds, "Find the file with the data; finish or take back the run that moved it, then run again")
    if kinds[0] == "fence" and others:
        mend = "Take back the run that raised this fence, or let it go on"
    raise MigrationError(
        f"{path} is {_SPOKEN[kinds[0]]}, and {moved.name} beside it is {_SPOKEN[kinds[1]]}{elsewhere}",
        mend,
        {"path": kinds[0], "moved_to": kinds[1], "others": list(others)},
    )


def _assert_one_name(path: Path) -> None:
    links = path.stat().st_nlink
    if links > 1:
        raise MigrationError(
            f"{path} is one file under {links} names (hard links), and a fence closes only one of them",
            f"Remove the other names: find {path.parent} -xdev -samefile {path.name}",
        )


def _move_under_lock(path: Path, moved: Path, patience: float, watch: float) -> str:
    """Take the exclusive lock, let SQLite finish what is in its side files, and move the file away.

    Returns:
        The journal mode. The lock is gone, and so is every descriptor of the file.
    """
    with explained(str(path)), closing(_connect(path, patience)) as connection:
        # The lock outlives the transaction, and in WAL mode too it is one on the whole file.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
        ((journal_mode,),) = connection.execute("PRAGMA journal_mode").fetchall()
        ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if busy:
            raise MigrationError(f"the write-ahead log of {path} is in use", "Stop who uses it, and run again")
        _assert_still(path, connection, watch)
        _swap(path, moved)
    return str(journal_mode)


def _swap(path: Path, moved: Path) -> None:
    """Put the fence in the file's place, in one step where the filesystem can."""
    make_fence(moved, moved, path)
    try:
        swapped = exchange(path, moved)
    except OSError:
        remove_fence(moved)
        raise
    if not swapped:
        remove_fence(moved)
        move(path, moved)
        make_fence(path, moved)
    sync_directory(path.parent)


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=patience)


def _assert_still(path: Path, connection: sqlite3.Connection, seconds: float) -> None:
    """Refuse a file that changes although it is locked: a writer that knows nothing of SQLite's locks."""

    def seen() -> tuple[int, ...]:
        found = path.stat()
        return found.st_size, found.st_mtime_ns, found.st_ino, *connection.execute("PRAGMA data_version").fetchone()

    before = seen()
    time.sleep(seconds)
    if seen() != before:
        raise MigrationError(
            f"{path} changes although it is locked", "Find out what writes it past SQLite's locks, and stop it"
        )


def _assert_nobody_slipped_in(path: Path, moved: Path) -> None:
    """Put the file back when somebody opened it between the last look and the move."""
    if holders := find_holders(moved):
        put_in_place(moved, path)
        sync_directory(path.parent)
        raise MigrationError(
            f"{path} was opened while it was being fenced, by {', '.join(str(holder) for holder in holders)}",
            "Stop what opens it, see that nothing starts it again, and run again; the file is back in its place",
        )


def _remove_side_files(path: Path) -> None:
    """Remove what SQLite left beside a file that is whole: an empty log, its index, a journal that was played back."""
    side_files = {ending: path.with_name(path.name + ending) for ending in SIDE_FILES}
    wal, journal = side_files["-wal"], side_files["-journal"]
    if (wal.exists() and wal.stat().st_size) or (journal.exists() and _is_hot(journal)):
        raise MigrationError(
            f"{wal if wal.exists() else journal} holds changes that are not finished in the file",
            "Put the file back (the way back does it), and begin again",
        )
    for side_file in side_files.values():
        side_file.unlink(missing_ok=True)


def _is_hot(journal: Path) -> bool:
    """Tell whether a journal is one to be played back: https://www.sqlite.org/fileformat2.html#the_rollback_journal."""
    with journal.open("rb") as file:
        return file.read(len(JOURNAL_MAGIC)) == JOURNAL_MAGIC


def _assert_unchanged(moved: Path, found: str, expected: str) -> None:
    if expected and found != expected:
        raise MigrationError(
            f"{moved} has the sha256 {found}, and {expected} was noted when it was fenced: somebody changed it",
            "Restore the backup of this run instead, and find out who changed the file",
            {"found": found, "expected": expected},
        )


def _assert_same(path: Path, moved: Path) -> None:
    """Tell a file that was restored from one that somebody made."""
    if sha256_of(path) != sha256_of(moved):
        raise MigrationError(
            f"both {path} and {moved.name} beside it are files, and their bytes differ",
            f"The run's database is {moved.name}. When the application has used {path.name} since it was restored, move"
            f" {moved.name} away; otherwise see who made {path.name}, and move that away",
        )


def _facts(path: Path, moved: Path, changed: bool, raised: bool) -> Fence:
    with refused_politely(f"cannot look at {path}"):
        found = (moved if kind_of(moved) == "file" and kind_of(path) != "file" else path).stat()
    return Fence(
        path=path,
        moved_to=moved,
        state="present" if raised else "absent",
        changed=changed,
        bytes=found.st_size,
        inode=found.st_ino,
        owner=owner_name(found.st_uid),
        group=group_name(found.st_gid),
        mode=f"{stat.S_IMODE(found.st_mode):04o}",
    )
