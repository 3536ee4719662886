"""Runs the module ``migration_run``, and tells it who the controller is."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Any

from ansible_collections.contralock.database.plugins.module_utils.left_over import process
from ansible_collections.contralock.database.plugins.plugin_utils.followed_module import StepOfRun


class ActionModule(StepOfRun):
    """Adds the controller to what is opened."""

    def arguments(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task's arguments, the lease and the controller."""
        arguments = super().arguments(variables)
        if arguments.get("state") == "opened" and not arguments.get("controller"):
            # A task runs in a child of ansible-playbook. Its start tells it from a later process of the same number.
            parent = process(os.getppid())
            started = f"-{parent.started}" if parent else ""
            arguments["controller"] = f"{getpass.getuser()}@{socket.gethostname()} (pid {os.getppid()}{started})"
        return arguments
