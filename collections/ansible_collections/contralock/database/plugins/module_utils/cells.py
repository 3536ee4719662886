"""One column of one batch of rows, exactly as SQLite stores it.

SQLite gives every cell one of five storage classes, whatever its column was declared as
(https://www.sqlite.org/datatype3.html#storage_classes_and_datatypes). Which of them a cell has is half of what it
says: 5, 5.0, '5' and x'35' are four values. So nothing is coerced here; each storage class has an Arrow array of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: A value as Python's sqlite3 returns it with ``text_factory = bytearray``; ``str`` is TEXT too, for who writes one.
Value = int | float | str | bytearray | bytes | None


@dataclass(frozen=True)
class Cells:
    """The cells of one column in one batch.

    Each part has ``length`` entries; a cell stands in the part of its storage class and is null in the others. A part
    that is ``None`` has no cell of its class in this batch. A cell that is null in every part is NULL.

    Attributes:
        length: The number of cells.
        integers: Cells of class INTEGER, 64 bits with sign.
        reals: Cells of class REAL. SQLite knows infinities and no NaN.
        texts: Cells of class TEXT, their bytes as stored: UTF-8 is not guaranteed, and NUL may occur.
        blobs: Cells of class BLOB.
    """

    length: int
    integers: pa.Int64Array | None = None
    reals: pa.DoubleArray | None = None
    texts: pa.LargeBinaryArray | None = None
    blobs: pa.LargeBinaryArray | None = None

    @staticmethod
    def of(values: Sequence[Value]) -> Cells:
        """Make cells of Python values: int, float, str or bytearray (TEXT), bytes (BLOB) and None.

        The type of each value decides exactly (``pa.array`` alone would make 1 of 1.0 beside integers). A str is
        encoded as UTF-8, a lone surrogate in it as its three bytes (as a careless writer stores it).

        Raises:
            TypeError: A value has another type (bool too: it is no storage class).
        """
        kinds = set(map(type, values))
        kinds.discard(type(None))
        if str in kinds:
            values = [_encoded(value) if type(value) is str else value for value in values]
            kinds = kinds - {str} | {bytearray}
        if unknown := kinds - _PARTS.keys():
            raise TypeError(f"no storage class of SQLite: {', '.join(sorted(kind.__name__ for kind in unknown))}")
        parts = {}
        for kind in kinds:
            name, arrow_type = _PARTS[kind]
            own = values if len(kinds) == 1 else [value if type(value) is kind else None for value in values]
            parts[name] = pa.array(own, arrow_type)
        return Cells(len(values), **parts)

    @staticmethod
    def concat(batches: Sequence[Cells]) -> Cells:
        """Put batches of one column behind one another; no batches make no cells."""
        parts: dict[str, Any] = {}
        for name, arrow_type in _PARTS.values():
            if any(getattr(each, name) is not None for each in batches):
                chunks = [_or_nulls(getattr(each, name), each.length, arrow_type) for each in batches]
                parts[name] = pa.concat_arrays(chunks)
        return Cells(sum(each.length for each in batches), **parts)

    @property
    def parts(self) -> dict[str, pa.Array]:
        """The parts that are there: ``integers``, ``reals``, ``texts``, ``blobs`` to their array."""
        found = {name: getattr(self, name) for name, _ in _PARTS.values()}
        return {name: part for name, part in found.items() if part is not None}

    def is_null(self) -> pa.BooleanArray:
        """Return which cells are NULL."""
        mask = None
        for part in self.parts.values():
            missing = pc.is_null(part)
            mask = missing if mask is None else pc.and_(mask, missing)
        return pa.array([True] * self.length, pa.bool_()) if mask is None else mask

    def stored(self, row: int) -> int | float | bytearray | bytes | None:
        """Return one value, as ``of`` takes it: TEXT is a bytearray, BLOB is bytes.

        Raises:
            IndexError: There is no such row.
        """
        at = self._position(row)
        for name, part in self.parts.items():
            if part[at].is_valid:
                value = part[at].as_py()
                return bytearray(value) if name == "texts" else value
        return None

    def python(self, row: int) -> int | float | str | bytes | None:
        r"""Return one value for a message: TEXT is a str, with ``\xNN`` for bytes that are no UTF-8.

        Raises:
            IndexError: There is no such row.
        """
        value = self.stored(row)
        return value.decode(errors="backslashreplace") if isinstance(value, bytearray) else value

    def take(self, indices: pa.Array) -> Cells:
        """Return the cells at these positions (an Arrow array of whole numbers), in that order."""
        return self._each(len(indices), lambda part: part.take(indices))

    def filter(self, mask: pa.BooleanArray) -> Cells:
        """Return the cells where the mask is true."""
        return self._each(pc.sum(mask).as_py() or 0, lambda part: part.filter(mask))

    def slice(self, start: int, length: int) -> Cells:
        """Return up to ``length`` cells from position ``start``, without copying them."""
        return self._each(max(0, min(length, self.length - start)), lambda part: part.slice(start, length))

    def _each(self, length: int, change: Callable[[pa.Array], pa.Array]) -> Cells:
        parts = {name: change(part) for name, part in self.parts.items()}
        # A part without a cell of its class says so by being absent: uniform columns stay recognizable.
        return Cells(length, **{name: part for name, part in parts.items() if part.null_count < length})

    def _position(self, row: int) -> int:
        if not -self.length <= row < self.length:
            raise IndexError(f"row {row} of {self.length}")
        return row % self.length


#: Python type to the part that holds it and that part's Arrow type.
_PARTS: dict[type, tuple[str, pa.DataType]] = {
    int: ("integers", pa.int64()),
    float: ("reals", pa.float64()),
    bytearray: ("texts", pa.large_binary()),
    bytes: ("blobs", pa.large_binary()),
}


def _encoded(text: str) -> bytearray:
    return bytearray(text.encode(errors="surrogatepass"))


def _or_nulls(part: pa.Array | None, length: int, arrow_type: pa.DataType) -> pa.Array:
    return pa.nulls(length, arrow_type) if part is None else part
