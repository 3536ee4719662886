"""The fence: raised against real processes, lowered again, and killed at every point of both."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import sqlite_fence
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.open_databases import databases_of
from ansible_collections.contralock.database.plugins.module_utils.run_directory import create_run
from ansible_collections.contralock.database.plugins.module_utils.run_step import within_run
from ansible_collections.contralock.database.plugins.module_utils.sqlite_fence import (
    lower_fence,
    predict_fence,
    raise_fence,
)

from tests.integration.source_file_care.kill_points import count_calls, kill_at, tree, unswappable
from tests.integration.source_file_care.left_files import LEFT, kill, placed, rows
from tests.integration.source_file_care.module_calls import call
from tests.integration.source_file_care.source_files import (
    can_write,
    checksum,
    content,
    ended,
    holder,
    make_database,
    running,
    writer,
)

RUN = "20260101T020000Z-cut_over-1f3a"

IGNORES_THE_STOP = """
import signal, sqlite3, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
print("deaf", flush=True)
while True:
    connection.execute("INSERT INTO events (note) VALUES ('still here')")
    time.sleep(0.02)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return make_database(tmp_path / "data" / "app.sqlite")


@pytest.mark.parametrize("left", LEFT)
def test_raised_and_lowered(templates: Path, tmp_path: Path, left: str) -> None:
    path = placed(templates, left, tmp_path / "data")
    expected = rows(templates / left)
    before = path.stat()
    fence = raise_fence(path, RUN, watch=0)
    moved = path.with_name(f"app.sqlite.before-{RUN}")
    assert (fence.path, fence.moved_to, fence.state, fence.changed) == (path, moved, "present", True)
    assert (fence.inode, fence.mode, fence.owner, fence.group) == (before.st_ino, "0640", "root", "root")
    assert (fence.bytes, fence.sha256) == (moved.stat().st_size, checksum(moved))
    assert path.is_dir()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["app.sqlite", moved.name]
    shutil.copy(moved, tmp_path / "copy.sqlite")
    assert content(tmp_path / "copy.sqlite") == expected

    again = raise_fence(path, RUN, watch=0)
    assert (again.changed, again.sha256, again.inode) == (False, fence.sha256, fence.inode)

    lowered = lower_fence(path, RUN, fence.sha256 or "")
    assert (lowered.state, lowered.changed, lowered.sha256) == ("absent", True, fence.sha256)
    assert [entry.name for entry in path.parent.iterdir()] == ["app.sqlite"]
    assert (path.stat().st_ino, checksum(path)) == (before.st_ino, fence.sha256)
    assert not lower_fence(path, RUN, fence.sha256 or "").changed


def test_a_neighbour_whose_name_is_no_utf_8_comes_into_the_journal(database: Path, tmp_path: Path) -> None:
    neighbour = database.with_name(os.fsdecode(b"Kopie_M\xe4rz.sqlite"))
    shutil.copy(database, neighbour)
    named = f"{database.parent}/Kopie_M\\xe4rz.sqlite"
    run = create_run(tmp_path, "cut_over", {})
    with within_run(str(run.path), "fence") as step:
        step.facts = {"databases": raise_fence(database, RUN, watch=0).databases}
    assert named in run.facts("fence")["databases"]
    # The proof looks for what was not there before.
    with neighbour.open("rb"):
        assert named in databases_of([os.getpid()])


@pytest.mark.parametrize(("left", "mode"), [("closed", "delete"), ("wal killed", "wal"), ("journal kept", "delete")])
def test_the_journal_mode_stays(templates: Path, tmp_path: Path, left: str, mode: str) -> None:
    path = placed(templates, left, tmp_path / "data")
    assert raise_fence(path, RUN, watch=0).journal_mode == mode
    lower_fence(path, RUN)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_a_closed_rollback_file_keeps_its_bytes(database: Path) -> None:
    before = checksum(database)
    assert raise_fence(database, RUN, watch=0).sha256 == before
    lower_fence(database, RUN, before)
    assert checksum(database) == before


@pytest.mark.parametrize("statement", ["SELECT 1 FROM users", "CREATE TABLE users (id)"])
def test_a_forgotten_process_can_neither_read_nor_make_a_database(database: Path, statement: str) -> None:
    raise_fence(database, RUN, watch=0)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"), closing(sqlite3.connect(database)) as late:
        late.execute(statement)
    assert "moved to PostgreSQL" in (database / "README").read_text()


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_writer_that_was_not_stopped_is_refused_by_name(tmp_path: Path, journal_mode: str) -> None:
    path = make_database(tmp_path / "app.sqlite", journal_mode)
    with writer(path) as process:
        with pytest.raises(MigrationError, match=rf"still in use by process {process.pid} \(python"):
            raise_fence(path, RUN, patience=0.1, watch=0)
        assert path.is_file()
        assert ended(process)["writes"] > 0
    assert raise_fence(path, RUN, watch=0).changed


