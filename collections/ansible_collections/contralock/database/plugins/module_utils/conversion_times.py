"""Times, dates and times of day, which SQLite has no type for: makers write texts, and Prisma numbers.

What each of them writes is in ``source_encoding``. Other spellings of ISO 8601 are read too, as long as they leave no
question: a time that names its offset where offsets are written, and one that names none where none is. Nothing
depends on a process's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

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
    keep_where,
    read_rest,
    refuse_where,
)
from .conversion_fixed_width import DAY, EPOCH_DAY, SECOND, Characters, Numbers, read_widths
from .source_encoding import Encoding

_MILLISECOND = 1000
_FIRST = (1 - EPOCH_DAY) * DAY
_LAST = (datetime(9999, 12, 31).toordinal() + 1 - EPOCH_DAY) * DAY

_OFFSETS_OF_UTC = (b" +00:00", b"+00:00", b"Z")
#: Digits of the second that the fast paths know, and how many bytes they take with their point.
_FRACTIONS = {0: 0, 3: 4, 6: 7}
_DATE_WIDTH = len("2024-01-03")
_CLOCK_WIDTH = len("09:10:55")
_TIME_WIDTH = len("2024-01-03 09:10:55")
#: The day on which Rails puts a time of day.
_DAY_OF_RAILS = b"2000-01-01 "

_DATE = re.compile(rb"(\d{4})-(\d\d)-(\d\d)")
_CLOCK = re.compile(rb"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?")
_TIME = re.compile(_DATE.pattern + rb"[ T]" + _CLOCK.pattern + rb" ?(Z|[+-]\d\d:?\d\d)?")
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
NO_CLOCK = Reason(
    "text that is no time of day such as 09:10:55",
    "Correct the value in the application, or replace it by the rule map",
)
NO_ZONE = Reason(
    "time without a time zone",
    "Write it with its offset, such as +00:00, in the application; or say written_by for the column when its maker"
    " writes UTC without an offset",
)
WITH_ZONE = Reason(
    "time with a time zone in a column whose maker writes none",
    "Write it in UTC without an offset in the application, or say written_by for the column when all of its times"
    " have one",
)
NO_SUCH_TIME = Reason("date or time of day that does not exist")
FAR_YEAR = Reason("time outside the years 1 to 9999")
OTHER_OFFSET = Reason(
    "time with another offset than UTC's, which timestamp does not keep", "Make the column timestamp with time zone"
)
TIME_IN_DATE = Reason("date that is not midnight in UTC", "Make the column timestamp with time zone")
NUMBER_MEND = "Add the rule epoch: milliseconds or epoch: seconds when the number counts them since 1970"
COUNTED_MEND = "Say written_by: prisma_adapter for the column when all of its times are texts with their offset"


@dataclass(frozen=True)
class _Form:
    """How a maker spells a moment: ``digits`` are those of the second that it writes, the fewest that lose nothing."""

    separator: str
    offset: str
    digits: Sequence[int]


_FORMS: Mapping[Encoding, _Form] = {
    Encoding.SEQUELIZE: _Form(" ", " +00:00", (3, 6)),
    Encoding.DJANGO: _Form(" ", "", (0, 6)),
    Encoding.RAILS: _Form(" ", "", (0, 6)),
    Encoding.RAILS_5_1: _Form(" ", "", (0, 6)),
    # What a number of milliseconds cannot say, Prisma reads as text too.
    Encoding.PRISMA: _Form("T", "+00:00", (3, 6)),
    Encoding.PRISMA_ADAPTER: _Form("T", "+00:00", (3, 6)),
    Encoding.SQLALCHEMY: _Form(" ", "", (6,)),
}
_CLOCK_DIGITS: Mapping[Encoding, Sequence[int]] = {
    encoding: (0, *form.digits) if 3 in form.digits else form.digits for encoding, form in _FORMS.items()
}


class _PreciseConversion(Conversion):
    """Of a type that keeps some digits of the second."""

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        super().__init__(target, declared_type, encoding)
        self._digits = target.modifier if 0 <= target.modifier <= 6 else 6
        self._too_precise = Reason(
            f"time with more digits of the second than {self.target.type} keeps",
            f"{GENERAL_MEND}, or give the column a larger precision",
        )

    def _fraction(self, digits: bytes) -> int:
        """Return the microseconds that digits of the second make."""
        if digits[self._digits :].strip(b"0"):
            raise UnfitError(self._too_precise)
        return int(digits[:6].ljust(6, b"0"))

    def _milliseconds(self, part: pa.Int64Array, first: int, end: int, reason: Reason) -> Converted:
        """Read milliseconds from ``first`` to before ``end`` (in microseconds); what lies outside has a reason."""
        outside = pc.or_(pc.less(part, first // _MILLISECOND), pc.greater_equal(part, end // _MILLISECOND))
        kept = refuse_where(Converted(part), outside, reason)
        micro = pc.multiply(kept.values, _MILLISECOND)
        lost = pc.not_equal(_remainder(micro, 10 ** (6 - self._digits)), 0)
        found = refuse_where(Converted(micro, kept.misfits), lost, self._too_precise)
        return Converted(found.values.view(self.arrow_type), found.misfits)

    def _widths(
        self, beyond: int, read: Callable[[Characters, int], Numbers]
    ) -> dict[int, Callable[[Characters], Numbers]]:
        """Return what reads texts that end with a time of day.

        Args:
            beyond: Bytes before the point of the second.
            read: Takes characters and how many digits of the second they have; returns microseconds.
        """

        def reader(digits: int) -> Callable[[Characters], Numbers]:
            def precise(characters: Characters) -> Numbers:
                found = read(characters, digits)
                # What has more digits than the type keeps goes the exact way, to its reason.
                characters.good &= found % 10 ** (6 - self._digits) == 0
                return found

            return precise

        return {beyond + width: reader(digits) for digits, width in _FRACTIONS.items()}


class TimestampConversion(_PreciseConversion):
    """``timestamptz(p)`` from TEXT that names its offset, or whose maker writes UTC without one, or from INTEGER."""

    arrow_type: pa.DataType = pa.timestamp("us", "UTC")
    kind = "a time column"

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        super().__init__(target, declared_type, encoding)
        self._form = _FORMS[encoding]
        self._is_counted = encoding is Encoding.PRISMA
        self.mends = {"texts": COUNTED_MEND} if self._is_counted else {"integers": NUMBER_MEND}

    def readers(self) -> Mapping[str, Reader]:
        return {"integers": self._counted} if self._is_counted else {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        """Return the maker's form; more digits of the second than it writes where it would lose some."""
        if not self._is_counted:
            return Cells(len(values), texts=self._spelled(values))
        return _counted(values.view(pa.int64()), self._spelled(values))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return _time_texts(values, _Form(" ", "+00", (3, 6)))

    def _spelled(self, values: pa.Array) -> pa.LargeBinaryArray:
        return _time_texts(values, self._form).cast(pa.large_binary())

    def _counted(self, part: pa.Int64Array) -> Converted:
        return self._milliseconds(part, _FIRST, _LAST, FAR_YEAR)

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        widths: dict[int, Callable[[Characters], Numbers]] = {}
        for offset in _OFFSETS_OF_UTC if self._form.offset else (b"",):
            widths |= self._widths_with(offset)
        return read_rest(part, read_widths(part, widths, self.arrow_type), self._exact)

    def _widths_with(self, offset: bytes) -> dict[int, Callable[[Characters], Numbers]]:
        """Return what reads times that end with this offset of UTC."""

        def read(characters: Characters, digits: int) -> Numbers:
            characters.require(_DATE_WIDTH, b" ", b"T")
            if offset:
                characters.require(_TIME_WIDTH + _FRACTIONS[digits], offset)
            return characters.days(0) * DAY + characters.time_of_day(_DATE_WIDTH + 1, digits)

        return self._widths(_TIME_WIDTH + len(offset), read)

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

    def _offset(self, zone: bytes | None) -> int:
        """Return the microseconds that a time is ahead of UTC."""
        if not self._form.offset:
            if zone is not None:
                raise UnfitError(WITH_ZONE)
            return 0
        return self._without_offset() if zone is None else _offset_of(zone)

    def _without_offset(self) -> int:
        raise UnfitError(NO_ZONE)


