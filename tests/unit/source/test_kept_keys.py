"""Keys come back whole, and equal ones together, whether they stayed in memory or went to the disk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.kept_keys import PARTITIONS, ROW, KeptKeys, hashes_of

#: Values of each type that a key may have.
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "uuid": (pa.binary(16), [bytes([each]) * 16 for each in range(9)]),
    "bigint": (pa.int64(), [0, 1, -1, 2**53 + 1, -(2**63), 2**63 - 1]),
    "boolean": (pa.bool_(), [True, False]),
    "text": (pa.string(), ["", "a", "b", "ab", "ba", "a\0", "é", "x" * 5000, "x" * 4999 + "y"]),
    "bytea": (pa.binary(), [b"", b"\0", b"\0\0", b"\xff"]),
    "timestamptz": (pa.timestamp("us", "UTC"), [datetime(2024, 1, 3, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)]),
    "date": (pa.date32(), [date(1970, 1, 1), date(9999, 12, 31)]),
    "time": (pa.time64("us"), [time(0, 0), time(23, 59, 59, 999999)]),
    "double": (pa.float64(), [0.0, 1.5, -1.5, float("inf")]),
}


def test_many_texts_are_hashed_as_few_are() -> None:
    """A part at a time, so that they take no dozens of times their memory."""
    texts = pa.array([f"person {number}@example.com" for number in range(50_001)])
    hashes = hashes_of([texts]).tolist()
    assert hashes == [each for at in range(0, 50_001, 777) for each in hashes_of([texts.slice(at, 777)]).tolist()]
    assert len(set(hashes)) == 50_001


@pytest.mark.parametrize("name", VALUES)
def test_a_hash_depends_on_the_value_alone(name: str) -> None:
    kind, values = VALUES[name]
    array = pa.array([*values, None, *reversed(values)], kind)
    hashes = hashes_of([array]).tolist()
    count = len(values)
    assert hashes[:count] == hashes[:count:-1]
    assert len(set(hashes[: count + 1])) == count + 1
    # Arrow cuts arrays without copying them: what lies before and behind does not count.
    assert hashes_of([array.slice(1, count)]).tolist() == hashes[1 : count + 1]


def test_a_hash_of_several_columns_knows_their_order() -> None:
    one, other = pa.array(["a", "b", None]), pa.array(["b", "a", "x"])
    assert hashes_of([one, other]).tolist() != hashes_of([other, one]).tolist()
    assert len({*hashes_of([one, other]).tolist()}) == 3


def test_hashes_fill_the_partitions_evenly() -> None:
    chance = random.Random(1)
    for keys in (
        pa.array(range(100_000), pa.int64()),
        pa.array([f"user-{number:08}" for number in range(100_000)]),
        pa.array([chance.randbytes(16) for _ in range(100_000)], pa.binary(16)),
    ):
        counts = np.bincount((hashes_of([keys]) >> np.uint64(58)).astype(np.int64), minlength=64)
        assert counts.max() < 2 * counts.min()


A, B = ("a", "k"), ("b", "k", "l")


def kept(folder: Path, kept_bytes: int) -> KeptKeys:
    types = [(A, [("k", pa.string())]), (B, [("k", pa.string()), ("l", pa.int64())])]
    return KeptKeys(types, folder, kept_bytes)


def fill(keys: KeptKeys, numbers: Sequence[int]) -> None:
    for start in range(0, len(numbers), 100):
        own = numbers[start : start + 100]
        texts = pa.array([f"key {number}" for number in own])
        keys.add(A, [texts], pa.array(own, pa.int64()))
        keys.add(B, [texts, pa.array([None if number % 3 == 0 else number for number in own], pa.int64())],
                 pa.array(own, pa.int64()))  # fmt: skip


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=lambda row: row[-1])


@pytest.mark.parametrize("kept_bytes", [0, 5_000, 1 << 30])
def test_all_keys_come_back_and_equal_ones_together(tmp_path: Path, kept_bytes: int) -> None:
    keys = kept(tmp_path, kept_bytes)
    fill(keys, range(2000))
    partitions = keys.finish()
    assert len(partitions) == (1 if kept_bytes == 1 << 30 else PARTITIONS)
    read = {name: [keys.read(name, partition) for partition in partitions] for name in (A, B)}
    assert rows_of(pa.concat_tables(read[A])) == [(f"key {number}", number) for number in range(2000)]
    expected = [(f"key {number}", None if number % 3 == 0 else number, number) for number in range(2000)]
    assert rows_of(pa.concat_tables(read[B])) == expected
    assert max(table.num_rows for table in read[A]) < (2001 if len(partitions) == 1 else 100)
    keys.close()


def test_equal_keys_of_two_tables_are_in_one_partition(tmp_path: Path) -> None:
    types = [(("a", "k"), [("k", pa.string())]), (("b", "p"), [("p", pa.string())])]
    keys = KeptKeys(types, tmp_path, kept_bytes=0)
    texts = pa.array([f"key {number}" for number in range(1000)])
    numbers = pa.array(range(1000), pa.int64())
    keys.add(("a", "k"), [texts], numbers)
    keys.add(("b", "p"), [texts.take(pa.array(range(999, -1, -1)))], numbers)
    for partition in keys.finish():
        own, other = keys.read(("a", "k"), partition), keys.read(("b", "p"), partition)
        assert sorted(own.column("k").to_pylist()) == sorted(other.column("p").to_pylist())


def test_threads_may_add_at_once(tmp_path: Path) -> None:
    keys = kept(tmp_path, 5_000)
    threads = [Thread(target=fill, args=(keys, range(start, start + 1000))) for start in range(0, 4000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [keys.read(A, partition) for partition in keys.finish()]
    assert sorted(pa.concat_tables(found).column(ROW).to_pylist()) == list(range(4000))


def test_what_is_put_aside_has_no_name_and_goes_with_the_process(tmp_path: Path) -> None:
    keys = kept(tmp_path, 0)
    fill(keys, range(10))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"keys cannot be put aside in the scratch folder .*/missing"):
        fill(kept(tmp_path / "missing", 0), range(10))


def test_an_empty_group_is_an_empty_table(tmp_path: Path) -> None:
    keys = kept(tmp_path, 0)
    assert keys.finish() == (None,)
    assert keys.read(B, None).num_rows == 0
    fill(keys, [1])
    assert sum(keys.read(B, partition).num_rows for partition in keys.finish()) == 1
