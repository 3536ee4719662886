"""What the tests of all scenarios share: the hosts, and playbooks run against them.

A scenario's tests run where Molecule runs, in `molecule verify`: they look at the hosts through podman (testinfra) and
run the project's playbooks against Molecule's inventory, as the operator would.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

PROJECT = Path(__file__).parent.parent


@dataclass(frozen=True)
class PlaybookRun:
    """One run of a playbook, as Ansible's JSON callback tells it."""

    returncode: int
    # Names of the tasks that changed something (or would), as (host, task).
    changed: list[tuple[str, str]]
    # The messages of the tasks that failed, as (host, message).
    failures: list[tuple[str, str]]
    # Each task's result, as (host, task, result).
    results: list[tuple[str, str, dict[str, Any]]] = field(repr=False)
    output: str = field(repr=False)

    def message(self) -> str:
        """All that the failing tasks said, in one line; what Ansible said when it could not start."""
        return " ".join((" ".join(text for _, text in self.failures) or self.output).split())


def _read(done: subprocess.CompletedProcess[str]) -> PlaybookRun:
    output = done.stdout + done.stderr
    start = done.stdout.find("{\n")
    if start < 0:
        return PlaybookRun(done.returncode, [], [], [], output)
    document, _ = json.JSONDecoder().raw_decode(done.stdout[start:])
    results = [
        (host, task["task"]["name"], result)
        for play in document["plays"]
        for task in play["tasks"]
        for host, result in task["hosts"].items()
    ]
    changed = [(host, task) for host, task, result in results if result.get("changed")]
    failures = [
        (host, json.dumps(result["results"]) if "results" in result else str(result.get("msg", result)))
        for host, _, result in results
        if result.get("failed") or result.get("unreachable")
    ]
    return PlaybookRun(done.returncode, changed, failures, results, output)


@pytest.fixture(scope="session")
def run_playbook() -> Callable[..., PlaybookRun]:
    """Run a playbook of the project (a path from its root) against the scenario's inventory."""

    def run(playbook: str, *options: str, **extra_vars: Any) -> PlaybookRun:
        environment = {
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "molecule/shared/callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "at_step,built_modules",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
        }
        command = ["ansible-playbook", "--inventory", os.environ["MOLECULE_INVENTORY_FILE"], str(PROJECT / playbook)]
        # As JSON, so that types survive; on the command line it would be seen by others.
        command += [*options, "--extra-vars", json.dumps(extra_vars)]
        # A run that is to be killed dies as a process group of its own.
        group = 0 if "CONTRALOCK_AT_STEP" in environment else None
        return _read(
            subprocess.run(
                command, cwd=PROJECT, env=environment, text=True, capture_output=True, check=False, process_group=group
            )
        )

    return run


@pytest.fixture(scope="session")
def host_named() -> Callable[[str], Host]:
    """A host of the scenario by its short name, such as db1; commands run there as root."""
    prefix = os.environ.get("CONTRALOCK_HOSTS_PREFIX") or "contralock-dev"
    scenario = os.environ["MOLECULE_SCENARIO_NAME"].replace("_", "-")

    def get(name: str) -> Host:
        return testinfra.get_host(f"podman://{prefix}-{scenario}-{name}")

    return get


@pytest.fixture(scope="session")
def db1(host_named: Callable[[str], Host]) -> Host:
    """The database host."""
    return host_named("db1")


@pytest.fixture(scope="session")
def app1(host_named: Callable[[str], Host]) -> Host:
    """The application's host."""
    return host_named("app1")


@pytest.fixture(scope="session")
def secret() -> Callable[[str], str]:
    """A secret that the scenario's inventory made, by its name (owner, user)."""
    directory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "secrets")
    return lambda name: (directory / name).read_text(encoding="utf-8").strip()
