"""What the tests of killed verbs share."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils import sqlite_backup, sqlite_fence, sqlite_restore


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has the file open, and looking through all processes hundreds of times takes its time."""
    for module in (sqlite_backup, sqlite_fence, sqlite_restore):
        monkeypatch.setattr(module, "assert_no_holders", lambda *_: None)
    monkeypatch.setattr(sqlite_fence, "find_holders", lambda _: [])
