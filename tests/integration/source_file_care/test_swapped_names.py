"""Root works in folders of the application: what the application swaps there meanwhile must not hit files elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import durable_files, env_file, fence_directory
from ansible_collections.contralock.database.plugins.module_utils.durable_files import copy_synced, dress, new_file
from ansible_collections.contralock.database.plugins.module_utils.env_file import (
    plan_change,
    read_env_file,
    write_env_file,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.fence_directory import make_fence, remove_fence
from ansible_collections.contralock.database.plugins.module_utils.run_step import Interrupted
from ansible_collections.contralock.database.plugins.module_utils.sqlite_backup import back_up_running, copy_stopped
from ansible_collections.contralock.database.plugins.module_utils.sqlite_fence import lower_fence, raise_fence
from ansible_collections.contralock.database.plugins.module_utils.sqlite_restore import (
    Ownership,
    Restoration,
    restore_file,
)

from tests.integration.source_file_care.source_files import checksum, make_database

RUN = "20260101T020000Z-cut_over-1f3a"
NOBODY = 65534


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of root's that the application must not get."""
    path = tmp_path / "shadow"
    path.write_text("root's")
    path.chmod(0o600)
    return path


def state(path: Path) -> tuple[int, int, int, bytes, list[str]]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), path.read_bytes(), os.listxattr(path)


def swapping(name: Path, victim: Path, write: Callable[[int, bytes], None]) -> Callable[[int, bytes], None]:
    """Write, and then let the application put a link in the place of the file that is being written."""

    def write_and_swap(descriptor: int, content: bytes) -> None:
        write(descriptor, content)
        if name.exists():
            name.unlink()
            name.symlink_to(victim)

    return write_and_swap


def test_the_env_file_s_owner_goes_to_no_linked_file(tmp_path, victim, monkeypatch):
    env = tmp_path / "app" / ".env"
    env.parent.mkdir()
    env.write_text("DB_TYPE=sqlite\n")
    env.chmod(0o640)
    os.chown(env, NOBODY, NOBODY)
    os.setxattr(env, "user.note", b"kept")
    before = state(victim)
    swap = swapping(env.with_name(".env.contralock-new"), victim, durable_files.write_all)
    monkeypatch.setattr(durable_files, "write_all", swap)
    file = read_env_file(env)
    write_env_file(file, plan_change(file, {"DB_TYPE": "postgresql"}).text)
    assert state(victim) == before


def test_an_env_file_that_becomes_a_link_while_it_is_read_is_not_followed(tmp_path, victim, monkeypatch):
    """The application's own .env must not get the words of a file that only root may read."""
    env = tmp_path / ".env"
    env.write_text("DB_TYPE=sqlite\n")
    resolve = Path.resolve

    def resolve_and_swap(path: Path, strict: bool = False) -> Path:
        found = resolve(path, strict)
        env.unlink()
        env.symlink_to(victim)
        return found

    monkeypatch.setattr(env_file.Path, "resolve", resolve_and_swap)
    with pytest.raises(MigrationError, match="cannot read"):
        read_env_file(env)


def test_the_restored_file_s_owner_goes_to_no_linked_file(tmp_path, victim, monkeypatch):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "app.sqlite"
    backup = make_database(tmp_path / "source.sqlite")
    before = state(victim)
    swap = swapping(path.with_name("app.sqlite.restored.part"), victim, durable_files.write_all)
    monkeypatch.setattr(durable_files, "write_all", swap)
    with pytest.raises(MigrationError, match="reads back with the sha256"):
        restore_file(Restoration(backup, checksum(backup), path, Ownership("nobody", "nogroup", "0666")))
    assert state(victim) == before
    assert not path.exists()


def test_capabilities_are_not_passed_on(tmp_path):
    """A file of data with capabilities would run with them, once the application has made a program of it."""
    like = tmp_path / "like"
    like.write_text("")
    # <linux/capability.h>: revision 2, CAP_SETUID permitted and effective.
    os.setxattr(like, "security.capability", bytes.fromhex("0100000280000000000000000000000000000000"))
    os.setxattr(like, "user.note", b"kept")
    made = new_file(tmp_path / "made", 0o600)
    dress(made, NOBODY, NOBODY, 0o4640, like)
    os.close(made)
    assert os.listxattr(tmp_path / "made") == ["user.note"]
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o4640


@pytest.mark.parametrize("planted", ["directory", "README"])
def test_a_fence_is_written_through_no_link(tmp_path, victim, planted):
    elsewhere, fence = tmp_path / "elsewhere", tmp_path / "app.sqlite"
    elsewhere.mkdir()
    if planted == "directory":
        fence.symlink_to(elsewhere)
        with pytest.raises(OSError, match="Not a directory"):
            make_fence(fence, tmp_path / "moved")
    else:
        fence.mkdir()
        (fence / "README").symlink_to(victim)
        make_fence(fence, tmp_path / "moved")
        assert (fence / "README").read_text().splitlines()[1] == str(tmp_path / "moved")
        assert not (fence / "README").is_symlink()
    assert list(elsewhere.iterdir()) == []
    assert victim.read_text() == "root's"


def test_a_fence_is_removed_through_no_link(tmp_path, monkeypatch):
    """The link comes after the look at what stands there."""
    elsewhere, fence = tmp_path / "elsewhere", tmp_path / "app.sqlite"
    elsewhere.mkdir()
    (elsewhere / "README").write_text("theirs")
    fence.symlink_to(elsewhere)
    monkeypatch.setattr(fence_directory, "kind_of", lambda _path: "fence")
    with pytest.raises(OSError, match="Not a directory"):
        remove_fence(fence)
    assert (elsewhere / "README").exists()


def interrupt(*_: object) -> None:
    raise Interrupted


@pytest.mark.parametrize("deed", ["of a running one", "of a stopped one", "restored"])
def test_a_copy_that_is_interrupted_leaves_no_part(tmp_path, deed):
    """SIGTERM is no error of the program's, and everybody's data must not stay behind all the same."""
    source, copy = make_database(tmp_path / "app.sqlite"), tmp_path / "copy.sqlite"
    with pytest.raises(Interrupted):
        if deed == "of a running one":
            back_up_running(source, copy, progress=interrupt)
        elif deed == "of a stopped one":
            copy_stopped(source, copy, progress=interrupt)
        else:
            restore_file(Restoration(source, checksum(source), copy, Ownership("root", "root", "0600")), interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["app.sqlite"]


def test_a_fence_that_stands_holds_what_was_noted(tmp_path):
    path = make_database(tmp_path / "app.sqlite")
    fence = raise_fence(path, RUN, watch=0)
    assert fence.sha256 is not None
    again = raise_fence(path, RUN, watch=0, expected_sha256=fence.sha256)
    assert (again.changed, again.sha256) == (False, fence.sha256)
    with fence.moved_to.open("ab") as file:
        file.write(b"x")
    with pytest.raises(MigrationError, match="was noted when it was fenced: somebody changed it"):
        raise_fence(path, RUN, watch=0, expected_sha256=fence.sha256)


def test_a_file_that_was_given_back_meanwhile_is_fenced_whatever_it_holds(tmp_path):
    path = make_database(tmp_path / "app.sqlite")
    noted = raise_fence(path, RUN, watch=0).sha256 or ""
    lower_fence(path, RUN, noted)
    with path.open("ab") as file:
        file.write(b"\0" * 4096)
    assert raise_fence(path, RUN, watch=0, expected_sha256=noted).sha256 != noted


def test_a_copy_is_read_through_no_link(tmp_path, victim):
    (tmp_path / "link").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        copy_synced(tmp_path / "link", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
