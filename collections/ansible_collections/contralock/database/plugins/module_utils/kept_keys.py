"""Keys of many tables, kept until all of them are there: in memory while they are few, on disk where they are many.

On disk they lie by a hash of their value. Equal keys are in partitions of the same number, whichever table they come
from; so what is asked of all keys (is each there once, is each there at all) is asked of one partition after the other.
The hash only says where a key lies: keys are compared by their values.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .partitioned_file import PartitionedFile

#: What all keys together may take in memory before the largest tables' go to the disk.
KEPT_BYTES = 64 << 20
_HASHED_ROWS = 20_000
PARTITION_BITS = 6
PARTITIONS = 1 << PARTITION_BITS
#: The column that numbers the rows of a table of keys; a NUL is in no column's name.
ROW = "\0row"

Hashes = npt.NDArray[np.uint64]

#: Powers of an odd number, by which the bytes of a text count; texts repeat them after so many bytes.
_POWERS = np.cumprod(np.full(1024, 0x9E3779B97F4A7C15, np.uint64))
_NULL_HASH = np.uint64(0xD1B54A32D192ED03)


@dataclass
class _Group:
    """The keys of one table by some of its columns."""

    schema: pa.Schema
    aside: PartitionedFile
    batches: list[pa.RecordBatch] = field(default_factory=list)
    nbytes: int = 0


class KeptKeys:
    """Groups of keys; threads may add to them at once.

    Args:
        types: Name of each group -> name and type of its columns.
        folder: Where the files are made; the system's folder for temporary files without one.
        kept_bytes: What may stay in memory.
    """

    def __init__(
        self,
        types: Iterable[tuple[tuple[str, ...], Sequence[tuple[str, pa.DataType]]]],
        folder: Path | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        scratch = folder or Path(tempfile.gettempdir())
        self._groups = {
            name: _Group(pa.schema([*columns, (ROW, pa.int64())]), PartitionedFile(scratch, "keys"))
            for name, columns in types
        }
        self._limit = kept_bytes
        self._lock = threading.Lock()
        self._nbytes = 0

    def add(self, name: tuple[str, ...], columns: Sequence[pa.Array], rows: pa.Array) -> None:
        """Keep the keys of some rows.

        Args:
            name: The group.
            columns: One array for each of its columns, of its type.
            rows: The rows' numbers.

        Raises:
            MigrationError: The folder is full, or cannot be written.
        """
        group = self._groups[name]
        batch = pa.record_batch([*columns, rows], schema=group.schema)
        with self._lock:
            group.batches.append(batch)
            group.nbytes += batch.nbytes
            self._nbytes += batch.nbytes
            chosen = self._taken_out()
        for each, batches in chosen:
            self._write(each, batches)

    def finish(self) -> Sequence[int | None]:
        """Say that all keys have been added.

        Returns:
            What to ask ``read`` for, one after the other: equal keys of all groups come at the same time.

        Raises:
            MigrationError: The folder is full, or cannot be written.
        """
        if all(group.aside.is_empty for group in self._groups.values()):
            return (None,)
        for group in self._groups.values():
            if batches := self._detached(group):
                self._write(group, batches)
        return range(PARTITIONS)

    def read(self, name: tuple[str, ...], partition: int | None) -> pa.Table:
        """Return keys with the numbers of their rows in the column ``ROW``.

        Args:
            name: The group.
            partition: One of those that ``finish`` returned.

        Raises:
            MigrationError: The folder cannot be read.
        """
        group = self._groups[name]
        if partition is None:
            return pa.Table.from_batches(group.batches, group.schema)
        return pa.Table.from_batches(group.aside.read(partition), group.schema)

    def close(self) -> None:
        """Give memory and disk back."""
        for group in self._groups.values():
            group.batches.clear()
            group.aside.close()

    def _taken_out(self) -> list[tuple[_Group, list[pa.RecordBatch]]]:
        """Take the largest groups out of memory when all together are too large."""
        chosen = []
        if self._nbytes > self._limit:
            for group in sorted(self._groups.values(), key=lambda each: -each.nbytes):
                chosen.append((group, self._detached(group)))
                if self._nbytes <= self._limit // 2:
                    break
        return chosen

    def _detached(self, group: _Group) -> list[pa.RecordBatch]:
        batches, group.batches = group.batches, []
        self._nbytes -= group.nbytes
        group.nbytes = 0
        return batches

    def _write(self, group: _Group, batches: Sequence[pa.RecordBatch]) -> None:
        keys = pa.Table.from_batches(batches, group.schema).combine_chunks().to_batches()
        for batch in keys:
            numbers = hashes_of(batch.columns[:-1]) >> np.uint64(64 - PARTITION_BITS)
            group.aside.write(batch, numbers.astype(np.uint8))


def repeated(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Return the rows that are like another one in these columns."""
    if not rows.num_rows:
        return rows
    rows = rows.combine_chunks()
    hashes = hashes_of([rows.column(name).chunk(0) for name in columns])
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    # Rows that are equal have equal hashes. The others' hashes are hardly ever equal, which is worth a second look.
    suspects = rows.filter(pa.array(np.isin(hashes, twice))) if len(twice) else rows.slice(0, 0)
    groups = suspects.group_by(list(columns)).aggregate([(ROW, "list")]).column(f"{ROW}_list")
    shared = pc.list_flatten(groups.filter(pc.greater(pc.list_value_length(groups), 1)))
    return suspects.filter(pc.is_in(suspects.column(ROW), value_set=shared))


