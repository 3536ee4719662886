"""Texts of a fixed width, read position by position: all cells of a batch at once, without a Python object for each.

What makers write for times, dates and uuids has few widths. The cells of one width are a table of characters; its
columns are checked and counted together by numpy. What is not exactly of the expected form stays unknown here, and the
conversions' exact paths look at it one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SECOND = 1_000_000
DAY = 86_400 * SECOND
#: 1970-01-01, as Python counts the days.
EPOCH_DAY = date(1970, 1, 1).toordinal()
#: Year to the days between 1970-01-01 and its first; 0 stands there for the index alone.
_DAYS_BEFORE_YEAR = np.array([0] + [date(year, 1, 1).toordinal() - EPOCH_DAY for year in range(1, 10_000)], np.int64)
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: In years without and with a 29 February: month to its length and to the days before it. No other month has a day.
_DAYS_OF_MONTH = np.zeros((2, 100), np.int64)
_DAYS_BEFORE_MONTH = np.zeros((2, 100), np.int64)
for _leap in (0, 1):
    _lengths = np.array(_LENGTHS) + np.array([0, _leap] + [0] * 10)
    _DAYS_OF_MONTH[_leap, 1:13] = _lengths
    _DAYS_BEFORE_MONTH[_leap, 1:13] = np.cumsum(_lengths) - _lengths


class Characters:
    """The characters of texts that all have one width.

    Attributes:
        good: Which texts have had, so far, all that was asked of them.
    """

    def __init__(self, texts: npt.NDArray[np.uint8]) -> None:
        # Position by position: each question is about one character of all texts.
        self._columns = np.ascontiguousarray(texts.T)
        self.good: Flags = np.ones(len(texts), np.bool_)

    def require(self, at: int, *allowed: bytes) -> None:
        """Ask for one of these texts (of one length) at a position."""
        found = np.zeros(len(self.good), np.bool_)
        for text in allowed:
            same = np.ones(len(self.good), np.bool_)
            for place, character in enumerate(text):
                same &= self._columns[at + place] == character
            found |= same
        self.good &= found

    def number(self, at: int, digits: int) -> Numbers:
        """Ask for this many digits at a position, and return the number that they make."""
        value = np.zeros(len(self.good), np.int64)
        for column in self._columns[at : at + digits] - np.uint8(ord("0")):
            self.good &= column <= 9
            value = value * 10 + column
        return value

    def days(self, at: int) -> Numbers:
        """Ask for a date that exists (``YYYY-MM-DD``), and return its days since 1970."""
        self.require(at + 4, b"-")
        self.require(at + 7, b"-")
        year, month, day = self.number(at, 4), self.number(at + 5, 2), self.number(at + 8, 2)
        # What is no digit has spoiled its number: the tables have a place for it all the same.
        year, month = np.where(self.good, year, 0), np.where(self.good, month, 0)
        leap = ((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))).astype(np.int64)
        self.good &= (year >= 1) & (day >= 1) & (day <= _DAYS_OF_MONTH[leap, month])
        days: Numbers = _DAYS_BEFORE_YEAR[year] + _DAYS_BEFORE_MONTH[leap, month] + day - 1
        return days

    def time_of_day(self, at: int, digits: int) -> Numbers:
        """Ask for a time of day that exists (``HH:MM:SS``, a point and digits of the second where there are some).

        Returns:
            Its microseconds since midnight.
        """
        self.require(at + 2, b":")
        self.require(at + 5, b":")
        hour, minute, second = self.number(at, 2), self.number(at + 3, 2), self.number(at + 6, 2)
        self.good &= (hour < 24) & (minute < 60) & (second < 60)
        micro = (hour * 3600 + minute * 60 + second) * SECOND
        if digits:
            self.require(at + 8, b".")
            micro += self.number(at + 9, digits) * 10 ** (6 - digits)
        return micro


def read_widths(
    part: pa.LargeBinaryArray, widths: Mapping[int, Callable[[Characters], Numbers]], arrow_type: pa.DataType
) -> pa.Array:
    """Return what readers make of the texts of their width.

    Args:
        part: Texts; nulls stay null.
        widths: Width in bytes to a reader, which asks for its form and returns one number for each text.
        arrow_type: A type of 32 or 64 bits that is stored as such a number.

    Returns:
        Values of the type; null where a text has another width, or not the form that its reader asks for.
    """
    if not len(part):
        return pa.nulls(0, arrow_type)
    sizes = lengths(part)
    values = np.zeros(len(part), np.int64)
    known = np.zeros(len(part), np.bool_)
    for width, read in widths.items():
        chosen = sizes == width
        if not chosen.any():
            continue
        characters = Characters(texts_of_width(part, chosen, width))
        numbers = read(characters)
        if chosen.all():
            values, known = numbers, characters.good
        else:
            values[chosen], known[chosen] = numbers, characters.good
    stored = values.astype(np.int32 if arrow_type.bit_width == 32 else np.int64)
    return pa.array(stored, mask=~known).view(arrow_type)


def lengths(part: pa.LargeBinaryArray) -> Numbers:
    """Return the bytes of each text, of which there is one at least, and -1 for nulls."""
    offsets = np.frombuffer(part.buffers()[1], np.int64)[part.offset : part.offset + len(part) + 1]
    sizes: Numbers = np.diff(offsets)
    return np.where(valid(part), sizes, -1) if part.null_count else sizes


def valid(part: pa.Array) -> Flags:
    """Return which values are not null."""
    found: Flags = part.is_valid().to_numpy(zero_copy_only=False)
    return found


def texts_of_width(part: pa.LargeBinaryArray, chosen: Flags, width: int) -> npt.NDArray[np.uint8]:
    """Return the chosen texts, which all have this width, as the rows of a table of bytes."""
    alone = part if chosen.all() else part.filter(pa.array(chosen))
    return data_of(alone).reshape(len(alone), width) if len(alone) else np.zeros((0, width), np.uint8)


def data_of(part: pa.LargeBinaryArray) -> npt.NDArray[np.uint8]:
    """Return the bytes of all texts, of which there is one at least, behind one another."""
    offsets = np.frombuffer(part.buffers()[1], np.int64)
    data = part.buffers()[2]
    whole = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return whole[offsets[part.offset] : offsets[part.offset + len(part)]]
