#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: source_assessment
short_description: Tells whether a running application's SQLite file can be moved, and what stands in the way
version_added: 0.2.0
description:
  - Takes a snapshot of the file while the application runs, reads every value of it as the transfer will, and removes
    the snapshot. Fails when the source is not ready, and names table, column, key, value, reason and mend.
  - Ready means that transfer and comparison of these values succeed. Besides values, that asks for SQLite's own checks,
    references, uniqueness in the target, a place for every table and column, and rules that find something to change.
  - Changes neither the source nor the target.
author:
  - ContraLock migration team (@contralock)
options:
  source:
    description: The live SQLite file.
    type: path
    required: true
  directory:
    description:
      - Where the snapshot lies meanwhile; it needs as much room as the file.
      - It is the directory of all runs, so that the rows of an earlier load are told from others'.
    type: path
    required: true
  pause_limit_ms:
    description: As of M(contralock.database.sqlite_backup).
    type: int
    default: 250
  time_limit:
    description: As of M(contralock.database.sqlite_backup).
    type: int
    default: 300
  report_only:
    description: Say that the source is not ready in RV(verdict), and do not fail.
    type: bool
    default: false
  workers:
    description: Threads that read and examine.
    type: int
    default: 2
  engine:
    description: What is going to load; pgloader carries no rows above 12 MB.
    type: str
    choices: [pgloader, arrow]
    default: pgloader
  discard_rows:
    description: As of M(contralock.database.data_transfer).
    type: bool
    default: false
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.mapping
  - contralock.database.foreign_changes
  - contralock.database.run
attributes:
  check_mode:
    description: Does the same, since nothing is changed.
    support: full
"""

EXAMPLES = r"""
- name: Examine every value of the running application's file
  contralock.database.source_assessment:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    source: /srv/contralock/data/contralock.sqlite
    mapping: "{{ lookup('contralock.database.profile', 'contralock').mapping }}"
    mapping_schema: "{{ lookup('contralock.database.profile', 'contralock').mapping_schema }}"
    directory: /var/lib/contralock-migration
"""

RETURN = r"""
verdict:
  description: V(ready), V(ready with rules) or V(not ready).
  returned: success
  type: str
rows:
  description: Rows of the source that were judged; null when it could not be read at all.
  returned: success
  type: int
tables:
  description: Target table to its rows.
  returned: success
  type: dict
bytes:
  description: The source's size.
  returned: success
  type: int
longest_pause_ms:
  description: The longest time for which the application's writers could be held up.
  returned: success
  type: float
rules:
  description: What the profile's rules would change, each with C(table), C(column), C(rule) and C(count).
  returned: success
  type: list
  elements: dict
unjudged:
  description:
    - What was not judged, each with C(object) and C(why), because only the load itself will tell (ready means all but
      that), or because it has no place in a plan.
  returned: success
  type: list
  elements: dict
left_behind:
  description:
    - What the profile leaves behind of that which the source has, each with C(table), C(column) (null for a whole
      table), C(count) (its rows, or its values that are not NULL) and C(reason).
  returned: success
  type: list
  elements: dict
notes:
  description: What else the report should say.
  returned: success
  type: list
  elements: str
estimate:
  description:
    - What a window will take, with C(seconds) (step to seconds, C(window) is their sum), C(disk_bytes) and
      C(database_bytes); null when no plan can be made.
  returned: success
  type: dict
assessment:
  description: Everything that was found, as C(assessment.json) in the run's directory has it.
  returned: success
  type: dict
lines:
  description: The same for a person.
  returned: success
  type: list
  elements: str
details:
  description: Everything that was found.
  returned: failure
  type: dict
"""

import json
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
    from ansible_collections.contralock.database.plugins.module_utils.assessment import Options, assess_running
    from ansible_collections.contralock.database.plugins.module_utils.assessment_report import as_document, as_lines
    from ansible_collections.contralock.database.plugins.module_utils.connection import connect
    from ansible_collections.contralock.database.plugins.module_utils.journal import write_whole
    from ansible_collections.contralock.database.plugins.module_utils.live_copy import Limits
    from ansible_collections.contralock.database.plugins.module_utils.profile import parse_mapping
    from ansible_collections.contralock.database.plugins.module_utils.schema_history import assert_own_schema
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS: Mapping[str, Any] = {
    **TARGET_ARGUMENT,
    **MAPPING_ARGUMENTS,
    **RUN_ARGUMENTS,
    "source": {"type": "path", "required": True},
    "directory": {"type": "path", "required": True},
    "pause_limit_ms": {"type": "int", "default": 250},
    "time_limit": {"type": "int", "default": 300},
    "report_only": {"type": "bool", "default": False},
    "foreign_changes": {"type": "dict", "default": {}},
    "workers": {"type": "int", "default": 2},
    "engine": {"type": "str", "choices": ["pgloader", "arrow"], "default": "pgloader"},
    "discard_rows": {"type": "bool", "default": False},
}

#: What the journal of a run keeps; the rest is in the run's directory.
KEPT = (
    "verdict",
    "rows",
    "tables",
    "bytes",
    "longest_pause_ms",
    "rules",
    "unjudged",
    "left_behind",
    "notes",
    "estimate",
    "seconds",
)


def assess(module: AnsibleModule, progress: Progress) -> Mapping[str, object]:
    given = module.params

    def report(what: str, done: int, total: int) -> None:
        progress({"table": what, "rows": done, "of_rows": total})

    with connect(given["target"], "contralock source_assessment") as connection:
        assert_own_schema(connection, given["foreign_changes"])
    limits = Limits(given["pause_limit_ms"], given["time_limit"])
    options = Options(
        Path(given["directory"]),
        limits,
        given["schema"],
        given["workers"],
        given["engine"],
        discard_rows=given["discard_rows"],
        spoken={"discard_rows": "data_transfer_discard_rows=true"},
    )
    found = assess_running(
        Path(given["source"]),
        given["target"],
        parse_mapping(given["mapping"], given["mapping_schema"]),
        options,
        report,
    )
    document = as_document(found)
    if given["run"]:
        write_whole(Path(given["run"]) / "assessment.json", json.dumps(document, indent=2) + "\n")
    if not given["report_only"]:
        found.raise_unless_ready()
    facts = {name: document[name] for name in KEPT}
    return {"changed": False, **facts, "assessment": document, "lines": list(as_lines(found)), "facts": facts}


def main() -> None:
    run_module(ARGUMENTS, assess, IMPORT_ERROR, supports_check_mode=True)


if __name__ == "__main__":
    main()
