"""The join matches one to one, whatever the order, the size of the batches and the repetitions."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils.symmetric_join import (
    Rows,
    Side,
    SymmetricJoin,
    hashable,
    identity_of,
    partners,
)

TEXT = pa.string()


def batches(keys: Sequence[Any], size: int, kind: pa.DataType = TEXT) -> Iterator[Rows]:
    """Rows whose second column says where they stood."""
    for start in range(0, len(keys), size):
        part = pa.array(keys[start : start + size], kind)
        yield Rows(part, (part, pa.array(range(start, start + len(part)))))


def joined(left: Sequence[Any], right: Sequence[Any], left_size: int = 3, right_size: int = 4, kind=TEXT):
    """Matched pairs of positions, and what is left on either side."""
    join = SymmetricJoin()
    pairs = []
    for source, target in join.run(batches(left, left_size, kind), batches(right, right_size, kind)):
        assert source.identity.equals(target.identity)
        assert source.columns[0].equals(source.identity)
        pairs += list(zip(source.columns[1].to_pylist(), target.columns[1].to_pylist(), strict=True))
    rest = {side: sorted(at for rows in join.waiting[side] for at in rows.columns[1].to_pylist()) for side in Side}
    return pairs, rest[Side.SOURCE], rest[Side.TARGET]


def waiting(join: SymmetricJoin, *sides: Side) -> int:
    return sum(len(rows) for side in sides for rows in join.waiting[side])


def assert_right(left: Sequence[Any], right: Sequence[Any], **sizes: Any) -> None:
    """Hold a join against Python's own multisets."""
    pairs, only_left, only_right = joined(left, right, **sizes)
    assert all(left[i] == right[j] for i, j in pairs)
    assert sorted([*(i for i, _ in pairs), *only_left]) == list(range(len(left)))
    assert sorted([*(j for _, j in pairs), *only_right]) == list(range(len(right)))
    assert Counter(left[i] for i in only_left) == Counter(left) - Counter(right)
    assert Counter(right[j] for j in only_right) == Counter(right) - Counter(left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", ""),
        ("abc", ""),
        ("", "abc"),
        ("abcdefgh", "abcdefgh"),
        ("abcdefgh", "hgfedcba"),
        ("abcdefgh", "abdefgh"),
        ("abcefgh", "abcdefgh"),
        ("abcdefgh", "ijklmnop"),
        ("aaabbb", "ab"),
        ("ab", "aaabbb"),
        ("aaaa", "aaa"),
        ("abab", "baba"),
        ([None, "a", None], ["a", None]),
        ([None], [""]),
    ],
)
@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), (100, 1), (100, 100)])
def test_every_row_finds_its_partner(left, right, sizes):
    assert_right(list(left), list(right), left_size=sizes[0], right_size=sizes[1])


@pytest.mark.parametrize("seed", range(30))
def test_random_multisets(seed):
    chance = random.Random(seed)
    alphabet = [str(number) for number in range(chance.choice([2, 10, 1000]))]
    left = chance.choices(alphabet, k=chance.randrange(400))
    right = [*left, *chance.choices(alphabet, k=chance.randrange(50))]
    chance.shuffle(right)
    del right[: chance.randrange(len(right) + 1)]
    assert_right(left, right, left_size=chance.randrange(1, 60), right_size=chance.randrange(1, 60))


def test_many_left_overs_are_put_together_and_not_lost():
    left = [f"{number:06}" for number in range(3000)]
    right = [key for key in left if not key.endswith("7")]
    assert_right(left, right, left_size=10, right_size=10)
    join = SymmetricJoin()
    for _ in join.run(batches(left, 10), batches(right, 10)):
        assert len(join.waiting[Side.SOURCE]) < 20
    assert waiting(join, Side.SOURCE) == 300


