"""The proof of which database the application uses: seen from outside of it, not told by its health check alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .application_access import access_of
from .durable_files import refused_politely, sha256_of
from .errors import MigrationError
from .file_holders import Holder, find_holders
from .target_state import Session

Seen = TypeVar("Seen")

POLL_SECONDS = 0.3
LOOK_AT = "Look at the application's log and at what it reads its configuration from"


@dataclass(frozen=True)
class Fenced:
    """The SQLite file as the fence left it: ``path`` is a directory now, the file is at ``moved_to``."""

    path: Path
    moved_to: Path
    sha256: str


def prove_postgresql(target: str, role: str, fenced: Fenced, patience: float = 15.0) -> list[Session]:
    """Prove that the application works on PostgreSQL, and that nobody touched the SQLite file.

    Args:
        target: The target, as its owner, who is a member of ``role`` (else PostgreSQL hides whether a session has TLS).
        role: The role that the application logs in with.
        fenced: What the fence left.
        patience: Seconds in which the first session may appear.

    Returns:
        The role's sessions.

    Raises:
        MigrationError: No session of the role is there; one has no TLS; the SQLite file was changed or made anew, or a
            process holds it. It says what it saw.
    """
    sessions = _await(lambda: access_of(target, role)[1], patience)
    if not sessions:
        raise MigrationError(
            f"no session of role {role!r} was seen in PostgreSQL for {patience:g} s: the application does not use it",
            LOOK_AT,
        )
    # On a socket there is no network to protect: libpq then has no client address.
    if plain := [one for one in sessions if one.client_address and not one.tls_version]:
        seen = ", ".join(f"pid {one.pid} from {one.client_address}" for one in plain)
        raise MigrationError(
            f"{len(plain)} of {len(sessions)} sessions of role {role!r} have no TLS ({seen})",
            "Let the application's driver verify the server's certificate, and allow hostssl alone in pg_hba.conf",
        )
    _assert_untouched(fenced)
    return sessions


def prove_sqlite(target: str, role: str, path: Path, unit_pids: Sequence[int], patience: float = 15.0) -> list[Holder]:
    """Prove that the application works on its SQLite file, and on PostgreSQL no longer.

    Args:
        target: The target, as its owner.
        role: The role that the application logged in with; empty when PostgreSQL, which it never used, cannot be asked.
        path: The SQLite file.
        unit_pids: The application's processes; empty when nobody knows them.
        patience: Seconds in which the application may open its file.

    Returns:
        The processes that hold the file.

    Raises:
        MigrationError: The role may still connect or is connected, or none of the application's processes has the file
            open.
    """
    may_connect, sessions = access_of(target, role) if role else (False, [])
    if may_connect or sessions:
        raise MigrationError(
            f"role {role!r} {'may still connect to' if may_connect else 'still has sessions in'} PostgreSQL",
            "Run roll_back.yml again",
        )
    holders = _await(lambda: _of(find_holders(path), unit_pids), patience)
    if not holders:
        raise MigrationError(
            f"the application does not have {path} open, within {patience:g} s of its start",
            LOOK_AT,
            {"pids": list(unit_pids)},
        )
    return holders


def _of(holders: list[Holder], pids: Sequence[int]) -> list[Holder]:
    return [holder for holder in holders if not pids or holder.pid in pids]


def _await(look: Callable[[], list[Seen]], patience: float) -> list[Seen]:
    deadline = time.monotonic() + patience
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return found


def _assert_untouched(fenced: Fenced) -> None:
    with refused_politely(f"cannot look at {fenced.path}"):
        if not fenced.path.is_dir():
            what = "is a file again: something made a new SQLite database there" if fenced.path.exists() else "is gone"
            raise MigrationError(f"{fenced.path}, where the fence stood, {what}", LOOK_AT)
        if holders := find_holders(fenced.moved_to):
            raise MigrationError(
                f"{fenced.moved_to} is in use by {', '.join(map(str, holders))}",
                "Stop it: the application's data is in PostgreSQL now",
            )
        found = sha256_of(fenced.moved_to)
    if found != fenced.sha256:
        raise MigrationError(
            f"{fenced.moved_to} was written: its sha256 is {found}, and {fenced.sha256} was noted at the fence",
            "Find out who wrote it; the backup in the run's directory is what was moved",
        )
