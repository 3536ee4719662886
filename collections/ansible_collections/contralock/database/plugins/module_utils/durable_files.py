"""Deeds on files that a kill or a power cut leaves done or not done: swap two names, move without overwriting, copy.

None of them may be used on a SQLite file while this process holds a lock on it, but ``exchange`` and ``move``, which
open no descriptor of it: POSIX drops a process's locks when it closes any descriptor of the file.

Root works here in folders of the application, which may swap a name for a symbolic link at any moment. So a new file is
made with ``O_EXCL``, and gets its owner, mode and attributes through its descriptor, never through its name.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import hashlib
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import MigrationError
from .source_file import CHUNK_BYTES, Progress

#: Of renameat2(2), <linux/fs.h> and <fcntl.h>.
_NO_REPLACE, _EXCHANGE, _AT_FDCWD = 1, 2, -100
#: The filesystem or the kernel does not know the flag.
_UNKNOWN_FLAG = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_LIBRARY = ctypes.CDLL(None, use_errno=True)

#: What a program of this file may do beyond its user: of no use to a file of data, and nothing to pass on.
_CAPABILITIES = "security.capability"

#: Left free beside what is written, so that the application's own writes still find room.
SPARE_BYTES = 64 << 20

_MENDS = {
    errno.ENOSPC: "Make room on that filesystem, and run again",
    errno.EDQUOT: "Raise the quota, and run again",
    errno.EROFS: "Make the filesystem writable",
    errno.EACCES: "Run as root",
    errno.EPERM: "Run as root; see with lsattr that the file is not immutable",
    errno.EBUSY: "A file that is a mount point of its own cannot be moved: mount its directory instead",
}


def exchange(left: Path, right: Path) -> bool:
    """Swap what two names stand for, in one step that nobody can see half done.

    Returns:
        Whether it was done; False when this filesystem cannot do it.

    Raises:
        OSError: A name is missing, or may not be changed.
    """
    return _rename(left, right, _EXCHANGE)


def move(source: Path, destination: Path) -> None:
    """Rename, and never replace.

    Raises:
        FileExistsError: The destination exists.
        OSError: As of renameat2(2).
    """
    if _rename(source, destination, _NO_REPLACE):
        return
    if os.path.lexists(destination):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination))
    source.rename(destination)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_synced(
    source: Path,
    destination: Path,
    what: str = "copy",
    progress: Progress | None = None,
    finish: Callable[[int], None] | None = None,
) -> str:
    """Copy a file's bytes to a new file of mode 0600, and wait until the disk has them.

    Args:
        source: Read once.
        destination: Made anew; one that a killed run left is removed first.
        what: Named in the progress.
        progress: Called with ``what``, the bytes done and the bytes of all.
        finish: Called with the new file's descriptor once all bytes are in it: ``dress``.

    Returns:
        The sha256 of the bytes that were read, in hexadecimal digits; the destination was read back and has it too.

    Raises:
        OSError: The source cannot be read, or there is no room.
        MigrationError: The disk gives back other bytes than were written.
    """
    report = progress or (lambda *_: None)
    digest, done, total = hashlib.sha256(), 0, source.stat().st_size
    destination.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        stack.callback(os.close, reading)
        writing = new_private_file(destination)
        stack.callback(os.close, writing)
        while chunk := os.read(reading, CHUNK_BYTES):
            write_all(writing, chunk)
            digest.update(chunk)
            done += len(chunk)
            report(what, done, total)
        if finish is not None:
            finish(writing)
        os.fsync(writing)
        # Dropped from memory, so that what is read back is what the disk has.
        os.posix_fadvise(writing, 0, 0, os.POSIX_FADV_DONTNEED)
    if (read_back := sha256_of(destination)) != digest.hexdigest():
        raise MigrationError(
            f"{destination} reads back with the sha256 {read_back}, and {digest.hexdigest()} was written",
            f"Check the disk below {destination.parent}",
        )
    return read_back


def new_private_file(path: Path) -> int:
    """Make an empty file of mode 0600 that was not there; return its descriptor for writing."""
    return new_file(path, 0o600)


def new_file(path: Path | str, mode: int, directory: int | None = None) -> int:
    """Make an empty file that was not there, by its path or in an open directory; return its descriptor for writing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, mode, dir_fd=directory)


