#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: application_proof
short_description: Proves which database the application uses
version_added: 0.2.0
description:
  - A health check tells what the application believes. This module looks from outside. It asks PostgreSQL for the
    sessions of the application's role and for their TLS, and the kernel for the processes that hold the SQLite file.
  - It changes nothing.
author:
  - ContraLock migration team (@contralock)
options:
  uses:
    description: The database that the application is said to use.
    type: str
    choices: [postgresql, sqlite]
    required: true
  role:
    description:
      - The role that the application logs in with.
      - Empty, with O(uses=sqlite), when PostgreSQL is not to be asked.
    type: str
    required: true
  path:
    description: The SQLite file's path, where the fence stands while the application uses PostgreSQL.
    type: path
    required: true
  moved_to:
    description: Where the fence has put the file; with O(uses=postgresql).
    type: path
  sha256:
    description: The file's checksum as the fence noted it; with O(uses=postgresql).
    type: str
  unit:
    description:
      - The application's systemd unit, whose processes count alone; with O(uses=sqlite).
      - Empty where the application is no unit; any process that has the file open will do then.
    type: str
    default: ""
  patience:
    description: Seconds in which the application may begin to use the database.
    type: int
    default: 15
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.run
attributes:
  check_mode:
    description: Looks in the same way.
    support: full
"""

EXAMPLES = r"""
- name: Prove that the application works on PostgreSQL
  contralock.database.application_proof:
    uses: postgresql
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    role: contralock_user
    path: /srv/contralock/data/contralock.sqlite
    moved_to: /srv/contralock/data/contralock.sqlite.before-20260101T020000Z-cut_over-1a2b
    sha256: "{{ fenced.sha256 }}"
"""

RETURN = r"""
seen:
  description: The role's sessions, or the processes that have the SQLite file open.
  returned: success
  type: list
  elements: dict
"""

import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module

try:
    from ansible_collections.contralock.database.plugins.module_utils.application_proof import (
        Fenced,
        prove_postgresql,
        prove_sqlite,
    )
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS = {
    **TARGET_ARGUMENT,
    "uses": {"type": "str", "choices": ["postgresql", "sqlite"], "required": True},
    "role": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "moved_to": {"type": "path"},
    "sha256": {"type": "str"},
    "unit": {"type": "str", "default": ""},
    "patience": {"type": "int", "default": 15},
    "run": {"type": "path"},
}
NEEDED = [("uses", "postgresql", ["moved_to", "sha256"])]


def prove(module: AnsibleModule) -> Mapping[str, object]:
    given = module.params
    target, role, path, patience = given["target"], given["role"], Path(given["path"]), given["patience"]
    if given["uses"] == "postgresql":
        fenced = Fenced(path, Path(given["moved_to"]), given["sha256"])
        seen = [asdict(session) for session in prove_postgresql(target, role, fenced, patience)]
    else:
        seen = [asdict(holder) for holder in prove_sqlite(target, role, path, given["unit"], patience)]
    return {"changed": False, "seen": seen, "facts": {"uses": given["uses"], "seen": seen}}


def main() -> None:
    run_module(ARGUMENTS, prove, IMPORT_ERROR, supports_check_mode=True, required_if=NEEDED)


if __name__ == "__main__":
    main()
