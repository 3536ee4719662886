"""Rows that found no partner in time: kept on disk, by a hash of their identity, and joined when all of them are there.

This is the second half of a hybrid hash join: rows that are partners have the same identity, so they are in partitions
of the same number, and a partition of one side fits into memory where a table does not. The hash only decides where to
look; partners are found by their identity itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .partitioned_file import PartitionedFile
from .symmetric_join import Rows, Side, SymmetricJoin, as_bytes, together

#: Partitions that rows are spread over, a power of two, and how often one that is too large can be spread again.
PARTITION_BITS = 7
PARTITIONS = 1 << PARTITION_BITS
LEVELS = 4
#: What is gathered in memory before it is sorted by partition and written.
FLUSH_BYTES = 24 << 20
#: A few rows, such as those around the border of two parts, are not worth a file.
KEPT_BYTES = 256 << 10
#: The smaller side of a partition is held in memory, and the larger one read past it in batches of the second size.
BUILD_BYTES = 64 << 20
PROBE_BYTES = 16 << 20

#: Rows of the source and of the target that are partners; None where rows have none.
Settled = tuple[Rows | None, Rows | None]


@dataclass
class RowSpill:
    """Rows of one side that are put aside: first ``add`` all of them, then ``finish``, then ``read``.

    Attributes:
        folder: Where the file is made; the rows' values are in it, readable by nobody else.
        level: How often these rows were spread before; each time by other bits of the hash.
        rows: How many there are.
    """

    folder: Path
    level: int = 0
    rows: int = 0
    _pending: list[Rows] = field(default_factory=list)
    _pending_bytes: int = 0
    _kept: tuple[Rows, npt.NDArray[np.uint8]] | None = None
    _aside: PartitionedFile = field(init=False)

    def __post_init__(self) -> None:
        """Know where rows would go."""
        self._aside = PartitionedFile(self.folder, "rows")

    @property
    def on_disk(self) -> bool:
        """Whether the rows are in a file; otherwise all of them are in memory, and few."""
        return not self._aside.is_empty

    def add(self, rows: Rows) -> None:
        """Take rows over.

        Raises:
            MigrationError: The file cannot be written.
        """
        if not len(rows):
            return
        self.rows += len(rows)
        self._pending.append(rows)
        self._pending_bytes += rows.nbytes
        if self._pending_bytes > FLUSH_BYTES:
            self._flush()

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            MigrationError: The file cannot be written.
        """
        if self._pending and not self.on_disk and self._pending_bytes <= KEPT_BYTES:
            # Taken, because a slice would keep the memory of the batch that it was cut from.
            rows = together(self._pending)
            rows = rows.take(pa.array(np.arange(len(rows))))
            self._kept, self._pending = (rows, partitions_of(rows.identity, self.level)), []
        elif self._pending:
            self._flush()

    def size(self, partition: int | None) -> int:
        """Return about how many bytes the rows of a partition have; None means all."""
        kept = self._kept[0].nbytes if self._kept else 0
        return self._aside.size(partition) + (kept if partition is None else kept // PARTITIONS)

    def read(self, partition: int | None) -> Iterator[Rows]:
        """Return the rows of a partition, in the order in which they came; None means all. Threads may read at once.

        Raises:
            MigrationError: The file cannot be read.
        """
        if self._kept:
            rows, partitions = self._kept
            chosen = rows if partition is None else rows.take(pa.array(np.flatnonzero(partitions == partition)))
            if len(chosen):
                yield chosen
        for batch in self._aside.read(partition):
            identity, *columns = batch.columns
            yield Rows(identity, tuple(columns))

    def close(self) -> None:
        """Give the memory and the disk back."""
        self._kept, self._pending = None, []
        self._aside.close()

    def _flush(self) -> None:
        rows = together(self._pending)
        self._pending, self._pending_bytes = [], 0
        arrays = [rows.identity, *rows.columns]
        batch = pa.record_batch(arrays, [str(place) for place in range(len(arrays))])
        self._aside.write(batch, partitions_of(rows.identity, self.level))


Spills = Mapping[Side, Sequence[RowSpill]]


def settle(spills: Spills, partition: int | None) -> Iterator[Settled]:
    """Join what was put aside on both sides.

    Args:
        spills: Finished ones of both sides. They are read in this order, which is all that the result depends on.
        partition: Which partition; None means all rows at once, for spills that are not on disk.

    Raises:
        MigrationError: The scratch folder is full or cannot be read.
    """
    sizes = {side: sum(spill.size(partition) for spill in spills[side]) for side in Side}
    build = min(Side, key=lambda side: sizes[side])
    level = 1 + max((spill.level for side in Side for spill in spills[side]), default=0)
    if partition is not None and sizes[build] > BUILD_BYTES and level < LEVELS:
        yield from _spread_again(spills, partition, level)
        return
    join = SymmetricJoin()
    held = [rows for spill in spills[build] for rows in spill.read(partition)]
    join.waiting[build] = [together(held)] if held else []
    del held
    probe = build.other
    for batch in _gathered(rows for spill in spills[probe] for rows in spill.read(partition)):
        for found in join.add(probe, batch):
            yield _oriented(probe, *found)
        # All that could be a partner was there.
        for rows in join.waiting[probe]:
            yield _oriented(probe, rows, None)
        join.waiting[probe] = []
    for rows in join.waiting[build]:
        yield _oriented(build, rows, None)


def partitions_of(identity: pa.Array, level: int) -> npt.NDArray[np.uint8]:
    """Return the number of the partition that each identity belongs to; equal ones belong to the same."""
    values = as_bytes(identity).fill_null(b"").to_pylist()
    # Not ``kept_keys.hashes_of``, which has numbers of eight bytes for each byte: an identity may be a whole row.
    hashes = np.fromiter(map(crc32, values), np.uint32, len(values))
    return (hashes >> np.uint32(level * PARTITION_BITS) & np.uint32(PARTITIONS - 1)).astype(np.uint8)


def _spread_again(spills: Spills, partition: int, level: int) -> Iterator[Settled]:
    again: dict[Side, Sequence[RowSpill]] = {}
    for side in Side:
        spill = RowSpill(spills[side][0].folder, level)
        for own in spills[side]:
            for rows in own.read(partition):
                spill.add(rows)
        spill.finish()
        again[side] = [spill]
    for number in range(PARTITIONS):
        yield from settle(again, number)
    for side in Side:
        again[side][0].close()


def _gathered(batches: Iterable[Rows]) -> Iterator[Rows]:
    """Make few large batches of many small ones."""
    held: list[Rows] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > PROBE_BYTES:
            yield together(held)
            held, size = [], 0
    if held:
        yield together(held)


def _oriented(side: Side, own: Rows, other: Rows | None) -> Settled:
    return (own, other) if side is Side.SOURCE else (other, own)
