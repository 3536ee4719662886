"""What systemd knows of an application's service, and the processes that belong to it."""

from __future__ import annotations

import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import MigrationError

PROC = Path("/proc")
PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "NRestarts",
    "MainPID",
    "WorkingDirectory",
    "ControlGroup",
    "TriggeredBy",
    "EnvironmentFiles",
)
STOPPED = ("inactive", "failed")
POLL_SECONDS = 0.2
MANY_RESTARTS = 3
COMMAND_LENGTH = 120


@dataclass(frozen=True)
class Process:
    """A process, with its program, and its script or subcommand."""

    pid: int
    command: str


@dataclass(frozen=True)
class ServiceState:
    """A unit as ``systemctl show`` describes it, and what ``/proc`` says of its processes.

    ``restarts`` counts how often systemd itself started it anew since somebody started it.

    ``working_directory`` is that of the main process while it runs, and the unit's own otherwise; ``unit_directory`` is
    always the unit's, with its links followed. ``environment`` holds the names of the variables that the main process
    was started with: values may be secrets. ``triggered_by`` are the units (sockets, timers, paths) that start the
    service by themselves.
    """

    unit: str
    load_state: str
    active_state: str
    sub_state: str
    result: str
    exit_status: int
    restarts: int
    main_pid: int
    working_directory: str
    unit_directory: str
    control_group: str
    triggered_by: tuple[str, ...]
    environment_files: tuple[str, ...]
    environment: tuple[str, ...]
    processes: tuple[Process, ...]

    @property
    def running(self) -> bool:
        """Whether the service is up, or on its way up."""
        return self.active_state not in STOPPED

    @property
    def stopped(self) -> bool:
        """Whether nothing of the service is left."""
        return not self.running and not self.processes


def read_service(unit: str, control_group: str = "") -> ServiceState:
    """Ask systemd and ``/proc`` for a service.

    Args:
        unit: The unit's name; systemd completes one without a suffix by ``.service``.
        control_group: Where its processes were before it was stopped: systemd forgets the place then.

    Raises:
        MigrationError: There is no systemd that answers.
    """
    command = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", unit]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MigrationError("this host has no systemctl", "Let application_service_manager be commands") from None
    if done.returncode:
        raise MigrationError(
            f"systemd says nothing about {unit}: {' '.join(done.stderr.split())}",
            "See that systemd runs on this host, or let application_service_manager be commands",
        )
    found = parse_properties(done.stdout)
    place = found["ControlGroup"] or control_group
    main_pid = int(found["MainPID"] or 0)
    unit_directory = _unit_directory(found["WorkingDirectory"]) if found["LoadState"] != "not-found" else ""
    return ServiceState(
        unit=unit,
        load_state=found["LoadState"],
        active_state=found["ActiveState"],
        sub_state=found["SubState"],
        result=found["Result"],
        exit_status=int(found["ExecMainStatus"] or 0),
        restarts=int(found["NRestarts"] or 0),
        main_pid=main_pid,
        working_directory=working_directory_of(main_pid) or unit_directory,
        unit_directory=unit_directory,
        control_group=place,
        triggered_by=tuple(found["TriggeredBy"].split()),
        # systemd prints "path (ignore_errors=no)", one line each.
        environment_files=tuple(line.rpartition(" (")[0] for line in found["EnvironmentFiles"].splitlines()),
        environment=_environment_names(main_pid),
        processes=processes_in(place) if place else (),
    )


def why_ended(before: ServiceState, now: ServiceState) -> str | None:
    """Say why nobody should wait for the service any more, or None while it may still come up.

    systemd gives up a service that ends again and again only when it does so quickly; for us ``MANY_RESTARTS`` since
    ``before`` are enough.
    """
    ending = f"{now.result}, exit status {now.exit_status}"
    if now.active_state in STOPPED:
        return f"{now.unit} is {now.active_state} ({ending})"
    if (times := now.restarts - before.restarts) >= MANY_RESTARTS:
        return f"{now.unit} has ended {times} times and was started anew each time (last: {ending})"
    return None


def parse_properties(text: str) -> dict[str, str]:
    """Read ``NAME=value`` lines; a name that comes again adds a line, one that does not come is empty."""
    found = dict.fromkeys(PROPERTIES, "")
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name in found:
            found[name] = f"{found[name]}\n{value}".strip("\n")
    return found


def processes_in(control_group: str, proc: Path = PROC) -> tuple[Process, ...]:
    """List the processes in a control group and below it, as ``/proc/<pid>/cgroup`` tells (version 1 and 2)."""
    found = []
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            places = [line.split(":", 2)[2] for line in (folder / "cgroup").read_text().splitlines()]
            if any(f"{place}/".startswith(f"{control_group}/") for place in places):
                found.append(Process(int(folder.name), _command(folder)))
        except (FileNotFoundError, ProcessLookupError):
            # It ended while it was looked at.
            continue
    return tuple(sorted(found, key=lambda process: process.pid))


def _command(folder: Path) -> str:
    """Name the program, and its script or subcommand. What comes after them may be a secret of the application's."""
    program, *rest = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    script = rest[0] if rest and not rest[0].startswith("-") and "=" not in rest[0] else ""
    shown = f"{program} {script}".strip()
    return shown[:COMMAND_LENGTH] or (folder / "comm").read_text().strip()


def wait_until_stopped(unit: str, control_group: str, seconds: float) -> ServiceState:
    """Wait until the service and every process of it is gone.

    Args:
        unit: The unit's name.
        control_group: Where its processes were before it was stopped.
        seconds: How long to wait.

    Raises:
        MigrationError: It, or one of its processes, is still there.
    """
    deadline = time.monotonic() + seconds
    while not (state := read_service(unit, control_group)).stopped:
        if time.monotonic() > deadline:
            raise _not_stopped(state, seconds)
        time.sleep(POLL_SECONDS)
    return state


def _not_stopped(state: ServiceState, seconds: float) -> MigrationError:
    left = ", ".join(f"{process.pid} ({process.command})" for process in state.processes) or "no process"
    unit = shlex.quote(state.unit)
    return MigrationError(
        f"{state.unit} did not stop within {seconds:g} s: it is {state.active_state}, and there is still {left}",
        f"See why with 'journalctl --unit {unit}', raise application_service_stop_seconds if it only needs "
        f"longer, or end it with 'systemctl kill --signal=SIGKILL {unit}', and run again",
        {"processes": [process.pid for process in state.processes], "active_state": state.active_state},
    )


def working_directory_of(main_pid: int, proc: Path = PROC) -> str:
    """Return where the main process works; empty when there is none, or when it is none of the application's yet.

    Between its fork and its exec a process is systemd's (``/usr/lib/systemd/systemd``, later ``systemd-executor``) and
    stands in the root. A service that ends and is started again and again is often met so.
    """
    folder = proc / str(main_pid)
    try:
        # In this order, because the program begins in its directory.
        if not main_pid or (folder / "exe").readlink().parent.name == "systemd":
            return ""
        return str((folder / "cwd").readlink())
    except OSError:
        return ""


def _unit_directory(said: str) -> str:
    # "!" in front: a missing directory is borne. Without a setting systemd takes the root. "~" is the account's home.
    path = said.removeprefix("!") or "/"
    # As the kernel shows a process's: what a link leads to.
    return str(Path(path).resolve()) if path.startswith("/") else path


def _environment_names(main_pid: int) -> tuple[str, ...]:
    if not main_pid:
        return ()
    try:
        entries = (PROC / str(main_pid) / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ()
    return tuple(sorted({entry.partition("=")[0] for entry in entries if "=" in entry}))
