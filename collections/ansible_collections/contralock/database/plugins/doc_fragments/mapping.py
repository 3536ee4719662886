"""The documentation that every module with a plan shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents how the modules are told what goes where."""

    DOCUMENTATION = r"""
options:
  mapping:
    description: What the profile's C(mapping.yml) says, as P(contralock.database.profile#lookup) returns it.
    type: dict
    required: true
  mapping_schema:
    description: The JSON Schema of such a file, as P(contralock.database.profile#lookup) returns it.
    type: dict
    required: true
  schema:
    description: The target's schema.
    type: str
    default: public
"""
