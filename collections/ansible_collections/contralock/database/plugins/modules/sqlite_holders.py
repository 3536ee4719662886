#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_holders
short_description: Tells which processes have a SQLite file open
version_added: 0.1.0
description:
  - Looks through C(/proc) for processes that have the file, or its C(-wal), C(-shm) or C(-journal), open or mapped,
    under whatever name. It opens nothing, so that no lock is disturbed.
  - With O(state=absent) it fails while there are any. It never ends a process.
author:
  - ContraLock migration team (@contralock)
options:
  path:
    description: The SQLite file. A symbolic link is followed.
    type: path
    required: true
  state:
    description:
      - V(read) tells who there is.
      - V(absent) fails when there is anybody.
    type: str
    choices: [read, absent]
    default: read
  unit:
    description: A systemd unit whose other SQLite databases are wanted as well; empty for none.
    type: str
    default: ""
  patience:
    description: Seconds to wait, with O(state=absent), for a process that is just ending.
    type: float
    default: 5
attributes:
  check_mode:
    description: It only looks, so that a check does the same.
    support: full
  diff_mode:
    description: Nothing is changed.
    support: none
notes:
  - Only root sees into every process; in a container root needs the capability C(SYS_PTRACE). The module fails rather
    than guess when it may not see into some, and found nobody in the others.
"""

EXAMPLES = r"""
- name: See that the service is the one that has the file open
  contralock.database.sqlite_holders:
    path: /srv/contralock/data/contralock.sqlite
  register: holders
  failed_when: service_pid | int not in holders.holders | map(attribute='pid')

- name: Require that nobody has it open any more
  contralock.database.sqlite_holders:
    path: /srv/contralock/data/contralock.sqlite
    state: absent
"""

RETURN = r"""
file:
  description: The file, symbolic links followed.
  returned: success
  type: str
holders:
  description: The processes; their arguments are left out, since these may hold secrets.
  returned: success
  type: list
  elements: dict
  contains:
    pid: {description: Its number., type: int, sample: 812}
    command: {description: Its name as the kernel has it., type: str, sample: node}
    user: {description: Its owner., type: str, sample: contralock}
    unit: {description: "Its systemd unit or scope, or empty.", type: str, sample: contralock.service}
    files: {description: The files that it holds., type: list, elements: str, sample: [contralock.sqlite]}
databases:
  description: The SQLite databases other than the file that processes of O(unit) have open.
  returned: success
  type: list
  elements: str
details:
  description: Facts about a refusal, with the holders.
  returned: failure
  type: dict
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.file_holders import assert_no_holders, find_holders
from ansible_collections.contralock.database.plugins.module_utils.open_databases import databases_of
from ansible_collections.contralock.database.plugins.module_utils.service_state import read_service

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["read", "absent"], "default": "read"},
    "unit": {"type": "str", "default": ""},
    "patience": {"type": "float", "default": 5.0},
}


def tell_holders(module: AnsibleModule) -> Mapping[str, object]:
    path = Path(module.params["path"]).resolve()
    if module.params["state"] == "absent":
        assert_no_holders(path, module.params["patience"])
    unit = module.params["unit"]
    open_ones = databases_of(process.pid for process in read_service(unit).processes) if unit else {}
    return {
        "changed": False,
        "file": str(path),
        "holders": [asdict(holder) for holder in find_holders(path)],
        "databases": [name for name in open_ones if name != str(path)],
    }


def main() -> None:
    run_module(ARGUMENTS, tell_holders, supports_check_mode=True)


if __name__ == "__main__":
    main()