def test_only_what_is_out_of_order_waits():
    keys = [f"{number:06}" for number in range(1000)]
    shifted = [key for key in keys if key not in {"000003", "000500"}]
    join = SymmetricJoin()
    most = 0
    for _ in join.run(batches(keys, 50), batches(shifted, 50)):
        most = max(most, waiting(join, *Side))
    assert most <= 60


@pytest.mark.parametrize(
    "kind",
    [pa.int64(), pa.binary(16), pa.timestamp("us", "UTC"), pa.large_binary(), pa.bool_(), pa.date32(), pa.int16()],
    ids=str,
)
def test_keys_of_all_types(kind):
    values = {
        pa.binary(16): [bytes([number]) * 16 for number in range(9)],
        pa.large_binary(): [b"", b"\0", b"\xff", b"a"],
        pa.bool_(): [True, False, True],
        pa.date32(): [dt.date(2024, 2, day) for day in range(1, 30)],
        pa.timestamp("us", "UTC"): [dt.datetime(2024, 2, 3, 4, 5, 6, n, tzinfo=dt.UTC) for n in range(9)],
    }.get(kind, [0, 1, -1, 2**15 - 1])
    pairs, *rest = joined(values, values[::-1], kind=kind)
    assert (len(pairs), rest) == (len(values), [[], []])


ROWS_THAT_DIFFER = [
    ("ab", "c"),
    ("a", "bc"),
    ("", "abc"),
    ("abc", ""),
    ("abc", None),
    (None, "abc"),
    (None, None),
    ("", ""),
    ("-", "-"),
    ("-", None),
    (None, "-"),
    ("1:a", ""),
    ("1", ":a"),
    ("a:1", "b"),
    ("a", "1:b"),
]


def test_an_identity_of_two_columns_tells_them_apart():
    first, second = zip(*ROWS_THAT_DIFFER, strict=True)
    identities = identity_of([pa.array(first, TEXT), pa.array(second, TEXT)]).to_pylist()
    assert None not in identities
    assert len(set(identities)) == len(ROWS_THAT_DIFFER)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"\0" * 16, None], pa.binary(16)),
        pa.array([2**53, 2**53 + 1], pa.int64()),
        pa.array([1, 2], pa.timestamp("us", "UTC")),
        pa.array([1, 2], pa.timestamp("us")),
        pa.array([1, 2], pa.time64("us")),
        pa.array([1, 2], pa.date32()),
        pa.array([True, False]),
        pa.array(["a", "b"], pa.large_string()),
        pa.array([b"a", b"\xff"], pa.binary()),
        hashable(pa.array([0.0, -0.0], pa.float32())),
        hashable(pa.array([0.1, 0.1 + 2**-56], pa.float64())),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_all_types_make_an_identity(column):
    same = pa.array(["x", "x"])
    one, two = identity_of([same, column]).to_pylist()
    assert one != two
    assert identity_of([same, column]).equals(identity_of([same, column]))


def test_reals_are_known_by_their_bits():
    values = hashable(pa.array([0.0, -0.0, math.nan, -math.nan, None, 1.5])).to_pylist()
    assert len(set(values)) == 5
    assert values[2] == values[3]
    assert values[4] is None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1.50", "1.5"),
        ("1.0", "1"),
        ("100", "100"),
        ("0.00", "0"),
        ("-0.10", "-0.1"),
        ("10.010", "10.01"),
        ("1000.", "1000"),
        ("NaN", "NaN"),
        (None, None),
    ],
)
def test_trailing_zeros_of_numeric_do_not_count(text, form):
    assert hashable(pa.array([text], TEXT), numeric=True).to_pylist() == [form]
    assert hashable(pa.array([text], TEXT)).to_pylist() == [text]


def test_partners_are_one_to_one():
    own, others = partners(pa.array(["b", "a", "a", "c"]), pa.array(["a", "x", "a", "a", "b"]))
    assert len(set(own.to_pylist())) == len(set(others.to_pylist())) == 3
