"""Columns of Arrow as the bytes that PostgreSQL's COPY takes, without a Python object for each value.

The binary form is each type's own (the ``*_recv`` functions in PostgreSQL's src/backend/utils/adt; PostgreSQL manual,
COPY, "Binary Format"). A row is the number of its fields and then each field's length and bytes: fields of one width
are laid side by side by numpy, those of any length are joined in by Arrow. Types that have no binary form here go as
text, in the words of their conversion, and then the whole table does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Column
from .plan import ColumnPlan

Bytes = npt.NDArray[np.uint8]

#: What a COPY in binary form begins and ends with.
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
#: PostgreSQL counts times from 2000-01-01.
_EPOCH_DAYS = 10_957
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400 * 1_000_000
_NULL = -1

# numeric: four decimal digits in each of its own. With zeros at the end these have 18 at most: an int64, five of those.
_SIMPLE_NUMBER = r"^-?\d[\d.]{0,15}$"
_DIGITS = 5
_NBASE = 10_000
_NEGATIVE = 0x4000

#: A value of one width for each row, as bytes, most significant first; rows that are null hold anything.
Fixed = Callable[[Any], Bytes]


@dataclass(frozen=True)
class _Texts:
    """Values of any length, with what stands before each."""

    prefix: bytes = b""


@dataclass(frozen=True)
class BinaryForm:
    """How a table's rows are sent in binary form.

    Attributes:
        columns: What each column is.
    """

    columns: tuple[ColumnPlan, ...]

    options = "(FORMAT binary)"
    head = SIGNATURE
    tail = TRAILER

    @staticmethod
    def takes(columns: Sequence[ColumnPlan]) -> bool:
        """Tell whether each of the columns has a binary form here."""
        return all(_form_of(column.target, column.conversion.labels is not None) for column in columns)

    def encode(self, values: Sequence[pa.Array]) -> memoryview:
        """Return the rows of these columns, which are PostgreSQL's values as the conversions give them."""
        rows = len(values[0])
        if not rows:
            return memoryview(b"")
        row = _Row(rows)
        row.add(np.broadcast_to(_big_endian(np.array([len(values)]), ">i2"), (rows, 2)))
        for column, array in zip(self.columns, values, strict=True):
            form = _form_of(column.target, column.conversion.labels is not None)
            if isinstance(form, _Texts):
                row.add_any_length(_prefixed(array, form.prefix))
            elif column.target.type_name == "numeric" and not _all_simple(array):
                row.add_any_length(_exact_numbers(array))
            elif form is not None:
                row.add_field(array, form(array))
        return row.joined()


@dataclass(frozen=True)
class TextForm:
    """How a table's rows are sent as text, which takes every type: PostgreSQL manual, COPY, "Text Format"."""

    columns: tuple[ColumnPlan, ...]

    options = "(FORMAT text)"
    head = b""
    tail = b""

    def encode(self, values: Sequence[pa.Array]) -> memoryview:
        """Return the rows of these columns, which are PostgreSQL's values as the conversions give them."""
        if not len(values[0]):
            return memoryview(b"")
        texts = [_escaped(column.conversion.render(array)) for column, array in zip(self.columns, values, strict=True)]
        tab, end = pa.scalar("\t", pa.large_string()), pa.scalar("\n", pa.large_string())
        lines = pc.binary_join_element_wise(*texts, tab)
        return _content(pc.binary_join_element_wise(lines, end, pa.scalar("", pa.large_string())))


Form = BinaryForm | TextForm


def form_for(columns: tuple[ColumnPlan, ...]) -> Form:
    """Return how rows of these columns are sent: in binary form where each of them has one."""
    return BinaryForm(columns) if BinaryForm.takes(columns) else TextForm(columns)


