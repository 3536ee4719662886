#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Looks at a systemd service and all its processes
version_added: 0.2.0
description:
  - Tells how a service stands, where it works, and which processes are in its control group. Changes nothing.
  - With O(stopped_within) it waits until the service has stopped and not one process of it is left, and fails
    otherwise, naming those that are.
author:
  - ContraLock migration team (@contralock)
options:
  unit:
    description: The unit's name; empty for an application that systemd does not know.
    type: str
    required: true
  control_group:
    description: The control group that it had before it was stopped; systemd forgets it then.
    type: str
    default: ""
  stopped_within:
    description: Seconds within which the service has to be gone; V(0) only looks.
    type: int
    default: 0
  programs:
    description: Programs that have to be there, by their path or by a name that C(PATH) leads to.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: It only looks.
    support: full
"""

EXAMPLES = r"""
- name: Look at the service
  contralock.database.service_info:
    unit: contralock.service
  register: service

- name: Wait until nothing of it is left
  contralock.database.service_info:
    unit: contralock.service
    control_group: "{{ service.state.control_group }}"
    stopped_within: 60
"""

RETURN = r"""
missing_programs:
  description: Those of O(programs) that are not there, or that nobody may run.
  returned: success
  type: list
  elements: str
state:
  description: The service.
  returned: with O(unit)
  type: dict
  contains:
    load_state: {description: Such as V(loaded) or V(not-found)., type: str}
    active_state: {description: Such as V(active) or V(inactive)., type: str}
    sub_state: {description: The unit type's own state., type: str}
    result: {description: Why it ended last., type: str}
    exit_status: {description: The main process's last exit status., type: int}
    restarts: {description: How often systemd started it anew by itself., type: int}
    running: {description: Whether it is up or on its way up., type: bool}
    main_pid: {description: The main process; 0 when there is none., type: int}
    working_directory: {description: The main process's, or the unit's., type: str}
    unit_directory: {description: The unit's own; empty when there is no such unit., type: str}
    control_group: {description: Where its processes are., type: str}
    triggered_by: {description: Sockets, timers and paths that start it., type: list}
    environment_files: {description: Files that systemd reads variables from., type: list}
    environment: {description: Names of the main process's variables., type: list}
    processes: {description: The pid of each process, with its program and first argument., type: list}
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.service_state import (
    read_service,
    wait_until_stopped,
)

ARGUMENTS = {
    "unit": {"type": "str", "required": True},
    "control_group": {"type": "str", "default": ""},
    "stopped_within": {"type": "int", "default": 0},
    "programs": {"type": "list", "elements": "str", "default": []},
}


def look(module: AnsibleModule) -> Mapping[str, object]:
    unit, control_group, seconds, programs = (module.params[name] for name in ARGUMENTS)
    found = {"changed": False, "missing_programs": [name for name in programs if not shutil.which(name)]}
    if not unit:
        return found
    state = wait_until_stopped(unit, control_group, seconds) if seconds else read_service(unit, control_group)
    return {**found, "state": {**asdict(state), "running": state.running}}


def main() -> None:
    run_module(ARGUMENTS, look, supports_check_mode=True)


if __name__ == "__main__":
    main()
