#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: target_answer_info
short_description: Tells whether the target's server answers at all
version_added: 0.2.0
description:
  - Asks three times, a few seconds apart, whatever the server says then. A server that refuses the password or starts
    up answers.
  - Neither the server's certificate nor a password is of account. It changes nothing.
author:
  - ContraLock migration team (@contralock)
options:
  connect_seconds:
    description: How long each address may take to answer.
    type: int
    default: 10
extends_documentation_fragment:
  - contralock.database.target
attributes:
  check_mode:
    description: Asks in the same way.
    support: full
"""

EXAMPLES = r"""
- name: Ask whether PostgreSQL is there
  contralock.database.target_answer_info:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
"""

RETURN = r"""
answers:
  description: Whether a server answers.
  returned: success
  type: bool
"""

import traceback
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module

try:
    from ansible_collections.contralock.database.plugins.module_utils.target_answer import server_answers
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS = {**TARGET_ARGUMENT, "connect_seconds": {"type": "int", "default": 10}}


def ask(module: AnsibleModule) -> Mapping[str, object]:
    answers = server_answers(module.params["target"], connect_seconds=module.params["connect_seconds"])
    return {"changed": False, "answers": answers}


def main() -> None:
    run_module(ARGUMENTS, ask, IMPORT_ERROR, supports_check_mode=True)


if __name__ == "__main__":
    main()
