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
