"""What every conversion of a column says, whatever its type.

A conversion belongs to a PostgreSQL type and a source encoding, and says four things in one place: which stored cells
fit, which PostgreSQL values they become, which cells the application would have written for given PostgreSQL values,
and when two PostgreSQL values are the same. Nothing is coerced: a cell that is not exactly what the column is expected
to hold is a misfit, with the reason and the mend.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Column
from .cells import Cells
from .errors import MigrationError, printable
from .exact_numbers import within_64_bits
from .source_encoding import Encoding

SHOWN_CHARACTERS = 80
GENERAL_MEND = "Correct the value in the application, or add a rule for the column to the profile"
EMPTY_TEXT_MEND = "Add the rule empty_text_as_null when it means that there is none, or correct it in the application"

#: Part of ``Cells`` to the words for its storage class in a reason.
_STORED_AS: Mapping[str, str] = {
    "integers": "whole number",
    "reals": "floating-point number",
    "texts": "text",
    "blobs": "binary data",
}


@dataclass(frozen=True)
class Reason:
    """Why a cell does not fit: a phrase without a full stop, and the mend as an imperative sentence without one."""

    reason: str
    mend: str = GENERAL_MEND


class UnfitError(Exception):
    """A cell does not fit; raised by the readers of single values, and never leaves the conversions."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.reason)
        self.reason = reason


@dataclass(frozen=True)
class Misfit:
    """The cells that do not fit for one reason; ``mask`` has no nulls, and is true somewhere."""

    mask: pa.BooleanArray
    reason: str
    mend: str


@dataclass(frozen=True)
class Converted:
    """PostgreSQL values; null where the cell is NULL or stands in a misfit. Each cell is in one misfit at most."""

    values: pa.Array
    misfits: tuple[Misfit, ...] = ()


Reader = Callable[[Any], Converted]


class Conversion(ABC):
    """How the cells of a source column become the values of a target column, and back.

    Attributes:
        target: The column as PostgreSQL's catalog describes it.
        declared_type: The source column's declared type; SQLite derives the column's affinity from it.
        encoding: Who wrote the source's values, and thereby how they are spelled.
        labels: The labels of the target's enumeration, ``None`` where it is none.
        arrow_type: What the ADBC driver gives for the target's type, extension types unwrapped.
        kind: The column in the words of a reason, such as ``a boolean column``.
    """

    arrow_type: pa.DataType
    kind: ClassVar[str]
    labels: tuple[str, ...] | None = None
    #: Whether '' is a value like others; elsewhere it is a misfit with a mend of its own.
    takes_empty_text: ClassVar[bool] = False
    #: Part of ``Cells`` that does not belong here to a mend that is better than the general one.
    mends: Mapping[str, str] = {}

    def __init__(self, target: Column, declared_type: str = "", encoding: Encoding = Encoding.SEQUELIZE) -> None:
        self.target = target
        self.declared_type = declared_type
        self.encoding = encoding

    @abstractmethod
    def readers(self) -> Mapping[str, Reader]:
        """Return part of ``Cells`` to what reads it; cells in a part that is missing here are misfits."""

    @abstractmethod
    def back(self, values: pa.Array) -> Cells:
        """Return the cells that the application would have written into SQLite for these PostgreSQL values."""

    @abstractmethod
    def render(self, values: pa.Array) -> pa.LargeStringArray:
        """Return texts that PostgreSQL's input function turns into exactly these values, whatever its settings."""

    def convert(self, cells: Cells) -> Converted:
        """Return the PostgreSQL values of these cells, and those that do not fit."""
        found = [self._read(name, part) for name, part in cells.parts.items()]
        if not found:
            return Converted(pa.nulls(cells.length, self.arrow_type))
        values = reduce(pc.coalesce, (each.values for each in found))
        return Converted(values, tuple(misfit for each in found for misfit in each.misfits))

    def fits(self, cells: Cells) -> pa.BooleanArray:
        """Return which cells fit; NULL does (whether the column takes it is the plan's question)."""
        masks = [misfit.mask for misfit in self.convert(cells).misfits]
        return pc.invert(reduce(pc.or_, masks)) if masks else pa.repeat(True, cells.length)

    def forward(self, cells: Cells) -> pa.Array:
        """Return the PostgreSQL values of cells that all fit.

        Raises:
            MigrationError: One does not; the message names its position, so that who knows the key can find it.
        """
        converted = self.convert(cells)
        if converted.misfits:
            first = converted.misfits[0]
            row = pc.index(first.mask, True).as_py()
            raise MigrationError(
                f"{self.target.table}.{self.target.name}: {first.reason} (row {row} of the batch)",
                first.mend,
                {"row": row, "reason": first.reason},
            )
        return converted.values

    def same(self, left: pa.Array, right: pa.Array) -> pa.BooleanArray:
        """Return where two arrays of PostgreSQL values hold the same; NULL is the same as NULL. Never null itself."""
        equal = pc.fill_null(self._equal(left, right), False)
        return pc.or_(equal, pc.and_(pc.is_null(left), pc.is_null(right)))

    def shown(self, value: object) -> str:
        """Return one PostgreSQL value (an Arrow scalar, or what its ``as_py`` gives) for a message, in one line."""
        given = value if isinstance(value, pa.Scalar) else pa.scalar(value, self.arrow_type)
        if not given.is_valid:
            return "NULL"
        return shortened(self.render(pa.repeat(given, 1))[0].as_py())

    def stored_form(self, value: object) -> int | float | str:
        """Return a JSON value of the profile (never None) as the application stores it in this column."""
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, int) and not within_64_bits(value):
            return str(value)
        return value if isinstance(value, int | float | str) else json_text(value)

    def _equal(self, left: pa.Array, right: pa.Array) -> pa.BooleanArray:
        """Compare without regard to nulls; exact unless the type's meaning says otherwise."""
        return pc.equal(left, right)

    def _read(self, name: str, part: pa.Array) -> Converted:
        if name != "texts" or self.takes_empty_text:
            return self._read_others(name, part)
        empty = misfits_where(
            pc.equal(pc.binary_length(part), whole(0)), Reason(f"empty text in {self.kind}", EMPTY_TEXT_MEND)
        )
        if not empty:
            return self._read_others(name, part)
        others = self._read_others(name, keep_where(pc.invert(empty[0].mask), part))
        return Converted(others.values, (*empty, *others.misfits))

    def _read_others(self, name: str, part: pa.Array) -> Converted:
        read = self.readers().get(name)
        if read is not None:
            return read(part)
        reason = Reason(f"{_STORED_AS[name]} in {self.kind}", self.mends.get(name, GENERAL_MEND))
        return Converted(pa.nulls(len(part), self.arrow_type), misfits_where(pc.is_valid(part), reason))


