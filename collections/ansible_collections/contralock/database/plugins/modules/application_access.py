#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: application_access
short_description: Lets the application's role into the target, or keeps it out
version_added: 0.2.0
description:
  - The application's role exists before the cut-over and has its rights on the tables, but no CONNECT on the database.
    The cut-over grants it once everything is proven; the way back revokes it and ends the role's sessions.
author:
  - ContraLock migration team (@contralock)
options:
  role:
    description: The role that the application logs in with.
    type: str
    required: true
  password:
    description:
      - Its password, with which the module logs in over verified TLS as the application will.
      - Needed but for O(state=absent).
    type: str
  state:
    description:
      - V(present) grants CONNECT and proves it by logging in.
      - V(absent) revokes it and ends the role's sessions.
      - V(tested) changes nothing. It proves that the role and its password are right; CONNECT may be missing.
    type: str
    choices: [present, absent, tested]
    default: present
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.run
attributes:
  check_mode:
    description: Says whether it would change something.
    support: full
"""

EXAMPLES = r"""
- name: Prove before the window that the application will get in
  contralock.database.application_access:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    role: contralock_user
    password: "{{ application_database_user_password }}"
    state: tested
"""

RETURN = r"""
may_connect:
  description: Whether the role may connect now.
  returned: success
  type: bool
ended:
  description: The number of its sessions that were ended.
  returned: success
  type: int
"""

import traceback
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module

try:
    from ansible_collections.contralock.database.plugins.module_utils.application_access import (
        access_of,
        keep_out,
        let_in,
        try_login,
    )
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS = {
    **TARGET_ARGUMENT,
    "role": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "state": {"type": "str", "choices": ["present", "absent", "tested"], "default": "present"},
    "run": {"type": "path"},
}
NEEDED = [("state", "present", ["password"]), ("state", "tested", ["password"])]


def settle(module: AnsibleModule) -> Mapping[str, object]:
    target, role, password, state = (module.params[each] for each in ("target", "role", "password", "state"))
    may, sessions = access_of(target, role)
    ended = 0
    if state == "tested":
        may, changed = try_login(target, role, password).connected, False
    elif module.check_mode:
        changed = (not may) if state == "present" else (may or bool(sessions))
    elif state == "present":
        may, changed = True, let_in(target, role, password)
    else:
        revoked, ended = keep_out(target, role)
        may, changed = False, revoked or ended > 0
    facts = {"role": role, "may_connect": may, "ended": ended}
    return {"changed": changed, "may_connect": may, "ended": ended, "facts": facts}


def main() -> None:
    run_module(ARGUMENTS, settle, IMPORT_ERROR, supports_check_mode=True, required_if=NEEDED)


if __name__ == "__main__":
    main()
