"""Who may work: the lock that a verb holds on the host, and the lease by which a controller shows that it lives.

The lock is a ``flock`` on ``<root>/lock``; the kernel drops it when its process ends, however it ends. The lease is
``<root>/lease.json``, written whole by the one who opens a run, and ``<root>/alive-<token>``, the controller's sign of
life: the host's uptime and boot, so that a clock which is set back neither ends a lease nor makes it eternal. Each
opening has a token of its own: a controller whose run was taken over meanwhile is refused instead of working on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from .durable_files import sync_directory
from .errors import MigrationError
from .journal import Moment, write_whole
from .left_over import lock_holders

LOCK, GATE, LEASE = "lock", "opening", "lease.json"
LEASE_SECONDS = 120


@dataclass(frozen=True)
class Lease:
    """Who opened a run.

    Args:
        run: The run's id.
        verb: What it does.
        controller: Who opened it: user, host, process, as a person reads it.
        token: What the controller shows with each call.
        seconds: How long the lease lasts beyond the last sign of life.
        opened: When it was opened.
        renewed: The last sign of life.
        process: The controller's process as its own machine knows it; empty when it did not say.
    """

    run: str
    verb: str
    controller: str
    token: str
    seconds: int
    opened: Moment
    renewed: Moment
    process: str = ""

    def seconds_left(self, now: Moment) -> float:
        """Return how long the lease still lasts; 0 when it has ended."""
        if now.boot == self.renewed.boot:
            age = now.uptime - self.renewed.uptime
        else:
            # Nobody has renewed it since the host started: it is at least as old as that, whatever the clock says.
            age = max(now.uptime, self.renewed.wall_seconds_until(now))
        return max(0.0, self.seconds - age)


def sign_of_life(root: Path, token: str) -> Path:
    """Return the file by which a controller shows that it lives: ``/proc/uptime`` and the boot's id, a line each."""
    return root / f"alive-{token}"


def write_lease(root: Path, lease: Lease) -> None:
    """Make this the lease, and with it every other token invalid."""
    renew(root, lease.token, first=True)
    write_whole(root / LEASE, json.dumps(asdict(lease), indent=2) + "\n")
    for other in root.glob("alive-*"):
        if other != sign_of_life(root, lease.token):
            other.unlink(missing_ok=True)


def renew(root: Path, token: str, *, first: bool = False) -> None:
    """Show that the controller lives. Does nothing once another has taken the run over (its file is gone).

    Raises:
        MigrationError: The first sign cannot be written; a later one may fail, because a full disk stops no work.
    """
    file = sign_of_life(root, token)
    if first or file.exists():
        now = Moment.now()
        with contextlib.nullcontext() if first else contextlib.suppress(MigrationError):
            write_whole(file, f"{now.uptime:.2f} 0.00\n{now.boot}\n", durable=False)


def read_lease(root: Path) -> Lease | None:
    """Return the lease with its last sign of life; None when there is none.

    A lease file that cannot be read was not written by this program (it is replaced in one step): it counts as none.
    """
    try:
        content = json.loads((root / LEASE).read_text(encoding="utf-8"))
        opened, renewed = Moment.of(content.pop("opened")), Moment.of(content.pop("renewed"))
        lease = Lease(**content, opened=opened, renewed=renewed)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return Lease(**{**vars(lease), "renewed": _last_sign(root, lease)})


def _last_sign(root: Path, lease: Lease) -> Moment:
    file = sign_of_life(root, lease.token)
    try:
        uptime, boot = file.read_text(encoding="ascii").splitlines()
        wall = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="milliseconds")
        return Moment(wall, float(uptime.split()[0]), boot)
    except (OSError, ValueError, IndexError):
        return lease.renewed


def end_lease(root: Path) -> None:
    """Remove the lease: nobody is at work."""
    (root / LEASE).unlink(missing_ok=True)
    for file in root.glob("alive-*"):
        file.unlink(missing_ok=True)
    sync_directory(root)


@contextlib.contextmanager
def locked(path: Path, seconds: float, refusal: str) -> Iterator[None]:
    """Hold a ``flock`` on a file.

    Args:
        path: The file; it is made when it is missing, and never removed (a second file would be a second lock).
        seconds: How long to wait for it.
        refusal: The fact to raise when it stays taken; the holders are added to it.

    Raises:
        MigrationError: Somebody else holds it.
    """
    # Python's descriptors are not inherited by programs, so only this process can keep the lock alive.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        limit = time.monotonic() + seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= limit:
                holders = ", ".join(map(str, lock_holders(path))) or "a process that cannot be seen from here"
                raise MigrationError(f"{refusal}: {holders} holds {path}", "Wait until it has ended")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
