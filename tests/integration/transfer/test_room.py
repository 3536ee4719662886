"""Room on the application's host is asked for before the window, for the load's own files and for all of a cut-over."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils import durable_files
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.durable_files import SPARE_BYTES
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.target_restore import LOADED, TargetRecord
from ansible_collections.contralock.database.plugins.module_utils.target_state import row_counts
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from ansible_collections.contralock.database.plugins.module_utils.transfer_step import Request, check

from tests.integration.profile.contralock_target import PROFILE
from tests.integration.transfer.transfer_server import ROWS, assert_empty_and_whole


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


def fill(disk: Path) -> None:
    """Leave not one byte."""
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_load_whose_record_has_no_room_is_refused_while_the_earlier_rows_stand(
    order: Transfer, small: Path, owner: Connection
) -> None:
    loading = replace(order, record=small / "record.json", engine="arrow")

    def fill_the_disk(said: Mapping[str, Any]) -> None:
        if said["line"].startswith("load: "):
            fill(small)

    transfer(loading)
    # One that has begun finds its room, whatever else is written meanwhile.
    assert transfer(loading, fill_the_disk).earlier_rows == ROWS
    assert sorted(each.name for each in small.iterdir()) == ["filler", "record.json"]
    assert (small / "record.json").stat().st_mode & 0o777 == 0o600
    record = TargetRecord.read(loading.record)
    assert record
    assert (record.state, set(record.fingerprints)) == (LOADED, set(order.tables))

    for engine in ("arrow", "pgloader"):
        for discard_rows in (False, True):
            with pytest.raises(MigrationError, match=r"record\.json could not be written: No space left") as refusal:
                transfer(replace(loading, engine=engine, discard_rows=discard_rows))
            assert not getattr(refusal.value, "__notes__", [])
            assert sum(row_counts(owner, "public", order.tables).values()) == ROWS
            assert TargetRecord.read(loading.record) == record


def test_a_disk_that_fills_during_the_load_is_told_with_what_it_cost(
    order: Transfer, small: Path, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(said: Mapping[str, Any]) -> None:
        if said["line"].startswith("load: taking out"):
            fill(small)

    transfer(replace(order, engine="arrow"))
    monkeypatch.setattr(durable_files, "SPARE_BYTES", 0)
    order = replace(order, scratch=small)
    with pytest.raises(MigrationError, match=f"the load in {order.directory} cannot go on: No space left") as refusal:
        transfer(order, fill_the_disk)
    assert f"{ROWS} rows that stood there before are gone" in str(refusal.value)
    assert refusal.value.mend == "Make room on that filesystem, and run again"
    assert_empty_and_whole(order, owner)
