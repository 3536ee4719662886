#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: canary_info
short_description: Asks whether a canary could be sent through the application, and found in the target
version_added: 0.2.0
description:
  - For the time before the application uses the target. The canary's table has to be there with its column C(token),
    the owner has to be able to read and empty it and the application's role to write into it, and the canary's address
    has to answer to a GET, whatever it says.
  - Sends no canary, and changes nothing. M(contralock.database.application_proof) sends one afterwards.
author:
  - ContraLock migration team (@contralock)
options:
  role:
    description: The role that the application logs in with.
    type: str
    required: true
  url:
    description: The canary's address, as seen from the host.
    type: str
    required: true
  table:
    description: A table in PostgreSQL with a column C(token).
    type: str
    default: migration_canary
  validate_certs:
    description: Whether the certificate of an V(https) address is verified.
    type: bool
    default: true
extends_documentation_fragment:
  - contralock.database.target
attributes:
  check_mode:
    description: Asks in the same way.
    support: full
"""

EXAMPLES = r"""
- name: Ask whether a canary could be sent and found
  contralock.database.canary_info:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    role: contralock_user
    url: http://127.0.0.1:5000/canary
"""

RETURN = r"""
answer:
  description: What the address answered, in words.
  returned: success
  type: str
  sample: "answered 404 (Not Found)"
"""

import traceback
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module

try:
    from ansible_collections.contralock.database.plugins.module_utils.proof_canary import Canary, assert_could_arrive
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS = {
    **TARGET_ARGUMENT,
    "role": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "table": {"type": "str", "default": "migration_canary"},
    "validate_certs": {"type": "bool", "default": True},
}


def ask(module: AnsibleModule) -> Mapping[str, object]:
    given = module.params
    canary = Canary(given["url"], given["table"], given["validate_certs"])
    return {"changed": False, "answer": assert_could_arrive(given["target"], given["role"], canary)}


def main() -> None:
    run_module(ARGUMENTS, ask, IMPORT_ERROR, supports_check_mode=True)


if __name__ == "__main__":
    main()
