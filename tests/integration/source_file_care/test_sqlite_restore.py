"""The way back of the file: byte-equal, from a backup that proves itself, and killed at every point."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import sqlite_restore
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sqlite_backup import copy_stopped
from ansible_collections.contralock.database.plugins.module_utils.sqlite_fence import Fence, lower_fence, raise_fence
from ansible_collections.contralock.database.plugins.module_utils.sqlite_restore import (
    Ownership,
    Restoration,
    check_backup,
    predict_restore,
    restore_file,
)

from tests.integration.source_file_care.kill_points import count_calls, kill_at, tree, unswappable
from tests.integration.source_file_care.module_calls import call
from tests.integration.source_file_care.source_files import checksum, content, holder, make_database

RUN = "20260101T020000Z-cut_over-1f3a"
NOBODY = 65534


def cut_over(directory: Path, journal_mode: str = "delete") -> tuple[Fence, Restoration]:
    """Fence and back up, as the window does; return what is known afterwards."""
    (directory / "data").mkdir(parents=True)
    (directory / "run").mkdir()
    path = make_database(directory / "data" / "app.sqlite", journal_mode)
    os.chown(path, NOBODY, NOBODY)
    fence = raise_fence(path, RUN, watch=0)
    made = copy_stopped(fence.moved_to, directory / "run" / "source.sqlite", fence.sha256 or "")
    assert made.sha256 is not None
    ownership = Ownership(fence.owner, fence.group, fence.mode)
    return fence, Restoration(made.path, made.sha256, path, ownership, fence.moved_to)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("keep", [True, False], ids=["original kept", "original removed"])
def test_the_restored_file_has_the_bytes_owner_and_mode(tmp_path: Path, journal_mode: str, keep: bool) -> None:
    fence, wanted = cut_over(tmp_path, journal_mode)
    expected = content(fence.moved_to)
    os.setxattr(fence.moved_to, "user.note", b"kept")
    wanted = replace(wanted, keep_original=keep)
    for ending in ("-wal", "-shm", "-journal"):  # SQLite in content() left some; these are somebody else's
        (tmp_path / "data" / f"app.sqlite{ending}").write_bytes(b"stale")
        (tmp_path / "data" / f"{fence.moved_to.name}{ending}").unlink(missing_ok=True)
    restored = restore_file(wanted)
    assert restored.changed
    assert restored.original == ("kept" if keep else "removed")
    assert (restored.sha256, checksum(wanted.path)) == (fence.sha256, fence.sha256)
    names = {"app.sqlite", fence.moved_to.name} if keep else {"app.sqlite"}
    assert {entry.name for entry in (tmp_path / "data").iterdir()} == names
    found = wanted.path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, NOBODY, 0o640)
    assert os.getxattr(wanted.path, "user.note") == b"kept"
    assert content(wanted.path) == expected

    again = restore_file(wanted)
    assert (again.changed, again.original) == (False, "kept" if keep else "absent")
    assert not lower_fence(wanted.path, RUN, fence.sha256 or "").changed


def test_owner_and_mode_are_the_original_s_unless_given(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    restore_file(replace(wanted, ownership=Ownership(), original=None))
    found = wanted.path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, NOBODY, 0o640)
    assert not fence.moved_to.exists()


def test_an_owner_that_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    fence.moved_to.unlink()
    for deed in (restore_file, predict_restore):
        with pytest.raises(MigrationError, match="nobody knows whose"):
            deed(replace(wanted, ownership=Ownership("root", "root")))
    assert wanted.path.is_dir()


def test_where_the_fence_is_gone_it_is_restored_all_the_same(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    shutil.rmtree(wanted.path)
    fence.moved_to.unlink()
    assert restore_file(wanted).original == "absent"
    assert checksum(wanted.path) == fence.sha256


def test_forward_again_after_the_way_back(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    restore_file(replace(wanted, keep_original=True))
    second = raise_fence(wanted.path, "second", watch=0)
    assert second.sha256 == fence.sha256
    assert second.moved_to != fence.moved_to


def test_a_tampered_backup_is_refused(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    with wanted.backup.open("r+b") as file:
        file.seek(5000)
        file.write(b"tampered")
    before = tree(tmp_path / "data")
    for deed in (restore_file, predict_restore, check_backup):
        with pytest.raises(MigrationError, match="was changed"):
            deed(wanted)
    assert tree(tmp_path / "data") == before
    assert lower_fence(wanted.path, RUN, fence.sha256 or "").changed


def test_a_backup_that_changes_while_it_is_copied_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wanted = cut_over(tmp_path)

    def change_it(*_: object) -> None:
        with wanted.backup.open("r+b") as file:
            file.seek(5000)
            file.write(b"tampered")

    monkeypatch.setattr(sqlite_restore, "assert_room", change_it)
    with pytest.raises(MigrationError, match="was changed"):
        restore_file(wanted)
    assert wanted.path.is_dir()
    assert not wanted.path.with_name("app.sqlite.restored.part").exists()


def test_a_check_of_the_backup_does_not_mind_what_became_of_the_file(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    fence.moved_to.unlink()
    assert check_backup(replace(wanted, ownership=Ownership())).sha256 == fence.sha256
    restore_file(wanted)
    with closing(sqlite3.connect(wanted.path)) as application, application:
        application.execute("INSERT INTO events (note) VALUES ('after the way back')")
    assert not check_backup(wanted).changed


def test_a_backup_that_contradicts_itself_is_put_back_only_unasked(tmp_path: Path) -> None:
    """Its checksum says that it was not changed, and nothing of what is in it."""
    _, wanted = cut_over(tmp_path)
    with closing(sqlite3.connect(wanted.backup)) as connection, connection:
        connection.execute("INSERT INTO events (user, note) VALUES ('nobody', 'an orphan')")
    wanted = replace(wanted, sha256=checksum(wanted.backup))
    before = tree(tmp_path / "data")
    with pytest.raises(MigrationError, match=r"refers? to a row that is not there"):
        restore_file(replace(wanted, sound=True))
    assert tree(tmp_path / "data") == before
    assert restore_file(wanted).changed


def test_a_sound_backup_is_put_back_when_that_is_asked(tmp_path: Path) -> None:
    _, wanted = cut_over(tmp_path)
    answer = call(
        "sqlite_restore",
        backup=wanted.backup,
        sha256=wanted.sha256,
        path=tmp_path / "scratch.sqlite",
        owner="root",
        group="root",
        mode="0600",
        sound=True,
    )
    assert not answer.failed, answer.facts
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "run", "scratch.sqlite"]
    assert checksum(tmp_path / "scratch.sqlite") == wanted.sha256


def test_a_missing_backup_is_refused(tmp_path: Path) -> None:
    _, wanted = cut_over(tmp_path)
    wanted.backup.unlink()
    for deed in (restore_file, predict_restore, check_backup):
        with pytest.raises(MigrationError, match="there is no backup"):
            deed(wanted)


def test_a_file_that_somebody_made_is_not_replaced(tmp_path: Path) -> None:
    _, wanted = cut_over(tmp_path)
    shutil.rmtree(wanted.path)
    make_database(wanted.path)
    before = tree(tmp_path / "data")
    for deed in (restore_file, predict_restore):
        with pytest.raises(MigrationError, match="a file with other bytes than the backup"):
            deed(wanted)
    assert tree(tmp_path / "data") == before
    wanted.path.unlink()
    wanted.path.mkdir()
    (wanted.path / "theirs").touch()
    with pytest.raises(MigrationError, match="a directory with files in it"):
        restore_file(wanted)


def test_a_restored_file_in_use_is_left_alone(tmp_path: Path) -> None:
    """The application runs on it again, and its last writes are still in the log."""
    fence, wanted = cut_over(tmp_path, "wal")
    restore_file(wanted)
    with closing(sqlite3.connect(wanted.path)) as application:
        application.execute("INSERT INTO events (note) VALUES ('after the way back')")
        application.commit()
        assert not restore_file(wanted).changed
        assert not lower_fence(wanted.path, RUN, fence.sha256 or "").changed
    assert ("after the way back",) in [row[2:] for row in content(wanted.path)]


def test_an_original_that_somebody_holds_and_has_not_written_goes_back_itself(tmp_path: Path) -> None:
    """What he writes from then on is in the application's own file."""
    fence, wanted = cut_over(tmp_path)
    with holder(fence.moved_to):
        restored = restore_file(wanted)
        assert (restored.changed, restored.original) == (True, "put back")
        assert tree(wanted.path.parent) == {"app.sqlite": wanted.path.read_bytes()}
        assert wanted.path.stat().st_ino == fence.inode
        assert checksum(wanted.path) == fence.sha256
        assert not restore_file(wanted).changed


