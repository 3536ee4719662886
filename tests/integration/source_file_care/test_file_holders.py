"""Who has the file open: real processes, by every way of having it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import file_holders
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.file_holders import (
    assert_no_holders,
    describe_holders,
    find_holders,
)

from tests.integration.source_file_care.source_files import can_write, holder, in_child, make_database, writer


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.sqlite")


def test_nobody_holds_a_closed_file(database: Path) -> None:
    assert find_holders(database) == []
    assert_no_holders(database)


def test_nobody_holds_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert find_holders(tmp_path / "none.sqlite") == []


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_process_that_has_it_is_found(database: Path, how: str) -> None:
    with holder(database, how) as process:
        (found,) = find_holders(database)
        assert (found.pid, found.files) == (process.pid, ("app.sqlite",))
        assert found.command.startswith("python")
        assert found.user == "root"
    assert find_holders(database) == []


def test_it_is_found_under_another_name_and_through_a_side_file(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-name"
    os.link(database, other)
    wal = tmp_path / "app.sqlite-wal"
    wal.touch()
    with holder(other) as by_name, holder(wal) as by_side:
        assert {found.pid: found.files for found in find_holders(database)} == {
            by_name.pid: ("app.sqlite",),
            by_side.pid: ("app.sqlite-wal",),
        }


def test_it_is_found_after_a_rename(database: Path, tmp_path: Path) -> None:
    with holder(database) as process:
        moved = database.rename(tmp_path / "moved.sqlite")
        assert [found.pid for found in find_holders(moved)] == [process.pid]


def test_a_refusal_names_the_process_and_what_to_do(database: Path) -> None:
    with holder(database) as process, pytest.raises(MigrationError) as refusal:
        assert_no_holders(database)
    assert f"process {process.pid} (python" in str(refusal.value)
    assert "Stop it" in refusal.value.mend
    assert refusal.value.details["holders"][0]["pid"] == process.pid


def test_a_process_that_is_just_ending_gets_its_time(database: Path) -> None:
    with writer(database) as process:
        process.terminate()
        assert_no_holders(database, patience=5)


def test_patience_ends(database: Path) -> None:
    begun = time.monotonic()
    with holder(database), pytest.raises(MigrationError):
        assert_no_holders(database, patience=0.3)
    assert 0.3 <= time.monotonic() - begun < 3


def test_looking_drops_no_lock_of_the_looking_process(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        find_holders(database)
        assert not can_write(database)
        connection.execute("COMMIT")
        assert can_write(database)


def test_who_may_not_look_does_not_guess(database: Path) -> None:
    """An account that is not root, in a child: it sees none of root's processes."""

    def look() -> None:
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(MigrationError, match="may not be looked into"):
            find_holders(database)
        assert "without being root" in describe_holders(database)

    def look_at_the_file() -> None:
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(MigrationError, match="cannot be looked at"):
            find_holders(database)

    with holder(database):
        # Neither the file's own directory nor root's processes: both answers would be guesses.
        assert in_child(look_at_the_file) == 0
        for parent in database.parents[: len(database.parents) - 2]:
            parent.chmod(0o755)
        assert in_child(look) == 0


def test_an_innermost_unit_is_named(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/system.slice/contralock.service/worker\n")
    assert file_holders._unit(tmp_path) == "contralock.service"
    (tmp_path / "cgroup").write_text("0::/\n")
    assert file_holders._unit(tmp_path) == ""
