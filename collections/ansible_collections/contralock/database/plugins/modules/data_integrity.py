#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: data_integrity
short_description: Proves that every cell of a SQLite file is in PostgreSQL
version_added: 0.1.0
description:
  - Reads every row of both sides, converts the source as the profile says, matches rows by their key and compares every
    cell. Columns of the target that the source lacks have to hold their DEFAULT. Indexes have to be valid, constraints
    validated, and the schema what its schema changes recorded. What the source promises and the target does not (NOT
    NULL, DEFAULT, uniqueness, CHECK, indexes, references) is returned as notes.
  - Fails when anything differs, and names table, key, column and both values of the first differences. Values of
    columns that the profile calls sensitive are shown by their length and a keyed hash.
  - Only reads, in one snapshot of the target. Nobody may write to the file meanwhile.
author:
  - ContraLock migration team (@contralock)
options:
  source:
    description: The SQLite file on the host, best the backup that the cut-over made.
    type: path
    required: true
  expected_catalog:
    description:
      - What every object of the schema has to be, object to definition. Without it what the schema changes recorded in
        the target counts, if they did. The catalog is asked in any case whether it is whole.
    type: dict
  limit:
    description: How many differences are described; all of them are counted.
    type: int
    default: 100
  workers:
    description:
      - How many threads read and compare, each with a session of its own in the target; all of them see one moment.
    type: int
    default: 2
  source_at_rest:
    description:
      - Whether nobody writes the file, as is true of a backup and of a snapshot; it is read several times faster then.
        Say false for a file that an application may have open.
    type: bool
    default: true
  scratch:
    description:
      - Directory for rows that have to be put aside where the orders of both sides have nothing in common. Files in it
        have no name, and are gone with the process. At most they are as large as both sides together.
      - Without it O(run), and without that C($TMPDIR) or F(/var/tmp).
    type: path
  report_only:
    description:
      - Whether to return differences instead of failing, as for finding out what was written since. The rows of tables
        that the profile calls C(never_carried) are counted then.
    type: bool
    default: false
  run:
    description:
      - The directory of the run that this is a part of. What was found is written to C(comparison.json) in it, with
        O(report_only) each row that differs to C(later_rows.jsonl), and how far it is to C(progress.json).
    type: path
  step:
    description: The step of O(run) that this is; the journal says when it begins, ends and fails.
    type: str
  lease:
    description: What opening O(run) returned.
    type: str
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.mapping
attributes:
  check_mode:
    description: Compares all the same, since nothing is changed; nothing is written into O(run).
    support: full
  diff_mode:
    description: There is none.
    support: none
"""

EXAMPLES = r"""
- name: Prove every cell
  contralock.database.data_integrity:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    source: /var/lib/contralock-migration/20260301T220000Z-cut_over-1a2b/source.sqlite
    mapping: "{{ lookup('contralock.database.profile', 'contralock').mapping }}"
    mapping_schema: "{{ lookup('contralock.database.profile', 'contralock').mapping_schema }}"

- name: Count what was written since the cut-over
  contralock.database.data_integrity:
    target: service=contralock
    source: /var/lib/contralock-migration/20260301T220000Z-cut_over-1a2b/source.sqlite
    mapping: "{{ lookup('contralock.database.profile', 'contralock').mapping }}"
    mapping_schema: "{{ lookup('contralock.database.profile', 'contralock').mapping_schema }}"
    report_only: true
  register: since
"""

RETURN = r"""
equal:
  description: Whether nothing differs, the catalog included.
  returned: success
  type: bool
rows:
  description: Rows of the source.
  returned: success
  type: int
  sample: 50000
cells:
  description: Cells of the source that were compared.
  returned: success
  type: int
  sample: 812345
number:
  description: How many cells differ and rows have no partner.
  returned: success
  type: int
tables:
  description:
    - Each table with C(table), C(source_rows), C(target_rows), C(cells), C(differing), C(changed), C(missing),
      C(extra) and C(seconds).
  returned: success
  type: list
  elements: dict
