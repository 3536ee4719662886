"""Notices that somebody writes a source meanwhile, whatever reads it and however often it is opened for that.

What a load or a comparison reads is the file at several moments: what was written between them would be missing without
a word.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from os import stat_result
from pathlib import Path

from .errors import MigrationError
from .source_file import data_version, explained, open_source, side_file

#: A file by device, inode, size and time of its last change; None where there is none, or nothing in it.
_State = tuple[int, int, int, int] | None


@dataclass(frozen=True)
class SourceWatch:
    """A file as it was when the watch began; see ``watched``."""

    path: Path
    _doing: str
    _connection: sqlite3.Connection
    _version: int
    _states: tuple[_State, _State]

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        """Refuse what the block has read, or what went wrong in it, when the file was written since the watch began.

        Raises:
            MigrationError: It was.
        """
        try:
            yield
        except MigrationError:
            # Whatever is wrong is explained by this then.
            self._assert_unwritten()
            raise
        self._assert_unwritten()

    def _assert_unwritten(self) -> None:
        if (_version(self._connection), _states(self.path)) != (self._version, self._states):
            raise written_meanwhile(self._doing)


def written_meanwhile(doing: str) -> MigrationError:
    """Return the error of a file that changes while something is done with it, as ``loaded``."""
    return MigrationError(
        f"the source was written while it was {doing}",
        "Stop its application, or give a copy of the file, and run again",
    )


@contextmanager
def watched(path: Path, doing: str) -> Iterator[SourceWatch]:
    """Watch a file for the length of the block.

    Args:
        path: The SQLite file.
        doing: What the block does with it, for the error of a file that was written: ``loaded``.

    Raises:
        MigrationError: See ``open_source``.
    """
    with closing(open_source(path)) as connection:
        states = _states(path)
        yield SourceWatch(path, doing, connection, _version(connection), states)


def _version(connection: sqlite3.Connection) -> int:
    with explained("the source"):
        return data_version(connection)


def _states(path: Path) -> tuple[_State, _State]:
    """Return the states of the file and its write-ahead log; readers make the latter, and it is empty then."""
    return _state(path), _state(side_file(path, "-wal"))


def _state(path: Path) -> _State:
    try:
        found: stat_result = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else None
