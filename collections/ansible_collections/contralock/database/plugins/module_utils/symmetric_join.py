"""A symmetric hash join: two streams of rows, matched one to one by what identifies them, in whatever order they come.

Each side keeps only the rows that have found no partner yet. While both streams come in the same order that is less
than a batch; where the orders differ it is what the orders differ by, up to a bound: what waits longest beyond it is
put aside (``Aside``), to be joined when all of it is there (``row_spill.py``). The result never depends on the order.
The method is the pipelined hash join of Wilschut and Apers (1991).

Identities may repeat, as they do in a table without a key: every row finds at most one partner, so that two streams
match completely exactly when they hold the same rows the same number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Left-over chunks are put together when there are more of them than this: each new batch is held against each one.
MAX_CHUNKS = 16
#: Chunks with fewer rows than this are put together; bigger ones would only be copied again and again.
SMALL_CHUNK_ROWS = 5_000
#: Arrow's string arrays address 2 GiB; below this, no column of the chunks together can come near it.
MAX_CHUNK_BYTES = 1 << 30
#: What may wait in memory, of both sides together, where more can be put aside.
WAITING_BYTES = 64 << 20
#: Two streams of which fewer than a tenth of so many rows met have no order in common: looking on would only cost.
JUDGED_ROWS = 100_000


class Side(Enum):
    """Which of the two streams."""

    SOURCE = "source"
    TARGET = "target"

    @property
    def other(self) -> Side:
        """The side across."""
        return Side.TARGET if self is Side.SOURCE else Side.SOURCE


@dataclass(frozen=True)
class Rows:
    """A batch of rows.

    Attributes:
        identity: One value per row that Arrow can hash; null equals null. See ``identity_of``.
        columns: One array per column, each as long as ``identity``.
    """

    identity: pa.Array
    columns: tuple[pa.Array, ...]

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        return sum(array.nbytes for array in (self.identity, *self.columns))

    def head(self, count: int) -> Rows:
        """Return the first rows, which share their memory with these."""
        return Rows(self.identity[:count], tuple(array[:count] for array in self.columns))

    def tail(self, count: int) -> Rows:
        """Return what follows the first rows; a small rest does not keep the memory of all."""
        if len(self) - count < count // 4:
            return self.take(pa.array(np.arange(count, len(self))))
        return Rows(self.identity[count:], tuple(array[count:] for array in self.columns))

    def slice(self, start: int, count: int) -> Rows:
        """Return rows from the middle, which share their memory with these."""
        return Rows(self.identity.slice(start, count), tuple(array.slice(start, count) for array in self.columns))

    def take(self, positions: pa.Array) -> Rows:
        """Return the rows at these positions, in that order."""
        return Rows(self.identity.take(positions), tuple(array.take(positions) for array in self.columns))

    def without(self, positions: pa.Array) -> Rows:
        """Return the rows that are at none of these positions (each is named once), in their order."""
        if len(positions) == len(self):
            return self.head(0)
        there = np.ones(len(self), np.bool_)
        there[positions.to_numpy()] = False
        stays = pa.array(there)
        return Rows(self.identity.filter(stays), tuple(array.filter(stays) for array in self.columns))


def together(chunks: Sequence[Rows]) -> Rows:
    """Put rows behind one another; at least one chunk."""
    if len(chunks) == 1:
        return chunks[0]
    return Rows(
        pa.concat_arrays([chunk.identity for chunk in chunks]),
        tuple(pa.concat_arrays(arrays) for arrays in zip(*(chunk.columns for chunk in chunks), strict=True)),
    )


Matched = tuple[Rows, Rows]
#: Takes rows of a side that waited too long.
Aside = Callable[[Side, Rows], None]


@dataclass
class SymmetricJoin:
    """The state of a join: what has found no partner yet.

    After ``run`` has ended, ``waiting[Side.SOURCE]`` holds the rows that only the source has, and so for the target;
    with ``aside`` partners may be among what was given to it and what still waits.
    """

    waiting: dict[Side, list[Rows]] = field(default_factory=lambda: {side: [] for side in Side})
    aside: Aside | None = None
    matched: int = 0

    def run(self, source: Iterable[Rows], target: Iterable[Rows]) -> Iterator[Matched]:
        """Read both streams to their ends.

        Yields:
            Pairs of equally long batches: row i of the first (source) and row i of the second (target) are partners.
        """
        streams = {Side.SOURCE: iter(source), Side.TARGET: iter(target)}
        read = dict.fromkeys(Side, 0)
        while streams:
            side = min(streams, key=lambda each: read[each])
            batch = next(streams[side], None)
            if batch is None:
                del streams[side]
                continue
            read[side] += len(batch)
            least = min(read.values())
            if self.aside and least >= JUDGED_ROWS and self.matched < least // 10:
                self.aside(side, batch)
                continue
            for found in self.add(side, batch):
                yield found if side is Side.SOURCE else (found[1], found[0])
            if self.aside:
                self._make_room(self.aside)

    def put_aside(self, aside: Aside) -> None:
        """Give away all that waits."""
        for side in Side:
            for chunk in self.waiting[side]:
                aside(side, chunk)
            self.waiting[side] = []

    def _make_room(self, aside: Aside) -> None:
        sizes = {side: sum(chunk.nbytes for chunk in self.waiting[side]) for side in Side}
        while sum(sizes.values()) > WAITING_BYTES:
            side = max(Side, key=lambda each: sizes[each])
            oldest = self.waiting[side].pop(0)
            sizes[side] -= oldest.nbytes
            aside(side, oldest)

    def add(self, side: Side, batch: Rows) -> Iterator[Matched]:
        """Hold a batch against what the other side has waiting; what finds no partner waits itself.

        Yields:
            Pairs of the batch's rows and their partners.
        """
        still_waiting = []
        for chunk in self.waiting[side.other]:
            if not len(batch):
                still_waiting.append(chunk)
                continue
            pair, batch, rest = _matched(batch, chunk)
            if pair:
                self.matched += len(pair[0])
                yield pair
            if len(rest):
                still_waiting.append(rest)
        self.waiting[side.other] = still_waiting
        if len(batch):
            self.waiting[side] = _compacted([*self.waiting[side], batch])


def _matched(batch: Rows, chunk: Rows) -> tuple[Matched | None, Rows, Rows]:
    """Return the rows of both that are partners, the rest of the batch and the rest of the chunk."""
    both = min(len(batch), len(chunk))
    if batch.identity.slice(0, both).equals(chunk.identity.slice(0, both)):
        # The common case, without a search and without a copy: both come in the same order, and nothing is missing.
        return (batch.head(both), chunk.head(both)), batch.tail(both), chunk.tail(both)
    own, others = partners(batch.identity, chunk.identity)
    if not len(own):
        return None, batch, chunk
    # The positions in the batch ascend: where all of it is named, it stays as it is.
    met = batch if len(own) == len(batch) else batch.take(own)
    return (met, chunk.take(others)), batch.without(own), chunk.without(others)


def partners(left: pa.Array, right: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the positions of equal identities, one to one and as many as there can be.

    Returns:
        Two arrays of the same length: position in ``left``, ascending, and position in ``right``.
    """
    found = pc.index_in(left, value_set=right)
    others = found.drop_null()
    # index_in names the first of equal ones: when none is named twice, nothing on the left repeats, and all is said.
    if not _all_different(others, len(right)):
        kinds = pc.unique(right)
        found = pc.index_in(_numbered(left, kinds), value_set=_numbered(right, kinds), skip_nulls=True)
        others = found.drop_null()
    return pc.indices_nonzero(pc.is_valid(found)).cast(pa.int64()), others.cast(pa.int64())


