"""Rows that are too many for memory: put aside on disk by partitions, and read again one partition at a time.

Which partition a row belongs to is its owner's to say (``kept_keys.py``, ``row_spill.py``); what belongs together has
the same one. The file has no name and is readable by nobody else: what a killed process leaves is gone with it.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .durable_files import write_all
from .errors import MigrationError


class PartitionedFile:
    """Rows of one schema; threads may write and read at once.

    Args:
        folder: Where the file is made, with the first rows.
        what: What the rows are, for a refusal: ``keys``.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self._folder = folder
        self._what = what
        self._file: IO[bytes] | None = None
        self._schema: pa.Schema | None = None
        self._end = 0
        #: Per piece in the file: its partition, where it begins, and its bytes.
        self._index: list[tuple[int, int, int]] = []
        self._writing = threading.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return not self._index

    def write(self, batch: pa.RecordBatch, partitions: npt.NDArray[np.uint8]) -> None:
        """Put rows aside; those of one partition stay in their order.

        Args:
            batch: The rows.
            partitions: For each of them the number of its partition.

        Raises:
            MigrationError: The folder is full, or cannot be written.
        """
        ordered = batch.take(pa.array(np.argsort(partitions, kind="stable")))
        ends = np.cumsum(np.bincount(partitions)).tolist()
        with self._writing, self._refusals_told():
            if self._file is None:
                # Without a name from the beginning where the filesystem can do that (O_TMPFILE), else from now on.
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 (``close`` closes it)
                self._schema = batch.schema
            for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
                if end > start:
                    data = ordered.slice(start, end - start).serialize()
                    write_all(self._file.fileno(), data)
                    self._index.append((number, self._end, data.size))
                    self._end += data.size

    def size(self, partition: int | None) -> int:
        """Return about how many bytes the rows of a partition have; None means all."""
        return sum(length for number, _, length in self._index if partition in (None, number))

    def read(self, partition: int | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition in the order in which they were written; None means all.

        Raises:
            MigrationError: The file cannot be read.
        """
        for number, start, length in self._index:
            if self._file and partition in (None, number):
                with self._refusals_told():
                    data = os.pread(self._file.fileno(), length, start)
                yield pa.ipc.read_record_batch(pa.py_buffer(data), self._schema)

    def close(self) -> None:
        """Give the disk back."""
        if self._file:
            self._file.close()
            self._file = None

    @contextmanager
    def _refusals_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno == errno.ENOSPC
            raise MigrationError(
                f"{self._what} cannot be put aside in the scratch folder {self._folder}, or read from there:"
                f" {error.strerror or error}",
                "Make room there, or name another folder" if full else "Name a folder that can be written and read",
            ) from None
