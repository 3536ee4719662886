"""Uuids, which makers write as text: 36 characters with dashes, or 32 hexadecimal digits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Column
from .cells import Cells
from .conversion_base import Conversion, Converted, Reader, Reason, misfits_where
from .conversion_fixed_width import lengths, texts_of_width, valid
from .source_encoding import Encoding

#: RFC 9562, section 4.
_DASHES = (8, 13, 18, 23)
_PARTS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
#: Other spellings, which PostgreSQL would take: the application compares texts and would not find them again.
_OTHER_UUID = r"(?i)^(?:urn:uuid:)?\{?[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?$"
_WITHOUT_DASHES = Reason(
    "uuid in another spelling than 8-4-4-4-12 hexadecimal digits",
    "Write it with its dashes and without braces in the application, or replace it by the rule map; where all of the"
    " column's have 32 digits without dashes, say written_by: django",
)
_WITH_DASHES = Reason(
    "uuid in another spelling than 32 hexadecimal digits",
    "Write it without dashes and braces in the application, or replace it by the rule map; where all of the column's"
    " have their dashes, say written_by: sequelize",
)
_NO_UUID = Reason(
    "text that is no uuid", "Correct the value in the application, or move with a profile whose column is a text"
)

_DASH = 16
#: Byte to the value of the hexadecimal digit, 16 for a dash, 255 for what has no place in a uuid.
_VALUES = bytearray(b"\xff" * 256)
for _value, _letter in enumerate("0123456789abcdef"):
    _VALUES[ord(_letter)] = _VALUES[ord(_letter.upper())] = _value
_VALUES[ord("-")] = _DASH


class UuidConversion(Conversion):
    """uuid from TEXT in its maker's spelling, in any case; all of them write lower case."""

    arrow_type = pa.binary(16)
    kind = "a uuid column"

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        super().__init__(target, declared_type, encoding)
        self._has_dashes = encoding not in (Encoding.DJANGO, Encoding.SQLALCHEMY)
        self._width = 36 if self._has_dashes else 32

    def readers(self) -> Mapping[str, Reader]:
        return {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), texts=_spelled(values, self._has_dashes).cast(pa.large_binary()))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return _spelled(values)

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        if not len(part):
            return Converted(pa.nulls(0, self.arrow_type))
        known = lengths(part) == self._width
        packed, good = self._packed(texts_of_width(part, known, self._width))
        if known.all() and good.all():
            return Converted(packed)
        known[known] = good
        is_known = pa.array(known)
        values = pc.replace_with_mask(
            pa.nulls(len(part), self.arrow_type), is_known, packed if good.all() else packed.filter(pa.array(good))
        )
        others = pa.array(~known & valid(part))
        spelled = pc.match_substring_regex(part, _OTHER_UUID)
        other = _WITHOUT_DASHES if self._has_dashes else _WITH_DASHES
        return Converted(
            values,
            (*misfits_where(pc.and_(others, spelled), other), *misfits_where(pc.and_not(others, spelled), _NO_UUID)),
        )

    def _packed(self, texts: npt.NDArray[np.uint8]) -> tuple[pa.FixedSizeBinaryArray, npt.NDArray[np.bool_]]:
        """Return the 16 bytes of each text, and which texts are uuids."""
        found = np.frombuffer(texts.tobytes().translate(bytes(_VALUES)), np.uint8).reshape(texts.shape)
        # Position by position: each question is about one character of all uuids.
        columns = list(np.ascontiguousarray(found.T))
        good = np.ones(len(texts), np.bool_)
        if self._has_dashes:
            for place in reversed(_DASHES):
                good &= columns.pop(place) == _DASH
        packed = np.empty((16, len(texts)), np.uint8)
        beyond = np.zeros(len(texts), np.uint8)
        for place in range(16):
            high, low = columns[2 * place : 2 * place + 2]
            beyond |= high | low
            packed[place] = high << 4 | low & 0xF
        good &= beyond < _DASH
        return pa.Array.from_buffers(pa.binary(16), len(texts), [None, pa.py_buffer(packed.T.tobytes())]), good


def _spelled(values: pa.FixedSizeBinaryArray, has_dashes: bool = True) -> pa.LargeStringArray:
    """Return uuids as PostgreSQL prints them, or without dashes."""
    present = values.drop_null()
    stored = np.frombuffer(present.buffers()[1] or b"", np.uint8)[present.offset * 16 :][: len(present) * 16]
    digits = np.frombuffer(stored.tobytes().hex().encode("ascii"), np.uint8).reshape(len(present), 32)
    if has_dashes:
        spelled = np.full((len(present), 36), ord("-"), np.uint8)
        for dashes, (start, stop) in enumerate(_PARTS):
            spelled[:, start + dashes : stop + dashes] = digits[:, start:stop]
        digits = spelled
    buffers = [None, pa.py_buffer(digits.tobytes())]
    texts = pa.Array.from_buffers(pa.binary(digits.shape[1]), len(present), buffers).cast(pa.binary())
    if not values.null_count:
        return texts.cast(pa.large_string())
    nulls = pa.nulls(len(values), pa.large_string())
    return pc.replace_with_mask(nulls, pc.is_valid(values), texts.cast(pa.large_string()))
