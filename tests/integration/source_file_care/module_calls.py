"""Modules, run as Ansible runs them: a process of their own, arguments as JSON, an answer as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
MODULES = ROOT / "collections/ansible_collections/contralock/database/plugins/modules"


@dataclass(frozen=True)
class Answer:
    """What the module said; ``failed`` when it refused."""

    failed: bool
    facts: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]


def call(module: str, check: bool = False, **arguments: object) -> Answer:
    given = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
    given |= {"_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    done = subprocess.run(
        [sys.executable, MODULES / f"{module}.py"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
    )
    assert done.stdout, done.stderr
    return Answer(done.returncode != 0, json.loads(done.stdout.splitlines()[-1]))
