"""The directory that stands in a SQLite file's place: made, known again, and swapped for the file.

It stands in a folder that belongs to the application, which may swap any name there for a link. So what is made or
removed in it goes through the directory's own descriptor.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from .durable_files import exchange, move, new_file, sync_directory, write_all

Kind = Literal["absent", "file", "fence", "other"]

README = "README"


def kind_of(path: Path) -> Kind:
    """Tell what stands under a name; a fence is a directory with nothing but its README in it."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "absent"
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode) and {entry.name for entry in path.iterdir()} <= {README}:
        return "fence"
    return "other"


def make_fence(directory: Path, moved: Path, path: Path | None = None) -> None:
    """Make the directory with its README, or complete one that was left half made.

    Args:
        directory: Where it is made.
        moved: Where the file is going to be.
        path: The file's own name, when the fence is not made there.
    """
    # found_names() looks for the name in a line of its own.
    text = (
        f"The SQLite file {path or directory} is being moved to PostgreSQL. It lies in\n{moved}\n"
        "This directory keeps a forgotten process from making a new, empty database under the file's name.\n"
        "Leave both to the migration: its cut-over goes on, and its way back puts the file back.\n"
    )
    if kind_of(directory) == "absent":
        directory.mkdir(mode=0o755)
    with _emptied(directory) as descriptor:
        made = new_file(README, 0o644, descriptor)
        try:
            write_all(made, text.encode())
        finally:
            os.close(made)


def remove_fence(directory: Path) -> None:
    """Remove the directory, as far as it is there."""
    if kind_of(directory) == "fence":
        with _emptied(directory):
            directory.rmdir()


@contextmanager
def _emptied(fence: Path) -> Iterator[int]:
    """Open the directory itself, and no link that was put in its place meanwhile, without its README."""
    descriptor = os.open(fence, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):
            os.unlink(README, dir_fd=descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def put_in_place(file: Path, fence: Path) -> None:
    """Give a file the name that a fence has, and remove the fence.

    Where the filesystem can swap names nobody ever sees the name free.
    """
    if exchange(file, fence):
        sync_directory(fence.parent)
        remove_fence(file)
    else:
        remove_fence(fence)
        move(file, fence)