class _Row:
    """A row's fields in their order, for all rows at once.

    Args:
        rows: How many there are.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._blocks: list[Bytes] = []
        self._pieces: list[pa.Array] = []

    def add(self, block: Bytes) -> None:
        """Add bytes of one width."""
        self._blocks.append(block)

    def add_field(self, array: pa.Array, content: Bytes) -> None:
        """Add a field of one width, which has none where the array is null."""
        width = content.shape[1]
        if not array.null_count:
            self.add(np.broadcast_to(_big_endian(np.array([width]), ">i4"), (self._rows, 4)))
            self.add(content)
            return
        there = np.asarray(array.is_valid())
        self._flush(np.where(there, width, _NULL))
        ends = np.cumsum(np.where(there, width, 0))
        self._append(np.concatenate([[0], ends]).astype(np.int64), pa.py_buffer(np.ascontiguousarray(content)[there]))

    def add_any_length(self, array: pa.Array) -> None:
        """Add a field that is as long as each of these binary values; null has no bytes."""
        array = array.cast(pa.large_binary())
        there = np.asarray(array.is_valid())
        lengths = np.asarray(pc.fill_null(pc.binary_length(array), 0)).astype(np.int64)
        self._flush(np.where(there, lengths, _NULL))
        self._pieces.append(array)

    def joined(self) -> memoryview:
        """Return all rows behind one another."""
        self._flush()
        if len(self._pieces) == 1:
            return _content(self._pieces[0])
        between = pa.scalar(b"", pa.large_binary())
        return _content(pc.binary_join_element_wise(*self._pieces, between, null_handling="skip"))

    def _append(self, offsets: npt.NDArray[np.int64], content: pa.Buffer) -> None:
        buffers = [None, pa.py_buffer(offsets), content]
        self._pieces.append(pa.Array.from_buffers(pa.large_binary(), self._rows, buffers))

    def _flush(self, told: npt.NDArray[np.int64] | None = None) -> None:
        """Make one piece of the bytes of one width that have gathered, and the length of what follows."""
        if told is not None:
            self.add(_big_endian(told, ">i4"))
        if not self._blocks:
            return
        width = sum(block.shape[1] for block in self._blocks)
        # Row by row in memory, which numpy would not promise by itself.
        content = np.concatenate(self._blocks, axis=1, out=np.empty((self._rows, width), dtype=np.uint8))
        self._blocks = []
        offsets = np.arange(0, (self._rows + 1) * width, width, dtype=np.int64)
        self._append(offsets, pa.py_buffer(content))


def _form_of(column: Column, is_enum: bool) -> Fixed | _Texts | None:
    """Return a type's binary form; None where there is none here."""
    if is_enum:
        return _Texts()
    return _FORMS.get(column.type_name) if column.type_schema == "pg_catalog" else None


def _big_endian(values: npt.NDArray[Any], kind: str) -> Bytes:
    """Return numbers as rows of their bytes, most significant first."""
    made = np.ascontiguousarray(values.astype(kind))
    return made.view(np.uint8).reshape(len(made), made.dtype.itemsize)


def _numbers(array: pa.Array, fill: object = 0) -> npt.NDArray[Any]:
    """Return an array without its nulls' meaning: each is some value of the type."""
    return np.asarray(pc.fill_null(array, fill) if array.null_count else array)


def _of_kind(kind: str) -> Fixed:
    return lambda array: _big_endian(_numbers(array), kind)


def _boolean(array: pa.Array) -> Bytes:
    return _big_endian(_numbers(array, fill=False), ">i1")


def _floating(kind: str) -> Fixed:
    # With a null in it, Arrow would hand over an array of doubles with NaN.
    return lambda array: _big_endian(_numbers(array, fill=0.0), kind)


def _uuid(array: pa.Array) -> Bytes:
    filled = pc.fill_null(array, bytes(16)) if array.null_count else array
    content = np.frombuffer(filled.buffers()[1], np.uint8)
    start = filled.offset * 16
    return content[start : start + len(filled) * 16].reshape(len(filled), 16)


def _days(array: pa.Array) -> Bytes:
    return _big_endian(_numbers(array.view(pa.int32())) - _EPOCH_DAYS, ">i4")


def _microseconds(array: pa.Array) -> Bytes:
    return _big_endian(_numbers(array.view(pa.int64())) - _EPOCH_MICROSECONDS, ">i8")


