"""Runs the module ``migration_run``, and tells it who the controller is."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Any

from ansible_collections.contralock.database.plugins.module_utils.left_over import identity, is_known_to_be_gone
from ansible_collections.contralock.database.plugins.plugin_utils.followed_module import StepOfRun, display


class ActionModule(StepOfRun):
    """Adds the controller to what is opened, and takes over from one of this machine that is gone."""

    _take_over = ""

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; a second time when the run that is in the way belongs to a process that is no more."""
        result = super().run(tmp, task_vars)
        details = result.get("details") or {}
        if result.get("failed") and is_known_to_be_gone(str(details.get("process", ""))):
            display.display(f"{details['run']}: its controller, {details['controller']}, is gone; taking it over")
            self._take_over = str(details["run"])
            result = super().run(tmp, task_vars)
        return result

    def arguments(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task's arguments, the lease, and who the controller is."""
        arguments = super().arguments(variables)
        if arguments.get("state") == "opened" and not arguments.get("controller"):
            # A task runs in a child of ansible-playbook.
            arguments["controller"] = f"{getpass.getuser()}@{socket.gethostname()} (pid {os.getppid()})"
            arguments["process"] = identity(os.getppid())
        if self._take_over:
            arguments["take_over"] = self._take_over
        return arguments
