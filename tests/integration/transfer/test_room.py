"""Room on the application's host is asked for before the window, for the load's own files and for all of a cut-over."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.durable_files import SPARE_BYTES
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from ansible_collections.contralock.database.plugins.module_utils.transfer_step import Request, check

from tests.integration.profile.contralock_target import PROFILE


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for the reserve and for nearly nothing else."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SPARE_BYTES + 4096}", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_load_without_room_for_its_copy_is_refused_and_touches_nothing(order: Transfer, small: Path) -> None:
    with pytest.raises(MigrationError, match=f"{small} has room for .* and the prepared copy of {order.source} needs"):
        transfer(replace(order, scratch=small))
    assert not order.record.exists()
    assert list(small.iterdir()) == []


def test_a_check_says_so_before(order: Transfer, small: Path, tmp_path: Path) -> None:
    request = Request(order.target, load_profile(PROFILE).mapping, tmp_path, "public", small)
    with pytest.raises(MigrationError, match=f"{small} has room for .* and the load's own files of .* needs"):
        check(request, order.source)
    # The other engine has no files of its own.
    assert check(replace(request, engine="arrow"), order.source).rows > 0


def test_a_check_of_a_whole_window_asks_for_the_backup_and_the_way_back_too(
    order: Transfer, small: Path, tmp_path: Path, scratch: Path
) -> None:
    request = Request(order.target, load_profile(PROFILE).mapping, small, "public", scratch, engine="arrow")
    assert check(request, order.source).rows > 0
    with pytest.raises(MigrationError, match=f"{small} has room for .* and the backup of"):
        check(replace(request, whole_window=True), order.source)
    there = Path(shutil.copy(order.source, tmp_path / "elsewhere.sqlite"))
    with pytest.raises(MigrationError, match="the backup"):
        check(replace(request, whole_window=True), there)
    assert check(replace(request, whole_window=True, root=tmp_path), there).rows > 0
