"""The filter failure_text: what a failed task said, wherever the words are."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.filter.failure_text import FilterModule, failure_text


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"failed": True, "msg": "The disk is full."}, "The disk is full."),
        # A loop: Ansible's own sentence about it says nothing.
        (
            {
                "msg": "One or more items failed",
                "results": [
                    {"msg": "All items passed", "failed": False},
                    {"msg": "host is not set.", "failed": True},
                    {"msg": "skipped", "skipped": True},
                    {"msg": "port is not set.", "failed": True},
                    {"msg": "host is not set.", "failed": True},
                ],
            },
            "host is not set. port is not set.",
        ),
        # A module's own "results" that are no items of a loop.
        ({"msg": "no such package", "results": []}, "no such package"),
        ({"msg": "it answered", "results": [{"rc": 1}]}, "it answered"),
        ({"msg": "it answered", "results": "text"}, "it answered"),
        ({"msg": ["one", "two"]}, "one two"),
        ({"rc": 1}, "it failed without a word"),
        ({"msg": ""}, "it failed without a word"),
    ],
)
def test_the_words_are_found(result, said):
    assert failure_text(result) == said


def test_ansible_finds_it_by_its_name():
    assert FilterModule().filters() == {"failure_text": failure_text}
