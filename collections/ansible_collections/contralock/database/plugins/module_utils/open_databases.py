"""SQLite databases that lie in a folder, or that processes have open: known by their first bytes, never opened as such.

An application that was not meant to use SQLite any more, and does, uses one of these, whatever it says of itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from .durable_files import refused_politely
from .file_holders import PROC, hidden_processes

#: https://www.sqlite.org/fileformat2.html#the_database_header
MAGIC = b"SQLite format 3\0"
#: A database that was made and not written yet is an empty file; then only its name tells.
NAMES = (".sqlite", ".sqlite3", ".db", ".db3")
#: What SQLite keeps for itself while it sorts, with no name in any folder.
OWN_TEMPORARY = "etilqs_"
GONE = " (deleted)"


def databases_in(directory: Path) -> list[str]:
    """Return the SQLite databases in a folder, as whole paths, sorted; also those that are empty yet.

    A byte of a name that is no UTF-8 is written as hexadecimal digits, here and below.

    Raises:
        MigrationError: The folder cannot be read.
    """
    with refused_politely(f"cannot look at {directory}"):
        files = [path for path in directory.iterdir() if path.is_file() and not path.is_symlink()]
        return sorted(_readable(str(path)) for path in files if _is_database(path, path.name))


def databases_of(pids: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """Return the SQLite databases that processes have open, with the processes.

    Raises:
        MigrationError: One of them may not be looked into.
    """
    found: dict[str, list[int]] = {}
    hidden: list[int] = []
    for pid in pids:
        try:
            for name in _open_databases(pid):
                found.setdefault(_readable(name), []).append(pid)
        except PermissionError:
            hidden.append(pid)
        except OSError:
            continue  # It has ended meanwhile.
    if hidden:
        raise hidden_processes(hidden, "may have a SQLite database open")
    return {name: tuple(found[name]) for name in sorted(found)}


def _readable(name: str) -> str:
    """Return a name so that journal, report and page can hold it: a byte that is no UTF-8 is written as digits."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _open_databases(pid: int) -> set[str]:
    found = set()
    for entry in (PROC / str(pid) / "fd").iterdir():
        try:
            name = str(entry.readlink())
            known = Path(name.removesuffix(GONE)).name
            if not known.startswith(OWN_TEMPORARY) and _is_database(entry, known):
                found.add(name)
        except PermissionError:
            raise
        except OSError:
            continue  # Closed meanwhile, or a socket.
    return found


def _is_database(path: Path, name: str) -> bool:
    """Look at a file through ``path``, which may be a descriptor of another process, that is known by ``name``."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return False
    if not status.st_size:
        return name.endswith(NAMES)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return os.read(descriptor, len(MAGIC)) == MAGIC
    finally:
        os.close(descriptor)
