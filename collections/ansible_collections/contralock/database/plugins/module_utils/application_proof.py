"""The proof of which database the application uses: seen from outside of it, not told by its health check alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from psycopg.conninfo import conninfo_to_dict

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
        target: The target, as its owner, who has the rights of ``role`` by membership (else PostgreSQL hides whether a
            session has TLS).
        role: The role that the application logs in with.
        fenced: What the fence left.
        patience: Seconds in which the first session may appear.

    Returns:
        The role's sessions.

    Raises:
        MigrationError: No session of the role is there; one has no TLS, or it cannot be seen whether it has; the SQLite
            file was changed or made anew, or a process holds it. It says what it saw.
    """
    sessions = _await(lambda: access_of(target, role)[1], patience)
    if not sessions:
        raise MigrationError(
            f"no session of role {role!r} was seen in PostgreSQL for {patience:g} s: the application does not use it",
            LOOK_AT,
        )
    if hidden := [one for one in sessions if one.is_hidden]:
        owner = conninfo_to_dict(target).get("user") or "the target's role"
        raise MigrationError(
            f"PostgreSQL does not show {owner} whether {len(hidden)} of {len(sessions)} sessions of role {role!r} use"
            " TLS",
            f"Run GRANT {role} TO {owner} as an administrator of the server, from PostgreSQL 16 on WITH INHERIT TRUE",
        )
    # On a socket there is no network to protect.
    if plain := [one for one in sessions if one.is_plain]:
        seen = ", ".join(f"pid {one.pid} from {one.client_address}" for one in plain)
        raise MigrationError(
            f"{len(plain)} of {len(sessions)} sessions of role {role!r} have no TLS ({seen})",
            "Let the application's driver verify the server's certificate, and allow hostssl alone in pg_hba.conf",
        )
    _assert_untouched(fenced)
    return sessions


def prove_sqlite(target: str, role: str, path: Path, unit: str, patience: float = 15.0) -> list[Holder]:
    """Prove that the application works on its SQLite file, and on PostgreSQL no longer.

    Args:
        target: The target, as its owner.
        role: The role that the application logged in with; empty when PostgreSQL, which it never used, cannot be asked.
        path: The SQLite file.
        unit: The application's systemd unit, whose processes count alone; empty when nobody knows which ones are its.
        patience: Seconds in which the application may open its file.

    Returns:
        The application's processes that hold the file.

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
    if holders := _await(lambda: [one for one in find_holders(path) if not unit or one.unit == unit], patience):
        return holders
    others = ", ".join(map(str, find_holders(path)))
    raise MigrationError(
        f"the application{f' ({unit})' if unit else ''} does not have {path} open, within {patience:g} s of its start"
        f"{f'; {others} has' if others else ''}",
        LOOK_AT,
    )


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