differences:
  description: The first differences, each with C(table), C(key), C(column), C(kind), C(source) and C(target).
  returned: success
  type: list
  elements: dict
later_writes:
  description: Table to the rows that the target has C(added), C(changed) and C(removed), where there are any.
  returned: success
  type: dict
later_rows:
  description: The sum of O(later_writes).
  returned: success
  type: int
never_carried:
  description:
    - With O(report_only), the tables that the profile calls C(never_carried) and that have rows, each with C(table),
      C(rows) and C(reason). A way back leaves these rows in the target; they are no difference.
  returned: success
  type: list
  elements: dict
later_rows_file:
  description:
    - With O(run) and O(report_only), the file in O(run) that lists them, one JSON object a line with C(table), C(key),
      C(what) (V(added), V(changed), V(removed)) and the C(columns) of a changed row; null when there is none.
  returned: success
  type: str
catalog_faults:
  description: What keeps the target's schema from being whole, or from being the expected one.
  returned: success
  type: list
  elements: str
notes:
  description: What could not be compared, and why.
  returned: success
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: success
  type: float
lines:
  description: All of it for a person to read.
  returned: success
  type: list
  elements: str
details:
  description: All of the above, or facts about a refusal.
  returned: failure
  type: dict
"""

import json
import secrets
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import (
    MAPPING_ARGUMENTS,
    RUN_ARGUMENTS,
    TARGET_ARGUMENT,
    run_module,
)
from ansible_collections.contralock.database.plugins.module_utils.run_step import Progress

try:
    from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
    from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
        as_document,
        as_facts,
        as_lines,
        raise_unless_equal,
    )
    from ansible_collections.contralock.database.plugins.module_utils.journal import write_whole
    from ansible_collections.contralock.database.plugins.module_utils.later_rows import (
        KEPT,
        shortened,
        write_later_rows,
    )
    from ansible_collections.contralock.database.plugins.module_utils.profile import parse_mapping
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS: Mapping[str, Any] = {
    **TARGET_ARGUMENT,
    **MAPPING_ARGUMENTS,
    **RUN_ARGUMENTS,
    "source": {"type": "path", "required": True},
    "expected_catalog": {"type": "dict"},
    "limit": {"type": "int", "default": 100},
    "workers": {"type": "int", "default": 2},
    "source_at_rest": {"type": "bool", "default": True},
    "scratch": {"type": "path"},
    "report_only": {"type": "bool", "default": False},
}
REPORT = "comparison.json"


def prove_integrity(module: AnsibleModule, progress: Progress) -> Mapping[str, object]:
    given = module.params
    keeps = given["run"] and not module.check_mode
    scratch = given["scratch"] or given["run"]
    found = compare_file(
        Path(given["source"]),
        given["target"],
        parse_mapping(given["mapping"], given["mapping_schema"]),
        # A key of this run's own: nobody can try out guesses on a report, and no two reports give a value away.
        Options(
            secrets.token_bytes(32),
            max(given["limit"], KEPT) if keeps and given["report_only"] else given["limit"],
            given["schema"],
            given["expected_catalog"],
            workers=given["workers"],
            at_rest=given["source_at_rest"],
            scratch=Path(scratch) if scratch else None,
            uncarried=given["report_only"],
        ),
        progress,
    )
    comparison = shortened(found, given["limit"])
    document = as_document(comparison)
    later_rows_file = None
    if keeps:
        write_whole(Path(given["run"]) / REPORT, json.dumps(document, indent=2) + "\n")
        later_rows_file = write_later_rows(found, Path(given["run"])) if given["report_only"] else None
    if not given["report_only"]:
        raise_unless_equal(comparison)
    return {
        "changed": False,
        **document,
        "later_rows_file": str(later_rows_file) if later_rows_file else None,
        "lines": as_lines(comparison),
        "facts": as_facts(comparison),
    }


def main() -> None:
    run_module(ARGUMENTS, prove_integrity, IMPORT_ERROR, supports_check_mode=True)


if __name__ == "__main__":
    main()
