"""Times and dates, which Sequelize stores in SQLite as text.

Sequelize writes ``YYYY-MM-DD HH:MM:SS.mmm +00:00`` (30 characters, always UTC) for DATE and ``YYYY-MM-DD`` for
DATEONLY. Other spellings of ISO 8601 that name an offset are read too. Nothing depends on a process's time zone: a
time without one is a misfit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Column
from .cells import Cells
from .conversion_base import (
    GENERAL_MEND,
    Conversion,
    Converted,
    Reader,
    Reason,
    UnfitError,
    read_by_form,
)

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_EPOCH_DAY = datetime(1970, 1, 1).toordinal()
_FIRST = (1 - _EPOCH_DAY) * _DAY
_LAST = (datetime(9999, 12, 31).toordinal() + 1 - _EPOCH_DAY) * _DAY

# Dates that exist, but for 29 February, which the exact path looks at: so Arrow's parser has nothing to refuse.
_YEAR = r"(?:000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})"
_MONTH_AND_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
_SURE_DATE = f"{_YEAR}-{_MONTH_AND_DAY}"
_SURE_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_UTC = r" ?(?:\+00:00|Z)"
#: Length of ``YYYY-MM-DD HH:MM:SS.mmm``.
_WITHOUT_ZONE = 23

_DATE = re.compile(rb"(\d{4})-(\d\d)-(\d\d)")
_TIME = re.compile(_DATE.pattern + rb"[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)? ?(Z|[+-]\d\d:?\d\d)?")
_FAR_YEAR = re.compile(rb"[+-]?\d{5,}-\d\d-\d\d.*", re.DOTALL)
#: PostgreSQL takes offsets up to 15:59 (MAX_TZDISP_HOUR in its datetime.h).
_OFFSET_HOURS = 15

NO_TIME = Reason(
    "text that is no time such as 2024-01-03 09:10:55.791 +00:00",
    "Correct the value in the application, or replace it by the rule map",
)
NO_DATE = Reason(
    "text that is no date such as 2024-01-03", "Correct the value in the application, or replace it by the rule map"
)
NO_ZONE = Reason(
    "time without a time zone", "Write it with its offset, such as +00:00, in the application; nobody else knows it"
)
NO_SUCH_TIME = Reason("date or time of day that does not exist")
FAR_YEAR = Reason("time outside the years 1 to 9999")
OTHER_OFFSET = Reason(
    "time with another offset than UTC's, which timestamp does not keep", "Make the column timestamp with time zone"
)
NUMBER_MEND = "Add the rule epoch: milliseconds or epoch: seconds when the number counts them since 1970"


class TimestampConversion(Conversion):
    """``timestamptz(p)`` from TEXT that names its offset."""

    arrow_type: pa.DataType = pa.timestamp("us", "UTC")
    kind = "a time column"
    mends: ClassVar[Mapping[str, str]] = {"integers": NUMBER_MEND}

    def __init__(self, target: Column, declared_type: str = "") -> None:
        super().__init__(target, declared_type)
        self._digits = target.modifier if 0 <= target.modifier <= 6 else 6
        kept = min(self._digits, 3)
        self._canonical = rf"^{_SURE_DATE}[ T]{_SURE_TIME}\.\d{{{kept}}}0{{{3 - kept}}}{_UTC}$"

    def readers(self) -> Mapping[str, Reader]:
        return {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        """Return Sequelize's form; six digits of the second where three would lose some."""
        return Cells(len(values), texts=_suffixed(values, " +00:00").cast(pa.large_binary()))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return _suffixed(values, "+00")

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        return read_by_form(part, pc.match_substring_regex(part, self._canonical), self._fast, self._exact)

    def _fast(self, part: pa.LargeBinaryArray) -> pa.Array:
        naive = pc.binary_slice(part, 0, _WITHOUT_ZONE).cast(pa.string()).cast(pa.timestamp("us"))
        return naive.view(self.arrow_type)

    def _exact(self, value: bytes) -> int:
        """Return microseconds since 1970-01-01T00:00:00Z."""
        found = _TIME.fullmatch(value)
        if found is None:
            raise UnfitError(FAR_YEAR if _FAR_YEAR.fullmatch(value) else NO_TIME)
        *numbers, fraction, zone = found.groups()
        time = _microseconds(numbers) + self._fraction(fraction or b"")
        time -= self._offset(zone)
        if not _FIRST <= time < _LAST:
            raise UnfitError(FAR_YEAR)
        return time

    def _fraction(self, digits: bytes) -> int:
        if digits[self._digits :].strip(b"0"):
            raise UnfitError(
                Reason(
                    f"time with more digits of the second than {self.target.type} keeps",
                    f"{GENERAL_MEND}, or give the column a larger precision",
                )
            )
        return int(digits[:6].ljust(6, b"0"))

    def _offset(self, zone: bytes | None) -> int:
        if zone is None:
            raise UnfitError(NO_ZONE)
        if zone == b"Z":
            return 0
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > _OFFSET_HOURS or minutes > 59:
            raise UnfitError(NO_SUCH_TIME)
        return (hours * 60 + minutes) * 60 * _SECOND * (-1 if zone.startswith(b"-") else 1)


class LocalTimestampConversion(TimestampConversion):
    """``timestamp(p)`` from TEXT in UTC or without an offset; another offset would be lost."""

    arrow_type = pa.timestamp("us")

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return _suffixed(values, "")

    def _offset(self, zone: bytes | None) -> int:
        if zone is not None and super()._offset(zone):
            raise UnfitError(OTHER_OFFSET)
        return 0


class DateConversion(Conversion):
    """Date from TEXT, as Sequelize stores DATEONLY."""

    arrow_type = pa.date32()
    kind = "a date column"

    def readers(self) -> Mapping[str, Reader]:
        return {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), texts=self.render(values).cast(pa.large_binary()))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return values.cast(pa.string()).cast(pa.large_string())

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        sure = pc.match_substring_regex(part, f"^{_SURE_DATE}$")
        return read_by_form(part, sure, lambda texts: texts.cast(pa.string()).cast(pa.date32()), _days)


def _days(value: bytes) -> int:
    found = _DATE.fullmatch(value)
    if found is None:
        raise UnfitError(FAR_YEAR if _FAR_YEAR.fullmatch(value) else NO_DATE)
    return _microseconds(found.groups()) // _DAY


def _microseconds(numbers: Sequence[bytes | None]) -> int:
    """Return the time since 1970 of year, month and day, and hour, minute and second where they are given."""
    year, month, day, hour, minute, second = (int(number or 0) for number in (*numbers, *(None,) * 6)[:6])
    try:
        # It only asks whether these exist: no zone is meant, and 24:00 and a 60th second are none.
        date = datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise UnfitError(NO_SUCH_TIME) from None
    return (date.toordinal() - _EPOCH_DAY) * _DAY + ((hour * 60 + minute) * 60 + second) * _SECOND


def _suffixed(values: pa.Array, suffix: str) -> pa.LargeStringArray:
    """Print times of UTC in ISO 8601 with three digits of the second, with six where three are too few."""
    texts = values.view(pa.timestamp("us")).cast(pa.large_string())
    counted = values.view(pa.int64())
    whole = pc.equal(pc.multiply(pc.divide(counted, 1000), 1000), counted)
    digits = pc.if_else(whole, pc.utf8_slice_codeunits(texts, 0, _WITHOUT_ZONE), texts)
    return pc.binary_join_element_wise(digits, pa.scalar(suffix, pa.large_string()), pa.scalar("", pa.large_string()))
