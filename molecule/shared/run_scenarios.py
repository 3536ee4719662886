#!/usr/bin/env python3
"""Run Molecule's scenarios, some at a time, and leave nothing behind.

Usage: run_scenarios.py [--jobs N] [SCENARIO ...]    (no SCENARIO: all of them)
       run_scenarios.py --clean                      removes what runs that died have left

Each run has a name of its own, which is part of the name of every container and network, and its own working directory,
so that runs side by side do not meet. A lock file tells whether a run still lives: what belongs to a dead one is
removed. A scenario's output goes to a file and is shown when the scenario fails.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).resolve().parents[2]
PODMAN = str(PROJECT / "molecule/shared/podman")
LOCKS = Path("/run/lock/contralock-runs")
LABEL = "contralock.hosts"
NAME = "contralock-test-"
TAIL = 120
#: What takes longer than five minutes, as measured, the longest first.
LONG = ("cut_over", "cut_over_disturbed", "managed", "public_application", "postgresql_server", "prepare")
#: One more at a time than there are processors, because a scenario waits for a good part of its time: for SSH, for
#: services, for locks. Each has two hosts or three, so that memory sets a bound.
JOBS = min(len(os.sched_getaffinity(0)) + 1, 4)
RUNNING: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Outcome:
    """How one scenario ended."""

    scenario: str
    passed: bool
    seconds: float
    log: Path


def scenarios() -> list[str]:
    """All scenarios: those of ``LONG`` first, so that the last one to end is a short one."""
    found = sorted(path.parent.name for path in (PROJECT / "molecule").glob("*/molecule.yml"))
    return sorted(found, key=lambda name: LONG.index(name) if name in LONG else len(LONG))


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
    """Kill the workers of a run's playbooks: Ansible gives them sessions of their own, which a kill passes by."""
    mark = f"CONTRALOCK_HOSTS_PREFIX={run}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            playbook = b"ansible-playbook" in (folder / "cmdline").read_bytes()
            if playbook and mark in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:  # it has ended, or is none of ours
            continue


def remove_dead_runs() -> None:
    """Remove the hosts and the working directories of runs that were killed."""
    for path in LOCKS.glob(f"{NAME}*") if LOCKS.is_dir() else ():
        if not lives(path.name):
            end_workers(path.name)
            remove_hosts(path.name)
            shutil.rmtree(Path(tempfile.gettempdir(), path.name), ignore_errors=True)
            path.unlink(missing_ok=True)


def run_scenario(scenario: str, run: str, directory: Path) -> Outcome:
    """One `molecule test`, with its output in a file."""
    log = directory / f"{scenario}.log"
    environment = {
        **os.environ,
        "CONTRALOCK_HOSTS_PREFIX": run,
        "MOLECULE_EPHEMERAL_DIRECTORY": str(directory / scenario),
        "CONTAINERS_CONF": str(PROJECT / "molecule/shared/containers.conf"),
        # The hosts live no longer than the scenario, so that their facts need no second look.
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / scenario / "facts"),
        "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "molecule/shared/callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "built_modules",
        "CONTRALOCK_BUILT_MODULES": str(directory / "built_modules"),
        "NO_COLOR": "1",
        "COLUMNS": "150",
    }
    (directory / scenario).mkdir()
    began = time.monotonic()
    print(f"{scenario}: started", flush=True)
    command = ["molecule", "test", "--scenario-name", scenario, "--destroy", "never"]
    with log.open("w", encoding="utf-8") as output:
        # A session of its own, so that all its descendants can be ended with it.
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
        returncode = child.wait()
        RUNNING.discard(child)
    # Not by Molecule: another playbook would take longer than the command.
    remove_hosts(run, scenario)
    outcome = Outcome(scenario, returncode == 0, time.monotonic() - began, log)
    print(f"{scenario}: {'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.0f} s", flush=True)
    if not outcome.passed:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print(*(f"{scenario} | {line}" for line in lines[-TAIL:]), sep="\n", flush=True)
    return outcome


def run_all(names: list[str], jobs: int) -> int:
    """Run the scenarios and say how they ended; 0 when all passed."""
    remove_dead_runs()
    run = f"{NAME}{secrets.token_hex(3)}"
    lock = take_lock(run)
    directory = Path(tempfile.gettempdir(), run)
    directory.mkdir(mode=0o700)
    try:
        # The images first: two scenarios would wait for each other's build and count it as their own time.
        subprocess.run([PROJECT / "molecule/shared/build_images.py"], stdout=subprocess.DEVNULL, check=True)
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            try:
                outcomes = list(pool.map(lambda name: run_scenario(name, run, directory), names))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        end_workers(run)
        remove_hosts(run)
        shutil.rmtree(directory, ignore_errors=True)
        (LOCKS / run).unlink(missing_ok=True)
        lock.close()
    failed = [outcome.scenario for outcome in outcomes if not outcome.passed]
    print(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def stop(number: int, _frame: object) -> None:
    """End the scenarios and turn the signal into an exception, so that the hosts are removed."""
    for child in list(RUNNING):
        os.killpg(child.pid, signal.SIGKILL)
    raise SystemExit(128 + number)


def main() -> int:
    """Parse the arguments and do what they say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="without any, all")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"scenarios at a time (default here: {JOBS})")
    parser.add_argument("--clean", action="store_true", help="remove what runs that died have left, and stop")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    if arguments.clean:
        remove_dead_runs()
        return 0
    names = arguments.scenarios or scenarios()
    if unknown := sorted(set(names) - set(scenarios())):
        parser.error(f"no scenario is called {', '.join(unknown)}; there are {', '.join(sorted(scenarios()))}")
    return run_all(names, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
