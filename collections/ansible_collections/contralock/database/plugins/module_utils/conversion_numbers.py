"""Whole numbers, booleans, decimal numbers and floating-point numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Context, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .affinity import Affinity, affinity_of
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
    read_by_form,
    read_rest,
    refuse_where,
    whole,
)
from .exact_numbers import exact_number
from .source_encoding import Encoding

#: pg_type.typname to the Arrow type and the name that people write.
_WHOLE: Mapping[str, tuple[pa.DataType, int, str]] = {
    "int2": (pa.int16(), 16, "smallint"),
    "int4": (pa.int32(), 32, "integer"),
    "int8": (pa.int64(), 64, "bigint"),
}

#: Up to here each whole number has a double of its own.
EXACT_DOUBLES = 2**53
NOT_FINITE = Reason("number that is not finite")
MAP_MEND = (
    "Correct the value in the application, or add the rule map with '0' and '1' on the right; where all of the column's"
    " values are 't' and 'f', say written_by: rails_5_1"
)
LETTERS_MEND = "Say written_by: rails for the column, and add the rule map with '1' for t and '0' for f"

#: Beyond this scale Arrow prints small decimal numbers with an exponent.
_LARGEST_SCALE = 6
#: No two decimal numbers of up to 15 digits have the same double (DBL_DIG of C).
_EXACT_DIGITS = 15

#: A double has at most 309 digits before its point, and its shortest form 17 of them that count.
_WIDE = Context(prec=1400)


class IntegerConversion(Conversion):
    """smallint, integer and bigint from INTEGER."""

    kind = "a whole-number column"

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        super().__init__(target, declared_type, encoding)
        self.arrow_type, self._bits, self._name = _WHOLE[target.type_name]

    def readers(self) -> Mapping[str, Reader]:
        return {"integers": self._integers}

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), integers=values.cast(pa.int64()))

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return values.cast(pa.large_string())

    def _integers(self, part: pa.Int64Array) -> Converted:
        if self._bits == 64:
            return Converted(part)
        limit = 1 << (self._bits - 1)
        outside = pc.or_(pc.less(part, whole(-limit)), pc.greater_equal(part, whole(limit)))
        reason = Reason(
            f"whole number outside {-limit} to {limit - 1} ({self._name})",
            "Correct the value in the application, or make the column bigint",
        )
        kept = refuse_where(Converted(part), outside, reason)
        return Converted(kept.values.cast(self.arrow_type), kept.misfits)


class BooleanConversion(Conversion):
    """Boolean from INTEGER 0 and 1; from TEXT 'f' and 't' where Rails before 5.2 wrote it."""

    arrow_type = pa.bool_()
    kind = "a boolean column"

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        super().__init__(target, declared_type, encoding)
        self._has_letters = encoding is Encoding.RAILS_5_1
        self.mends = {"integers": LETTERS_MEND} if self._has_letters else {"texts": MAP_MEND}

    def readers(self) -> Mapping[str, Reader]:
        return {"texts": self._letters} if self._has_letters else {"integers": self._integers}

    def back(self, values: pa.Array) -> Cells:
        if self._has_letters:
            return Cells(len(values), texts=self.render(values).cast(pa.large_binary()))
        return Cells(len(values), integers=values.cast(pa.int64()))

    def stored_form(self, value: object) -> int | float | str:
        if self._has_letters and isinstance(value, bool):
            return "t" if value else "f"
        return super().stored_form(value)

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return pc.if_else(values, pa.scalar("t", pa.large_string()), pa.scalar("f", pa.large_string()))

    def _integers(self, part: pa.Int64Array) -> Converted:
        one = pc.equal(part, whole(1))
        other = pc.and_not(pc.not_equal(part, whole(0)), one)
        return refuse_where(Converted(one), other, Reason("whole number other than 0 and 1 in a boolean column"))

    def _letters(self, part: pa.LargeBinaryArray) -> Converted:
        true = pc.equal(part, b"t")
        other = pc.and_not(pc.not_equal(part, b"f"), true)
        return refuse_where(Converted(true), other, Reason("text other than 't' and 'f' in a boolean column", MAP_MEND))


class DoubleConversion(Conversion):
    """Double precision from REAL, and from INTEGER that a double holds exactly."""

    arrow_type = pa.float64()
    kind = "a floating-point column"

    def readers(self) -> Mapping[str, Reader]:
        return {"reals": self._reals, "integers": self._integers}

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), reals=values)

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        # Arrow prints the shortest digits that are read back as the same number, as JavaScript does.
        return values.cast(pa.large_string())

    def _equal(self, left: pa.Array, right: pa.Array) -> pa.BooleanArray:
        """Compare bits: -0.0 is not 0.0, and NaN is NaN."""
        bits = pa.int64() if self.arrow_type == pa.float64() else pa.int32()
        equal = pc.equal(left.view(bits), right.view(bits))
        return pc.or_(equal, pc.and_(pc.is_nan(left), pc.is_nan(right)))

    def _reals(self, part: pa.DoubleArray) -> Converted:
        return Converted(part)

    def _integers(self, part: pa.Int64Array) -> Converted:
        outside = pc.or_(pc.less(part, whole(-EXACT_DOUBLES)), pc.greater(part, whole(EXACT_DOUBLES)))
        reason = Reason(f"whole number beyond {EXACT_DOUBLES}, which a floating-point number may not hold exactly")
        kept = refuse_where(Converted(part), outside, reason)
        found = self._reals(kept.values.cast(pa.float64()))
        return Converted(found.values, (*kept.misfits, *found.misfits))


class RealConversion(DoubleConversion):
    """Real (four bytes), when it keeps all decimal digits that the application sees.

    97.1 fits although the two binary numbers differ: both print as 97.1, which is what a client reads.
    """

    arrow_type = pa.float32()

    def back(self, values: pa.Array) -> Cells:
        return Cells(len(values), reals=_widened(values))

    def _reals(self, part: pa.DoubleArray) -> Converted:
        narrow = part.cast(pa.float32(), safe=False)
        lost = pc.not_equal(_widened(narrow).view(pa.int64()), part.view(pa.int64()))
        reason = Reason("number with more digits than real (4 bytes) keeps", "Make the column double precision")
        return refuse_where(Converted(narrow), lost, reason)


def _widened(values: pa.FloatArray) -> pa.DoubleArray:
    """Return the doubles with the same decimal digits."""
    return values.cast(pa.string()).cast(pa.float64())


class NumericConversion(Conversion):
    """Numeric from INTEGER and REAL; a REAL stands for its shortest decimal form, as JavaScript prints it."""

    arrow_type = pa.string()
    kind = "a decimal column"

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        super().__init__(target, declared_type, encoding)
        self._limits = target.precision_and_scale
        precision, scale = self._limits or (0, 0)
        before = precision - scale
        # What has this form needs no more than zeros at its end; everything else goes the exact way.
        digits = r"\d+" if self._limits is None else rf"\d{{1,{before}}}" if 0 < before < 1000 else "!"
        fraction = r"(?:\.\d+)?" if self._limits is None else rf"(?:\.\d{{1,{scale}}})?" if 0 < scale < 1000 else ""
        self._form = rf"^-?{digits}{fraction}$" if scale >= 0 else "!"

    def readers(self) -> Mapping[str, Reader]:
        return {"integers": self._numbers, "reals": self._numbers}

    def back(self, values: pa.Array) -> Cells:
        return Cells.of([None if value is None else self._stored(value) for value in values.to_pylist()])

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return values.cast(pa.large_string())

    def _equal(self, left: pa.Array, right: pa.Array) -> pa.BooleanArray:
        """Compare values: 97.5 is 97.50."""
        equal = pc.fill_null(pc.equal(left, right), False)
        if pc.all(equal, min_count=0).as_py():
            return equal
        others = pc.and_(pc.invert(equal), pc.and_(pc.is_valid(left), pc.is_valid(right)))
        pairs = zip(left.filter(others).to_pylist(), right.filter(others).to_pylist(), strict=True)
        answers = [Decimal(one) == Decimal(other) for one, other in pairs]
        return pc.replace_with_mask(equal, others, pa.array(answers, pa.bool_()))

    def _numbers(self, part: pa.Array) -> Converted:
        if self._limits is not None and 0 <= self._limits[1] <= _LARGEST_SCALE:
            return read_rest(part, _in_units(part, *self._limits), self._exact)
        texts = part.cast(pa.string())
        simple = pc.and_(pc.match_substring_regex(texts, self._form), pc.not_equal(texts, "-0"))
        return read_by_form(part, simple, self._simple, self._exact)

    def _simple(self, part: pa.Array) -> pa.StringArray:
        """Print numbers of the simple form with the column's scale."""
        texts = part.cast(pa.string())
        scale = self._limits[1] if self._limits else 0
        if scale <= 0:
            return texts
        point = pc.find_substring(texts, ".")
        pointed = pc.if_else(pc.less(point, 0), pc.binary_join_element_wise(texts, ".", ""), texts)
        digits = pc.subtract(pc.binary_length(pointed), pc.add(pc.find_substring(pointed, "."), 1))
        zeros = pc.binary_repeat(pa.scalar("0"), pc.subtract(pa.scalar(scale, pa.int32()), digits))
        return pc.binary_join_element_wise(pointed, zeros, "")

    def _exact(self, value: int | float) -> str:
        if not math.isfinite(value):
            raise UnfitError(NOT_FINITE)
        # JavaScript prints no fraction where there is none: 100, not 100.0.
        number = Decimal(repr(value).removesuffix(".0"))
        if self._limits is not None:
            number = self._limited(number, *self._limits)
        text = format(number, "f")
        return text if number else text.removeprefix("-")

    def _limited(self, number: Decimal, precision: int, scale: int) -> Decimal:
        rounded = number.quantize(Decimal(1).scaleb(-scale), context=_WIDE)
        if rounded != number:
            raise UnfitError(
                Reason(
                    f"number with more digits than the scale of {self.target.type} keeps",
                    "Round it in the application, or give the column a larger scale",
                )
            )
        if abs(rounded) >= Decimal(1).scaleb(precision - scale):
            raise UnfitError(
                Reason(f"number too large for {self.target.type}", f"{GENERAL_MEND}, or give it a larger precision")
            )
        return rounded

    def _stored(self, text: str) -> int | float | str:
        """Return what SQLite keeps of a number; as text what no number there holds, so that nothing is rounded."""
        number = exact_number(text, whole=affinity_of(self.declared_type) is not Affinity.REAL)
        return text if number is None else number


def _in_units(part: pa.Array, precision: int, scale: int) -> pa.StringArray:
    """Print the numbers that are so many units of the scale (cents, where it is 2); null for the others.

    A REAL is such a number when it is the double nearest to it, and the number has no more than 15 digits: then its
    shortest form says the same, because no other number of up to 15 digits has this double.
    """
    factor = 10**scale
    limit = 10 ** min(precision, _EXACT_DIGITS)
    values = pc.fill_null(part, 0).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(part.type):
        largest = (limit - 1) // factor
        good = (values >= -largest) & (values <= largest)
        units = np.where(good, values, 0) * factor
    else:
        with np.errstate(all="ignore"):
            counted = np.rint(values * factor)
            good = (np.abs(counted) < limit) & (counted / factor == values)
        units = np.where(good, counted, 0).astype(np.int64)
    # Decimal128 is a whole number of 128 bits with a sign, the lower half first.
    halves = np.column_stack((units, units >> 63))
    decimals = pa.Array.from_buffers(pa.decimal128(18, scale), len(units), [None, pa.py_buffer(halves)])
    return keep_where(pc.and_(pa.array(good), pc.is_valid(part)), decimals.cast(pa.string()))
