"""The fence, killed at every point of raising and lowering it, and taken up in either direction."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sqlite_fence import lower_fence, raise_fence

from tests.integration.source_file_care.kill_points import count_calls, kill_at
from tests.integration.source_file_care.left_files import placed, rows
from tests.integration.source_file_care.source_files import checksum, content

RUN = "20260101T020000Z-cut_over-1f3a"


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize(
    ("left", "swappable"),
    [("closed", True), ("wal killed", True), ("journal kept and hot", True), ("wal killed", False)],
    ids=["closed", "wal killed", "journal kept and hot", "names cannot be swapped"],
)
def test_killed_anywhere_while_raising(templates: Path, tmp_path: Path, left: str, swappable: bool) -> None:
    expected = rows(templates / left)
    first = placed(templates, left, tmp_path / "first")
    calls = count_calls(lambda: raise_fence(first, RUN, watch=0), swappable)
    assert calls >= 6
    for number in range(1, calls + 1):
        for when in ("before", "after"):
            for going_on in (True, False):
                directory = tmp_path / f"{number} {when} {going_on}"
                path = placed(templates, left, directory)
                kill_at(lambda path=path: raise_fence(path, RUN, watch=0), number, when, swappable)
                if swappable:
                    assert path.exists(), "the name was free for a moment"
                if going_on:
                    fence = raise_fence(path, RUN, 0, 0)
                    assert {entry.name for entry in directory.iterdir()} == {"app.sqlite", fence.moved_to.name}
                    assert content(fence.moved_to) == expected
                else:
                    lower_fence(path, RUN)
                    assert rows(directory) == expected
                    assert {entry.name for entry in directory.iterdir()} <= {path.name, *side_files(path)}


@pytest.mark.usefixtures("nobody_there")
@pytest.mark.parametrize("swappable", [True, False], ids=["names swapped", "names cannot be swapped"])
def test_killed_anywhere_while_lowering(templates: Path, tmp_path: Path, swappable: bool) -> None:
    fenced = tmp_path / "fenced"
    fence = raise_fence(placed(templates, "closed", fenced), RUN, watch=0)

    def again(name: str) -> Path:
        shutil.copytree(fenced, tmp_path / name)
        return tmp_path / name / "app.sqlite"

    first = again("first")
    calls = count_calls(lambda: lower_fence(first, RUN, fence.sha256 or ""), swappable)
    assert calls >= 4
    for number in range(1, calls + 1):
        for when in ("before", "after"):
            for going_on in (True, False):
                path = again(f"{number} {when} {going_on}")
                kill_at(lambda path=path: lower_fence(path, RUN, fence.sha256 or ""), number, when, swappable)
                if swappable:
                    assert path.exists(), "the name was free for a moment"
                if going_on:
                    lower_fence(path, RUN, fence.sha256 or "")
                    assert [entry.name for entry in path.parent.iterdir()] == ["app.sqlite"]
                    assert checksum(path) == fence.sha256
                else:
                    assert raise_fence(path, RUN, 0, 0).sha256 == fence.sha256


def side_files(path: Path) -> set[str]:
    return {path.name + ending for ending in ("-wal", "-shm", "-journal")}