def whole(value: int) -> pa.Scalar:
    """Return a number for Arrow; where it has to guess a type, it tries each time whether there is a pandas."""
    return pa.scalar(value, pa.int64())


def json_text(value: object) -> str:
    """Return a JSON value as JSON.stringify spells it: without spaces between tokens."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def shortened(text: str) -> str:
    """Return a text in one printable line of at most 80 characters (and three dots); what is cut is not looked at."""
    shown = printable(text[: SHOWN_CHARACTERS + 1])
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}..."


def misfits_where(mask: pa.BooleanArray, reason: Reason) -> tuple[Misfit, ...]:
    """Return the misfit of the cells where the mask (nulls count as false) is true; nothing when there are none."""
    where = pc.fill_null(mask, False)
    return (Misfit(where, reason.reason, reason.mend),) if pc.any(where, min_count=0).as_py() else ()


def keep_where(mask: pa.BooleanArray, values: pa.Array) -> pa.Array:
    """Return the values where the mask is true, and null elsewhere (where the mask is null, too)."""
    return pc.if_else(mask, values, pa.scalar(None, values.type))


def refuse_where(converted: Converted, mask: pa.BooleanArray, reason: Reason) -> Converted:
    """Add a misfit for the values (not the ones that are misfits already) where the mask is true."""
    misfits = misfits_where(mask, reason)
    if not misfits:
        return converted
    return Converted(keep_where(pc.invert(misfits[0].mask), converted.values), (*converted.misfits, *misfits))


def read_singly(part: pa.Array, parse: Callable[[Any], object], arrow_type: pa.DataType) -> Converted:
    """Convert value by value: the exact path, for what the fast one does not know.

    Args:
        part: A part of cells; nulls stay null.
        parse: Takes one value (TEXT as bytes), returns one for Arrow; raises ``UnfitError``.
        arrow_type: The type of the result.
    """
    values: list[object] = []
    unfit: dict[Reason, list[int]] = {}
    for row, value in enumerate(part.to_pylist()):
        try:
            values.append(None if value is None else parse(value))
        except UnfitError as answer:
            values.append(None)
            unfit.setdefault(answer.reason, []).append(row)
    misfits = tuple(Misfit(_mask(rows, len(part)), each.reason, each.mend) for each, rows in unfit.items())
    return Converted(pa.array(values, arrow_type), misfits)


def read_by_form(
    part: pa.Array,
    canonical: pa.BooleanArray,
    fast: Callable[[Any], pa.Array],
    parse: Callable[[Any], object],
) -> Converted:
    """Convert the canonical cells at once and the others one by one.

    Args:
        part: A part of cells.
        canonical: Which of them have the form that ``fast`` takes (null where the cell is).
        fast: Takes the canonical cells alone, without nulls between them unless the part has some.
        parse: See ``read_singly``.
    """
    return read_rest(part, fast(part if pc.all(canonical, min_count=0).as_py() else keep_where(canonical, part)), parse)


def read_rest(part: pa.Array, values: pa.Array, parse: Callable[[Any], object]) -> Converted:
    """Convert the cells one by one that a fast path has left.

    Args:
        part: A part of cells.
        values: What the fast path made of it; null where the cell is, or where it did not know the form.
        parse: See ``read_singly``.
    """
    if values.null_count == part.null_count:
        return Converted(values)
    others = pc.and_(pc.is_null(values), pc.is_valid(part))
    single = read_singly(part.filter(others), parse, values.type)
    return Converted(
        pc.replace_with_mask(values, others, single.values),
        tuple(Misfit(_spread(misfit.mask, others), misfit.reason, misfit.mend) for misfit in single.misfits),
    )


def _mask(rows: list[int], length: int) -> pa.BooleanArray:
    chosen = [False] * length
    for row in rows:
        chosen[row] = True
    return pa.array(chosen, pa.bool_())


def _spread(mask: pa.BooleanArray, where: pa.BooleanArray) -> pa.BooleanArray:
    """Put a mask of the cells at ``where`` back among all cells."""
    return pc.replace_with_mask(pa.repeat(False, len(where)), where, mask)
