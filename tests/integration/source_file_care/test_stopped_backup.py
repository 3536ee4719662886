"""The byte copy of a stopped file, and the modules sqlite_backup and sqlite_holders."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import durable_files, sqlite_backup
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sqlite_backup import (
    Backup,
    back_up_running,
    copy_stopped,
)

from tests.integration.source_file_care.kill_points import count_calls, kill_at
from tests.integration.source_file_care.module_calls import call
from tests.integration.source_file_care.source_files import checksum, content, holder, make_database, writer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.sqlite", megabytes=2)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "source.sqlite"


def test_the_copy_has_the_same_bytes(source: Path, backup: Path) -> None:
    seen = []
    made = copy_stopped(source, backup, checksum(source), lambda what, done, total: seen.append((what, done, total)))
    assert made.changed
    assert backup.read_bytes() == source.read_bytes()
    assert made.sha256 == checksum(source)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert ("back up", source.stat().st_size, source.stat().st_size) in seen
    again = copy_stopped(source, backup, checksum(source))
    assert (again.changed, again.sha256) == (False, made.sha256)


def test_a_copy_that_is_there_and_was_changed_is_refused(source: Path, backup: Path) -> None:
    copy_stopped(source, backup)
    with backup.open("r+b") as file:
        file.seek(5000)
        file.write(b"tampered")
    with pytest.raises(MigrationError, match="it was changed"):
        copy_stopped(source, backup)


def test_a_source_that_is_not_the_expected_is_refused(source: Path, backup: Path, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="somebody changed it"):
        copy_stopped(source, backup, "0" * 64)
    assert list(tmp_path.iterdir()) == [source]


def test_a_source_that_somebody_holds_is_refused(source: Path, backup: Path) -> None:
    with holder(source) as process, pytest.raises(MigrationError, match=f"in use by process {process.pid}"):
        copy_stopped(source, backup)


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_source_with_changes_beside_it_is_refused(source: Path, backup: Path, ending: str) -> None:
    source.with_name(source.name + ending).write_bytes(b"x")
    with pytest.raises(MigrationError, match=f"not the whole database: app.sqlite{ending}"):
        copy_stopped(source, backup)


def test_a_killed_wal_writer_s_file_is_not_the_whole_database(tmp_path: Path, backup: Path) -> None:
    source = make_database(tmp_path / "wal.sqlite", "wal")
    with writer(source):
        pass
    with pytest.raises(MigrationError, match="not the whole database"):
        copy_stopped(source, backup)


def test_a_source_that_contradicts_itself_leaves_no_backup(source: Path, backup: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("INSERT INTO events (user, note) VALUES ('nobody', 'x')")
    with pytest.raises(MigrationError, match="nobody"):
        copy_stopped(source, backup)
    assert list(tmp_path.iterdir()) == [source]


def test_a_disk_that_gives_back_other_bytes_is_noticed(
    source: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_amiss(descriptor: int, chunk: bytes) -> None:
        durable_files.os.write(descriptor, b"\0" * len(chunk))

    monkeypatch.setattr(durable_files, "write_all", write_amiss)
    with pytest.raises(MigrationError, match="reads back with the sha256"):
        copy_stopped(source, backup)
    assert not backup.exists()


def test_a_disk_that_fills_up_is_said(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real full filesystem; the look for room before is switched off."""
    small = tmp_path / "small"
    small.mkdir()

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        monkeypatch.setattr(sqlite_backup, "assert_room", lambda *_: None)
        with pytest.raises(MigrationError, match="No space left on device") as refusal:
            copy_stopped(source, small / "source.sqlite")
        assert "Make room" in refusal.value.mend
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize("take", [copy_stopped, back_up_running])
def test_killed_anywhere_a_backup_is_whole_or_not_there(tmp_path: Path, take: Callable[[Path, Path], Backup]) -> None:
    source = make_database(tmp_path / "app.sqlite", megabytes=1.5)
    expected = content(source)
    (tmp_path / "first").mkdir()
    calls = count_calls(lambda: take(source, tmp_path / "first" / "source.sqlite"))
    assert calls >= 7
    for number in range(1, calls + 1):
        for when in ("before", "after"):
            directory = tmp_path / f"{number} {when}"
            directory.mkdir()
            backup = directory / "source.sqlite"
            kill_at(lambda backup=backup: take(source, backup), number, when)
            if backup.exists():
                shutil.copy(backup, tmp_path / "copy")
                assert content(tmp_path / "copy") == expected
            take(source, backup)
            assert [entry.name for entry in directory.iterdir()] == ["source.sqlite"]
            assert content(backup) == expected


def test_the_module_backs_up_once(source: Path, backup: Path) -> None:
    wanted = {"source": source, "destination": backup}
    predicted = call("sqlite_backup", check=True, **wanted)
    assert (predicted["changed"], predicted["sha256"]) == (True, None)
    assert not backup.exists()
    done = call("sqlite_backup", **wanted, expected_sha256=checksum(source))
    assert (done["changed"], done["sha256"], done["file"]) == (True, checksum(source), str(backup))
    assert done["facts"]["bytes"] == backup.stat().st_size
    assert call("sqlite_backup", **wanted)["changed"] is False
    assert call("sqlite_backup", check=True, **wanted)["changed"] is False


def test_the_module_takes_a_snapshot_and_says_what_it_cost(source: Path, backup: Path) -> None:
    with writer(source):
        refused = call("sqlite_backup", source=source, destination=backup)
        assert refused.failed
        assert "in use by process" in refused["msg"]
        done = call("sqlite_backup", source=source, destination=backup, method="running", pause_limit_ms=5000)
    assert not done.failed
    assert 0 < done["longest_pause_ms"] <= 5000
    assert call("sqlite_backup", source=source, destination=backup, method="running", expected_sha256="0" * 64).failed


def test_the_module_says_when_there_is_no_source(tmp_path: Path, backup: Path) -> None:
    for check in (True, False):
        refused = call("sqlite_backup", check=check, source=tmp_path / "none", destination=backup)
        assert refused.failed
        assert "none" in refused["msg"]


def test_the_module_names_holders(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(source)
    assert call("sqlite_holders", path=link, state="absent")["holders"] == []
    with holder(source) as process:
        found = call("sqlite_holders", path=link)
        assert (found["file"], found["changed"]) == (str(source), False)
        assert [each["pid"] for each in found["holders"]] == [process.pid]
        refused = call("sqlite_holders", path=link, state="absent", patience=0)
        assert refused.failed
        assert refused["details"]["holders"][0]["pid"] == process.pid
