"""Arrays from JSON texts: SQLite has no arrays, and applications keep lists as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Column
from .cells import Cells, Value
from .conversion_base import Conversion, Converted, Misfit, Reader, Reason, UnfitError
from .conversion_documents import spelled_json
from .conversion_texts import decoded
from .exact_numbers import exact_number, within_64_bits
from .jsonb_form import NO_JSON
from .source_encoding import Encoding

NO_ARRAY = Reason("JSON that is no array in an array column")
NESTED = Reason("array or object in an array column, whose elements are single values", "Make the column jsonb")
#: Elements that would be read as something else: '' and NULL, blanks, and the signs of an array.
_QUOTED = r'^$|^(?i:null)$|[\s\v{},"\\]'
LONG_NUMBER = Reason("number with more digits than 64 bits keep, in an element of the array", "Make the column jsonb")


class ArrayConversion(Conversion):
    """An array from TEXT that is a JSON array of single values; null in it is NULL.

    Whoever wrote the column, the elements are spelled as JSON spells them: booleans as true and false, uuids with
    their dashes, times with their offset.
    """

    kind = "an array column"

    def __init__(
        self,
        target: Column,
        declared_type: str,
        element: Conversion,
        encoding: Encoding = Encoding.SEQUELIZE,
    ) -> None:
        super().__init__(target, declared_type, encoding)
        self.element = element
        self.arrow_type = pa.list_(element.arrow_type)
        self._is_boolean = element.arrow_type == pa.bool_()

    def readers(self) -> Mapping[str, Reader]:
        return {"texts": self._texts}

    def back(self, values: pa.Array) -> Cells:
        elements = self.element.back(values.values)
        offsets, present = values.offsets.to_pylist(), values.is_valid().to_pylist()
        texts = [
            self._spelled(elements, range(offsets[row], offsets[row + 1])) if is_there else None
            for row, is_there in enumerate(present)
        ]
        return Cells.of(texts)

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        """Return array literals as PostgreSQL writes them."""
        elements = pc.fill_null(_spelled(self.element.render(values.values)), "NULL")
        lists = pa.LargeListArray.from_arrays(values.offsets.cast(pa.int64()), elements)
        return _joined(
            "{", pc.if_else(values.is_valid(), pc.binary_join(lists, pa.scalar(",", pa.large_string())), None), "}"
        )

    def _equal(self, left: pa.Array, right: pa.Array) -> pa.BooleanArray:
        """Compare element by element, as the element's type has it."""
        alike = pc.fill_null(pc.equal(pc.list_value_length(left), pc.list_value_length(right)), False)
        one, other = left.filter(alike), right.filter(alike)
        differing = pc.invert(self.element.same(one.flatten(), other.flatten()))
        rows = pc.unique(pc.list_parent_indices(one).filter(differing)).to_numpy(zero_copy_only=False)
        answers = np.ones(len(one), np.bool_)
        answers[rows] = False
        return pc.replace_with_mask(alike, alike, pa.array(answers))

    def stored_form(self, value: object) -> int | float | str:
        return spelled_json(json.dumps(value, ensure_ascii=False), self.encoding)

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        """Read all elements of all arrays as one column of the element's type."""
        unfit: dict[Reason, list[int]] = {}
        lists: list[list[Value] | None] = []
        for row, text in enumerate(part.to_pylist()):
            try:
                lists.append(None if text is None else self._elements(text))
            except UnfitError as answer:
                lists.append(None)
                unfit.setdefault(answer.reason, []).append(row)
        sizes = np.array([len(each or ()) for each in lists], np.int64)
        converted = self.element.convert(Cells.of([value for each in lists for value in each or ()]))
        rows = np.repeat(np.arange(len(lists)), sizes)
        for misfit, places in _by_row(converted.misfits, rows):
            reason = Reason(f"{misfit.reason}, in an element of the array", misfit.mend)
            unfit.setdefault(reason, []).extend(places)
        return self._lists(part, converted.values, sizes, unfit)

    def _lists(
        self, part: pa.Array, elements: pa.Array, sizes: np.ndarray[Any, Any], unfit: Mapping[Reason, Sequence[int]]
    ) -> Converted:
        """Put the elements into their arrays again, but for the arrays that do not fit."""
        masks = {reason: np.isin(np.arange(len(part)), rows) for reason, rows in unfit.items()}
        missing = part.is_null().to_numpy(zero_copy_only=False)
        for mask in masks.values():
            missing = missing | mask
        kept = elements.filter(pa.array(np.repeat(~missing, sizes)))
        offsets = np.concatenate(([0], np.cumsum(np.where(missing, 0, sizes)))).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), kept, type=self.arrow_type, mask=pa.array(missing))
        return Converted(lists, tuple(Misfit(pa.array(mask), each.reason, each.mend) for each, mask in masks.items()))

    def _elements(self, text: bytes) -> list[Value]:
        try:
            found = _DECODER.decode(decoded(text))
        except ValueError:
            raise UnfitError(NO_JSON) from None
        except RecursionError:
            raise UnfitError(NESTED) from None
        if not isinstance(found, list):
            raise UnfitError(NO_ARRAY)
        return [self._stored(value) for value in found]

    def _stored(self, value: Any) -> Value:  # noqa: ANN401 (whatever JSON says)
        """Return an element as SQLite would store it by itself."""
        if isinstance(value, list | dict):
            raise UnfitError(NESTED)
        if value is not None and isinstance(value, bool) is not self._is_boolean:
            raise UnfitError(Reason(f"JSON value of another type than the elements of {self.target.type}"))
        # JSON has no other types: what is left is None, a number or a text.
        found: Value = int(value) if isinstance(value, bool) else value
        return found

    def _spelled(self, elements: Cells, rows: range) -> str:
        stored = [elements.stored(row) for row in rows]
        values = [bool(each) if self._is_boolean and each is not None else each for each in stored]
        texts = [each.decode() if isinstance(each, bytearray) else each for each in values]
        return spelled_json(json.dumps(texts, ensure_ascii=False), self.encoding)


def _by_row(misfits: Sequence[Misfit], rows: np.ndarray[Any, Any]) -> Iterator[tuple[Misfit, list[int]]]:
    """Yield misfits of elements with the rows that have one; a row is told once, by its first."""
    told: set[int] = set()
    for misfit in misfits:
        places = sorted(set(rows[misfit.mask.to_numpy(zero_copy_only=False)].tolist()) - told)
        told |= set(places)
        if places:
            yield misfit, places


def _whole(token: str) -> int:
    if len(token) > 20 or not within_64_bits(int(token)):
        raise UnfitError(LONG_NUMBER)
    return int(token)


def _real(token: str) -> float:
    number = None if len(token) > 400 else exact_number(token, whole=False)
    if number is None:
        raise UnfitError(LONG_NUMBER)
    return number


def _constant(token: str) -> None:
    raise ValueError(token)


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_real, parse_constant=_constant)


def _spelled(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    r"""Put elements in quotes that need it, with ``\`` before quotes and backslashes in them.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    needed = pc.match_substring_regex(texts, _QUOTED)
    if not pc.any(needed, min_count=0).as_py():
        return texts
    quoted = texts
    for sign in ("\\", '"'):
        quoted = pc.replace_substring(quoted, sign, f"\\{sign}")
    return pc.if_else(needed, _joined('"', quoted, '"'), texts)


def _joined(before: str, texts: pa.Array, after: str) -> pa.LargeStringArray:
    """Put something before and after each text; null stays null."""
    kind = pa.large_string()
    return pc.binary_join_element_wise(pa.scalar(before, kind), texts, pa.scalar(after, kind), pa.scalar("", kind))
