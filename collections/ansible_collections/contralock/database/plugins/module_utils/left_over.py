"""Processes that a dead controller left on the host: found, shown and ended.

A process belongs to a run when it holds the run root's lock, when its environment names that root (``MARKER``, which
every program that a verb starts inherits), or when it descends from such a process. All of it is read from ``/proc``; a
file that says who holds a lock could be older than the holder.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import MigrationError

#: The environment variable by which the programs of a run are known: the run root's path.
MARKER = "CONTRALOCK_MIGRATION_ROOT"
PROC = Path("/proc")
POLITE_SECONDS = 10.0
FORCED_SECONDS = 10.0


@dataclass(frozen=True)
class Process:
    """A process, known beyond the reuse of its number by the time of its start (clock ticks since boot)."""

    pid: int
    started: int
    parent: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def process(pid: int) -> Process | None:
    """Return a process, or None when it is gone or only waits to be buried."""
    try:
        # proc(5): the name stands in parentheses and may contain them; state, parent and start time follow.
        name, _, rest = (PROC / str(pid) / "stat").read_text(errors="replace").partition(" (")[2].rpartition(") ")
    except OSError:
        return None
    fields = rest.split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), int(fields[1]), name)


def identity(pid: int) -> str:
    """Return what tells a process from every other one, also of another machine or container.

    The machine's boot, the namespace that the process's number belongs to, the number, and when it was started; empty
    where there is no ``/proc`` (a controller that is no Linux).
    """
    try:
        boot, namespace = (PROC / "sys/kernel/random/boot_id").read_text().strip(), (PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    found = process(pid)
    return f"{boot} {namespace} {pid} {found.started if found else 0}"


def is_known_to_be_gone(named: str) -> bool:
    """Return whether ``identity`` named a process of this machine and namespace that is there no more."""
    boot, _, rest = named.partition(" ")
    namespace, _, numbers = rest.partition(" ")
    pid = numbers.partition(" ")[0]
    here = identity(int(pid)) if pid.isdigit() else ""
    return here.startswith(f"{boot} {namespace} {pid} ") and here != named


def processes() -> list[Process]:
    """Return all processes of this host that can be seen."""
    found = (process(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return [one for one in found if one is not None]


def lock_holders(path: Path) -> list[Process]:
    """Return the processes that have a descriptor through which a ``flock`` on the file is held."""
    try:
        wanted = path.stat()
    except OSError:
        return []
    return [one for one in processes() if _holds_lock(one.pid, wanted)]


def _holds_lock(pid: int, wanted: os.stat_result) -> bool:
    # A process that ends while it is looked at holds nothing.
    with contextlib.suppress(OSError):
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                # proc_pid_fdinfo(5): "lock: 1: FLOCK ADVISORY WRITE 359 00:13:11691 0 EOF"
                information = PROC / str(pid) / "fdinfo" / descriptor.name
                if os.path.samestat(descriptor.stat(), wanted) and "FLOCK" in information.read_text():
                    return True
    return False


def marked(root: Path) -> list[Process]:
    """Return the processes whose environment names the run root."""
    entry = f"{MARKER}={root}".encode()
    found = []
    for one in processes():
        with contextlib.suppress(OSError):
            if entry in (PROC / str(one.pid) / "environ").read_bytes().split(b"\0"):
                found.append(one)
    return found


def of_run(root: Path, lock: Path) -> list[Process]:
    """Return every process of a run, parents before children; never this one or one that it descends from."""
    everything = {one.pid: one for one in processes()}
    found = {one.pid: one for one in (*lock_holders(lock), *marked(root))}
    grown = True
    while grown:
        children = [one for one in everything.values() if one.parent in found and one.pid not in found]
        found.update({one.pid: one for one in children})
        grown = bool(children)
    for pid in _ancestry(everything):
        found.pop(pid, None)
    return sorted(found.values(), key=lambda one: one.started)


def _ancestry(everything: dict[int, Process]) -> Iterator[int]:
    pid = os.getpid()
    while pid in everything:
        yield pid
        pid = everything[pid].parent


def end(left_over: Iterable[Process], polite_seconds: float = POLITE_SECONDS) -> list[Process]:
    """End processes: SIGTERM, time to clean up, SIGKILL. Returns those that were there.

    Raises:
        MigrationError: A process is still there after SIGKILL (it hangs in the kernel, or belongs to somebody else).
    """
    handles = {one: handle for one in left_over if (handle := _open(one)) is not None}
    try:
        staying = _signal_and_wait(handles, signal.SIGTERM, polite_seconds)
        staying = _signal_and_wait(staying, signal.SIGKILL, FORCED_SECONDS)
    finally:
        for handle in handles.values():
            os.close(handle)
    if staying:
        names = ", ".join(map(str, staying))
        raise MigrationError(f"{names} of an earlier run cannot be ended", "End it by hand, or restart the host")
    return list(handles)


def _open(one: Process) -> int | None:
    """Open a process's handle, through which no other process can be hit when its number is given away."""
    try:
        handle = os.pidfd_open(one.pid)
    except OSError:
        return None
    now = process(one.pid)
    if now is not None and now.started == one.started:
        return handle
    os.close(handle)
    return None


def _signal_and_wait(handles: dict[Process, int], number: int, seconds: float) -> dict[Process, int]:
    for handle in handles.values():
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(handle, number)
    staying, limit = dict(handles), time.monotonic() + seconds
    while staying and (left := limit - time.monotonic()) > 0:
        # A handle becomes readable when its process ends.
        ended = select.select(list(staying.values()), [], [], left)[0]
        staying = {one: handle for one, handle in staying.items() if handle not in ended}
    return staying
