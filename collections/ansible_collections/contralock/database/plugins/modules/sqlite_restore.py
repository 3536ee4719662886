#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: sqlite_restore
short_description: Puts the backup of a SQLite file back in its place
version_added: 0.1.0
description:
  - Takes the place of the fence that M(contralock.database.sqlite_fence) raised, or of nothing, with a backup whose
    checksum is the noted one; byte for byte, with the owner and mode that the file had. Stale C(-wal), C(-shm) and
    C(-journal) are removed before.
  - It never replaces a file. One that has the backup's bytes already is left alone.
  - It goes on from wherever an earlier run was killed.
author:
  - ContraLock migration team (@contralock)
options:
  backup:
    description: The backup that was made when the application was stopped.
    type: path
    required: true
  sha256:
    description: Its checksum, as noted when it was made.
    type: str
    required: true
  path:
    description: The file's own name.
    type: path
    required: true
  owner:
    description: The file's owner, by name or number; without it the one of O(original).
    type: str
    default: ""
  group:
    description: The file's group, by name or number; without it the one of O(original).
    type: str
    default: ""
  mode:
    description: The file's permissions, in octal digits; without it those of O(original).
    type: str
    default: ""
  original:
    description:
      - Where the fence moved the file to; without it, where the fence says, or the latest file that was moved aside.
      - If it is there, nobody may have it open, and its extended attributes (access lists, labels) are taken over.
    type: path
  keep_original:
    description: Whether O(original) stays when its bytes are those of O(backup). One with others always stays.
    type: bool
    default: false
  sound:
    description: Whether the copy has to pass SQLite's integrity and foreign key checks before it is put in place.
    type: bool
    default: false
  state:
    description:
      - V(present) puts the backup back.
      - V(tested) checks that the backup is there with this checksum. It looks at nothing else, and changes nothing.
    type: str
    choices: [present, tested]
    default: present
extends_documentation_fragment:
  - contralock.database.run
attributes:
  check_mode:
    description: Checks the backup, and says whether it would be put in place.
    support: full
  diff_mode:
    description: Its bytes are nothing to read.
    support: none
"""

EXAMPLES = r"""
- name: Put the backup back in the file's place
  contralock.database.sqlite_restore:
    backup: "{{ run.directory }}/source.sqlite"
    sha256: "{{ back_up.sha256 }}"
    path: /srv/contralock/data/contralock.sqlite
    run: "{{ run.directory }}"
    step: restore
"""

RETURN = r"""
file:
  description: The file's own name, symbolic links followed.
  returned: success
  type: str
bytes:
  description: Its size.
  returned: success
  type: int
sha256:
  description: Of its bytes; the backup's.
  returned: success
  type: str
original:
  description:
    - What became of O(original), that is V(kept), V(removed), V(absent), or V(different) when its bytes are others and
      it was kept for that; V(unknown) where nothing was changed.
    - V(put back) when somebody has it open and has not written it. Then it is itself what stands there, so that
      nothing that he writes is lost.
  returned: success
  type: str
facts:
  description: The same, as the journal of O(run) keeps it; the file's own name is C(path) there.
  returned: success
  type: dict
details:
  description: Facts about a refusal, such as both checksums.
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
from ansible_collections.contralock.database.plugins.module_utils.run_step import Progress
from ansible_collections.contralock.database.plugins.module_utils.sqlite_restore import (
    Ownership,
    Restoration,
    check_backup,
    predict_restore,
    restore_file,
)

FROM_ORIGINAL = {"type": "str", "default": ""}
PATH = {"type": "path", "required": True}
ARGUMENTS: Mapping[str, Any] = {
    "backup": PATH,
    "sha256": {"type": "str", "required": True},
    "path": PATH,
    "owner": FROM_ORIGINAL,
    "group": FROM_ORIGINAL,
    "mode": FROM_ORIGINAL,
    "original": {"type": "path"},
    "keep_original": {"type": "bool", "default": False},
    "sound": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "tested"], "default": "present"},
    "run": {"type": "path"},
}


def restore(module: AnsibleModule, progress: Progress) -> Mapping[str, object]:
    options = module.params

    def report(what: str, done: int, total: int) -> None:
        progress(percent_line(what, done, total))

    wanted = Restoration(
        backup=Path(options["backup"]),
        sha256=options["sha256"],
        path=Path(options["path"]),
        ownership=Ownership(options["owner"], options["group"], options["mode"]),
        original=Path(options["original"]) if options["original"] else None,
        keep_original=options["keep_original"],
        sound=options["sound"],
    )
    if options["state"] == "tested":
        restored = check_backup(wanted)
    elif module.check_mode:
        restored = predict_restore(wanted)
    else:
        restored = restore_file(wanted, report)
    facts = {**asdict(restored), "path": str(restored.path)}
    changed = facts.pop("changed")
    # Ansible would add its own facts about a "path".
    shown = {"file" if name == "path" else name: value for name, value in facts.items()}
    return {"changed": changed, **shown, "facts": facts}


def main() -> None:
    run_module(ARGUMENTS, restore, supports_check_mode=True)


if __name__ == "__main__":
    main()
