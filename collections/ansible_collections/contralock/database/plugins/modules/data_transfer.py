#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: data_transfer
short_description: Loads a SQLite file into PostgreSQL, or leaves PostgreSQL as it was
version_added: 0.1.0
description:
  - Converts every row as the profile says, loads all of them, counts them, and compares the schema with what it was.
    What does not fit is refused before anything is loaded, with table, key, column, reason and mend.
  - The rows of an earlier load stay until this one is prepared and judged. Whatever fails after that, the tables are
    empty and their keys, indexes and constraints are there, and the message says how many earlier rows are gone. What
    stood in the target is recorded before the first row, so that a load which was killed is taken back by the next
    one, or by O(state=empty).
  - Refuses a target that holds rows which no load recorded in O(root) put there, and rows that have changed since
    their load, unless O(discard_rows) says that they may go or a way back that is done has given them up.
  - Refuses a target into which another load is at work, and takes no rows of a killed load for its own when another one
    has begun since.
  - The engine C(pgloader) reaches the server through C(stunnel), which verifies its certificate and name; its password
    is in no file and no argument.
  - The engine C(arrow) converts columns and sends them in PostgreSQL's own binary form, by several sessions at once;
    keys and indexes are taken away before and built after the rows. What does not fit ends the load, and nothing stays
    loaded.
  - After either engine sequences and identities stand where the next INSERT gets a number of its own, which is tried
    and taken back.
author:
  - ContraLock migration team (@contralock)
options:
  state:
    description:
      - V(loaded) loads.
      - V(empty) takes back what a load has left, finished or not; done twice, the second time changes nothing.
      - V(settled) does that only for a load that was killed or could not be taken back; rows of a finished one stay.
    type: str
    choices: [loaded, empty, settled]
    default: loaded
  source:
    description:
      - The SQLite file on the host, which nobody writes meanwhile; required with O(state=loaded).
      - One that fails SQLite's integrity check is refused. A file in the directory of O(run) is its backup, which was
        checked when it was written.
    type: path
  root:
    description:
      - Directory that keeps the record of each target. With O(run) it is the directory of all runs by itself.
    type: path
    default: /var/lib/contralock-migration
  scratch:
    description:
      - Directory for the files of a load, which are the application's data in clear; they are removed afterwards. Its
        path is short and has letters, digits and C(/._-) only. By default C(scratch) in the directory of all runs.
    type: path
  discard_rows:
    description: >-
      Whether rows in the target may go, whoever loaded or changed them. With V(state=empty) they may go only when a
      load has recorded that it put rows there; rows of strangers stay.
    type: bool
    default: false
  time_limit:
    description: Seconds that the engine may take.
    type: int
    default: 14400
  engine:
    description:
      - What loads. The result is the same and is held against the same counts, catalog and comparison.
      - V(pgloader) writes a prepared copy of the source first, which takes room in O(scratch). V(arrow) needs none and
        is several times faster.
    type: str
    choices: [pgloader, arrow]
    default: pgloader
  workers:
    description: How many sessions of the engine V(arrow) load at once; each keeps a processor of the host busy.
    type: int
    default: 2
  whole_window:
    description:
      - Whether a check asks for the room of a whole cut-over, with the backup in O(root) and the file that a way back
        would put back; without it only for the load's own files.
      - The file's integrity is not checked then either, as an assessment belongs to such a question.
    type: bool
    default: false
  engine_versions:
    description: Versions of pgloader, as it says itself, that were tried; another one is refused.
    type: list
    elements: str
    default: ["3.6.7", "3.6.10"]
extends_documentation_fragment:
  - contralock.database.target
  - contralock.database.mapping
  - contralock.database.run
attributes:
  check_mode:
    description: Refuses what a load would refuse before it reads the rows, and changes nothing.
    support: full
  diff_mode:
    description: There is none.
    support: none
"""

EXAMPLES = r"""
- name: Load every row
  contralock.database.data_transfer:
    target: host=db1.example.org dbname=contralock user=contralock_owner passfile=/etc/contralock-migration/pgpass
    source: /var/lib/contralock-migration/20260301T220000Z-cut_over-1a2b/source.sqlite
    mapping: "{{ lookup('contralock.database.profile', 'contralock').mapping }}"
    mapping_schema: "{{ lookup('contralock.database.profile', 'contralock').mapping_schema }}"

- name: Take the load back
  contralock.database.data_transfer:
    state: empty
    target: service=contralock
    mapping: "{{ lookup('contralock.database.profile', 'contralock').mapping }}"
    mapping_schema: "{{ lookup('contralock.database.profile', 'contralock').mapping_schema }}"
"""

RETURN = r"""
rows:
  description: Rows that were loaded, in check mode those that would be; with the other states those taken out.
  returned: success
  type: int
  sample: 50000
tables:
  description:
    - Table to C(rows), C(bytes) (of its values as the engine sends them), C(prepare_seconds) and C(load_seconds) (of
      all sessions taken together; null where the engine does not say).
  returned: O(state=loaded), not in check mode
  type: dict
rules:
  description: What the profile's rules changed, each with C(table), C(column), C(rule) and C(count).
  returned: O(state=loaded), not in check mode
  type: list
  elements: dict
catalog:
  description: Object to definition of the schema, which is the same after the load as before.
  returned: O(state=loaded), not in check mode
  type: dict
engine:
  description: What loaded, and in which version it says to be.
  returned: O(state=loaded), not in check mode
  type: str
  sample: pgloader 3.6.7
seconds:
  description: How long it took.
  returned: success
  type: float
prepare_seconds:
  description: How long the examination of the source and its prepared copy took; 0 with C(arrow), which makes none.
  returned: O(state=loaded), not in check mode
  type: float
