"""A source that somebody writes meanwhile is refused by both engines in the same words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils import pgloader, session_crew
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.target_state import row_counts
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.transfer.transfer_server import ROWS, assert_empty_and_whole, both_engines, plant

WRITTEN = r"^the source was written while it was loaded\. Stop its application, or give a copy"


@pytest.fixture
def written_at(order: Transfer) -> Callable[[str], Callable[[Mapping[str, Any]], None]]:
    """Return what writes the source once when a load says a line that begins so."""

    def at(*lines: str) -> Callable[[Mapping[str, Any]], None]:
        left = [f"UPDATE users SET firstName = 'later' WHERE rowid = {row}" for row in (1,)]

        def hear(said: Mapping[str, Any]) -> None:
            if left and said["line"].startswith(lines):
                plant(order, left.pop())

        return hear

    return at


@both_engines
def test_what_is_written_while_rows_go_in_is_missed_by_nobody(
    order: Transfer,
    owner: Connection,
    written_at: Callable[..., Callable[[Mapping[str, Any]], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pgloader, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(session_crew, "TICK_SECONDS", 0.0)
    with pytest.raises(MigrationError, match=WRITTEN):
        transfer(order, written_at("load: k", "load: users", "load: 0", "load: 1", "load: 2", "load: 3"))
    assert_empty_and_whole(order, owner)


@both_engines
def test_rows_that_are_there_stay_when_the_source_is_written_before_they_would_go(
    order: Transfer, owner: Connection, written_at: Callable[..., Callable[[Mapping[str, Any]], None]]
) -> None:
    transfer(replace(order, engine="arrow"))
    # A reader holds up no writer then.
    plant(order, "PRAGMA journal_mode = wal")
    with pytest.raises(MigrationError, match=WRITTEN):
        transfer(order, written_at("prepare:", "examine:"))
    assert sum(row_counts(owner, "public", order.tables).values()) == ROWS