def write_new(
    path: Path, content: bytes, finish: Callable[[int], None] | None = None, *, mode: int = 0o600, durable: bool = True
) -> None:
    """Write a file that was not there.

    Args:
        path: Its name, in a directory whose entries the caller syncs.
        content: All its bytes.
        finish: Called with its descriptor once they are in it: ``dress``.
        mode: Its permissions, less the process's mask.
        durable: Whether to wait until the disk has it.

    Raises:
        OSError: The name is taken, be it by a link, or there is no room; what was made stays.
    """
    descriptor = new_file(path, mode)
    try:
        write_all(descriptor, content)
        if finish is not None:
            finish(descriptor)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it at the descriptor's place."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def dress(descriptor: int, owner: int, group: int, mode: int, like: Path | None = None) -> None:
    """Give an open file what another file has or had.

    Args:
        descriptor: The new file.
        owner: Number of its owner.
        group: Number of its group.
        mode: Its permissions.
        like: The file whose extended attributes (access lists, labels) it takes over; never a SQLite file that this
            process has a lock on.

    Raises:
        OSError: It may not be given away, or ``like`` is no file.
    """
    os.fchown(descriptor, owner, group)
    if like is not None:
        with opened(like) as other:
            for name in os.listxattr(other):
                # Some belong to the filesystem or the system and cannot be set; what access depends on can.
                with contextlib.suppress(OSError):
                    if name != _CAPABILITIES:
                        os.setxattr(descriptor, name, os.getxattr(other, name))
    # After fchown, which takes the set-id bits away.
    os.fchmod(descriptor, mode)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file for reading, and no link, pipe or device in its place.

    Raises:
        OSError: It is a link or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes in hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def assert_room(directory: Path, bytes_needed: int, what: str) -> None:
    """Refuse when a directory's filesystem has no room for something.

    Args:
        directory: Where it is going to be written.
        bytes_needed: What it takes; a reserve of 64 MB comes on top.
        what: Named in the refusal: ``the backup of /srv/app.sqlite``.

    Raises:
        MigrationError: There is too little room, or no such directory.
    """
    with refused_politely(f"cannot look for room for {what}"):
        found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    needed = bytes_needed + SPARE_BYTES
    if free < needed:
        raise MigrationError(
            f"{directory} has room for {megabytes(free)} MB, and {what} needs {megabytes(needed)} MB"
            f" ({megabytes(SPARE_BYTES)} MB of it in reserve)",
            f"Free {megabytes(needed - free)} MB there, and run again",
            {"directory": str(directory), "bytes_free": free, "bytes_needed": needed},
        )


def megabytes(size: int) -> int:
    """Bytes as megabytes of 1,000,000 bytes, rounded up."""
    return -(-size // 1_000_000)


def percent_line(what: str, done: int, total: int) -> str:
    """Progress as a line for a person: ``back up: 40 %``."""
    return f"{what}: {100 * done // total if total else 100} %"


def owner_name(number: int) -> str:
    """Return the account's name, or its number as text where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """Return the group's name, or its number as text where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


@contextlib.contextmanager
def refused_politely(what: str, mend: str = "") -> Iterator[None]:
    """Turn the operating system's errors in the block into a sentence with a mend.

    Args:
        what: What cannot be done, as the sentence's beginning.
        mend: Where it is another one than the error's own.

    Raises:
        MigrationError: The block raised OSError.
    """
    try:
        yield
    except OSError as error:
        names = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
        own = _MENDS.get(error.errno or 0, "Look at the file and its directory, mend that, and run again")
        fact = f"{what}: {error.strerror or error}{f' ({names})' if names else ''}"
        raise MigrationError(fact, mend or own) from error


def _rename(left: Path, right: Path, flag: int) -> bool:
    done = _LIBRARY.renameat2(_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), flag)
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN_FLAG:
        return False
    raise OSError(number, os.strerror(number), str(left), None, str(right))