load_seconds:
  description: How long the engine took, its keys and indexes included.
  returned: O(state=loaded), not in check mode
  type: float
verify_seconds:
  description: How long counting, comparing the schema, trying sequences and taking fingerprints took.
  returned: O(state=loaded), not in check mode
  type: float
rows_per_second:
  description: Rows by the seconds that preparing and loading took.
  returned: O(state=loaded), not in check mode
  type: float
sequences:
  description: Sequence to the number that its next one comes after; null where the next one is its first.
  returned: O(state=loaded), not in check mode
  type: dict
versions:
  description: Versions of PostgreSQL, SQLite, Python and the libraries, by name.
  returned: O(state=loaded), not in check mode
  type: dict
analyze_seconds:
  description: How long ANALYZE took.
  returned: O(state=loaded), not in check mode
  type: float
restored:
  description: What of the schema was put back or taken away; a killed load leaves it without foreign keys.
  returned: O(state=empty) and O(state=settled)
  type: list
  elements: str
earlier_rows:
  description: Rows that stood in the target and were taken out first, in check mode those that would be.
  returned: O(state=loaded)
  type: int
details:
  description: Facts about a refusal, such as C(findings) or C(faults).
  returned: failure
  type: dict
"""

import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import (
    MAPPING_ARGUMENTS,
    RUN_ARGUMENTS,
    TARGET_ARGUMENT,
    run_module,
)
from ansible_collections.contralock.database.plugins.module_utils.run_step import Progress

try:
    from ansible_collections.contralock.database.plugins.module_utils.earlier_load import EarlierLoad, empty, mend
    from ansible_collections.contralock.database.plugins.module_utils.profile import parse_mapping
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None
if TYPE_CHECKING:
    from ansible_collections.contralock.database.plugins.module_utils.transfer_order import TransferReport

ARGUMENTS: Mapping[str, Any] = {
    **TARGET_ARGUMENT,
    **MAPPING_ARGUMENTS,
    **RUN_ARGUMENTS,
    "state": {"type": "str", "choices": ["loaded", "empty", "settled"], "default": "loaded"},
    "source": {"type": "path"},
    "root": {"type": "path", "default": "/var/lib/contralock-migration"},
    "scratch": {"type": "path"},
    "discard_rows": {"type": "bool", "default": False},
    "time_limit": {"type": "int", "default": 14400},
    "engine": {"type": "str", "choices": ["pgloader", "arrow"], "default": "pgloader"},
    "workers": {"type": "int", "default": 2},
    "whole_window": {"type": "bool", "default": False},
    "engine_versions": {"type": "list", "elements": "str", "default": ["3.6.7", "3.6.10"]},
}


def move_data(module: AnsibleModule, progress: Progress) -> Mapping[str, object]:
    begun = time.monotonic()
    given = module.params
    run = Path(given["run"]) if given["run"] else None
    root = run.parent if run else Path(given["root"])
    place = EarlierLoad(
        target=given["target"],
        mapping=parse_mapping(given["mapping"], given["mapping_schema"]),
        root=root,
        schema=given["schema"],
        scratch=Path(given["scratch"]) if given["scratch"] else root / "scratch",
        discard_rows=given["discard_rows"],
    )
    if given["state"] == "loaded":
        answer = load_rows(module, place, run.name if run else "by_hand", progress)
    else:
        take_back = empty if given["state"] == "empty" else mend
        restored = take_back(place, check_only=module.check_mode)
        facts: dict[str, object] = {"rows": sum(restored.rows.values()), "restored": list(restored.objects)}
        answer = {"changed": restored.changed, **facts, "facts": facts}
    return {**answer, "seconds": round(time.monotonic() - begun, 3)}


def load_rows(module: AnsibleModule, place: EarlierLoad, label: str, progress: Progress) -> dict[str, object]:
    # Only here: what loads takes longer to be imported than it takes to look whether anything was left.
    from ansible_collections.contralock.database.plugins.module_utils.transfer_step import (  # noqa: PLC0415 (as above)
        Request,
        check,
        load,
    )

    given = module.params
    request = Request(
        **vars(place),
        label=label,
        time_limit=given["time_limit"],
        engine=given["engine"],
        accepted_versions=tuple(given["engine_versions"]),
        workers=given["workers"],
        # A run's backup was checked when it was written: users wait. A whole window's file is assessed as well.
        sound=given["whole_window"] or (bool(given["run"]) and Path(given["source"]).parent == Path(given["run"])),
        whole_window=given["whole_window"],
    )
    if module.check_mode:
        return {"changed": True, **asdict(check(request, Path(given["source"]), progress))}
    loaded = load(request, Path(given["source"]), progress)
    return {**facts_of(loaded.report), "catalog": dict(loaded.catalog)}


def facts_of(report: TransferReport) -> dict[str, object]:
    facts = {
        "rows": report.rows,
        "tables": {name: asdict(table) for name, table in report.tables.items()},
        "rules": [asdict(count) for count in report.rule_counts],
        "engine": f"{report.engine} {report.engine_version}",
        "prepare_seconds": report.prepare_seconds,
        "load_seconds": report.load_seconds,
        "analyze_seconds": report.analyze_seconds,
        "verify_seconds": report.verify_seconds,
        "rows_per_second": report.rows_per_second,
        "sequences": dict(report.sequences),
        "earlier_rows": report.earlier_rows,
        "versions": dict(report.versions),
    }
    return {"changed": True, **facts, "facts": facts}


def main() -> None:
    run_module(
        ARGUMENTS,
        move_data,
        IMPORT_ERROR,
        supports_check_mode=True,
        required_if=[("state", "loaded", ["source"])],
        spoken={"discard_rows": "data_transfer_discard_rows=true"},
    )


if __name__ == "__main__":
    main()
