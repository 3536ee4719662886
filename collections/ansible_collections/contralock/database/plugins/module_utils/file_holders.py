"""Which processes have a SQLite file, or one of its side files, open or mapped.

The answer comes from /proc (proc(5)): a descriptor is followed by ``stat`` through ``/proc/PID/fd/N``, so that neither
another name of the file (hard link, bind mount) nor another mount namespace hides it, and nothing is opened: opening
and closing the file here would drop the locks that this process has on it.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from .durable_files import owner_name
from .errors import MigrationError
from .source_file import SIDE_FILES

PROC = Path("/proc")
#: How often a refusal looks again while it waits for a process that is just ending, in seconds.
POLL_SECONDS = 0.1

Identity = tuple[int, int]


@dataclass(frozen=True)
class Holder:
    """A process that holds a file.

    Attributes:
        pid: Its number.
        command: Its name as the kernel has it. The arguments are left out: they may hold secrets.
        user: Its owner's name, or number where it has none.
        unit: The systemd unit or scope that it belongs to; empty when there is none.
        files: The names of the files that it holds.
    """

    pid: int
    command: str
    user: str
    unit: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command}, user {self.user}{f', {self.unit}' if self.unit else ''})"


def find_holders(path: Path) -> list[Holder]:
    """Return the processes, other than this one, that hold the file, its -wal, -shm or -journal.

    Args:
        path: The database. It, or a side file, need not exist.

    Raises:
        MigrationError: Some processes may not be looked into, and none was found in the others: the answer would be a
            guess.
    """
    wanted = _identities(path)
    found: list[Holder] = []
    hidden: list[int] = []
    for pid in sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
        if pid == os.getpid() or not wanted:
            continue
        try:
            if held := _held_by(pid, wanted):
                found.append(_holder(pid, held))
        except PermissionError:
            # A container's process 1 may come from outside, closed to everybody in it; it opens no database.
            hidden += [pid] if pid != 1 else []
        except OSError:
            continue  # It has ended meanwhile.
    if hidden and not found:
        raise hidden_processes(hidden, f"may hold {path}")
    return found


def hidden_processes(pids: list[int], suspicion: str) -> MigrationError:
    """Return the refusal to guess what processes do that may not be looked into."""
    return MigrationError(
        f"{len(pids)} processes may not be looked into (such as {pids[0]}), and one of them {suspicion}",
        "Run as root; in a container root needs the capability SYS_PTRACE for it",
        {"pids": pids},
    )


def assert_no_holders(path: Path, patience: float = 0.0) -> None:
    """Refuse when a process holds the file.

    Args:
        path: The database.
        patience: Seconds in which a process that is just ending may go away.

    Raises:
        MigrationError: Names each process, its user and its unit.
    """
    deadline = time.monotonic() + patience
    while holders := find_holders(path):
        if time.monotonic() >= deadline:
            them = "them" if len(holders) > 1 else "it"
            raise MigrationError(
                f"{path} is still in use by {', '.join(str(holder) for holder in holders)}",
                f"Stop {them}{_commands(holders)}, see that nothing starts {them} again, and run again",
                {"holders": [asdict(holder) for holder in holders]},
            )
        time.sleep(POLL_SECONDS)


def describe_holders(path: Path) -> str:
    """Name the processes that hold the file, as far as they can be seen, for a message about something else."""
    try:
        return ", ".join(str(holder) for holder in find_holders(path)) or "nobody now"
    except MigrationError:
        return "nobody that can be seen without being root"


def _commands(holders: list[Holder]) -> str:
    units = sorted({holder.unit for holder in holders if holder.unit.endswith(".service")})
    return f" ({shlex.join(['systemctl', 'stop', *units])})" if units else ""


def _identities(path: Path) -> dict[Identity, str]:
    """Device and inode of the file and its side files -> name."""
    found = {}
    for name in (path.name, *(path.name + ending for ending in SIDE_FILES)):
        try:
            status = path.with_name(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise MigrationError(
                f"{path.with_name(name)} cannot be looked at ({error.strerror}): nobody can say who has it open",
                "Run as root, or as an account that may enter its directory",
            ) from None
        found[status.st_dev, status.st_ino] = name
    return found


def _held_by(pid: int, wanted: Mapping[Identity, str]) -> set[str]:
    held = {wanted[identity] for identity in _open_by(pid) if identity in wanted}
    return held | {wanted[identity] for identity in _mapped_by(pid) if identity in wanted}


def _open_by(pid: int) -> Iterator[Identity]:
    for entry in (PROC / str(pid) / "fd").iterdir():
        try:
            status = entry.stat()
        except PermissionError:
            raise
        except OSError:
            continue  # Closed meanwhile, or on a filesystem that is gone.
        yield status.st_dev, status.st_ino


def _mapped_by(pid: int) -> Iterator[Identity]:
    """Device and inode of the mappings: a file stays mapped when its descriptor is closed."""
    for line in (PROC / str(pid) / "maps").read_bytes().splitlines():
        fields = line.split(maxsplit=5)
        if fields[4] != b"0":
            major, _, minor = fields[3].partition(b":")
            yield os.makedev(int(major, 16), int(minor, 16)), int(fields[4])


def _holder(pid: int, held: set[str]) -> Holder:
    directory = PROC / str(pid)
    user = owner_name(directory.stat().st_uid)
    command = (directory / "comm").read_text(errors="backslashreplace").strip()
    return Holder(pid, command, user, _unit(directory), tuple(sorted(held)))


def _unit(directory: Path) -> str:
    """The innermost unit in the process's control group (cgroups(7)): 0::/system.slice/app.service -> app.service."""
    parts = (directory / "cgroup").read_text(errors="backslashreplace").replace("\n", "/").split("/")
    return next((part for part in reversed(parts) if part.endswith((".service", ".scope"))), "")
