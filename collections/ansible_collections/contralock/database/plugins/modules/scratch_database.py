#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: scratch_database
short_description: Makes and drops the database of a rehearsal
version_added: 0.2.0
description:
  - Creates an empty database beside the target, as the target's owner, or drops it.
  - A comment marks the database as a rehearsal's. The module never drops one without that mark, but for an empty one of
    the owner's with the same limit of connections, which a rehearsal leaves that is killed before it could mark it.
author:
  - ContraLock migration team (@contralock)
options:
  name:
    description: The scratch database's name.
    type: str
    required: true
  state:
    description:
      - V(empty) makes it anew, so that nothing of a rehearsal that was killed is left in it.
      - V(absent) drops it, whoever is connected.
    type: str
    choices: [empty, absent]
    default: empty
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.run
attributes:
  check_mode:
    description: Says whether it would change something, and refuses what it would refuse.
    support: full
"""

EXAMPLES = r"""
- name: Make the database of the rehearsal
  contralock.database.scratch_database:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    name: contralock_rehearsal
"""

RETURN = r"""
target:
  description: The connection string of the scratch database.
  returned: success
  type: str
size_bytes:
  description: Its size before it was dropped; null when there was none.
  returned: when O(state=absent)
  type: int
"""

import traceback
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module

try:
    from ansible_collections.contralock.database.plugins.module_utils.scratch_database import (
        create_scratch,
        drop_scratch,
        scratch_exists,
        scratch_target,
    )
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS = {
    **TARGET_ARGUMENT,
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["empty", "absent"], "default": "empty"},
    "run": {"type": "path"},
}


def make_or_drop(module: AnsibleModule) -> Mapping[str, object]:
    target, name, wanted = (module.params[each] for each in ("target", "name", "state"))
    size = None
    if module.check_mode:
        changed = scratch_exists(target, name) or wanted == "empty"
    elif wanted == "empty":
        create_scratch(target, name)
        changed = True
    else:
        size = drop_scratch(target, name)
        changed = size is not None
    facts = {"name": name, "size_bytes": size}
    return {"changed": changed, "target": scratch_target(target, name), "size_bytes": size, "facts": facts}


def main() -> None:
    run_module(ARGUMENTS, make_or_drop, IMPORT_ERROR, supports_check_mode=True)


if __name__ == "__main__":
    main()
