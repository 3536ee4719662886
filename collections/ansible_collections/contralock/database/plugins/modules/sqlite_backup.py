#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_backup
short_description: Takes a checked backup of a SQLite file
version_added: 0.1.0
description:
  - With O(method=running) it takes a snapshot through SQLite's backup API while others write, and holds them up no
    longer than O(pause_limit_ms) at a stretch; it refuses, with numbers, when that cannot be done.
  - With O(method=stopped) it copies the file of a stopped application byte for byte. Nobody may have it open.
  - A backup has its name only when it was synced to the disk and has passed SQLite's integrity check and the check of
    its foreign keys. A backup that is there is kept; its checksum is compared with O(expected_sha256), and with the
    source's own when O(method=stopped).
author:
  - ContraLock migration team (@contralock)
options:
  source:
    description: The SQLite file. A symbolic link is followed.
    type: path
    required: true
  destination:
    description: The backup, of mode 0600; its directory has to exist.
    type: path
    required: true
  method:
    description: Whether the application is running, or stopped and fenced.
    type: str
    choices: [running, stopped]
    default: stopped
  expected_sha256:
    description:
      - The checksum that the source must have (with O(method=stopped)), such as the one that was taken when it was
        fenced.
      - With O(method=running) a backup that is there must have it.
    type: str
    default: ""
  pause_limit_ms:
    description:
      - The longest time, in milliseconds, for which writers may be held up at a stretch with O(method=running). SQLite
        lets a waiting writer look again after up to 100 ms, so that it may see a pause that much longer.
      - A step that takes longer all the same, on a slow disk or a busy machine, is followed by smaller ones, and its
        time is what RV(longest_pause_ms) reports.
      - Keep it well below the application's busy timeout; C(node-sqlite3) has 1000 unless told otherwise.
    type: int
    default: 250
  time_limit:
    description: Seconds that copying may take altogether with O(method=running).
    type: int
    default: 300
extends_documentation_fragment:
  - contralock.database.run
attributes:
  check_mode:
    description: Says whether a backup would be made, and refuses when there is no room or no such file.
    support: full
  diff_mode:
    description: Its bytes are nothing to read.
    support: none
"""

EXAMPLES = r"""
- name: Take a snapshot while the application runs
  contralock.database.sqlite_backup:
    source: /srv/contralock/data/contralock.sqlite
    destination: /var/lib/contralock-migration/20260101T020000Z-rehearse-1f3a/source.sqlite
    method: running
    pause_limit_ms: 250

- name: Back up the file of the stopped application
  contralock.database.sqlite_backup:
    source: "{{ fence.moved_to }}"
    destination: "{{ run.directory }}/source.sqlite"
    expected_sha256: "{{ fence.sha256 }}"
    run: "{{ run.directory }}"
    step: back_up
"""

RETURN = r"""
file:
  description: The backup.
  returned: success
  type: str
bytes:
  description: Its size; null in a check that predicts it.
  returned: success
  type: int
sha256:
  description: Of its bytes, in hexadecimal digits; null in a check that predicts it.
  returned: success
  type: str
journal_mode:
  description: The source's, when this run took a snapshot of a running application.
  returned: success
  type: str
  sample: wal
longest_pause_ms:
  description:
    - The longest time in milliseconds for which writers could be held up at a stretch, as measured; 0 in WAL mode,
      where readers hold nobody up; null when nothing was running.
  returned: success
  type: float
restarts:
  description: How often writers made the copying begin again.
  returned: success
  type: int
check_seconds:
  description: What SQLite's own checks of the copy took.
  returned: success
  type: float
hash_seconds:
  description: What reading it for its checksum took.
  returned: success
  type: float
seconds:
  description: What the copying took, without the checks.
  returned: success
  type: float
facts:
  description: The same, as the journal of O(run) keeps it; the backup is C(path) there.
  returned: success
  type: dict
details:
  description: Facts about a refusal, such as C(expected_pause_ms).
  returned: failure
  type: dict
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.durable_files import percent_line
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.live_copy import Limits
from ansible_collections.contralock.database.plugins.module_utils.run_step import Progress
from ansible_collections.contralock.database.plugins.module_utils.sqlite_backup import (
    Backup,
    assert_checksum,
    back_up_running,
    copy_stopped,
    find_backup,
    predict_backup,
)

ARGUMENTS: Mapping[str, Any] = {
    "source": {"type": "path", "required": True},
    "destination": {"type": "path", "required": True},
    "method": {"type": "str", "choices": ["running", "stopped"], "default": "stopped"},
    "expected_sha256": {"type": "str", "default": ""},
    "pause_limit_ms": {"type": "int", "default": 250},
    "time_limit": {"type": "int", "default": 300},
    "run": {"type": "path"},
}


def back_up(module: AnsibleModule, progress: Progress) -> Mapping[str, object]:
    options = module.params
    source, destination = Path(options["source"]).resolve(), Path(options["destination"])

    def report(what: str, done: int, total: int) -> None:
        progress(percent_line(what, done, total))

    if module.check_mode:
        backup = predict_backup(source, destination)
    elif options["method"] == "stopped":
        backup = copy_stopped(source, destination, options["expected_sha256"], report)
    else:
        if (found := find_backup(destination)) and options["expected_sha256"]:
            assert_checksum(destination, found.sha256, options["expected_sha256"])
        limits = Limits(options["pause_limit_ms"], options["time_limit"])
        backup = back_up_running(source, destination, limits, report)
    return answer(backup)


def answer(backup: Backup) -> Mapping[str, object]:
    facts = {**asdict(backup), "path": str(backup.path)}
    changed, path = facts.pop("changed"), facts["path"]
    # Ansible would add its own facts about a "path".
    return {"changed": changed, "file": path, **{name: facts[name] for name in facts if name != "path"}, "facts": facts}


def main() -> None:
    run_module(ARGUMENTS, back_up, supports_check_mode=True)


if __name__ == "__main__":
    main()
