"""Runs that make containers: each with a name, a lock and a directory of its own, and nothing left when it has ended.

The run's name is part of the name of every container and network, so that runs side by side do not meet. A lock file
tells whether a run still lives: what belongs to a dead one is removed by the next.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).resolve().parents[2]
PODMAN = str(PROJECT / "molecule/shared/podman")
LOCKS = Path("/run/lock/contralock-runs")
LABEL = "contralock.hosts"
NAME = "contralock-test-"
RUNNING: set[subprocess.Popen[bytes]] = set()
#: Once it is set what is begun is ended at once: a thread whose command was ended would go on with the next one.
STOPPING = threading.Event()
#: What a run starts and a kill of it passes by, because it has a session of its own: by a word of its command line.
WORKERS = (b"bin/molecule", b"ansible-playbook", b"pytest")


def take_lock(run: str) -> IO[str]:
    """Hold the lock that says that this run lives; the kernel lets go of it however the run ends."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = (LOCKS / run).open("w", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def lives(run: str) -> bool:
    """Whether the run's process still holds its lock."""
    try:
        with (LOCKS / run).open("r", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def podman(*arguments: str) -> str:
    """podman's output; an error of it is printed and otherwise passed over, for the sake of the rest of a clean-up."""
    done = subprocess.run([PODMAN, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
    return done.stdout


def remove_hosts(run: str, scenario: str = "") -> None:
    """Remove the containers and networks of a run, or of one of its scenarios."""

    def wanted(name: str) -> bool:
        # One scenario's name may begin with another's.
        return name == f"{run}-{scenario.replace('_', '-')}" if scenario else name.startswith(run)

    listed = json.loads(podman("ps", "--all", "--format", "json") or "[]")
    containers = [one["Id"] for one in listed if wanted((one.get("Labels") or {}).get(LABEL, ""))]
    if containers:
        podman("rm", "--force", "--ignore", "--volumes", "--time", "0", *containers)
    networks = [name for name in podman("network", "ls", "--format", "{{.Name}}").split() if wanted(name)]
    if networks:
        podman("network", "rm", "--force", *networks)


def end_workers(run: str) -> None:
    """Kill what a run has started with a session of its own; containers and what serves all networks is not touched."""
    mark = f"CONTRALOCK_HOSTS_PREFIX={run}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            ours = any(worker in command for worker in WORKERS)
            if ours and mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:  # it has ended, or is none of ours
            continue


def remove_dead_runs() -> None:
    """Remove the containers and the working directories of runs that were killed."""
    for path in LOCKS.glob(f"{NAME}*") if LOCKS.is_dir() else ():
        if not lives(path.name):
            end_workers(path.name)
            remove_hosts(path.name)
            shutil.rmtree(Path(tempfile.gettempdir(), path.name), ignore_errors=True)
            path.unlink(missing_ok=True)


@contextmanager
def host_run() -> Iterator[tuple[str, Path]]:
    """A run's name and its directory; whatever dead runs have left is removed before, and all of this one after it."""
    remove_dead_runs()
    run = f"{NAME}{secrets.token_hex(3)}"
    with take_lock(run):
        directory = Path(tempfile.gettempdir(), run)
        directory.mkdir(mode=0o700)
        try:
            yield run, directory
        finally:
            end_workers(run)
            remove_hosts(run)
            shutil.rmtree(directory, ignore_errors=True)
            (LOCKS / run).unlink(missing_ok=True)


def run_into(log: Path, command: list[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command with its output in a file, in a session of its own, so that all it starts ends with it."""
    with log.open("w", encoding="utf-8") as output:
        child = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        RUNNING.add(child)
        if STOPPING.is_set():
            _kill(child)
        returncode = child.wait()
        RUNNING.discard(child)
    return returncode


def stop(number: int, _frame: object) -> None:
    """End what runs and turn the signal into an exception, so that the containers are removed."""
    STOPPING.set()
    for child in list(RUNNING):
        _kill(child)
    raise SystemExit(128 + number)


def _kill(child: subprocess.Popen[bytes]) -> None:
    # Its thread may have waited for it a moment ago.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def end_on_signals() -> None:
    """Let the signals that ask a program to end remove its containers before."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