def without_partner(children: pa.Table, parents: pa.Table, columns: Sequence[str], others: Sequence[str]) -> pa.Table:
    """Return the rows whose columns are in no row of the parents."""
    if len(columns) == 1:
        known = pc.is_in(children.column(columns[0]), value_set=parents.column(others[0]))
        return children.filter(pc.invert(known))
    return children.join(
        parents.drop_columns([ROW]), keys=list(columns), right_keys=list(others), join_type="left anti"
    )


def hashes_of(columns: Sequence[pa.Array]) -> Hashes:
    """Return a hash of each row: equal for rows that are equal in all columns, whatever table they are from."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        own = _mixed(_column_hashes(column))
        if column.null_count:
            own[np.asarray(pc.is_null(column))] = _NULL_HASH
        total = _mixed(total * np.uint64(31) + own)
    return total


def _column_hashes(column: pa.Array) -> Hashes:
    kind = column.type
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width % 8 == 0:
        words = np.frombuffer(column.buffers()[1], np.uint64).reshape(-1, kind.byte_width // 8)
        words = words[column.offset : column.offset + len(column)]
        hashes: Hashes = np.add.reduce(words * _POWERS[: words.shape[1]], axis=1, dtype=np.uint64)
        return hashes
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _numbers(column.cast(pa.int64()))
    if pa.types.is_temporal(kind) or pa.types.is_floating(kind):
        return _numbers(column.view(pa.int64()) if kind.bit_width == 64 else column.view(pa.int32()).cast(pa.int64()))
    return _text_hashes(column)


def _numbers(column: pa.Array) -> Hashes:
    return np.asarray(column.fill_null(0)).view(np.uint64).copy()


def _text_hashes(column: pa.Array) -> Hashes:
    """Sum up each text's bytes, each times a power for its place.

    Some at a time: each byte takes dozens of bytes meanwhile.
    """
    if len(column) > _HASHED_ROWS:
        parts = [_text_hashes(column.slice(first, _HASHED_ROWS)) for first in range(0, len(column), _HASHED_ROWS)]
        together: Hashes = np.concatenate(parts)
        return together
    texts: Any = column.cast(pa.large_string()) if pa.types.is_decimal(column.type) else column
    texts = texts.fill_null("" if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type) else b"")
    texts = texts.cast(pa.large_binary())
    ends = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    ends = ends - ends[0]
    places = np.arange(len(data)) - np.repeat(ends[:-1], np.diff(ends))
    terms = (data + np.uint64(1)) * _POWERS[places % len(_POWERS)]
    sums: Hashes = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
    hashes: Hashes = sums[ends[1:]] - sums[ends[:-1]]
    return hashes


def _mixed(numbers: Hashes) -> Hashes:
    """Spread each number over all bits: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
