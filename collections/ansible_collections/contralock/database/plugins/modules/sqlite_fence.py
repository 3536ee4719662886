#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_fence
short_description: Keeps every process away from a SQLite file, and lets them back
version_added: 0.1.0
description:
  - With O(state=present) the file of a stopped application is moved aside, to C(<name>.before-<run id>) in the same
    directory, and a directory takes its place. So a forgotten process can neither write the file nor make a new, empty
    one.
  - Before that nobody may have the file open, SQLite's exclusive lock is taken, what is left in a write-ahead log or a
    rollback journal is finished, and the locked file has to stand still. After it nobody may have slipped in.
  - With O(state=absent) the file is put back, with its bytes, owner and mode. Both go on from wherever an earlier run
    was killed. The names are swapped in one step where the filesystem can do it (ext4, XFS, Btrfs, tmpfs, overlayfs).
  - It needs root, and no process is ever ended.
author:
  - ContraLock migration team (@contralock)
options:
  path:
    description: The SQLite file. A symbolic link is followed and stays.
    type: path
    required: true
  run_id:
    description:
      - The run's id; it becomes part of the name that the file is moved to. Without it, the last part of O(run).
      - With O(state=absent), the id of the run that raised the fence; without it the fence itself says, or the latest
        file that was moved aside counts.
    type: str
    default: ""
  state:
    description: Whether the fence is to stand.
    type: str
    choices: [present, absent]
    default: present
  expected_sha256:
    description:
      - The checksum noted when the fence was raised. With O(state=absent) only such a file is put back.
      - With O(state=present) it is for a run that goes on; the file behind a fence that stands has to have it still.
    type: str
    default: ""
  patience:
    description: Seconds in which a process that is just ending may go away.
    type: float
    default: 5
  watch:
    description: Seconds for which the locked file has to stand still.
    type: float
    default: 0.5
extends_documentation_fragment:
  - contralock.database.run
attributes:
  check_mode:
    description:
      - Says what would be moved, and refuses what is in the way. Who has the file open is not asked, as the application
        may well be running during a check.
    support: full
  diff_mode:
    description: A move has no text to show.
    support: none
"""

EXAMPLES = r"""
- name: Close the SQLite file to every process
  contralock.database.sqlite_fence:
    path: /srv/contralock/data/contralock.sqlite
    run: /var/lib/contralock-migration/20260101T020000Z-cut_over-1f3a
    step: fence
  register: fence

- name: Open it again
  contralock.database.sqlite_fence:
    path: /srv/contralock/data/contralock.sqlite
    run_id: 20260101T020000Z-cut_over-1f3a
    state: absent
    expected_sha256: "{{ fence.sha256 }}"
"""

RETURN = r"""
file:
  description: The file's own name, symbolic links followed.
  returned: success
  type: str
moved_to:
  description: Where the file is while the fence stands.
  returned: success
  type: str
  sample: /srv/contralock/data/contralock.sqlite.before-20260101T020000Z-cut_over-1f3a
state:
  description: Whether the fence stands, or would stand.
  returned: success
  type: str
sha256:
  description: Of the file's bytes; null in check mode, and where it was in its place already.
  returned: success
  type: str
bytes:
  description: The file's size.
  returned: success
  type: int
inode:
  description: The file's number; the same before, behind and after the fence.
  returned: success
  type: int
owner:
  description: The file's owner.
  returned: success
  type: str
group:
  description: The file's group.
  returned: success
  type: str
mode:
  description: The file's permissions.
  returned: success
  type: str
  sample: "0640"
journal_mode:
  description: SQLite's journal mode of the file, which stays; null when this run did not take the lock.
  returned: success
  type: str
databases:
  description: The SQLite databases in the file's directory, when the fence was raised, itself included.
  returned: success
  type: list
  elements: str
facts:
  description: The same, as the journal of O(run) keeps it; the file's own name is C(path) there.
  returned: success
  type: dict
details:
  description: Facts about a refusal, such as the processes that have the file open.
  returned: failure
  type: dict
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.sqlite_fence import (
    lower_fence,
    predict_fence,
    raise_fence,
)

ARGUMENTS: Mapping[str, Any] = {
    "path": {"type": "path", "required": True},
    "run_id": {"type": "str", "default": ""},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "expected_sha256": {"type": "str", "default": ""},
    "patience": {"type": "float", "default": 5.0},
    "watch": {"type": "float", "default": 0.5},
    "run": {"type": "path"},
}


def set_fence(module: AnsibleModule) -> Mapping[str, object]:
    options = module.params
    path, raised = Path(options["path"]), options["state"] == "present"
    # The run that takes a fence away is another than the one that raised it.
    run_id = options["run_id"] or (Path(options["run"] or "").name if raised else "")
    if module.check_mode:
        fence = predict_fence(path, run_id, raised)
    elif raised:
        fence = raise_fence(path, run_id, options["patience"], options["watch"], options["expected_sha256"])
    else:
        fence = lower_fence(path, run_id, options["expected_sha256"])
    facts = {**asdict(fence), "path": str(fence.path), "moved_to": str(fence.moved_to)}
    changed = facts.pop("changed")
    # Ansible would add what stands under the name "path" now, and so replace the file's owner and mode by the fence's.
    shown = {"file" if name == "path" else name: value for name, value in facts.items()}
    return {"changed": changed, **shown, "facts": facts}


def main() -> None:
    run_module(ARGUMENTS, set_fence, supports_check_mode=True)


if __name__ == "__main__":
    main()