def test_a_process_that_ignores_the_stop_is_refused_until_it_is_killed(database: Path) -> None:
    with running(IGNORES_THE_STOP, database) as process:
        process.send_signal(signal.SIGTERM)
        with pytest.raises(MigrationError, match=f"process {process.pid}"):
            raise_fence(database, RUN, patience=0.3, watch=0)
        kill(process)
    assert raise_fence(database, RUN, watch=0).changed


def test_a_process_that_only_holds_it_is_refused(database: Path) -> None:
    with holder(database), pytest.raises(MigrationError, match="still in use"):
        raise_fence(database, RUN, patience=0, watch=0)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_lock_is_refused_even_where_its_holder_cannot_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal_mode: str
) -> None:
    """Another container, for instance: the file is shared and the processes are not."""
    path = make_database(tmp_path / "app.sqlite", journal_mode)
    monkeypatch.setattr(sqlite_fence, "assert_no_holders", lambda *_: None)
    with writer(path, every=5, locking_mode="exclusive"), pytest.raises(MigrationError, match="SQLITE_BUSY"):
        raise_fence(path, RUN, patience=0.2, watch=0)
    assert path.is_file()


def test_an_idle_connection_in_wal_mode_is_a_lock_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_database(tmp_path / "app.sqlite", "wal")
    monkeypatch.setattr(sqlite_fence, "assert_no_holders", lambda *_: None)
    with writer(path, every=5), pytest.raises(MigrationError, match="SQLITE_BUSY"):
        raise_fence(path, RUN, patience=0.2, watch=0)


