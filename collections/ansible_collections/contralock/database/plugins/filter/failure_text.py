"""The filter ``contralock.database.failure_text``: what a failed task said, for the last words of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = """
name: failure_text
short_description: What a failed task said
description:
  - In a rescue, C(ansible_failed_result) of a task with a loop says no more than that one or more items failed; what
    they said is in the items. This finds the words wherever they are.
positional: _input
options:
  _input:
    description: C(ansible_failed_result).
    type: dict
    required: true
"""

EXAMPLES = """
- name: Keep what happened
  ansible.builtin.set_fact:
    failure: "{{ ansible_failed_result | contralock.database.failure_text }}"
"""

RETURN = """
_value:
  description: The messages of the items that failed, otherwise the task's own; C(it failed without a word) without any.
  type: str
"""

WITHOUT_A_WORD = "it failed without a word"


def failure_text(result: Mapping[str, Any]) -> str:
    """Return what a failed task said.

    Args:
        result: ``ansible_failed_result``; of a task with a loop, each item's result is in ``results``.
    """
    items = result.get("results")
    failed = [one for one in items if one.get("failed")] if isinstance(items, list) else []
    said = [_message(one) for one in failed or [result]]
    # Items that fail for one reason say the same.
    return " ".join(dict.fromkeys(filter(None, said))) or WITHOUT_A_WORD


def _message(result: Mapping[str, Any]) -> str:
    said = result.get("msg", "")
    return " ".join(map(str, said)) if isinstance(said, list) else str(said)


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters by name."""
        return {"failure_text": failure_text}
