"""What is written into the prepared copy, and what keeps it from being written."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import findings, prepared_copy
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.prepared_copy import prepare_copy
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer

from tests.integration.transfer.transfer_server import ROWS


@pytest.fixture
def opened(order: Transfer) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(open_source(order.source)) as source:
        yield source


def test_it_holds_what_is_carried_under_the_targets_names(
    order: Transfer, opened: sqlite3.Connection, tmp_path: Path
) -> None:
    said: list[tuple[str, int, int]] = []
    prepared = prepare_copy(opened, order.plan, tmp_path / "prepared", lambda *each: said.append(each))
    assert (tmp_path / "prepared").stat().st_mode & 0o777 == 0o600
    assert said[-1][1:] == (ROWS, ROWS)
    with contextlib.closing(sqlite3.connect(tmp_path / "prepared")) as copy:
        tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_schema")}
        assert tables == {table.target for table in order.plan.tables}
        for table in order.plan.tables:
            columns = copy.execute(f'PRAGMA table_info("{table.target}")').fetchall()
            assert [(name, declared) for _, name, declared, *_ in columns] == [
                (column.target.name, "TEXT") for column in table.columns
            ]
            kinds = ", ".join(f'typeof("{column.target.name}")' for column in table.columns)
            found = copy.execute(f'SELECT DISTINCT {kinds} FROM "{table.target}"').fetchall()
            assert {kind for row in found for kind in row} <= {"text", "null"}
            bytes_of = " + ".join(f'coalesce(length(CAST("{each.target.name}" AS BLOB)), 0)' for each in table.columns)
            expected = copy.execute(
                f'SELECT count(*), sum({bytes_of}), max({bytes_of}) FROM "{table.target}"'
            ).fetchone()
            written = prepared.tables[table.target]
            assert (written.rows, written.bytes, written.largest_row_bytes) == expected
    assert prepared.largest_row_bytes == max(table.largest_row_bytes for table in prepared.tables.values())


def test_it_is_never_written_over_another_file(order: Transfer, opened: sqlite3.Connection, tmp_path: Path) -> None:
    (tmp_path / "prepared").write_text("mine")
    with pytest.raises(FileExistsError):
        prepare_copy(opened, order.plan, tmp_path / "prepared")
    assert (tmp_path / "prepared").read_text() == "mine"


def test_keys_that_are_too_many_lie_beside_it_and_not_in_tmp(
    order: Transfer, opened: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "RowExaminer", partial(findings.RowExaminer, kept_bytes=0))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert sum(prepare_copy(opened, order.plan, tmp_path / "prepared").rows.values()) == ROWS


def test_a_full_disk_has_its_mend(
    order: Transfer, opened: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLite answers as on a full disk.
    monkeypatch.setattr(prepared_copy, "_PRAGMAS", (*prepared_copy._PRAGMAS, "max_page_count = 2"))
    with pytest.raises(MigrationError, match=r"cannot be written: database or disk is full.*Make room"):
        prepare_copy(opened, order.plan, tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()


def test_names_that_sqlite_refuses_are_not_a_lack_of_room(
    order: Transfer, opened: sqlite3.Connection, tmp_path: Path
) -> None:
    first, second, *rest = order.plan.tables[0].columns
    clash = replace(second, target=replace(second.target, name=first.target.name.upper()))
    table = replace(order.plan.tables[0], columns=(first, clash, *rest))
    plan = replace(order.plan, tables=(table, *order.plan.tables[1:]))
    with pytest.raises(MigrationError, match=r"cannot be written: duplicate column name: .*engine arrow") as refusal:
        prepare_copy(opened, plan, tmp_path / "prepared")
    assert "Make room" not in str(refusal.value)
    assert not (tmp_path / "prepared").exists()


def test_nothing_is_left_of_a_copy_that_does_not_fit(order: Transfer, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(order.source, isolation_level=None)) as source:
        source.execute("UPDATE notifications SET type = 'odd' WHERE rowid IN (1, 2)")
        source.execute("UPDATE messages SET content = CAST(x'ff' AS TEXT) WHERE rowid = 1")
    with contextlib.closing(open_source(order.source)) as source, pytest.raises(MigrationError) as refusal:
        prepare_copy(source, order.plan, tmp_path / "prepared")
    # All of it is told, not the first alone.
    assert "notifications.type" in str(refusal.value)
    assert "messages.content" in str(refusal.value)
    assert refusal.value.details["count"] == 3
    assert not (tmp_path / "prepared").exists()
