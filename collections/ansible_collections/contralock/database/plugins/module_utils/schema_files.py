"""Schema changes as files: ``NNNN_name.up.sql`` makes one, ``NNNN_name.down.sql`` takes it back.

The numbers run from 0001 without a gap, because a gap is a file that was forgotten or not shipped. Line ends are
normalised to LF before anything else looks at a text: a checkout on Windows is the same change, and bodies of
functions keep no carriage returns.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import MigrationError

NAME = re.compile(r"(?P<number>[0-9]{4})_[a-z0-9]+(?:_[a-z0-9]+)*")
FILE = re.compile(rf"(?P<name>{NAME.pattern})\.(?P<direction>up|down)\.sql")
NAMING = "four digits, an underscore and words of a-z and 0-9 with underscores between them, such as 0007_add_wallets"
BYTE_ORDER_MARK = "\ufeff"

#: Files that may lie beside the changes.
BESIDE = ("README.md",)


@dataclass(frozen=True)
class Change:
    """One step of a schema: its name with the number, the SQL that makes it and the SQL that takes it back."""

    name: str
    up: str
    down: str

    @property
    def number(self) -> int:
        """The four digits of the name."""
        return int(self.name[:4])

    @property
    def checksum(self) -> str:
        """The SHA-256 of the up text in UTF-8, in hexadecimal digits.

        The down text has none: it may be mended later, and what it does is judged by the catalog.
        """
        return hashlib.sha256(self.up.encode()).hexdigest()


#: What is wrong with a text -> the mend.
_TEXT_FAULTS: tuple[tuple[Callable[[str], bool], str, str], ...] = (
    (lambda text: not text.strip(), "is empty", "Write the SQL, or a comment that says why there is nothing to do"),
    (
        lambda text: text.startswith(BYTE_ORDER_MARK),
        "begins with a byte order mark",
        "Save it as UTF-8 without a byte order mark",
    ),
    (lambda text: "\0" in text, "holds a NUL character", "Take the NUL character out: PostgreSQL knows none in text"),
)


def load_changes(folder: Path) -> list[Change]:
    """Read a folder of changes.

    Args:
        folder: Holds ``NNNN_name.up.sql`` and ``NNNN_name.down.sql``; a README.md and hidden files are let be.

    Returns:
        The changes in the order of their numbers.

    Raises:
        MigrationError: There is no such folder or no change in it; a file is misnamed, no UTF-8, empty, or lacks its
            counterpart; a number is missing or stands twice.
    """
    if not folder.is_dir():
        raise MigrationError(f"there is no folder {folder}", "Name a folder of NNNN_name.up.sql and NNNN_name.down.sql")
    texts: dict[str, dict[str, str]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in BESIDE:
            continue
        match = FILE.fullmatch(path.name)
        if match is None or not path.is_file():
            raise MigrationError(
                f"{path} is no schema change", f"Name it NNNN_name.up.sql or NNNN_name.down.sql: {NAMING}; or move it"
            )
        texts.setdefault(match["name"], {})[match["direction"]] = _read(path)
    if not texts:
        raise MigrationError(f"there is no schema change in {folder}", "Add NNNN_name.up.sql and NNNN_name.down.sql")
    return order_changes({"name": name, **found} for name, found in texts.items())


def order_changes(mappings: Iterable[Mapping[str, str]]) -> list[Change]:
    """Make changes of mappings with the keys ``name``, ``up`` and ``down``, and order them.

    Returns:
        The changes in the order of their numbers, line ends normalised.

    Raises:
        MigrationError: See ``load_changes``.
    """
    changes = sorted((_change(mapping) for mapping in mappings), key=lambda change: change.name)
    _refuse_disorder(changes)
    return changes


def foreign_changes(own: Sequence[Change], others: Iterable[Path]) -> dict[str, str]:
    """Return the changes that only other profiles have: checksum to the profile's name.

    Args:
        own: The changes of the profile in question.
        others: Folders of profiles; those that have no changes, or none that can be read, are passed over.
    """
    known = {change.checksum for change in own}
    found: dict[str, str] = {}
    for folder in sorted(others):
        with suppress(MigrationError):
            found |= {
                change.checksum: folder.name
                for change in load_changes(folder / "schema")
                if change.checksum not in known
            }
    return found


def select_change(changes: Sequence[Change], wanted: str) -> Change:
    """Find a change by its name or its number.

    Raises:
        MigrationError: There is no such change.
    """
    for change in changes:
        if wanted == change.name or (wanted.isdecimal() and int(wanted) == change.number):
            return change
    raise MigrationError(
        f"there is no schema change {wanted!r}", f"Name one of {', '.join(change.name for change in changes)}"
    )


def _change(mapping: Mapping[str, str]) -> Change:
    name = mapping.get("name") or ""
    if not NAME.fullmatch(name):
        raise MigrationError(f"{name!r} is no name of a schema change", f"Name it {NAMING}")
    for direction in ("up", "down"):
        if mapping.get(direction) is None:
            raise MigrationError(
                f"schema change {name} has no {direction}",
                f"Write {name}.{direction}.sql: what cannot be taken back cannot be rehearsed",
            )
        for wrong, fact, mend in _TEXT_FAULTS:
            if wrong(mapping[direction]):
                raise MigrationError(f"{name}.{direction}.sql {fact}", mend)
    return Change(name, _unix(mapping["up"]), _unix(mapping["down"]))


def _refuse_disorder(changes: Sequence[Change]) -> None:
    twice = {number for number, count in Counter(change.number for change in changes).items() if count > 1}
    if twice:
        names = ", ".join(change.name for change in changes if change.number in twice)
        raise MigrationError(f"schema changes share a number: {names}", "Give the later one the next free number")
    for expected, change in enumerate(changes, start=1):
        if change.number != expected:
            raise MigrationError(
                f"schema change {expected:04} is missing before {change.name}",
                "Bring the missing files, or number the changes from 0001 without a gap",
            )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise MigrationError(f"{path} is no UTF-8 (byte {error.start + 1})", "Save it as UTF-8") from None
    except OSError as error:
        raise MigrationError(f"cannot read {path}: {error.strerror}", "Let this user read it") from None


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")
