"""Texts, labels of enumerations and binary data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Column
from .cells import Cells
from .conversion_base import (
    Conversion,
    Converted,
    Reader,
    Reason,
    UnfitError,
    keep_where,
    misfits_where,
    read_singly,
    refuse_where,
    whole,
)
from .conversion_fixed_width import data_of

NOT_UTF8 = Reason("text that is not valid UTF-8", "Correct the text in the application; PostgreSQL holds UTF-8 only")
HOLDS_NUL = Reason("text that holds a NUL character", "Take U+0000 out of the text; PostgreSQL cannot hold it")


def decoded(value: bytes) -> str:
    """Return a stored text.

    Raises:
        UnfitError: It is not UTF-8 (as RFC 3629 has it: no surrogates) or holds NUL.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise UnfitError(NOT_UTF8) from None
    if "\0" in text:
        raise UnfitError(HOLDS_NUL)
    return text


def decode_texts(part: pa.LargeBinaryArray) -> Converted:
    """Return texts as Arrow strings; what is not UTF-8 or holds NUL is a misfit."""
    try:
        values = part.cast(pa.string())
    except pa.ArrowInvalid:
        return read_singly(part, decoded, pa.string())
    # One look at all bytes is many times faster than one at each text.
    if not len(part) or b"\0" not in data_of(part).tobytes():
        return Converted(values)
    return refuse_where(Converted(values), pc.match_substring(part, "\0"), HOLDS_NUL)


def encoded(values: pa.Array) -> pa.LargeBinaryArray:
    """Return strings as the bytes that SQLite stores."""
    return values.cast(pa.large_binary())


class TextConversion(Conversion):
    """text, varchar and varchar(n) from TEXT."""

    arrow_type = pa.string()
    kind = "a text column"
    takes_empty_text = True

    def readers(self) -> Mapping[str, Reader]:
        return {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), texts=encoded(values))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return values.cast(pa.large_string())

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        converted = decode_texts(part)
        length = self.target.length
        if length is None:
            return converted
        # PostgreSQL would cut spaces that are too many without a word: they are too many all the same.
        reason = Reason(
            f"text longer than {length} characters",
            f"Shorten it in the application, add the rule truncate: {length}, or make the column wider",
        )
        return refuse_where(converted, pc.greater(pc.utf8_length(converted.values), whole(length)), reason)


class PaddedTextConversion(TextConversion):
    """char(n): PostgreSQL pads with spaces, and takes spaces at the end for padding."""

    kind = "a char column"

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), texts=encoded(pc.utf8_rtrim(values, " ")))

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        reason = Reason("text with spaces at its end, which char(n) does not keep", "Make the column varchar or text")
        found = super()._texts(part)
        kept = refuse_where(found, pc.ends_with(found.values, " "), reason)
        return Converted(pc.utf8_rpad(kept.values, self.target.length or 0, " "), kept.misfits)


class EnumConversion(TextConversion):
    """An enumeration from TEXT; SQLite lets any text in."""

    kind = "an enum column"
    takes_empty_text = False

    def __init__(self, target: Column, declared_type: str, labels: Sequence[str]) -> None:
        super().__init__(target, declared_type)
        self.labels = tuple(labels)
        self._labels = pa.array([label.encode() for label in labels], pa.large_binary())

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        reason = Reason(
            f"text that is no label of {self.target.type}",
            "Correct the value, add the rule map, or add the label to the enumeration",
        )
        known = pc.is_in(part, value_set=self._labels)
        unknown = misfits_where(pc.and_(pc.is_valid(part), pc.invert(known)), reason)
        return Converted((keep_where(known, part) if unknown else part).cast(pa.string()), unknown)


class BinaryConversion(Conversion):
    """bytea from BLOB."""

    arrow_type = pa.binary()
    kind = "a binary column"

    def readers(self) -> Mapping[str, Reader]:
        return {"blobs": lambda part: Converted(part.cast(pa.binary()))}

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), blobs=values.cast(pa.large_binary()))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        r"""Return the hex format (``\x`` and two digits for each byte), which needs no setting."""
        texts = [None if value is None else rf"\x{value.hex()}" for value in values.to_pylist()]
        return pa.array(texts, pa.large_string())