def _all_different(positions: pa.Array, count: int) -> bool:
    """Tell whether no position, of so many, is named twice."""
    named = np.zeros(count, np.bool_)
    named[positions.to_numpy()] = True
    return int(named.sum()) == len(positions)


def identity_of(columns: Sequence[pa.Array]) -> pa.Array:
    """Make one value per row out of several columns, equal exactly when all of them are.

    Args:
        columns: The columns that identify a row, at least one; equal values have to be equal bit by bit (see
            ``hashable``). NULL equals NULL here.
    """
    if len(columns) == 1:
        return columns[0]
    # Length and value of each part: 'ab' + 'c' and 'a' + 'bc' stay two identities, and NULL is no value of length 0.
    parts: list[pa.Array] = []
    for column in columns:
        value = as_bytes(column)
        parts += [pc.binary_length(value).cast(pa.large_string()).cast(pa.large_binary()), value]
    return pc.binary_join_element_wise(*parts, _SEPARATOR, null_handling="replace", null_replacement=_NULL)


def hashable(values: pa.Array, numeric: bool = False) -> pa.Array:
    """Return values in a form in which equal means the same bits.

    Args:
        values: A column.
        numeric: It holds PostgreSQL's numeric as text, for which 1.50 and 1.5 are the same.
    """
    if pa.types.is_floating(values.type):
        one_nan = pc.if_else(pc.is_nan(values), pa.scalar(float("nan"), values.type), values)
        return one_nan.view(pa.int32() if values.type == pa.float32() else pa.int64())
    if numeric:
        return pc.replace_substring_regex(values, r"^(-?[0-9]+)(?:\.0*|(\.[0-9]*[1-9])0*)$", r"\1\2")
    return values


_SEPARATOR = pa.scalar(b":", pa.large_binary())
_NULL = b"-"


def as_bytes(column: pa.Array) -> pa.Array:
    """Return the values of a column as bytes, equal exactly when the values are; null stays null."""
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary()).cast(pa.large_binary())
    if pa.types.is_temporal(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        column = column.cast(pa.large_string())
    return column.cast(pa.large_binary())


def _numbers(count: int) -> pa.Array:
    return pa.array(np.arange(count))


def _numbered(identities: pa.Array, kinds: pa.Array) -> pa.Array:
    """Tell repeated identities apart: the first 'a' is another value than the second 'a'.

    Returns:
        The identity's position in ``kinds`` in the upper half, how many equal ones came before it in the lower half;
        null where ``kinds`` lacks it.
    """
    codes = pc.index_in(identities, value_set=kinds).cast(pa.int64())
    rows = _numbers(len(codes))
    order = pc.sort_indices(pa.table({"code": codes, "row": rows}), [("code", "ascending"), ("row", "ascending")])
    ordered = codes.take(order)
    changes = pc.not_equal(ordered[1:], ordered[:-1]).fill_null(False)
    begins = pa.concat_arrays([pa.array([True]), changes]) if len(codes) else changes
    repeats = pc.subtract(rows, pc.cumulative_max(pc.if_else(begins, rows, 0)))
    upper = pc.multiply(codes, 1 << 32)
    return pc.add(upper, repeats.take(pc.sort_indices(order)))


def _compacted(chunks: list[Rows]) -> list[Rows]:
    if len(chunks) <= MAX_CHUNKS:
        return chunks
    small = [chunk for chunk in chunks if len(chunk) < SMALL_CHUNK_ROWS]
    if len(small) < 2 or sum(chunk.nbytes for chunk in small) > MAX_CHUNK_BYTES:
        return chunks
    return [*(chunk for chunk in chunks if len(chunk) >= SMALL_CHUNK_ROWS), together(small)]