class LocalTimestampConversion(TimestampConversion):
    """``timestamp(p)`` from TEXT in UTC or without an offset; another offset would be lost."""

    arrow_type = pa.timestamp("us")

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return _time_texts(values, _Form(" ", "", (3, 6)))

    def _offset(self, zone: bytes | None) -> int:
        if super()._offset(zone):
            raise UnfitError(OTHER_OFFSET)
        return 0

    def _without_offset(self) -> int:
        return 0


class DateConversion(Conversion):
    """Date from TEXT, as all makers write it but Prisma, which counts the milliseconds to its midnight in UTC."""

    arrow_type = pa.date32()
    kind = "a date column"

    def readers(self) -> Mapping[str, Reader]:
        return {"integers": self._counted} if self.encoding is Encoding.PRISMA else {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        if self.encoding is Encoding.PRISMA:
            days = values.view(pa.int32()).cast(pa.int64())
            return Cells(len(values), integers=pc.multiply(days, DAY // _MILLISECOND))
        return Cells(len(values), texts=self.render(values).cast(pa.large_binary()))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return values.cast(pa.string()).cast(pa.large_string())

    def _counted(self, part: pa.Int64Array) -> Converted:
        outside = pc.or_(pc.less(part, _FIRST // _MILLISECOND), pc.greater_equal(part, _LAST // _MILLISECOND))
        kept = refuse_where(Converted(part), outside, FAR_YEAR)
        rest = pc.not_equal(_remainder(kept.values, DAY // _MILLISECOND), 0)
        found = refuse_where(kept, rest, TIME_IN_DATE)
        days = pc.divide(found.values, DAY // _MILLISECOND).cast(pa.int32())
        return Converted(days.view(self.arrow_type), found.misfits)

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        found = read_widths(part, {_DATE_WIDTH: lambda characters: characters.days(0)}, self.arrow_type)
        return read_rest(part, found, _days)


class TimeConversion(_PreciseConversion):
    """``time(p)`` from TEXT; Rails puts it on 2000-01-01, and Prisma counts the milliseconds since midnight."""

    arrow_type = pa.time64("us")
    kind = "a time-of-day column"

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        super().__init__(target, declared_type, encoding)
        self._day = _DAY_OF_RAILS if encoding in (Encoding.RAILS, Encoding.RAILS_5_1) else b""

    def readers(self) -> Mapping[str, Reader]:
        return {"integers": self._counted} if self.encoding is Encoding.PRISMA else {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        texts = _shortest(values.cast(pa.large_string()), values.view(pa.int64()), _CLOCK_DIGITS[self.encoding])
        spelled = _joined(pa.scalar(self._day.decode(), pa.large_string()), texts).cast(pa.large_binary())
        if self.encoding is Encoding.PRISMA:
            return _counted(values.view(pa.int64()), spelled)
        return Cells(len(values), texts=spelled)

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return values.cast(pa.large_string())

    def _counted(self, part: pa.Int64Array) -> Converted:
        return self._milliseconds(part, 0, DAY, NO_SUCH_TIME)

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        start = len(self._day)

        def read(characters: Characters, digits: int) -> Numbers:
            characters.require(0, self._day)
            return characters.time_of_day(start, digits)

        found = read_widths(part, self._widths(start + _CLOCK_WIDTH, read), self.arrow_type)
        return read_rest(part, found, self._exact)

    def _exact(self, value: bytes) -> int:
        """Return microseconds since midnight."""
        found = _CLOCK.fullmatch(value.removeprefix(self._day)) if value.startswith(self._day) else None
        if found is None:
            raise UnfitError(NO_CLOCK)
        *numbers, fraction = found.groups()
        return _microseconds((b"1970", b"01", b"01", *numbers)) + self._fraction(fraction or b"")


def _days(value: bytes) -> int:
    found = _DATE.fullmatch(value)
    if found is None:
        raise UnfitError(FAR_YEAR if _FAR_YEAR.fullmatch(value) else NO_DATE)
    return _microseconds(found.groups()) // DAY


def _microseconds(numbers: Sequence[bytes | None]) -> int:
    """Return the time since 1970 of year, month and day, and hour, minute and second where they are given."""
    year, month, day, hour, minute, second = (int(number or 0) for number in (*numbers, *(None,) * 6)[:6])
    try:
        # It only asks whether these exist: no zone is meant, and 24:00 and a 60th second are none.
        date = datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise UnfitError(NO_SUCH_TIME) from None
    return (date.toordinal() - EPOCH_DAY) * DAY + ((hour * 60 + minute) * 60 + second) * SECOND


def _offset_of(zone: bytes) -> int:
    """Return what an offset such as ``Z``, ``+05:30`` or ``-0330`` says, in microseconds."""
    if zone == b"Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > _OFFSET_HOURS or minutes > 59:
        raise UnfitError(NO_SUCH_TIME)
    return (hours * 60 + minutes) * 60 * SECOND * (-1 if zone.startswith(b"-") else 1)


def _counted(micro: pa.Int64Array, texts: pa.LargeBinaryArray) -> Cells:
    """Return milliseconds as numbers, and the texts where a number of them would lose something."""
    whole = pc.equal(_remainder(micro, _MILLISECOND), 0)
    numbers = keep_where(whole, pc.divide(micro, _MILLISECOND))
    if pc.all(whole, min_count=0).as_py():
        return Cells(len(micro), integers=numbers)
    return Cells(len(micro), integers=numbers, texts=keep_where(pc.invert(whole), texts))


def _remainder(counted: pa.Int64Array, unit: int) -> pa.Int64Array:
    """Return what is left of a number by its unit; its sign is the number's."""
    return pc.subtract(counted, pc.multiply(pc.divide(counted, unit), unit))


def _time_texts(values: pa.Array, form: _Form) -> pa.LargeStringArray:
    """Print times of UTC."""
    texts = values.view(pa.timestamp("us")).cast(pa.large_string())
    if form.separator != " ":
        texts = pc.utf8_replace_slice(texts, _DATE_WIDTH, _DATE_WIDTH + 1, form.separator)
    digits = _shortest(texts, values.view(pa.int64()), form.digits)
    return _joined(digits, pa.scalar(form.offset, pa.large_string()))


def _shortest(texts: pa.LargeStringArray, micro: pa.Int64Array, digits: Sequence[int]) -> pa.LargeStringArray:
    """Cut texts with six digits of the second to the fewest of ``digits`` (ascending) that lose nothing."""
    found = texts
    for count in reversed(digits):
        if count < 6:
            whole = pc.equal(_remainder(micro, 10 ** (6 - count)), 0)
            cut = pc.utf8_slice_codeunits(texts, 0, -7 if count == 0 else count - 6)
            found = pc.if_else(whole, cut, found)
    return found


def _joined(*parts: pa.Array | pa.Scalar) -> pa.LargeStringArray:
    return pc.binary_join_element_wise(*parts, pa.scalar("", pa.large_string()))
