"""Keeps the modules that Ansible has built for one playbook for the next one of the same test run.

Ansible puts each module that a playbook uses into a zip file with all that it imports, and keeps that file for the
length of the playbook: a fifth to half a second of CPU time each, for a dozen of them or more. The tests play hundreds
of playbooks of one state of the code. CONTRALOCK_BUILT_MODULES names the directory, which lives as long as the test
run.
"""

from __future__ import annotations

import os
from pathlib import Path

from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: built_modules
type: notification
short_description: Keeps built modules for the next playbook
description: For tests.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # because Ansible has no types
    """Puts the directory in the place where Ansible looks for what it has built (executor/module_common.py)."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "built_modules"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        if directory := os.environ.get("CONTRALOCK_BUILT_MODULES"):
            kept = Path(directory)
            kept.mkdir(exist_ok=True)
            Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(kept)
