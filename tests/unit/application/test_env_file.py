"""The file around the text: replaced whole, with all that belongs to it, or left as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.env_file import (
    is_secret_name,
    plan_change,
    read_env_file,
    write_env_file,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError

TEXT = "# mine\nDB_TYPE=sqlite\nJWT_SECRET=of-the-application\nDB_PASS=former-one\n"


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def change(path: Path, backup_to: Path | None = None, **values: str) -> None:
    file = read_env_file(path)
    write_env_file(file, plan_change(file, values).text, backup_to)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_owner_mode_and_attributes_stay(env):
    if os.geteuid() == 0:
        os.chown(env, 1234, 2345)
    os.setxattr(env, "user.kept", b"yes")
    before = env.stat()
    change(env, DB_TYPE="postgresql")
    after = env.stat()
    assert env.read_text() == TEXT.replace("sqlite", "postgresql")
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert os.getxattr(env, "user.kept") == b"yes"
    assert after.st_ino != before.st_ino
    assert everything_in(env.parent).keys() == {".env"}


def test_a_symbolic_link_stays_and_its_file_changes(env, tmp_path):
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to("../.env")
    change(link, DB_TYPE="postgresql")
    assert link.is_symlink()
    assert "postgresql" in env.read_text()


def test_bytes_that_are_no_text_stay(env):
    env.write_bytes(b"NAME=\xff\xfe\nDB_TYPE=sqlite\n")
    change(env, DB_TYPE="postgresql")
    assert env.read_bytes() == b"NAME=\xff\xfe\nDB_TYPE=postgresql\n"


def test_the_copy_is_private_and_holds_what_stood_first(env, tmp_path):
    copy = tmp_path / "env.before"
    change(env, copy, DB_TYPE="postgresql")
    change(env, copy, DB_TYPE="sqlite", DB_HOST="db1")
    assert copy.read_text() == TEXT
    assert copy.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_run_left_goes(env):
    (env.parent / ".env.contralock-new").write_text("half")
    change(env, DB_TYPE="postgresql")
    assert everything_in(env.parent).keys() == {".env"}


def test_a_change_of_somebody_else_is_not_lost(env):
    file = read_env_file(env)
    env.write_text(f"{TEXT}NEW=1\n")
    with pytest.raises(MigrationError, match="was changed by somebody else meanwhile"):
        write_env_file(file, "DB_TYPE=postgresql\n")
    assert env.read_text() == f"{TEXT}NEW=1\n"


def test_when_it_cannot_be_replaced_nothing_has_changed(env, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MigrationError, match=r"cannot replace .*\.env: No space left on device"):
        change(env, DB_TYPE="postgresql")
    assert everything_in(env.parent) == {".env": TEXT.encode()}


def test_a_reader_never_sees_half_a_file(env):
    """A shell reads the file over and over while it is replaced."""
    loop = f"while :; do cat {env} || exit 1; echo; echo END; done"
    with subprocess.Popen(["sh", "-c", loop], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        for number in range(100):
            change(env, DB_TYPE=("postgresql", "sqlite")[number % 2])
        reader.kill()
        seen = reader.communicate()[0].decode().split("\nEND\n")[:-1]
    assert set(seen) <= {TEXT, TEXT.replace("sqlite", "postgresql")}
    assert len(seen) > 1


def test_the_diff_shows_the_changed_keys_and_no_secret(env):
    file = read_env_file(env)
    planned = plan_change(file, {"DB_TYPE": "postgresql", "DB_PASS": "new-one", "DB_NAME": "also"}, secret={"DB_NAME"})
    assert planned.keys == ("DB_TYPE", "DB_PASS", "DB_NAME")
    assert planned.before == "DB_TYPE=sqlite\nDB_PASS=(hidden)\n"
    assert planned.after == "DB_TYPE=postgresql\nDB_PASS=(hidden)\nDB_NAME=(hidden)\n"
    assert "former-one" not in repr(file) + repr(planned)
    assert "new-one" not in repr(planned)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("DB_PASS", True),
        ("db_password", True),
        ("JWT_SECRET", True),
        ("STRIPE_KEY", True),
        ("DATABASE_URL", True),
        ("DB_TYPE", False),
        ("DB_PATH", False),
        ("DB_SSL_CA", False),
        ("DB_POOL_MAX", False),
    ],
)
def test_names_that_tell_of_a_secret(name, secret):
    assert is_secret_name(name) == secret


def test_refusals_name_the_file(env, tmp_path):
    other = tmp_path / "other"
    other.hardlink_to(env)
    dangling = tmp_path / "dangling"
    dangling.symlink_to("nowhere")
    cases = {
        env: "one file under 2 names",
        tmp_path / "missing": "there is no file",
        dangling: "there is no file",
        tmp_path: "is no file",
        env / "below": "cannot read",
    }
    for path, message in cases.items():
        with pytest.raises(MigrationError) as refused:
            read_env_file(path)
        assert message in str(refused.value)
        assert str(path) in str(refused.value)
