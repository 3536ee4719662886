"""How a refusal ends: with one full stop, or with the end that the server's own words bring along."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError


@pytest.mark.parametrize(
    ("fact", "mend", "said"),
    [
        ("the file is missing", "", "the file is missing."),
        ("the file is missing", "Bring it", "the file is missing. Bring it."),
        ("is the server running there?", "Start it", "is the server running there? Start it."),
        ("it said: no such thing.", "Look there.", "it said: no such thing. Look there."),
    ],
)
def test_a_refusal_ends_once(fact: str, mend: str, said: str) -> None:
    assert str(MigrationError(fact, mend)) == said


def test_several_facts_have_each_its_mend() -> None:
    pairs = [("a is wrong", "Mend a"), ("b is wrong", "Mend both"), ("c is too", "Mend both with discard_rows")]
    refusal = MigrationError("a, b and c", "Mend all", pairs=pairs, heading="not ready")
    refusal.add_note("Nothing was changed")
    refusal.speak({"discard_rows": "--discard-rows"})
    assert str(refusal).splitlines() == [
        "not ready:",
        "- a is wrong",
        "  Mend a.",
        "- b is wrong",
        "  Mend both.",
        "- c is too",
        "  Mend both with --discard-rows.",
        "Nothing was changed.",
    ]


def test_facts_that_share_a_mend_are_told_together() -> None:
    refusal = MigrationError("two are wrong:\n- a\n- b", "Mend both", pairs=[("a", "Mend both"), ("b", "Mend both")])
    assert str(refusal) == "two are wrong:\n- a\n- b. Mend both."
