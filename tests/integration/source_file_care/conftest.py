"""What the tests of killed verbs share."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import sqlite_backup, sqlite_fence, sqlite_restore

from tests.integration.source_file_care.left_files import LEFT


@pytest.fixture
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has the file open, and looking through all processes hundreds of times takes its time."""
    for module in (sqlite_backup, sqlite_fence, sqlite_restore):
        monkeypatch.setattr(module, "assert_no_holders", lambda *_: None)
    for module in (sqlite_fence, sqlite_restore):
        monkeypatch.setattr(module, "find_holders", lambda _: [])


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for each way of leaving the file, and beside it one in which SQLite has opened it since."""
    root = tmp_path_factory.mktemp("templates")
    for name, leave in LEFT.items():
        (root / name).mkdir()
        leave(root / name / "app.sqlite")
    assert (root / "wal killed" / "app.sqlite-wal").stat().st_size > 0
    assert (root / "journal hot" / "app.sqlite-journal").stat().st_size > 0
    return root
