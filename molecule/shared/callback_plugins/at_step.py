"""Interferes with a run at one step: kills it in the middle, as a power cut does, or runs a command before the step.

CONTRALOCK_AT_STEP names the step of the journal. With CONTRALOCK_AT_COMMAND that shell command is run before the step's
task begins, and the run goes on. Otherwise the controller dies, with what it runs on the host: CONTRALOCK_KILL_HOST is
the container in which its modules run; with CONTRALOCK_KILL_ONLY=controller they run on. The step is in its middle
between the journal's `begun` and its `done`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: at_step
type: notification
short_description: Interferes with a run at one step
description: For tests.
"""

STEP = os.environ.get("CONTRALOCK_AT_STEP", "")
COMMAND = os.environ.get("CONTRALOCK_AT_COMMAND", "")
HOST = os.environ.get("CONTRALOCK_KILL_HOST", "")
RUNS = "var/lib/contralock-migration"
# Everything that a verb runs on the host: the module in the toolkit's Python, pgloader and its tunnel.
VERBS = "pkill -KILL -f 'AnsiballZ|ansiballz|/opt/contralock-migration/venv/bin/python|pgloader|stunnel'"


class CallbackModule(CallbackBase):  # type: ignore[misc]  # because Ansible has no types
    """Watches the tasks go by."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "at_step"
    CALLBACK_NEEDS_ENABLED = True
    module_seen = False
    command_run = False

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 (Ansible's signature)
        """Kill before the step's end is recorded, or from beside the module that records it itself.

        A module that was too quick for that has ended when the next task begins: then it is high time.
        """
        if self.module_seen:
            kill()
        begins = task.args.get("begins") == STEP or (step_of(task) == STEP and task.args.get("state") != "done")
        if STEP and COMMAND and begins and not self.command_run:
            self.command_run = True
            subprocess.run(["sh", "-c", COMMAND], check=True, stdout=subprocess.DEVNULL)
        if not STEP or COMMAND or step_of(task) != STEP:
            return
        if task.args.get("state") == "done":
            kill()
        elif task.args.get("state") != "begun":
            threading.Thread(target=kill_when_begun, daemon=True).start()
            self.module_seen = True


def step_of(task: Any) -> str:
    """The step that a task carries out, which a role's task gets as a variable from whoever imports the role."""
    given = str(task.args.get("step") or "")
    variable = re.search(r"\{\{ *(\w+)", given)
    return str(task.get_vars().get(variable[1], "")) if variable else given


def kill_when_begun() -> None:
    asked = ["podman", "inspect", "--format", "{{.State.Pid}}", HOST]
    # Through /proc, because twenty commands a second in the container would take more of the machine than the run does.
    runs = Path("/proc", subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip(), "root", RUNS)
    while True:
        record = last_record(runs)
        # What takes a tenth of a second is done before it is seen to have begun.
        if record.get("step") == STEP and record.get("state") in ("begun", "done"):
            kill()
        time.sleep(0.02)


def last_record(runs: Path) -> dict[str, Any]:
    """What the journal of the run that was worked on last ends with; nothing while there is none, or half a line."""
    try:
        journals = [folder / "journal.jsonl" for folder in runs.glob("2*/")]
        latest = max(journals, key=lambda journal: journal.parent.stat().st_mtime)
        return dict(json.loads(latest.read_text(encoding="utf-8").splitlines()[-1]))
    except (OSError, ValueError, IndexError):
        return {}


def kill() -> None:
    host = "" if os.environ.get("CONTRALOCK_KILL_ONLY") == "controller" else f"podman exec {HOST} {VERBS}"
    # From a session of its own: it outlives the controller, whose process group dies first.
    command = ["sh", "-c", f"kill -KILL -{os.getpgid(0)}; {host}"]
    subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(60)