def _time_of_day(array: pa.Array) -> Bytes:
    return _big_endian(_numbers(array.cast(pa.time64("us")).view(pa.int64())), ">i8")


def _all_simple(array: pa.Array) -> bool:
    return bool(pc.all(pc.match_substring_regex(array, _SIMPLE_NUMBER), min_count=0).as_py())


def _simple_numbers(array: pa.Array) -> Bytes:
    """Write decimal numbers of a few digits, each in five digits of NBASE.

    PostgreSQL itself takes zeros off both ends (``make_result`` in numeric.c).
    """
    texts = pc.fill_null(array, "0")
    point = _numbers(pc.find_substring(texts, "."))
    after = np.where(point < 0, 0, np.asarray(pc.binary_length(texts)) - point - 1).astype(np.int64)
    whole = _numbers(pc.replace_substring(texts, ".", "").cast(pa.int64()))
    missing = -after % 4
    left = np.abs(whole) * 10**missing
    groups = (after + missing) // 4
    digits = np.empty((len(whole), _DIGITS), dtype=np.int64)
    for place in reversed(range(_DIGITS)):
        left, digits[:, place] = np.divmod(left, _NBASE)
    head = np.empty((len(whole), 4), dtype=np.int64)
    head[:, 0] = _DIGITS
    head[:, 1] = _DIGITS - 1 - groups
    head[:, 2] = np.where(whole < 0, _NEGATIVE, 0)
    head[:, 3] = after
    made = np.ascontiguousarray(np.concatenate([head, digits], axis=1).astype(">i2"))
    return made.view(np.uint8).reshape(len(whole), (4 + _DIGITS) * 2)


def _exact_numbers(array: pa.Array) -> pa.LargeBinaryArray:
    """Write decimal numbers of any length, one by one."""
    return pa.array([None if text is None else _exact_number(text) for text in array.to_pylist()], pa.large_binary())


def _exact_number(text: str) -> bytes:
    sign, digits, exponent = Decimal(text).as_tuple()
    after = max(-int(exponent), 0)
    # To whole groups of four on both sides of the point.
    shown = "".join(map(str, digits)) + "0" * (max(int(exponent), 0) + -after % 4)
    shown = shown.zfill(-(-len(shown) // 4) * 4)
    groups = [int(shown[at : at + 4]) for at in range(0, len(shown), 4)]
    weight = len(groups) - 1 - -(-after // 4)
    numbers = [len(groups), weight, _NEGATIVE if sign else 0, after, *groups]
    return b"".join(number.to_bytes(2, "big", signed=number < 0) for number in numbers)


def _prefixed(array: pa.Array, prefix: bytes) -> pa.Array:
    if not prefix:
        return array
    parts = [pa.scalar(prefix, pa.large_binary()), array.cast(pa.large_binary()), pa.scalar(b"", pa.large_binary())]
    return pc.binary_join_element_wise(*parts)


def _escaped(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    for sign, told in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        texts = pc.replace_substring(texts, sign, told)
    return pc.fill_null(texts, r"\N")


def _content(array: pa.Array) -> memoryview:
    """Return the bytes of all values of a large binary or large string array, which has no nulls."""
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    content = array.buffers()[2]
    return memoryview(content if content is not None else b"")[int(offsets[0]) : int(offsets[-1])]


#: pg_type.typname of a type of PostgreSQL's own to its binary form.
_FORMS: Mapping[str, Fixed | _Texts] = {
    "bool": _boolean,
    "int2": _of_kind(">i2"),
    "int4": _of_kind(">i4"),
    "int8": _of_kind(">i8"),
    "float4": _floating(">f4"),
    "float8": _floating(">f8"),
    "numeric": _simple_numbers,
    "date": _days,
    "time": _time_of_day,
    "timestamp": _microseconds,
    "timestamptz": _microseconds,
    "uuid": _uuid,
    "text": _Texts(),
    "varchar": _Texts(),
    "bpchar": _Texts(),
    "bytea": _Texts(),
    "json": _Texts(),
    # The version of the form stands before the text.
    "jsonb": _Texts(b"\x01"),
}
