"""Room for all that a window writes, by filesystem: real small ones, just large enough and just too small."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.durable_files import SPARE_BYTES
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.window_room import assert_room_for, needs_of_window

SIZE = 10_000_000
FACTOR = 1.5
ALL = "the backup and the load's own files and the file that the way back restores of "
Disk = Callable[[str, float], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Make a filesystem with room for the reserve and so many times the source."""
    made = []

    def make(name: str, times: float) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        size = SPARE_BYTES + int(times * SIZE)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", folder], check=True)


def refusal(source: Path, backups: Path, scratch: Path) -> str:
    try:
        assert_room_for(source, needs_of_window(source, backups, scratch, FACTOR))
    except MigrationError as error:
        return str(error)
    return ""


def placed(folder: Path, wal: float = 0.0) -> Path:
    """A source that takes its place on that disk, and a log of so many times its size."""
    source = folder / "app.sqlite"
    source.write_bytes(b"x" * SIZE)
    source.with_name("app.sqlite-wal").write_bytes(b"x" * int(wal * SIZE))
    return source


@pytest.mark.parametrize(("times", "expected"), [(1 + 3.6, ""), (1 + 3.4, ALL)])
def test_everything_on_one_disk_is_added_up(disk: Disk, times: float, expected: str) -> None:
    """The backup, half as much again for the load, and the file that a way back restores beside the fenced one."""
    folder = disk("one", times)
    source = placed(folder)
    found = refusal(source, folder / "runs", folder / "runs" / "scratch")
    assert expected in found
    assert bool(expected) == bool(found)


def test_each_disk_is_asked_for_what_goes_there(disk: Disk) -> None:
    data, runs, scratch = disk("data", 1 + 1.1), disk("runs", 1.1), disk("scratch", 1.6)
    source = placed(data)
    assert refusal(source, runs, scratch / "not" / "there yet") == ""
    small = disk("small", 0.9)
    assert f"{small} has room for" in refusal(source, small, scratch)
    assert "and the backup of " in refusal(source, small, scratch)
    assert "and the load's own files of " in refusal(source, runs, disk("middling", 1.4))
    tight = placed(disk("tight", 1 + 0.9))
    assert "and the file that the way back restores of " in refusal(tight, runs, scratch)


def test_what_the_write_ahead_log_holds_is_going_to_be_in_the_file(disk: Disk) -> None:
    runs, scratch = disk("runs", 1.1), disk("scratch", 3)
    assert refusal(placed(disk("quiet", 1 + 3)), runs, scratch) == ""
    assert "and the backup of " in refusal(placed(disk("busy", 1 + 0.3 + 3), wal=0.3), runs, scratch)


def test_an_engine_without_files_of_its_own_needs_none(disk: Disk, tmp_path: Path) -> None:
    source, full = placed(tmp_path), disk("full", 0)
    (full / "x").write_bytes(b"x" * SIZE)
    assert_room_for(source, needs_of_window(source, tmp_path, full, 0.0))
    with pytest.raises(MigrationError, match="the load's own files"):
        assert_room_for(source, needs_of_window(source, tmp_path, full, 0.1))


def test_a_source_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="cannot look at"):
        needs_of_window(tmp_path / "missing", tmp_path, tmp_path, FACTOR)
