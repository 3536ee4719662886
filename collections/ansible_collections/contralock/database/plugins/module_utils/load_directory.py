"""The directory of the files of a load, the application's data in clear: it goes with the load or with the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .durable_files import refused_politely

#: What its name begins with.
DIRECTORY = "load-"


def remove_left_over(scratch: Path) -> None:
    """Remove what killed loads have left in a scratch directory: the application's data in clear.

    A load that lives holds a lock on its directory.

    Raises:
        MigrationError: One cannot be removed.
    """
    for directory in sorted(scratch.glob(f"{DIRECTORY}*")):
        with _errors_told(directory), _locked(directory) as ours:
            if ours:
                shutil.rmtree(directory)


@contextlib.contextmanager
def private_directory(directory: Path) -> Iterator[None]:
    """Have a directory for the length of the block, and the lock that shows that somebody works in it."""
    with _errors_told(directory):
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_left_over(directory.parent)
        directory.mkdir(mode=0o700)
    with _locked(directory):
        try:
            yield
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Lock a directory until the block or this process ends; tell whether it worked."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _errors_told(directory: Path) -> contextlib.AbstractContextManager[None]:
    return refused_politely(
        f"the scratch directory {directory} cannot be made or removed",
        "Choose another scratch directory, or mend this one; another load may be at work in it",
    )
