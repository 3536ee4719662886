#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_schema
short_description: Applies the schema changes of a profile, or takes them back
version_added: 0.1.0
description:
  - Brings a schema of PostgreSQL to the last of its changes, or back, one transaction per change. A change that fails
    leaves nothing behind; the changes before it stay.
  - What was applied is recorded in the table C(contralock_migration.schema_changes), together with the catalog before
    and after. The module refuses to go on when an applied change was edited or is missing, when a pending change stands
    before an applied one, and when the schema is not what the last change left.
  - A way back has to restore exactly the schema that stood before the change, and does not drop values unless told.
  - With O(tables_owner) another role may alter the schema. What it alters is reported then and no reason to refuse, as
    long as nothing is pending.
author:
  - ContraLock migration team (@contralock)
options:
  changes:
    description:
      - All changes there are, applied ones included. The lookup P(contralock.database.profile#lookup) reads them.
      - The text itself is given, not a path, so that check mode tells the truth on a host that has no file yet.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The number of four digits, an underscore and a name, such as V(0001_types).
        type: str
        required: true
      up:
        description: The SQL that makes the change, without transaction commands.
        type: str
        required: true
      down:
        description: The SQL that takes it back.
        type: str
        required: true
  state:
    description:
      - V(present) applies what is pending.
      - V(reverted) takes back what was applied, the last change first.
    type: str
    choices: [present, reverted]
    default: present
  to:
    description: The name or number of the last change that stays, with O(state=reverted); without it all go.
    type: str
  schema:
    description: The schema that the changes work in; it has to exist.
    type: str
    default: public
  allow_data_loss:
    description: Whether O(state=reverted) may drop tables and columns that hold values.
    type: bool
    default: false
  lock_wait:
    description: Seconds to wait for another run, and for each lock that a change needs.
    type: int
    default: 30
  tables_owner:
    description:
      - Role that is to own the tables and types afterwards, and may make more in the schema. The connecting role has to
        be its member, and so still does with them all that it did before.
      - Empty for the connecting role, which takes back what was given. Without it the ownership stays as it is.
    type: str
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.foreign_changes
attributes:
  check_mode:
    description: Lists what is pending, and refuses what a run would refuse before its first change.
    support: full
  diff_mode:
    description: Shows the SQL of what is (or would be) run.
    support: full
"""

EXAMPLES = r"""
- name: Bring the schema to the profile's last change
  contralock.database.pg_schema:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    changes: "{{ lookup('contralock.database.profile', 'contralock').changes }}"

- name: Take back everything after the second change
  contralock.database.pg_schema:
    target: service=contralock
    changes: "{{ lookup('contralock.database.profile', 'contralock').changes }}"
    state: reverted
    to: "0002"
"""

RETURN = r"""
applied:
  description: The changes that this run applied, in order.
  returned: success
  type: list
  elements: str
  sample: [0001_types, 0002_tables]
reverted:
  description: The changes that this run took back, in order.
  returned: success
  type: list
  elements: str
pending:
  description: What a run would apply (or take back); empty unless in check mode.
  returned: success
  type: list
  elements: str
version:
  description: The last change that is applied now; null when there is none.
  returned: success
  type: str
  sample: 0002_tables
handed_over:
  description: The tables and types that changed their owner; in check mode, those there are that would.
  returned: success
  type: list
  elements: str
  sample: [table public.users]
altered:
  description: What differs from what the last change left, where the role that was given the tables may alter them.
  returned: success
  type: list
  elements: str
  sample: ["constraint public.users.users_email_key1: new, is UNIQUE (email)"]
durations:
  description: Milliseconds per change of this run.
  returned: success
  type: dict
  sample: {0001_types: 12, 0002_tables: 48}
details:
  description: Facts about a refusal, such as the steps that were done before it.
  returned: failure
  type: dict
"""

import traceback
from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module

try:
    from ansible_collections.contralock.database.plugins.module_utils.connection import connect
    from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, ask, perform
    from ansible_collections.contralock.database.plugins.module_utils.schema_files import order_changes
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

TEXT = {"type": "str", "required": True}
ARGUMENTS = {
    **TARGET_ARGUMENT,
    "changes": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": TEXT, "up": TEXT, "down": TEXT},
    },
    "foreign_changes": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "reverted"], "default": "present"},
    "to": {"type": "str"},
    "schema": {"type": "str", "default": "public"},
    "allow_data_loss": {"type": "bool", "default": False},
    "lock_wait": {"type": "int", "default": 30},
    "tables_owner": {"type": "str"},
}


def change_schema(module: AnsibleModule) -> Mapping[str, object]:
    options = ("state", "to", "schema", "allow_data_loss", "lock_wait", "tables_owner")
    wanted = {name: module.params[name] for name in options}
    changes = order_changes(module.params["changes"])
    request = Request(changes, **wanted, foreign=module.params["foreign_changes"])
    with connect(module.params["target"], "contralock pg_schema") as connection:
        report = (ask if module.check_mode else perform)(connection, request)
    return {
        "changed": report.changed,
        "applied": report.applied,
        "reverted": report.reverted,
        "pending": report.pending,
        "version": report.version,
        "durations": report.durations,
        "handed_over": report.handed_over,
        "altered": report.altered,
        "diff": {"prepared": report.diff},
    }


def main() -> None:
    spoken = {"allow_data_loss": "database_schema_allow_data_loss=true"}
    run_module(ARGUMENTS, change_schema, IMPORT_ERROR, spoken=spoken, supports_check_mode=True)


if __name__ == "__main__":
    main()
