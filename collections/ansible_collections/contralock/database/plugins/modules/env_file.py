#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: env_file
short_description: Sets variables in an application's .env file
version_added: 0.2.0
description:
  - Changes the values of keys in place, as npm's C(dotenv) 16 reads the file. Comments, order, line ends, other keys
    and the kind of quotes stay. Keys that the file lacks are appended below a comment that says where they come from.
  - The file is replaced atomically. Owner, group, mode and extended attributes stay.
  - Secrets are given apart from the rest, so that they are hidden everywhere while the rest can be read.
author:
  - ContraLock migration team (@contralock)
options:
  path:
    description: The file; it has to exist. A symbolic link is followed and stays.
    type: path
    required: true
  values:
    description:
      - Key and value of what is no secret. Booleans become V(true) and V(false), numbers their digits.
      - A key whose name tells of a secret (C(PASS), C(TOKEN), C(KEY) and the like) is refused here.
    type: dict
    default: {}
  secrets:
    description:
      - Key and value of secrets. They stand in no output and no diff.
      - They are refused for a file whose mode lets everybody on the host read or write it.
    type: dict
    default: {}
  read:
    description: Keys whose present values are returned in RV(found). Keys that tell of a secret are refused.
    type: list
    elements: str
    default: []
  backup_to:
    description:
      - Where a copy of the old file goes before it is changed, with mode 0600. One that is there already stays, so
        that it holds what stood before the first change.
    type: path
extends_documentation_fragment:
  - contralock.database.run
attributes:
  check_mode:
    description: Says which keys would change.
    support: full
  diff_mode:
    description: Shows the changed keys, secrets as V((hidden\)), and nothing else of the file.
    support: full
"""

EXAMPLES = r"""
- name: Let the application use PostgreSQL
  contralock.database.env_file:
    path: /srv/contralock/.env
    values:
      DB_TYPE: postgresql

- name: Give it the connection
  contralock.database.env_file:
    path: /srv/contralock/.env
    values:
      DB_HOST: db1.example.org
      DB_SSL: true
    secrets:
      DB_PASS: "{{ application_database_user_password }}"
    backup_to: /var/lib/contralock-migration/20260101T000000Z-cut_over/env.before
"""

RETURN = r"""
keys:
  description: The keys whose values were (or would be) changed.
  returned: success
  type: list
  elements: str
  sample: [DB_TYPE]
found:
  description: For each key in O(read), the value that the application reads now, or null when the file has none.
  returned: success
  type: dict
  sample: {DB_TYPE: sqlite, DB_PATH: null}
path:
  description: The file itself, links followed.
  returned: success
  type: str
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.env_file import (
    assert_private,
    is_secret_name,
    plan_change,
    read_env_file,
    write_env_file,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "values": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "read": {"type": "list", "elements": "str", "default": []},
    "backup_to": {"type": "path"},
    "run": {"type": "path"},
}


def set_variables(module: AnsibleModule) -> Mapping[str, object]:
    given, hidden, read = (module.params[name] for name in ("values", "secrets", "read"))
    refuse_secrets("values", "Give it under secrets", given)
    refuse_secrets("read", "Read it where it is needed", read)
    file = read_env_file(Path(module.params["path"]))
    if hidden:
        assert_private(file)
    values = {key: as_text(key, value) for key, value in {**given, **hidden}.items()}
    change = plan_change(file, values, hidden)
    if change.keys and not module.check_mode:
        backup = module.params["backup_to"]
        write_env_file(file, change.text, Path(backup) if backup else None)
        file = read_env_file(file.path)
    return {
        "changed": bool(change.keys),
        "keys": list(change.keys),
        "found": {key: file.values.get(key) for key in read},
        "path": str(file.path),
        "diff": {"before": change.before, "after": change.after, "before_header": str(file.path)},
    }


def refuse_secrets(option: str, mend: str, keys: Iterable[str]) -> None:
    if named := [key for key in keys if is_secret_name(key)]:
        raise MigrationError(
            f"{', '.join(named)} under {option!r} would be shown, and its name tells of a secret", mend
        )


def as_text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise MigrationError(f"the value of {key} is neither text, whole number nor boolean", "Write it as text")


def main() -> None:
    run_module(ARGUMENTS, set_variables, supports_check_mode=True)


if __name__ == "__main__":
    main()
