"""Folders of schema changes: what is read, and what is refused before any database is asked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.schema_files import (
    load_changes,
    order_changes,
    select_change,
)

GOOD = {
    "0001_types.up.sql": b"CREATE TYPE role AS ENUM ('a');\n",
    "0001_types.down.sql": b"DROP TYPE role;\n",
    "0002_users.up.sql": "CREATE TABLE users (\n  náme text\n);\n".encode(),
    "0002_users.down.sql": b"DROP TABLE users;\n",
}


def write(folder: Path, files: dict[str, bytes | None]) -> Path:
    for name, content in files.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def test_changes_come_in_order_with_the_checksum_of_their_up_text(tmp_path: Path) -> None:
    changes = load_changes(write(tmp_path, {**GOOD, "README.md": b"what", ".hidden": b"x"}))
    assert [(change.name, change.number) for change in changes] == [("0001_types", 1), ("0002_users", 2)]
    assert changes[1].up == GOOD["0002_users.up.sql"].decode()
    assert changes[0].down == "DROP TYPE role;\n"
    assert changes[1].checksum == hashlib.sha256(GOOD["0002_users.up.sql"]).hexdigest()


def test_line_ends_of_windows_are_the_same_change(tmp_path: Path) -> None:
    (unix := tmp_path / "unix").mkdir()
    (windows := tmp_path / "windows").mkdir()
    write(unix, GOOD)
    write(windows, {name: text.replace(b"\n", b"\r\n") for name, text in GOOD.items()})
    assert load_changes(unix) == load_changes(windows)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"0001_types.down.sql": None}, ["0001_types has no down", "0001_types.down.sql"]),
        ({"0002_users.up.sql": None}, ["0002_users has no up"]),
        ({"0002_more.up.sql": b"x", "0002_more.down.sql": b"x"}, ["share a number: 0002_more, 0002_users"]),
        ({"0004_late.up.sql": b"x", "0004_late.down.sql": b"x"}, ["0003 is missing before 0004_late"]),
        ({"0001_types.up.sql": None, "0001_types.down.sql": None}, ["0001 is missing before 0002_users"]),
        ({"0003_Wallets.up.sql": b"x"}, ["0003_Wallets.up.sql is no schema change", "0007_add_wallets"]),
        ({"003_wallets.up.sql": b"x"}, ["003_wallets.up.sql is no schema change"]),
        ({"0003-wallets.up.sql": b"x"}, ["0003-wallets.up.sql is no schema change"]),
        ({"0003_wallets.sql": b"x"}, ["0003_wallets.sql is no schema change"]),
        ({"0002_users.up.sql~": b"x"}, ["0002_users.up.sql~ is no schema change"]),
        ({"0003_wallets_.up.sql": b"x"}, ["0003_wallets_.up.sql is no schema change"]),
        ({"0002_users.up.sql": b" \n\t"}, ["0002_users.up.sql is empty"]),
        ({"0002_users.down.sql": b""}, ["0002_users.down.sql is empty"]),
        ({"0002_users.up.sql": b"SELECT '\xe9'"}, ["0002_users.up.sql is no UTF-8 (byte 9)"]),
        ({"0002_users.up.sql": b"\xff\xfeS\x00"}, ["0002_users.up.sql is no UTF-8 (byte 1)"]),
        ({"0002_users.up.sql": b"\xef\xbb\xbfSELECT 1"}, ["0002_users.up.sql begins with a byte order mark"]),
        ({"0002_users.up.sql": b"SELECT '\x00'"}, ["0002_users.up.sql holds a NUL character"]),
    ],
)
def test_a_faulty_folder_is_refused(tmp_path: Path, fault: dict[str, bytes | None], words: list[str]) -> None:
    with pytest.raises(MigrationError) as refusal:
        load_changes(write(tmp_path, {**GOOD, **fault}))
    for word in words:
        assert word in str(refusal.value)
    assert refusal.value.mend


def test_a_folder_under_the_name_of_a_change_is_refused(tmp_path: Path) -> None:
    (write(tmp_path, GOOD) / "0003_x.up.sql").mkdir()
    with pytest.raises(MigrationError, match="is no schema change"):
        load_changes(tmp_path)


def test_no_folder_and_no_change_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="there is no folder"):
        load_changes(tmp_path / "none")
    with pytest.raises(MigrationError, match="there is no schema change in"):
        load_changes(tmp_path)


def test_mappings_are_held_to_the_same_rules() -> None:
    two = {"name": "0002_b", "up": "b", "down": "b"}
    one = {"name": "0001_a", "up": "a\r\n", "down": "a"}
    assert [change.name for change in order_changes([two, one])] == ["0001_a", "0002_b"]
    assert order_changes([one])[0].up == "a\n"
    for faulty in ({**one, "name": "a"}, {**one, "up": " "}, {"name": "0001_a", "up": "a"}, two):
        with pytest.raises(MigrationError):
            order_changes([faulty])


@pytest.mark.parametrize("wanted", ["0002_b", "0002", "2"])
def test_a_change_is_found_by_name_or_number(wanted: str) -> None:
    changes = order_changes({"name": name, "up": "x", "down": "x"} for name in ("0001_a", "0002_b"))
    assert select_change(changes, wanted).name == "0002_b"


@pytest.mark.parametrize("wanted", ["b", "3", "", "0002_", "-2"])
def test_an_unknown_change_is_refused_with_the_known_ones(wanted: str) -> None:
    changes = order_changes({"name": name, "up": "x", "down": "x"} for name in ("0001_a", "0002_b"))
    with pytest.raises(MigrationError, match="Name one of 0001_a, 0002_b"):
        select_change(changes, wanted)