@pytest.mark.parametrize("why", ["written", "has a log", "is to be kept", "is to be sound"])
def test_another_original_that_somebody_holds_is_refused(tmp_path: Path, why: str) -> None:
    fence, wanted = cut_over(tmp_path)
    if why == "written":
        with fence.moved_to.open("ab") as file:
            file.write(b"later")
    if why == "has a log":
        fence.moved_to.with_name(f"{fence.moved_to.name}-wal").write_bytes(b"later")
    wanted = replace(wanted, keep_original=why == "is to be kept", sound=why == "is to be sound")
    with holder(fence.moved_to), pytest.raises(MigrationError, match="still in use"):
        restore_file(wanted)
    assert wanted.path.is_dir()


def test_an_original_with_other_bytes_stays(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    with fence.moved_to.open("ab") as file:
        file.write(b"later")
    restored = restore_file(wanted)
    assert restored.original == "different"
    assert fence.moved_to.exists()


@pytest.mark.parametrize(("field", "what"), [("owner", "account"), ("group", "group")])
def test_an_owner_that_is_gone_is_said(tmp_path: Path, field: str, what: str) -> None:
    _, wanted = cut_over(tmp_path)
    wanted = replace(wanted, ownership=replace(wanted.ownership, **{field: "gone"}))
    with pytest.raises(MigrationError, match=f"there is no {what} 'gone'"):
        restore_file(wanted)
    assert wanted.path.is_dir()
    assert not wanted.path.with_name("app.sqlite.restored.part").exists()


def test_no_room_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, wanted = cut_over(tmp_path)
    monkeypatch.setattr(
        "ansible_collections.contralock.database.plugins.module_utils.durable_files.SPARE_BYTES", 1 << 60
    )
    with pytest.raises(MigrationError, match="has room for"):
        restore_file(wanted)
    assert wanted.path.is_dir()


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize("held", [False, True], ids=["nobody there", "somebody holds the original"])
@pytest.mark.parametrize("swappable", [True, False], ids=["names swapped", "names cannot be swapped"])
def test_killed_anywhere_while_restoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swappable: bool, held: bool
) -> None:
    if held:
        monkeypatch.setattr(sqlite_restore, "find_holders", lambda _: ["somebody"])
    cut_over(tmp_path / "template")
    expected = checksum(tmp_path / "template" / "run" / "source.sqlite")

    def again(name: str) -> Restoration:
        directory = tmp_path / name
        shutil.copytree(tmp_path / "template", directory)
        (directory / "data" / "app.sqlite-journal").write_bytes(b"stale")
        for original in (directory / "data").glob("*.before-*"):
            os.chown(original, NOBODY, NOBODY)
        return Restoration(
            directory / "run" / "source.sqlite",
            expected,
            directory / "data" / "app.sqlite",
            Ownership("nobody", "nogroup", "0640"),
        )

    first = again("first")
    calls = count_calls(lambda: restore_file(first), swappable)
    assert calls >= (6 if held else 12)
    for number in range(1, calls + 1):
        for when in ("before", "after"):
            wanted = again(f"{number} {when}")
            kill_at(lambda wanted=wanted: restore_file(wanted), number, when, swappable)
            if swappable:
                assert wanted.path.exists(), "the name was free for a moment"
            if wanted.path.is_file():
                # It had its name: then it was whole, and no stale side file was beside it.
                assert checksum(wanted.path) == expected
                assert not wanted.path.with_name("app.sqlite-journal").exists()
            assert checksum(wanted.backup) == expected
            restore_file(wanted)
            assert tree(wanted.path.parent) == {"app.sqlite": wanted.path.read_bytes()}
            assert checksum(wanted.path) == expected
            assert (wanted.path.stat().st_uid, stat.S_IMODE(wanted.path.stat().st_mode)) == (NOBODY, 0o640)


def test_without_swappable_names_it_ends_in_the_same_place(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    unswappable(lambda: restore_file(wanted))
    assert checksum(wanted.path) == fence.sha256


def test_the_module_restores_once(tmp_path: Path) -> None:
    fence, wanted = cut_over(tmp_path)
    arguments = {
        "backup": wanted.backup,
        "sha256": wanted.sha256,
        "path": wanted.path,
    }
    tested = call("sqlite_restore", **arguments, state="tested")
    assert (tested["changed"], tested["sha256"]) == (False, fence.sha256)
    assert call("sqlite_restore", check=True, **arguments)["changed"]
    assert wanted.path.is_dir()
    done = call("sqlite_restore", **arguments)
    assert (done["changed"], done["sha256"], done["original"]) == (True, fence.sha256, "removed")
    assert done["facts"]["path"] == str(wanted.path)
    assert not call("sqlite_restore", **arguments)["changed"]
    refused = call("sqlite_restore", **{**arguments, "sha256": "0" * 64})
    assert refused.failed
    assert refused["details"]["expected"] == "0" * 64
