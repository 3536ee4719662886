"""Plays, run for real by ansible-playbook on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("ansible-playbook")


def play(
    folder: Path,
    tasks: Sequence[Mapping[str, Any]],
    *options: str,
    environment: Mapping[str, str] | None = None,
    **variables: Any,
) -> subprocess.CompletedProcess[str]:
    """Play tasks on this machine, in the interpreter of the tests; ``folder`` gets the playbook and Ansible's files."""
    command, settings = playing(folder, tasks, *options, environment=environment, **variables)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, cwd=folder, env=settings)


def playing(
    folder: Path,
    tasks: Sequence[Mapping[str, Any]],
    *options: str,
    environment: Mapping[str, str] | None = None,
    **variables: Any,
) -> tuple[list[str], dict[str, str]]:
    """Write the playbook, and return the command and its environment."""
    book = folder / "play.yml"
    book.parent.mkdir(exist_ok=True)
    book.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]))
    python = {"migration_toolkit_python": sys.executable, "ansible_python_interpreter": sys.executable}
    given = json.dumps({**python, **variables}, default=str)
    settings = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / "collections"),
        "ANSIBLE_ROLES_PATH": str(PROJECT / "roles"),
        "ANSIBLE_ACTION_PLUGINS": str(PROJECT / "tests" / "plugins" / "action"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "tmp"),
        **(environment or {}),
    }
    return [str(PROGRAM), "-i", "localhost,", str(book), "-e", given, *options], settings


def role(name: str, tasks_from: str = "main", **variables: object) -> dict[str, Any]:
    """A task that plays a role, or a part of it."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in variables.items()}
    return {"ansible.builtin.import_role": {"name": name, "tasks_from": f"{tasks_from}.yml"}, "vars": given}


def keep(path: Path, expression: str) -> dict[str, Any]:
    """A task that writes an expression's value as JSON, and shows nothing of it."""
    return {"keep": {"dest": str(path), "content": f"{{{{ {expression} | to_json }}}}"}, "no_log": True}


def keep_facts(path: Path, *names: str) -> dict[str, Any]:
    """A task that writes these variables."""
    return keep(path, "{" + ", ".join(f"'{name}': {name}" for name in names) + "}")
