"""What a profile's rules make of stored cells, before these are converted.

Each rule acts only on the cells that it is about and counts those that it really changed. What a rule cannot read
(a text that is no UTF-8) it leaves as it is: the conversion refuses it then, with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .cells import Cells, Value
from .conversion_base import Conversion, whole
from .ecmascript import to_lower_case, trim
from .errors import MigrationError
from .exact_numbers import exact_number, within_64_bits
from .jsonb_form import is_json
from .profile import (
    Condition,
    Default,
    EmptyTextAsNull,
    Epoch,
    EpochUnit,
    Lower,
    MapTexts,
    Quarantine,
    Rule,
    Trim,
    Truncate,
)

# Beyond ASCII the exact functions have a look; an Arrow pattern on binary values sees bytes.
_MAY_BE_TRIMMED = r"^[\x09-\x0d\x20\x80-\xff]|[\x09-\x0d\x20\x80-\xff]$"
_MAY_BE_LOWERED = r"[A-Z\x80-\xff]"
_NUMBER = re.compile(r"-?[0-9]+(?P<fraction>\.[0-9]+)?")
_MICROSECONDS: Mapping[EpochUnit, int] = {EpochUnit.SECONDS: 1_000_000, EpochUnit.MILLISECONDS: 1000}
#: The years 1 to 9999, which texts of times have room for, in microseconds since 1970; what is outside stays a number.
_FIRST_TIME = -62_135_596_800_000_000
_LAST_TIME = 253_402_300_799_999_999
_TEXTS = ("text", "varchar", "bpchar")
_NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric", "bool", "bytea")
_JSON = ("json", "jsonb")
_TIMES = ("timestamptz", "timestamp")


@dataclass(frozen=True)
class Applied:
    """The cells after all rules, and rule name to the number of cells that it really changed (0 included)."""

    cells: Cells
    counts: dict[str, int]


def rule_name(rule: Rule) -> str:
    """Return a rule's name; a default's names its condition too, because a column may have several."""
    return f"default {rule.when}" if isinstance(rule, Default) else rule.name


def apply_rules(rules: Sequence[Rule], cells: Cells, conversion: Conversion) -> Applied:
    """Apply a column's rules in their order.

    Args:
        rules: As the profile gives them.
        cells: As SQLite stores them.
        conversion: The column's; it knows the enumeration and how the application stores a default.

    Raises:
        MigrationError: A rule cannot be carried out on this column: quarantine, or is_not_in_enum without an enum.
    """
    counts: dict[str, int] = {}
    for rule in rules:
        change = _CHANGES.get(type(rule))
        if change is None:
            raise MigrationError(
                f"{conversion.target.table}.{conversion.target.name}: the rule {rule_name(rule)!r} "
                "cannot be carried out yet",
                "Take it out of the profile and correct the values in the application",
            )
        replaced = change(rule, cells, conversion)
        cells = _put(cells, replaced)
        counts[rule_name(rule)] = counts.get(rule_name(rule), 0) + len(replaced.values)
    return Applied(cells, counts)


def suits(rule: Rule, conversion: Conversion) -> bool:
    """Tell whether a rule can be meant for a column of this type."""
    kind = conversion.target.type_name
    if isinstance(rule, Default):
        return {Condition.IS_NOT_JSON: kind in _JSON, Condition.IS_NOT_IN_ENUM: conversion.labels is not None}.get(
            rule.when, True
        )
    suitable: dict[type[Rule], bool] = {
        Truncate: kind in _TEXTS,
        Epoch: kind in _TIMES,
        Trim: kind not in _NUMBERS,
        Lower: kind not in _NUMBERS,
    }
    return suitable.get(type(rule), True)


def unfit_defaults(rules: Sequence[Rule], conversion: Conversion) -> Iterator[str]:
    """Yield why the values of default rules, with the rules after them applied, do not fit."""
    for number, rule in enumerate(rules, start=1):
        if isinstance(rule, Default) and suits(rule, conversion):
            later = [each for each in rules[number:] if not isinstance(each, Quarantine) and suits(each, conversion)]
            cells = apply_rules(later, Cells.of([conversion.stored_form(rule.value)]), conversion).cells
            yield from (f"{rule.value!r}: {misfit.reason}" for misfit in conversion.convert(cells).misfits)


@dataclass(frozen=True)
class _Replaced:
    """New values for the cells at ``rows`` (positions, ascending)."""

    rows: Sequence[int]
    values: Sequence[Value]


_NOTHING = _Replaced((), ())


def _put(cells: Cells, replaced: _Replaced) -> Cells:
    """Return the cells with some of them replaced."""
    if not replaced.rows:
        return cells
    # Old cells and new ones behind one another, then each row takes its own.
    source = list(range(cells.length))
    for place, row in enumerate(replaced.rows):
        source[row] = cells.length + place
    return Cells.concat([cells, Cells.of(replaced.values)]).take(pa.array(source, pa.int64()))


def _rows(mask: pa.BooleanArray) -> list[int]:
    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return found


def _change_texts(cells: Cells, candidates: Callable[[Any], Any], change: Callable[[str], Value]) -> _Replaced:
    """Change texts that are UTF-8.

    Args:
        cells: Any cells.
        candidates: Takes the part, returns a mask with all texts that may change.
        change: Takes the text, returns what stands there afterwards.
    """
    if cells.texts is None:
        return _NOTHING
    changed: dict[int, Value] = {}
    rows = _rows(candidates(cells.texts))
    for row, stored in zip(rows, cells.texts.take(pa.array(rows, pa.int64())).to_pylist(), strict=True):
        try:
            before = stored.decode()
        except UnicodeDecodeError:
            continue
        if (after := change(before)) != before:
            changed[row] = after
    return _Replaced(list(changed), list(changed.values()))


def _empty_text_as_null(_rule: object, cells: Cells, _conversion: Conversion) -> _Replaced:
    rows = _rows(_is_empty_text(cells))
    return _Replaced(rows, [None] * len(rows))


def _trim(_rule: object, cells: Cells, _conversion: Conversion) -> _Replaced:
    return _change_texts(cells, lambda texts: pc.match_substring_regex(texts, _MAY_BE_TRIMMED), trim)


def _lower(_rule: object, cells: Cells, _conversion: Conversion) -> _Replaced:
    return _change_texts(cells, lambda texts: pc.match_substring_regex(texts, _MAY_BE_LOWERED), to_lower_case)


def _truncate(rule: Truncate, cells: Cells, _conversion: Conversion) -> _Replaced:
    return _change_texts(
        cells, lambda texts: pc.greater(pc.binary_length(texts), rule.length), lambda text: text[: rule.length]
    )


def _map(rule: MapTexts, cells: Cells, conversion: Conversion) -> _Replaced:
    as_number = "texts" not in conversion.readers()
    new = {text: _affine(value) if as_number else value for text, value in rule.texts.items()}
    if cells.texts is None:
        return _NOTHING
    known = pa.array([text.encode() for text, value in new.items() if value != text], pa.large_binary())
    rows = _rows(pc.is_in(cells.texts, value_set=known))
    texts = cells.texts.take(pa.array(rows, pa.int64())).to_pylist()
    return _Replaced(rows, [new[text.decode()] for text in texts])


def _affine(text: str | None) -> Value:
    """Return what SQLite would have stored of a text in a column of numbers: the number, when it has that one."""
    found = _NUMBER.fullmatch(text or "")
    if text is None or found is None:
        return text
    if found["fraction"]:
        # What would be rounded stays a text, and is refused as that: a profile says what PostgreSQL will hold.
        number = exact_number(text, whole=False)
        return text if number is None else number
    return int(text) if within_64_bits(int(text)) else text


def _epoch(rule: Epoch, cells: Cells, conversion: Conversion) -> _Replaced:
    """Write times as the column's maker does; numbers beyond the years 1 to 9999 stay."""
    if cells.integers is None:
        return _NOTHING
    factor = _MICROSECONDS[rule.unit]
    inside = pc.and_(
        pc.greater_equal(cells.integers, -(-_FIRST_TIME // factor)), pc.less_equal(cells.integers, _LAST_TIME // factor)
    )
    rows = _rows(inside)
    counted = pc.multiply(cells.integers.take(pa.array(rows, pa.int64())), factor)
    written = conversion.back(counted.view(conversion.arrow_type))
    values = [written.stored(row) for row in range(written.length)]
    changed = [place for place, row in enumerate(rows) if values[place] != cells.stored(row)]
    return _Replaced([rows[place] for place in changed], [values[place] for place in changed])


def _default(rule: Default, cells: Cells, conversion: Conversion) -> _Replaced:
    value = conversion.stored_form(rule.value)
    rows = _rows(_CONDITIONS[rule.when](cells, conversion))
    if rule.when is not Condition.IS_NULL:
        rows = [row for row in rows if cells.python(row) != value]
    return _Replaced(rows, [value] * len(rows))


def _is_empty_text(cells: Cells) -> pa.BooleanArray:
    if cells.texts is None:
        return pa.repeat(pa.scalar(False, pa.bool_()), cells.length)
    return pc.equal(pc.binary_length(cells.texts), whole(0))


def _is_not_json(cells: Cells, conversion: Conversion) -> pa.BooleanArray:
    """Find what is no JSON text; a number counts as one where the conversion reads numbers as JSON."""
    found = [False] * cells.length
    for name, part in cells.parts.items():
        known = name in conversion.readers()
        for row, value in enumerate(part.to_pylist()):
            if value is not None:
                found[row] = not is_json(value) if name == "texts" else not known
    return pa.array(found, pa.bool_())


def _is_not_in_enum(cells: Cells, conversion: Conversion) -> pa.BooleanArray:
    if conversion.labels is None:
        raise MigrationError(
            f"{conversion.target.table}.{conversion.target.name} is {conversion.target.type}, which is no enumeration",
            "Take the default with when: is_not_in_enum out of the profile",
        )
    present = pc.invert(cells.is_null())
    if cells.texts is None:
        return present
    known = pa.array([label.encode() for label in conversion.labels], pa.large_binary())
    return pc.and_not(present, pc.is_in(cells.texts, value_set=known))


_CONDITIONS: Mapping[Condition, Callable[[Cells, Conversion], Any]] = {
    Condition.IS_NULL: lambda cells, _: cells.is_null(),
    Condition.IS_EMPTY_TEXT: lambda cells, _: _is_empty_text(cells),
    Condition.IS_NOT_JSON: _is_not_json,
    Condition.IS_NOT_IN_ENUM: _is_not_in_enum,
}

_CHANGES: Mapping[type[Rule], Callable[[Any, Cells, Conversion], _Replaced]] = {
    EmptyTextAsNull: _empty_text_as_null,
    Trim: _trim,
    Lower: _lower,
    Truncate: _truncate,
    MapTexts: _map,
    Epoch: _epoch,
    Default: _default,
}
