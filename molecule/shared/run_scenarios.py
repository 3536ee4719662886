#!/usr/bin/env python3
"""Run Molecule's scenarios, some at a time, and leave nothing behind.

Usage: run_scenarios.py [--jobs N] [SCENARIO ...]    (no SCENARIO: all of them)
       run_scenarios.py --clean                      removes what runs that died have left

A scenario's output goes to a file and is shown when the scenario fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from host_runs import PROJECT, end_on_signals, host_run, remove_dead_runs, remove_hosts, run_into

TAIL = 120
#: What takes longer than five minutes, as measured, the longest first.
LONG = ("cut_over_disturbed", "cut_over", "managed", "public_application", "postgresql_server", "prepare")
#: One more at a time than there are processors, because a scenario waits for a good part of its time: for SSH, for
#: services, for locks. Each has two hosts or three, so that memory sets a bound.
JOBS = min(len(os.sched_getaffinity(0)) + 1, 4)


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
    returncode = run_into(log, command, environment)
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
    with host_run() as (run, directory):
        # The images first: two scenarios would wait for each other's build and count it as their own time.
        subprocess.run([PROJECT / "molecule/shared/build_images.py"], stdout=subprocess.DEVNULL, check=True)
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            try:
                outcomes = list(pool.map(lambda name: run_scenario(name, run, directory), names))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    failed = [outcome.scenario for outcome in outcomes if not outcome.passed]
    print(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def main() -> int:
    """Parse the arguments and do what they say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="without any, all")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"scenarios at a time (default here: {JOBS})")
    parser.add_argument("--clean", action="store_true", help="remove what runs that died have left, and stop")
    arguments = parser.parse_args()
    end_on_signals()
    if arguments.clean:
        remove_dead_runs()
        return 0
    names = arguments.scenarios or scenarios()
    if unknown := sorted(set(names) - set(scenarios())):
        parser.error(f"no scenario is called {', '.join(unknown)}; there are {', '.join(sorted(scenarios()))}")
    return run_all(names, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
