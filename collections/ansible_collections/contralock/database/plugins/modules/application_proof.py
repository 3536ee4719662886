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
    sessions of the application's role, judges each of them, sends a canary through the application and looks for it in
    PostgreSQL, and asks the kernel for the SQLite databases that the application's processes have open.
  - Everything is looked at, so that a failure says all that was seen.
  - It changes nothing that stays. The canary's row is taken out again.
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
  application:
    description: The application as it can be asked from outside; the role application_service says it.
    type: dict
    default: {}
    suboptions:
      unit:
        description: Its systemd unit; empty where it is none, and nobody knows which processes are its.
        type: str
        default: ""
      health_url:
        description: Its health check; empty for none.
        type: str
        default: ""
      health_type_path:
        description: The way to the database's name in what the health check answers.
        type: str
        default: details.type
      validate_certs:
        description: Whether the certificates of https addresses are verified.
        type: bool
        default: true
      canary_url:
        description:
          - Takes a POST of JSON with the name C(token), a uuid that the application writes into
            O(application.canary_table).
          - Empty for none. Then O(application.work_url) is asked. In check mode too.
        type: str
        default: ""
      work_url:
        description:
          - Asked by GET where no canary is sent and O(application.health_url) is given. It has to answer 200; a
            session of the role has to do something then, and one of the tables that it may use has to be read or
            written.
          - Empty for O(application.health_url).
        type: str
        default: ""
      canary_table:
        description: A table in PostgreSQL with a column C(token).
        type: str
        default: migration_canary
      session_name:
        description: What its sessions call themselves; empty for anything.
        type: str
        default: ""
      addresses:
        description: Where its sessions come from, as addresses or networks; empty for this host.
        type: list
        elements: str
        default: []
  known_databases:
    description:
      - The SQLite databases beside the application's own that were there, or that it had open, before the move.
    type: list
    elements: str
    default: []
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
  patience:
    description: Seconds in which each thing may appear that has to.
    type: int
    default: 15
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.run
attributes:
  check_mode:
    description: Looks in the same way, and sends no canary.
    support: full
"""

EXAMPLES = r"""
- name: Prove that the application works on PostgreSQL
  contralock.database.application_proof:
    uses: postgresql
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    role: contralock_user
    application:
      unit: contralock.service
      canary_url: http://127.0.0.1:5000/canary
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
facts:
  description: The same with what else was seen, in words, as the journal of O(run) keeps it.
  returned: success
  type: dict
"""

import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module

try:
    from ansible_collections.contralock.database.plugins.module_utils.application_proof import (
        Application,
        Fenced,
        prove_postgresql,
        prove_sqlite,
    )
    from ansible_collections.contralock.database.plugins.module_utils.proof_canary import Canary
    from ansible_collections.contralock.database.plugins.module_utils.service_health import HealthCheck
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

APPLICATION: Mapping[str, Any] = {
    "unit": {"type": "str", "default": ""},
    "health_url": {"type": "str", "default": ""},
    "health_type_path": {"type": "str", "default": "details.type"},
    "validate_certs": {"type": "bool", "default": True},
    "canary_url": {"type": "str", "default": ""},
    "canary_table": {"type": "str", "default": "migration_canary"},
    "work_url": {"type": "str", "default": ""},
    "session_name": {"type": "str", "default": ""},
    "addresses": {"type": "list", "elements": "str", "default": []},
}
ARGUMENTS = {
    **TARGET_ARGUMENT,
    "uses": {"type": "str", "choices": ["postgresql", "sqlite"], "required": True},
    "role": {"type": "str", "required": True},
    "application": {"type": "dict", "default": {}, "options": APPLICATION, "apply_defaults": True},
    "known_databases": {"type": "list", "elements": "str", "default": []},
    "path": {"type": "path", "required": True},
    "moved_to": {"type": "path"},
    "sha256": {"type": "str"},
    "patience": {"type": "int", "default": 15},
    "run": {"type": "path"},
}
NEEDED = [("uses", "postgresql", ["moved_to", "sha256"])]


def prove(module: AnsibleModule) -> Mapping[str, object]:
    given = module.params
    target, role, path, patience = given["target"], given["role"], Path(given["path"]), given["patience"]
    application = application_of(given, with_canary=not module.check_mode)
    if given["uses"] == "postgresql":
        fenced = Fenced(path, Path(given["moved_to"]), given["sha256"])
        proof = prove_postgresql(target, role, application, fenced, patience)
    else:
        proof = prove_sqlite(target, role, path, application, patience)
    seen = [asdict(one) for one in proof.seen]
    return {"changed": False, "seen": seen, "facts": {"uses": given["uses"], "seen": seen, **proof.told}}


def application_of(given: Mapping[str, Any], with_canary: bool) -> Application:
    told = given["application"]
    verify = told["validate_certs"]
    health = HealthCheck(told["health_url"], told["health_type_path"], given["uses"], given["patience"], verify)
    canary = Canary(told["canary_url"], told["canary_table"], verify)
    return Application(
        told["unit"],
        health if told["health_url"] else None,
        canary if told["canary_url"] and with_canary else None,
        told["work_url"],
        told["session_name"],
        tuple(told["addresses"]),
        tuple(given["known_databases"]),
    )


def main() -> None:
    run_module(ARGUMENTS, prove, IMPORT_ERROR, supports_check_mode=True, required_if=NEEDED)


if __name__ == "__main__":
    main()
