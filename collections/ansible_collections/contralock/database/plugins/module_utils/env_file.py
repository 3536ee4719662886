"""Changing an application's ``.env`` file: atomically, with its owner, mode and attributes, and a copy from before."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .dotenv_text import parse, set_values
from .durable_files import dress, opened, refused_politely, sync_directory, write_new
from .errors import MigrationError

#: Names of variables whose values are shown nowhere.
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|PRIVATE|SALT|DATABASE_URL|_DSN\b", re.IGNORECASE)
HIDDEN = "(hidden)"


def is_secret_name(key: str) -> bool:
    """Tell whether the name says that the value is a secret."""
    return bool(_SECRET_NAME.search(key))


@dataclass(frozen=True)
class EnvFile:
    """A ``.env`` file as it was read. ``path`` is the file itself, where a symbolic link was given."""

    path: Path
    text: str = field(repr=False)
    mode: int
    owner: int
    group: int

    @property
    def values(self) -> dict[str, str]:
        """What the application reads."""
        return parse(self.text)


@dataclass(frozen=True)
class EnvChange:
    """What a change does: the text that is to stand in the file, the keys whose values differ, and a diff for people.

    The diff shows values of the changed keys only, and of these none whose name or place says that it is secret.
    """

    text: str = field(repr=False)
    keys: tuple[str, ...]
    before: str
    after: str


def read_env_file(path: Path) -> EnvFile:
    """Read a ``.env`` file.

    Raises:
        MigrationError: It is missing, no regular file, cannot be read, or has several names (hard links), of which
            only one would get the new content.
    """
    with refused_politely(f"cannot read {path}"):
        try:
            real = path.resolve(strict=True)
        except FileNotFoundError:
            raise MigrationError(
                f"there is no file {path}", "Name the .env file that the application reads, or create it"
            ) from None
        with opened(real) as descriptor:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise MigrationError(f"{path} is no file", "Name the .env file that the application reads")
            with open(descriptor, "rb", closefd=False) as stream:
                # Bytes that are no UTF-8 survive as they are.
                content = stream.read().decode("utf-8", "surrogateescape")
    if state.st_nlink > 1:
        raise MigrationError(
            f"{path} is one file under {state.st_nlink} names (hard links), and a new file could replace only one",
            "Make it a file of its own, or a symbolic link",
        )
    return EnvFile(real, content, stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid)


def assert_private(file: EnvFile) -> None:
    """Refuse a file that everybody on the host may read or write: no secret goes there.

    Raises:
        MigrationError: It is open to others than its owner and its group.
    """
    if file.mode & 0o007:
        raise MigrationError(
            f"{file.path} has the mode {file.mode:04o}, and a password is to be written into it: everybody on this host"
            " may open it",
            f"Close it to others (chmod o= {file.path}), see that the application still reads it, and run again",
            {"mode": f"{file.mode:04o}"},
        )


def plan_change(file: EnvFile, values: Mapping[str, str], secret: Collection[str] = ()) -> EnvChange:
    """Say what setting these values does; nothing is written.

    Args:
        file: The file as it was read.
        values: Key -> value that the application is to read.
        secret: Keys whose values are never shown, besides those whose name says so.

    Raises:
        MigrationError: See ``dotenv_text.set_values``.
    """
    before = file.values
    text = set_values(file.text, values)
    keys = tuple(key for key, value in values.items() if before.get(key) != value)

    def shown(key: str, value: str) -> str:
        return f"{key}={HIDDEN if key in secret or is_secret_name(key) else value}\n"

    return EnvChange(
        text,
        keys,
        "".join(shown(key, before[key]) for key in keys if key in before),
        "".join(shown(key, values[key]) for key in keys),
    )


def write_env_file(file: EnvFile, text: str, backup_to: Path | None = None) -> None:
    """Replace the file's content: whoever reads it sees the old text or the new one, also after a power cut.

    Owner, group, mode and extended attributes (POSIX ACLs among them) are those of the old file.

    Args:
        file: The file as it was read; it must not have changed since.
        text: The new text.
        backup_to: Where a copy of the old content goes first, mode 0600; one that is there already stays.

    Raises:
        MigrationError: It changed in the meantime, or cannot be written; the old file is as it was then.
    """
    with refused_politely(f"cannot replace {file.path}"):
        if backup_to is not None:
            _keep_copy(file, backup_to)
        if read_env_file(file.path) != file:
            raise MigrationError(f"{file.path} was changed by somebody else meanwhile", "Run again")
        with _scratch_beside(file.path) as scratch:
            write_new(scratch, _as_bytes(text), lambda made: dress(made, file.owner, file.group, file.mode, file.path))
            scratch.replace(file.path)
        sync_directory(file.path.parent)


def _keep_copy(file: EnvFile, path: Path) -> None:
    if path.exists():
        return
    with _scratch_beside(path) as scratch:
        write_new(scratch, _as_bytes(file.text))
        scratch.replace(path)
    sync_directory(path.parent)


@contextlib.contextmanager
def _scratch_beside(path: Path) -> Iterator[Path]:
    """Give a name for the file to come. It is always the same, so that what a killed run left does not stay."""
    scratch = path.with_name(f"{path.name}.contralock-new")
    scratch.unlink(missing_ok=True)
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
