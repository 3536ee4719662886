"""Snapshots of a database that a real process writes, and what they cost it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils import live_copy, sqlite_backup
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.file_holders import find_holders
from ansible_collections.contralock.database.plugins.module_utils.live_copy import Limits, LiveCopy, _InOneGo
from ansible_collections.contralock.database.plugins.module_utils.sqlite_backup import back_up_running

from tests.integration.source_file_care.source_files import (
    checksum,
    content,
    ended,
    in_child,
    make_database,
    writer,
)

#: SQLite's busy handler looks again after up to 100 ms; a machine with other work adds more.
WRITERS_OWN_WAITING_MS = 1000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 MB in rollback-journal mode."""
    return make_database(tmp_path_factory.mktemp("large") / "app.sqlite", megabytes=50)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "source.sqlite"


@pytest.mark.parametrize("journal_mode", ["delete", "wal", "truncate", "persist"])
def test_a_backup_of_a_quiet_file_has_the_same_rows(tmp_path: Path, backup: Path, journal_mode: str) -> None:
    source = make_database(tmp_path / "app.sqlite", journal_mode, megabytes=3)
    before = checksum(source)
    made = back_up_running(source, backup)
    assert made.changed
    assert made.restarts == 0
    assert content(backup) == content(source)
    assert checksum(source) == before
    assert (made.bytes, made.sha256) == (backup.stat().st_size, checksum(backup))
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    beside = {path.name for path in tmp_path.iterdir() if path.name.startswith("source")}
    assert beside <= {"source.sqlite", "source.sqlite-shm", "source.sqlite-wal"}  # content() may leave the latter two


def test_nothing_lies_beside_a_backup_of_a_wal_database(tmp_path: Path, backup: Path) -> None:
    source = make_database(tmp_path / "app.sqlite", "wal")
    (tmp_path / "run").mkdir()
    back_up_running(source, tmp_path / "run" / "source.sqlite")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["source.sqlite"]


def test_rows_that_are_only_in_the_wal_come_along(tmp_path: Path, backup: Path) -> None:
    source = make_database(tmp_path / "app.sqlite", "wal")
    with writer(source) as process:
        made = back_up_running(source, backup)
        ended(process)
    assert made.longest_pause_ms == 0
    assert ("note 0",) in [row[2:] for row in content(backup)]


def test_a_backup_that_is_there_is_kept(tmp_path: Path, backup: Path) -> None:
    source = make_database(tmp_path / "app.sqlite")
    made = back_up_running(source, backup)
    again = back_up_running(source, backup)
    assert (again.changed, again.sha256) == (False, made.sha256)


def test_the_pause_of_a_busy_writer_is_measured_and_bounded(large: Path, backup: Path) -> None:
    with writer(large, every=0.02) as process:
        time.sleep(0.1)
        made = back_up_running(large, backup, Limits(pause_ms=5000, seconds=60))
        seen = ended(process)
    assert made.longest_pause_ms is not None
    assert made.restarts >= 20  # It was too busy for small steps: one go.
    assert 5 < made.longest_pause_ms <= 5000
    assert seen["worst_ms"] <= made.longest_pause_ms + WRITERS_OWN_WAITING_MS
    assert seen["worst_ms"] >= made.longest_pause_ms / 3  # It is a pause that a writer really sees.
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (12501,)
        # One moment, not a mixture: events are numbered without a gap.
        assert connection.execute("SELECT count(*) = max(id) FROM events").fetchone() == (1,)