def test_nobody_can_write_while_it_is_raised(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock holds up to the swap: no descriptor of the file was closed since it was taken."""
    own = sqlite_fence._swap
    seen = []

    def swap_and_try(path: Path, moved: Path) -> None:
        own(path, moved)
        seen.append(can_write(moved))

    monkeypatch.setattr(sqlite_fence, "_swap", swap_and_try)
    raise_fence(database, RUN, watch=0)
    assert seen == [False]
    assert can_write(database.with_name(f"app.sqlite.before-{RUN}"))


def test_who_opens_it_at_the_last_moment_makes_it_go_back(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = sqlite_fence._swap
    opened = []

    def open_and_swap(path: Path, moved: Path) -> None:
        context = holder(path)
        opened.append((context, context.__enter__()))
        own(path, moved)

    monkeypatch.setattr(sqlite_fence, "_swap", open_and_swap)
    before = checksum(database)
    try:
        with pytest.raises(MigrationError, match="was opened while it was being fenced, by process"):
            raise_fence(database, RUN, watch=0)
    finally:
        opened[0][0].__exit__(None, None, None)
    assert tree(database.parent) == {"app.sqlite": database.read_bytes()}
    assert checksum(database) == before


def test_a_writer_past_the_locks_is_noticed(database: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        # It opens no descriptor: closing one would drop the lock, which this process has.
        while not stop.is_set():
            os.utime(database)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with pytest.raises(MigrationError, match="changes although it is locked"):
            raise_fence(database, RUN, watch=0.3)
    finally:
        stop.set()
        thread.join()
    assert database.is_file()


def test_a_file_with_two_names_is_refused(database: Path) -> None:
    os.link(database, database.with_name("second"))
    for deed in (lambda: raise_fence(database, RUN, watch=0), lambda: predict_fence(database, RUN, raised=True)):
        with pytest.raises(MigrationError, match="one file under 2 names"):
            deed()


def test_a_symbolic_link_stays_and_leads_to_the_fence(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite"
    link.symlink_to(database)
    assert raise_fence(link, RUN, watch=0).path == database
    assert link.is_symlink()
    assert link.is_dir()
    assert lower_fence(link, RUN).changed
    assert link.is_file()


@pytest.mark.parametrize(
    ("own", "moved", "words"),
    [
        ("absent", "absent", "is nothing"),
        ("file", "file", "is a file, and app.sqlite.before-.* is a file"),
        ("fence", "absent", "is a fence"),
        ("other", "absent", "is a directory with files in it"),
        ("other", "file", "is a directory with files in it"),
        ("file", "other", "beside it is a directory with files in it"),
    ],
)
def test_what_is_in_the_way_is_refused(tmp_path: Path, own: str, moved: str, words: str) -> None:
    path = tmp_path / "app.sqlite"
    for name, kind in ((path, own), (path.with_name(f"app.sqlite.before-{RUN}"), moved)):
        if kind == "file":
            make_database(name)
        elif kind != "absent":
            name.mkdir()
            (name / ("README" if kind == "fence" else "other")).touch()
    before = tree(tmp_path)
    with pytest.raises(MigrationError, match=words):
        raise_fence(path, RUN, watch=0)
    if (own, moved) != ("file", "other"):
        with pytest.raises(MigrationError):
            lower_fence(path)
    assert tree(tmp_path) == before


def test_another_run_s_fence_is_named(database: Path) -> None:
    raise_fence(database, "earlier", watch=0)
    for deed in (raise_fence, lower_fence):
        with pytest.raises(MigrationError, match=r"another run left app\.sqlite\.before-earlier"):
            deed(database, RUN)


def test_a_file_that_was_changed_behind_the_fence_is_not_put_back(database: Path) -> None:
    fence = raise_fence(database, RUN, watch=0)
    with closing(sqlite3.connect(fence.moved_to)) as connection, connection:
        connection.execute("INSERT INTO events (note) VALUES ('behind')")
    with pytest.raises(MigrationError, match="somebody changed it"):
        lower_fence(database, RUN, fence.sha256 or "")
    assert database.is_dir()


def test_a_restored_file_beside_the_original_is_as_good_as_lowered(database: Path) -> None:
    fence = raise_fence(database, RUN, watch=0)
    shutil.rmtree(database)
    shutil.copy(fence.moved_to, database)
    assert not lower_fence(database, RUN, fence.sha256 or "").changed
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO events (note) VALUES ('later')")
    with pytest.raises(MigrationError, match="their bytes differ"):
        lower_fence(database, RUN, fence.sha256 or "")


def test_the_fence_itself_says_which_run_raised_it(database: Path) -> None:
    """The way back is another run, and an original of an earlier one may still lie there."""
    make_database(database.with_name("app.sqlite.before-z-later-name"))
    fence = raise_fence(database, RUN, watch=0)
    assert predict_fence(database, "", raised=False).moved_to == fence.moved_to
    lowered = lower_fence(database)
    assert (lowered.changed, lowered.moved_to) == (True, fence.moved_to)
    assert checksum(database) == fence.sha256


@pytest.mark.usefixtures("nobody_there")
def test_a_half_raised_fence_is_found_too(database: Path) -> None:
    calls = count_calls(lambda: predict_fence(database, RUN, raised=True))
    assert calls == 0
    kill_at(lambda: raise_fence(database, RUN, watch=0), 1, "after")
    assert lower_fence(database).changed
    assert [entry.name for entry in database.parent.iterdir()] == ["app.sqlite"]
    assert not lower_fence(database).changed


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".hidden"])
def test_an_id_that_is_no_part_of_a_name_is_refused(database: Path, run_id: str) -> None:
    with pytest.raises(MigrationError, match="no id of a run"):
        raise_fence(database, run_id)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"no database, and long enough to be looked at" * 100)
    with pytest.raises(MigrationError, match="is not a SQLite database"):
        raise_fence(path, RUN, watch=0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["app.sqlite"]


def test_a_file_that_cannot_be_moved_stays(database: Path) -> None:
    """A file that is a mount point of its own, as containers like to have it."""
    subprocess.run(["mount", "--bind", database, database], check=True)
    try:
        with pytest.raises(MigrationError, match="busy") as refusal:
            raise_fence(database, RUN, watch=0)
        assert "mount its directory" in refusal.value.mend
        assert [entry.name for entry in database.parent.iterdir()] == ["app.sqlite"]
    finally:
        subprocess.run(["umount", database], check=True)


def test_without_swappable_names_it_ends_in_the_same_place(database: Path) -> None:
    before = checksum(database)
    unswappable(lambda: raise_fence(database, RUN, watch=0))
    assert database.is_dir()
    unswappable(lambda: lower_fence(database, RUN, before))
    assert tree(database.parent) == {"app.sqlite": database.read_bytes()}
    assert checksum(database) == before


def test_the_module_raises_and_lowers(database: Path) -> None:
    before = checksum(database)
    wanted = {"path": database, "run_id": RUN, "watch": 0}
    assert call("sqlite_fence", check=True, **wanted)["changed"]
    assert database.is_file()
    raised = call("sqlite_fence", **wanted)
    assert (raised["changed"], raised["sha256"], raised["state"]) == (True, before, "present")
    assert raised["facts"]["moved_to"] == raised["moved_to"]
    assert not call("sqlite_fence", **wanted)["changed"]
    assert not call("sqlite_fence", check=True, **wanted)["changed"]
    lowered = call("sqlite_fence", **wanted, state="absent", expected_sha256=before)
    assert (lowered["changed"], lowered["state"]) == (True, "absent")
    assert checksum(database) == before


def test_the_module_refuses_with_facts(database: Path) -> None:
    with holder(database) as process:
        refused = call("sqlite_fence", path=database, run_id=RUN, patience=0, watch=0)
    assert refused.failed
    assert refused["details"]["holders"][0]["pid"] == process.pid
