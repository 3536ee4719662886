"""What is put aside comes back whole, by partition, in its order; and is joined exactly, whatever its size."""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils import partitioned_file, row_spill, symmetric_join
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.row_spill import (
    PARTITIONS,
    RowSpill,
    partitions_of,
    settle,
)
from ansible_collections.contralock.database.plugins.module_utils.symmetric_join import Rows, Side, SymmetricJoin


def rows(keys: Sequence[str | None], first: int = 0) -> Rows:
    """Rows whose second column says where they stood."""
    identity = pa.array(keys, pa.string())
    return Rows(identity, (identity, pa.array(range(first, first + len(keys)), pa.int64())))


def filled(folder: Path, keys: Sequence[str | None], size: int = 7, level: int = 0) -> RowSpill:
    spill = RowSpill(folder, level)
    for start in range(0, len(keys), size):
        spill.add(rows(keys[start : start + size], start))
    spill.finish()
    return spill


@pytest.fixture(params=["in memory", "on disk", "spread again"])
def small_bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "in memory":
        monkeypatch.setattr(row_spill, "FLUSH_BYTES", 2000)
        monkeypatch.setattr(row_spill, "KEPT_BYTES", 0)
        monkeypatch.setattr(row_spill, "PROBE_BYTES", 300)
    if request.param == "spread again":
        monkeypatch.setattr(row_spill, "BUILD_BYTES", 100)
    return str(request.param)


def partitions(spills: Sequence[RowSpill]) -> Sequence[int | None]:
    return range(PARTITIONS) if any(spill.on_disk for spill in spills) else [None]


def settled(left: Sequence[RowSpill], right: Sequence[RowSpill]) -> Iterator[tuple[list[int], list[int]]]:
    """Positions on both sides of the rows in each answer; an empty list where a side has none."""
    for partition in partitions([*left, *right]):
        for source, target in settle({Side.SOURCE: left, Side.TARGET: right}, partition):
            if source and target:
                assert source.identity.equals(target.identity)
            yield tuple([] if side is None else side.columns[1].to_pylist() for side in (source, target))


def test_all_rows_come_back_in_their_order_by_partition(tmp_path: Path, small_bounds: str) -> None:
    keys = [None if n % 50 == 0 else f"key {n % 400}" for n in range(1000)]
    spill = filled(tmp_path, keys)
    assert (spill.rows, spill.on_disk) == (1000, small_bounds != "in memory")
    found: list[int] = []
    of_key: dict[str | None, set[int]] = {}
    for partition in range(PARTITIONS):
        places = []
        for chunk in spill.read(partition):
            places += chunk.columns[1].to_pylist()
            for key in chunk.identity.to_pylist():
                of_key.setdefault(key, set()).add(partition)
        assert places == sorted(places)
        found += places
    assert sorted(found) == list(range(1000))
    assert {len(numbers) for numbers in of_key.values()} == {1}
    assert spill.size(None) >= sum(spill.size(number) for number in range(PARTITIONS)) * 0.9
    spill.close()
    assert list(tmp_path.iterdir()) == []


def test_the_files_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_spill, "KEPT_BYTES", 0)
    spill = filled(tmp_path, ["a", "b"])
    assert spill.on_disk
    assert list(tmp_path.iterdir()) == []
    assert sum(len(chunk) for number in range(PARTITIONS) for chunk in spill.read(number)) == 2
    spill.close()