def test_the_whole_time_of_one_go_is_the_pause(large: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its steps is made to take longer, so that the sum is beyond any single step."""
    own = _InOneGo.__call__

    def slowly(watch: _InOneGo, status: int, remaining: int, total: int) -> None:
        time.sleep(0.01)
        own(watch, status, remaining, total)

    monkeypatch.setattr(_InOneGo, "__call__", slowly)
    with writer(large, every=0.02) as process:
        made = back_up_running(large, backup, Limits(pause_ms=8000, seconds=60))
        seen = ended(process)
    assert made.longest_pause_ms is not None
    assert made.longest_pause_ms >= 500
    assert seen["worst_ms"] >= 500


def test_a_pause_beyond_the_limit_is_refused_with_numbers(large: Path, backup: Path) -> None:
    with writer(large, every=0.01) as process:
        with pytest.raises(MigrationError) as refusal:
            back_up_running(large, backup, Limits(pause_ms=15, seconds=1))
        seen = ended(process)
    assert "the limit is 15 ms" in refusal.value.fact
    assert "new beginnings" in refusal.value.fact
    assert f"process {process.pid} (python" in refusal.value.fact
    assert "pause_limit_ms" in refusal.value.mend
    assert refusal.value.details["expected_pause_ms"] > 15
    assert seen["worst_ms"] <= 15 + WRITERS_OWN_WAITING_MS
    assert not backup.exists()


def test_one_go_is_broken_off_at_the_limit(large: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the small steps promised does not hold: the lock is let go all the same."""
    module = "ansible_collections.contralock.database.plugins.module_utils.live_copy"
    monkeypatch.setattr(f"{module}.CAUTION", 1000)
    monkeypatch.setattr(f"{module}.RESTARTS_BEFORE_ONE_GO", 1)
    with writer(large, every=0.01) as process:
        with pytest.raises(MigrationError, match="took too long"):
            back_up_running(large, backup, Limits(pause_ms=20, seconds=10))
        seen = ended(process)
    assert seen["worst_ms"] <= 20 + WRITERS_OWN_WAITING_MS


def test_steps_get_smaller_where_the_disk_is_slow(tmp_path: Path, backup: Path) -> None:
    source = make_database(tmp_path / "app.sqlite", megabytes=3)
    steps = []

    def note(_what: str, done: int, _total: int) -> None:
        steps.append(done)

    with pytest.raises(MigrationError, match=r"copying single pages of .* took too long"):
        back_up_running(source, backup, Limits(pause_ms=0), note)
    assert steps[:5] == [256, 64, 16, 4, 1]


def test_where_no_page_could_be_copied_no_number_is_made_up(
    tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is locked from the moment at which the copying begins."""
    source = make_database(tmp_path / "app.sqlite")
    own, lockers = LiveCopy.run, []

    def lock_and_run(copying: LiveCopy) -> None:
        lockers.append(writer(source, every=60, locking_mode="exclusive"))
        lockers[0].__enter__()
        own(copying)

    monkeypatch.setattr(LiveCopy, "run", lock_and_run)
    monkeypatch.setattr(LiveCopy, "_prepare", lambda copying: setattr(copying, "journal_mode", "delete"))
    try:
        with pytest.raises(MigrationError, match="no page could be copied"):
            back_up_running(source, backup, Limits(seconds=0.3))
    finally:
        lockers[0].__exit__(None, None, None)


def test_a_source_that_another_process_keeps_locked_is_refused_by_name(
    tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.contralock.database.plugins.module_utils.live_copy._LOCK_WAIT_MS", 100)
    source = make_database(tmp_path / "app.sqlite")
    with (
        writer(source, locking_mode="exclusive") as process,
        pytest.raises(MigrationError, match=rf"locked by another process.*in use by process {process.pid} \(python"),
    ):
        back_up_running(source, backup)


@pytest.mark.parametrize("kind", ["orphan", "broken page"])
def test_a_source_that_contradicts_itself_leaves_no_backup(tmp_path: Path, backup: Path, kind: str) -> None:
    source = make_database(tmp_path / "app.sqlite", megabytes=0.5)
    if kind == "orphan":
        with closing(sqlite3.connect(source)) as connection, connection:
            connection.execute("INSERT INTO events (user, note) VALUES ('nobody', 'x')")
    else:
        with source.open("r+b") as file:
            file.seek(4096 * 20)
            file.write(b"\xff" * 4096)
    with pytest.raises(MigrationError, match=r"integrity check|is damaged|row that refers"):
        back_up_running(source, backup)
    assert list(tmp_path.iterdir()) == [source]


def test_no_room_is_refused_before_anything_is_written(
    tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_database(tmp_path / "app.sqlite")
    monkeypatch.setattr(
        "ansible_collections.contralock.database.plugins.module_utils.durable_files.SPARE_BYTES", 1 << 60
    )
    with pytest.raises(MigrationError, match=r"has room for \d+ MB, and the backup of .* needs"):
        back_up_running(source, backup)
    assert list(tmp_path.iterdir()) == [source]


@contextmanager
def full_disk(folder: Path) -> Iterator[str]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    try:
        yield "database or disk is full"
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def small_quota(_folder: Path) -> Iterator[str]:
    """No file may grow beyond 1 MB; SQLite tells any limit but a full disk as an error of the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        yield "disk I/O error"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [full_disk, small_quota])
def test_a_copy_that_cannot_be_written_is_no_damaged_source(
    tmp_path: Path, limit: Callable[[Path], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_database(tmp_path / "app.sqlite", megabytes=3)
    folder = tmp_path / "run"
    folder.mkdir()
    # There is room when it begins.
    monkeypatch.setattr(live_copy, "assert_room", lambda *_: None)
    with limit(folder) as words:
        with pytest.raises(MigrationError) as refusal:
            back_up_running(source, folder / "source.sqlite")
        assert list(folder.iterdir()) == []
    assert refusal.value.fact == f"cannot back up {source}: {words} ({folder / 'source.sqlite.part'})"
    assert "Restore" not in refusal.value.mend


def test_a_missing_source_is_refused(tmp_path: Path, backup: Path) -> None:
    with pytest.raises(MigrationError, match="there is no file"):
        back_up_running(tmp_path / "none.sqlite", backup)


def test_a_killed_backup_leaves_only_its_part_and_the_next_one_completes(tmp_path: Path, backup: Path) -> None:
    source = make_database(tmp_path / "app.sqlite", megabytes=3)

    def killed_in_the_middle(_what: str, done: int, total: int) -> None:
        if done > total / 2:
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(lambda: back_up_running(source, backup, progress=killed_in_the_middle)) == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.sqlite", "source.sqlite.part"]
    assert back_up_running(source, backup).changed
    assert content(backup) == content(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.sqlite", "source.sqlite"]


def test_nothing_is_held_afterwards(tmp_path: Path, backup: Path) -> None:
    """The writer goes on when the backup is done."""
    source = make_database(tmp_path / "app.sqlite", megabytes=1)
    with writer(source, every=0.005) as process:
        back_up_running(source, backup, Limits(pause_ms=5000))
        made = content(source)
        time.sleep(0.3)
        assert len(content(source)) > len(made)
        assert [found.pid for found in find_holders(source)] == [process.pid]


def test_each_part_is_timed_by_itself(tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a window takes is foretold from them: the copy, the reading for the checksum, SQLite's checks."""

    clock = [0.0]
    monkeypatch.setattr(sqlite_backup, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slower(name: str, seconds: float) -> None:
        real = getattr(sqlite_backup, name)

        def slow(*given: Any) -> Any:
            clock[0] += seconds
            return real(*given)

        monkeypatch.setattr(sqlite_backup, name, slow)

    slower("copy_live", 3.0)
    slower("sha256_of", 5.0)
    slower("assert_sound_file", 7.0)
    made = back_up_running(make_database(tmp_path / "app.sqlite"), backup)
    assert (made.seconds, made.hash_seconds, made.check_seconds) == (3.0, 5.0, 7.0)
