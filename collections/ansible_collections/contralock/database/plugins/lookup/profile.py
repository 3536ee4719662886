# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
name: profile
short_description: Reads a profile of the migration on the controller
version_added: 0.1.0
author: ContraLock migration team (@contralock)
description:
  - A profile is a folder with C(schema/NNNN_name.up.sql) and C(schema/NNNN_name.down.sql), and with C(mapping.yml),
    whose JSON Schema lies in the folder above. The lookup checks the files and returns their content.
options:
  _terms:
    description:
      - The profile's folder (absolute or relative to the playbook), or its name.
      - A name is looked for as C(profiles/NAME) in the play's C(files) folders, then as C(files/profiles/NAME) in the
        playbook's folder and in each one above it.
    required: true
"""

EXAMPLES = r"""
- name: Show what the profile would do
  ansible.builtin.debug:
    msg: "{{ lookup('contralock.database.profile', 'contralock').changes | map(attribute='name') }}"
"""

RETURN = r"""
_list:
  description: One dictionary per term.
  type: list
  elements: dict
  contains:
    name:
      description: The name of the profile's folder.
      type: str
    changes:
      description:
        - The schema changes in order, each with C(name), C(up) and C(down); see M(contralock.database.pg_schema).
      type: list
      elements: dict
    foreign_changes:
      description: The changes that only the profiles beside it have, SHA-256 to the profile's name.
      type: dict
    mapping:
      description: What C(mapping.yml) says; null when the folder has none.
      type: dict
    mapping_schema:
      description: The JSON Schema that C(mapping.yml) was held against; null when the folder has no mapping.
      type: dict
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import MAPPING_FILE, load_profile
from ansible_collections.contralock.database.plugins.module_utils.schema_files import foreign_changes, load_changes


class LookupModule(LookupBase):  # type: ignore[misc]  # because Ansible has no types
    def run(
        self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **kwargs: object
    ) -> list[dict[str, Any]]:
        """Read each profile."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [read_profile(self._find(str(term), variables or {})) for term in terms]
        except MigrationError as error:
            raise AnsibleLookupError(str(error)) from error

    def _find(self, term: str, variables: Mapping[str, Any]) -> Path:
        tried = list(self._candidates(term, variables))
        for folder in tried:
            if (folder / "schema").is_dir():
                return folder
        listed = ", ".join(map(str, dict.fromkeys(tried)))
        raise MigrationError(f"there is no profile {term!r}", f"Make its folder schema in one of {listed}")

    def _candidates(self, term: str, variables: Mapping[str, Any]) -> Iterator[Path]:
        yield Path(self._loader.path_dwim(term))
        if found := self.find_file_in_search_path(variables, "files", f"profiles/{term}", ignore_missing=True):
            yield Path(found)
        base = Path(self._loader.get_basedir()).resolve()
        for folder in (base, *base.parents):
            yield folder / "files" / "profiles" / term


def read_profile(folder: Path) -> dict[str, Any]:
    """Return a profile as the playbooks use it; the documents travel to the hosts with the tasks."""
    profile = load_profile(folder) if (folder / MAPPING_FILE).exists() else None
    changes = load_changes(folder / "schema")
    return {
        "name": folder.name,
        "changes": [asdict(change) for change in changes],
        "foreign_changes": foreign_changes(changes, folder.resolve().parent.iterdir()),
        "mapping": profile and profile.document,
        "mapping_schema": profile and profile.document_schema,
    }