@pytest.mark.parametrize("seed", range(5))
def test_what_was_put_aside_is_joined_exactly(tmp_path: Path, small_bounds: str, seed: int) -> None:
    chance = random.Random(seed)
    alphabet = [None, *(f"{number}" for number in range(chance.choice([1, 20, 2000])))]
    left = chance.choices(alphabet, k=chance.randrange(600))
    right = [*left, *chance.choices(alphabet, k=chance.randrange(50))]
    chance.shuffle(right)
    del right[: chance.randrange(len(right) + 1)]
    # As two parts of a table would leave it: one side in two files, the other in one.
    middle = len(left) // 2
    lefts = [filled(tmp_path, left[:middle]), filled(tmp_path, left[middle:])]
    rights = [filled(tmp_path, right)]
    pairs: Counter[str | None] = Counter()
    alone: dict[str, Counter[str | None]] = {"left": Counter(), "right": Counter()}
    for partition in partitions([*lefts, *rights]):
        for source, target in settle({Side.SOURCE: lefts, Side.TARGET: rights}, partition):
            if source and target:
                assert source.identity.equals(target.identity)
                pairs.update(source.identity.to_pylist())
            elif source:
                alone["left"].update(source.identity.to_pylist())
            elif target:
                alone["right"].update(target.identity.to_pylist())
    assert pairs == Counter(left) & Counter(right)
    assert alone == {"left": Counter(left) - Counter(right), "right": Counter(right) - Counter(left)}


def test_the_same_rows_give_the_same_answer(tmp_path: Path, small_bounds: str) -> None:
    keys = [f"{number % 40}" for number in range(150)]
    others = keys[::-1][:120]
    first, second = (list(settled([filled(tmp_path, keys)], [filled(tmp_path, others, size)])) for size in (7, 7))
    assert first == second


def test_levels_use_other_bits() -> None:
    identity = pa.array([f"key {number}" for number in range(5000)])
    first, second = (partitions_of(identity, level).tolist() for level in (0, 1))
    assert len(set(first)) == len(set(second)) == PARTITIONS
    one = [other for own, other in zip(first, second, strict=True) if own == 0]
    assert len(set(one)) > 10


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_spill, "KEPT_BYTES", 0)

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partitioned_file.tempfile, "TemporaryFile", full)
    with pytest.raises(MigrationError) as caught:
        filled(tmp_path, ["a"])
    assert str(caught.value) == (
        f"rows cannot be put aside in the scratch folder {tmp_path}, or read from there: No space left on device."
        " Make room there, or name another folder."
    )
    with pytest.raises(MigrationError, match="Name a folder that can be written"):
        monkeypatch.undo()
        monkeypatch.setattr(row_spill, "KEPT_BYTES", 0)
        filled(tmp_path / "absent", ["a"])


def test_a_join_keeps_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two orders with nothing in common: what waits stays small, and all of it is given away or matched."""

    monkeypatch.setattr(symmetric_join, "WAITING_BYTES", 20_000)
    keys = [f"{number:06}" for number in range(5000)]
    given: dict[Side, list[str]] = {side: [] for side in Side}
    join = SymmetricJoin(aside=lambda side, chunk: given[side].extend(chunk.identity.to_pylist()))
    streams = [[rows(order[start : start + 100]) for start in range(0, 5000, 100)] for order in (keys, keys[::-1])]
    matched: list[str] = []
    for source, _ in join.run(*streams):
        matched += source.identity.to_pylist()
        assert sum(chunk.nbytes for side in Side for chunk in join.waiting[side]) < 30_000
    assert join.matched == len(matched) > 0
    join.put_aside(join.aside)
    for side in Side:
        assert sorted(matched + given[side]) == keys


def test_a_join_stops_looking_where_nothing_meets(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(symmetric_join, "JUDGED_ROWS", 300)
    given: list[tuple[Side, int]] = []
    join = SymmetricJoin(aside=lambda side, chunk: given.append((side, len(chunk))))
    left = [rows([f"a{number + start}" for number in range(100)]) for start in range(0, 1000, 100)]
    right = [rows([f"b{number + start}" for number in range(100)]) for start in range(0, 1000, 100)]
    assert list(join.run(left, right)) == []
    waiting = sum(len(chunk) for side in Side for chunk in join.waiting[side])
    assert sum(count for _, count in given) == 2000 - waiting
    assert sum(count for _, count in given) >= 1300
