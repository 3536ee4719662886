"""Each rule changes what it is about, counts it, and leaves everything else alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells, Value
from ansible_collections.contralock.database.plugins.module_utils.conversion_base import Conversion
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import (
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
from ansible_collections.contralock.database.plugins.module_utils.rules_applied import apply_rules, rule_name
from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding

from tests.unit.conversions.type_table import column

BAD = bytearray(b" \xff ")


def conversion(
    sql_type: str = "text",
    declared_type: str = "TEXT",
    labels: Sequence[str] | None = None,
    encoding: Encoding = Encoding.SEQUELIZE,
) -> Conversion:
    found = conversion_for(column(sql_type), declared_type, labels, encoding)
    assert found is not None
    return found


def stored(cells: Cells) -> list[Value]:
    return [cells.stored(row) for row in range(cells.length)]


def texts(*values: Value) -> list[Value]:
    return [bytearray(value.encode()) if isinstance(value, str) else value for value in values]


OTHERS: tuple[Value, ...] = (None, 5, 1.5, b" X ", BAD)

CASES: list[tuple[Rule, dict[str, Value]]] = [
    (EmptyTextAsNull(), {"": None, " ": " ", "a": "a"}),
    (
        Trim(),
        {" a\t": "a", "\ufeffb": "b", "b\u2028": "b", "\u00a0b\ufeff": "b", "c d": "c d", "  ": "", "\r\n": "", "": ""},
    ),
    (Trim(), {"\x1ce\x1f": "\x1ce\x1f", "\x85": "\x85", "\u00e9": "\u00e9"}),
    (Lower(), {"Ada@X.ORG": "ada@x.org", "ada": "ada", "\u00c9": "\u00e9", "\u0130": "i\u0307"}),
    (Lower(), {"\u039f\u03a3": "\u03bf\u03c2", "\u1e9e": "\u00df"}),
    (Truncate(3), {"abcd": "abc", "abc": "abc", "\U0001f600" * 4: "\U0001f600" * 3, "e\u0301e\u0301": "e\u0301e"}),
    (
        MapTexts({"actve": "active", "none": None, "same": "same", "\u00fc": "u"}),
        {"actve": "active", "none": None, "same": "same", "Actve": "Actve", "\u00fc": "u", "": ""},
    ),
    (Default("x", Condition.IS_EMPTY_TEXT), {"": "x", " ": " "}),
    (Default("", Condition.IS_EMPTY_TEXT), {"": "", " ": " "}),
]


@pytest.mark.parametrize(("rule", "changes"), CASES)
def test_rules_on_texts(rule: Rule, changes: dict[str, Value]) -> None:
    applied = apply_rules([rule], Cells.of([*OTHERS, *changes]), conversion())
    assert stored(applied.cells) == texts(*OTHERS, *changes.values())
    assert applied.counts == {rule_name(rule): sum(one != other for one, other in changes.items())}
    again = apply_rules([rule], applied.cells, conversion())
    assert stored(again.cells) == stored(applied.cells)
    assert again.counts == {rule_name(rule): 0}


@pytest.mark.parametrize("rule", [rule for rule, _ in CASES], ids=rule_name)
def test_rules_leave_batches_without_texts_alone(rule: Rule) -> None:
    for cells in (Cells.of([]), Cells.of([None]), Cells.of([1, None]), Cells.of([b""])):
        applied = apply_rules([rule], cells, conversion())
        assert stored(applied.cells) == stored(cells)
        assert applied.counts == {rule_name(rule): 0}


def test_the_last_changed_cell_of_a_class_takes_its_part_along() -> None:
    """A column of nothing but '' is a column of nothing but NULL afterwards, and uniform ones stay uniform."""
    applied = apply_rules([EmptyTextAsNull()], Cells.of(["", ""]), conversion("integer", "INTEGER"))
    assert applied.cells.texts is None
    assert applied.cells.is_null().to_pylist() == [True, True]


EPOCHS: list[tuple[EpochUnit, int, Value]] = [
    (EpochUnit.SECONDS, 1704273055, "2024-01-03 09:10:55.000 +00:00"),
    (EpochUnit.MILLISECONDS, 1704273055791, "2024-01-03 09:10:55.791 +00:00"),
    (EpochUnit.MILLISECONDS, 0, "1970-01-01 00:00:00.000 +00:00"),
    (EpochUnit.MILLISECONDS, -1, "1969-12-31 23:59:59.999 +00:00"),
    (EpochUnit.MILLISECONDS, -62135596800000, "0001-01-01 00:00:00.000 +00:00"),
    (EpochUnit.MILLISECONDS, -62135596800001, -62135596800001),
    (EpochUnit.MILLISECONDS, 253402300799999, "9999-12-31 23:59:59.999 +00:00"),
    (EpochUnit.MILLISECONDS, 253402300800000, 253402300800000),
    (EpochUnit.SECONDS, -62135596800, "0001-01-01 00:00:00.000 +00:00"),
    (EpochUnit.SECONDS, -62135596801, -62135596801),
    (EpochUnit.SECONDS, 253402300799, "9999-12-31 23:59:59.000 +00:00"),
    (EpochUnit.SECONDS, 253402300800, 253402300800),
    (EpochUnit.SECONDS, 2**63 - 1, 2**63 - 1),
    (EpochUnit.SECONDS, -(2**63), -(2**63)),
]


@pytest.mark.parametrize(("unit", "before", "after"), EPOCHS)
def test_epoch(unit: EpochUnit, before: int, after: Value) -> None:
    kept: tuple[Value, ...] = (None, "2024-01-03 09:10:55.791 +00:00", 1.5)
    applied = apply_rules([Epoch(unit)], Cells.of([*kept, before]), conversion("timestamptz(3)", "DATETIME"))
    assert stored(applied.cells) == texts(*kept, after)
    assert applied.counts == {"epoch": int(before != after)}


@pytest.mark.parametrize(
    ("encoding", "sql_type", "unit", "before", "after"),
    [
        (Encoding.DJANGO, "timestamptz", EpochUnit.SECONDS, 1704273055, "2024-01-03 09:10:55"),
        (Encoding.RAILS, "timestamptz", EpochUnit.MILLISECONDS, 1704273055791, "2024-01-03 09:10:55.791000"),
        (Encoding.SQLALCHEMY, "timestamp", EpochUnit.SECONDS, 1704273055, "2024-01-03 09:10:55.000000"),
        (Encoding.PRISMA_ADAPTER, "timestamptz(3)", EpochUnit.SECONDS, -1, "1969-12-31T23:59:59.000+00:00"),
        (Encoding.PRISMA, "timestamptz(3)", EpochUnit.SECONDS, 1704273055, 1704273055000),
        (Encoding.PRISMA, "timestamptz(3)", EpochUnit.MILLISECONDS, 1704273055791, 1704273055791),
    ],
)
def test_epoch_writes_as_the_column_s_maker(
    encoding: Encoding, sql_type: str, unit: EpochUnit, before: int, after: Value
) -> None:
    made = conversion(sql_type, "DATETIME", encoding=encoding)
    applied = apply_rules([Epoch(unit)], Cells.of([before, None]), made)
    assert stored(applied.cells) == texts(after, None)
    assert applied.counts == {"epoch": int(before != after)}
    assert made.fits(applied.cells).to_pylist() == [True, True]


def test_a_map_gives_numbers_where_the_column_holds_numbers() -> None:
    """SQLite itself makes a number of a text that is written to such a column."""
    rule = MapTexts({"true": "1", "false": "0", "": None, "half": "0.5", "what": "no", "big": "9223372036854775808"})
    before: list[Value] = ["true", "false", "", "half", "what", "big"]
    boolean = apply_rules([rule], Cells.of(before), conversion("boolean", "TINYINT(1)"))
    assert stored(boolean.cells) == texts(1, 0, None, 0.5, "no", "9223372036854775808")
    text = apply_rules([rule], Cells.of(before), conversion("text", "TEXT"))
    assert stored(text.cells) == texts("1", "0", None, "0.5", "no", "9223372036854775808")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("97.50", 97.5), ("0.1", 0.1), ("12345678901234567.89", "12345678901234567.89"), ("9" * 400 + ".5",) * 2],
)
def test_a_number_of_a_map_is_not_rounded(text: str, expected: Value) -> None:
    """What no double holds stays a text, which no column of numbers takes."""
    made = conversion("numeric", "DECIMAL")
    applied = apply_rules([MapTexts({"x": text})], Cells.of(["x"]), made)
    assert stored(applied.cells) == texts(expected)
    assert made.fits(applied.cells).to_pylist() == [isinstance(expected, float)]


JSON_TEXTS: list[tuple[Value, bool]] = [
    ("{}", True),
    ('{"a":1,"a":2}', True),
    ('"\\ud83d\\u0000"', True),
    ("[" * 5000 + "]" * 5000, True),
    ("1e999999", True),
    ("null", True),
    ("", False),
    ("NaN", False),
    ("[" * 5000 + "]" * 4999, False),
    (bytearray(b'"\xff"'), False),
    (b"{}", False),
    (5, True),
    (1.5, True),
]


@pytest.mark.parametrize(("value", "is_json"), JSON_TEXTS, ids=lambda value: str(value)[:20])
def test_default_where_there_is_no_json(value: Value, is_json: bool) -> None:
    rule = Default({"email": True, "\u00e9": [1]}, Condition.IS_NOT_JSON)
    applied = apply_rules([rule], Cells.of([value, None]), conversion("jsonb", "JSON"))
    assert stored(applied.cells) == texts(value if is_json else '{"email":true,"\u00e9":[1]}', None)
    assert applied.counts == {"default is_not_json": int(not is_json)}


def test_numbers_are_no_json_where_sqlite_would_not_have_made_them() -> None:
    applied = apply_rules([Default([], Condition.IS_NOT_JSON)], Cells.of([5]), conversion("jsonb", "TEXT"))
    assert stored(applied.cells) == texts("[]")


def test_default_outside_an_enum() -> None:
    rule = Default("b", Condition.IS_NOT_IN_ENUM)
    applied = apply_rules([rule], Cells.of(["a", "b", "c", "", None, 5, BAD]), conversion("mood", "TEXT", ["a", "b"]))
    assert stored(applied.cells) == texts("a", "b", "b", "b", None, "b", "b")
    assert applied.counts == {"default is_not_in_enum": 4}
    numbers = apply_rules([rule], Cells.of([1, None]), conversion("mood", "TEXT", ["a", "b"]))
    assert stored(numbers.cells) == texts("b", None)


@pytest.mark.parametrize(("value", "expected"), [(True, "t"), (False, "f")])
def test_a_default_of_letters(value: bool, expected: str) -> None:
    made = conversion("boolean", "boolean", encoding=Encoding.RAILS_5_1)
    applied = apply_rules([Default(value, Condition.IS_NULL)], Cells.of([None]), made)
    assert stored(applied.cells) == texts(expected)
    assert made.forward(applied.cells).to_pylist() == [value]


DEFAULTS: list[tuple[str, str, Any, Value]] = [
    ("boolean", "TINYINT(1)", True, 1),
    ("boolean", "TINYINT(1)", False, 0),
    ("integer", "INTEGER", 5, 5),
    ("numeric(5,2)", "DECIMAL(5,2)", 97.5, 97.5),
    ("text", "TEXT", "\u00e9", "\u00e9"),
    ("jsonb", "JSON", "text", '"text"'),
    ("jsonb", "TEXT", True, "true"),
    ("json", "JSON", [1, {"a": "\u00e9"}], '[1,{"a":"\u00e9"}]'),
    ("text[]", "TEXT", ["a", None], '["a",null]'),
    ("timestamptz(3)", "DATETIME", "2024-01-03 09:10:55.791 +00:00", "2024-01-03 09:10:55.791 +00:00"),
]


@pytest.mark.parametrize(("sql_type", "declared", "value", "expected"), DEFAULTS)
def test_a_default_has_the_form_that_the_application_stores(
    sql_type: str, declared: str, value: object, expected: Value
) -> None:
    made = conversion(sql_type, declared)
    applied = apply_rules([Default(value, Condition.IS_NULL)], Cells.of([None]), made)
    assert stored(applied.cells) == texts(expected)
    assert applied.counts == {"default is_null": 1}
    assert made.fits(applied.cells).to_pylist() == [True]


def test_a_default_beyond_64_bits_stays_a_text_and_does_not_fit() -> None:
    made = conversion("bigint", "INTEGER")
    applied = apply_rules([Default(2**63, Condition.IS_NULL)], Cells.of([None]), made)
    assert stored(applied.cells) == texts("9223372036854775808")
    assert made.fits(applied.cells).to_pylist() == [False]


def test_rules_work_in_their_order() -> None:
    rules: list[Rule] = [Lower(), Trim(), EmptyTextAsNull(), Default("nobody", Condition.IS_NULL)]
    applied = apply_rules(rules, Cells.of(["  ADA ", "   ", None, "ada"]), conversion())
    assert stored(applied.cells) == texts("ada", "nobody", "nobody", "ada")
    assert applied.counts == {"lower": 1, "trim": 2, "empty_text_as_null": 1, "default is_null": 2}


def test_no_rules_change_nothing() -> None:
    cells = Cells.of(["", None])
    applied = apply_rules([], cells, conversion())
    assert applied.cells is cells
    assert applied.counts == {}


def test_quarantine_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"things\.value: the rule 'quarantine' cannot be carried out"):
        apply_rules([Quarantine()], Cells.of([]), conversion())


def test_a_default_for_an_enum_needs_one() -> None:
    with pytest.raises(MigrationError, match=r"things\.value is text, which is no enumeration"):
        apply_rules([Default("a", Condition.IS_NOT_IN_ENUM)], Cells.of(["a"]), conversion())
