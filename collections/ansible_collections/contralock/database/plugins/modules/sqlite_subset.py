#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_subset
short_description: Cuts a private copy of a SQLite file down to a part that is foreign-key complete
version_added: 0.2.0
description:
  - Keeps about a fraction of each table's rows, and every row that these refer to; deletes the others.
  - For a quick rehearsal on a snapshot. Never give it a file that is still needed.
  - The same rows are kept each time; running it twice cuts the copy down twice.
author:
  - ContraLock migration team (@contralock)
options:
  path:
    description: The private copy.
    type: path
    required: true
  fraction:
    description: The share of rows to start from, above 0 and up to 1. With 1 nothing is deleted.
    type: float
    required: true
extends_documentation_fragment:
  - contralock.database.run
attributes:
  check_mode:
    description: Says whether it would change something.
    support: full
"""

EXAMPLES = r"""
- name: Rehearse with a tenth
  contralock.database.sqlite_subset:
    path: /var/lib/contralock-migration/20260101T020000Z-rehearse-1a2b/source.sqlite
    fraction: 0.1
"""

RETURN = r"""
rows:
  description: Rows that are left.
  returned: success
  type: int
rows_before:
  description: Rows there were.
  returned: success
  type: int
"""

from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.subset import assert_fraction, cut_to_subset

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "fraction": {"type": "float", "required": True},
    "run": {"type": "path"},
}


def cut(module: AnsibleModule) -> Mapping[str, object]:
    path, fraction = Path(module.params["path"]), module.params["fraction"]
    assert_fraction(fraction)
    if module.check_mode:
        return {"changed": fraction < 1}
    rows = cut_to_subset(path, fraction)
    before, after = (sum(count[which] for count in rows.values()) for which in (0, 1))
    return {"changed": after < before, "rows": after, "rows_before": before, "facts": {"rows": after}}


def main() -> None:
    run_module(ARGUMENTS, cut, supports_check_mode=True)


if __name__ == "__main__":
    main()
