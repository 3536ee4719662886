"""The documentation that modules share which refuse a target with another profile's schema."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents how the modules know the other profiles."""

    DOCUMENTATION = r"""
options:
  foreign_changes:
    description:
      - The changes of other profiles, SHA-256 to the profile's name, as P(contralock.database.profile#lookup) returns
        them. A target that has one of them is refused, and its profile is named.
    type: dict
    default: {}
"""
