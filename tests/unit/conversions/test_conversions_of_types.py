"""Which types have a conversion, and how a value of any of them looks in a message."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils import jsonb_form
from ansible_collections.contralock.database.plugins.module_utils.affinity import Affinity, affinity_of
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells, Value
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding

from tests.unit.conversions.type_table import column


@pytest.mark.parametrize("sql_type", ["point", "interval", "money", "inet", "xml", "timetz", "_text", "jsonb[]"])
def test_other_types_have_none(sql_type: str) -> None:
    assert conversion_for(replace(column("text"), type=sql_type, type_name=sql_type), "TEXT") is None


def test_a_type_of_the_same_name_in_another_schema_has_none() -> None:
    assert conversion_for(replace(column("text"), type_schema="public"), "TEXT") is None


def test_an_enumeration_is_known_by_its_labels() -> None:
    mood = replace(column("mood"), type_schema="public")
    assert conversion_for(mood, "TEXT") is None
    found = conversion_for(mood, "TEXT", ["sad"])
    assert found is not None
    assert found.labels == ("sad",)


@pytest.mark.parametrize(
    ("sql_type", "value", "shown"),
    [
        ("text", None, "NULL"),
        ("text", "a\n\0b\t\\ \u00e9\U0001f600\u2028", "a\\n\\x00b\\t\\ \u00e9\U0001f600\\u2028"),
        ("text", "x" * 80, "x" * 80),
        ("text", "x" * 81, "x" * 80 + "..."),
        ("text", "\n" * 50, "\\n" * 40 + "..."),
        ("uuid", b"\xff" * 16, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        ("timestamptz(3)", 0, "1970-01-01 00:00:00.000+00"),
        ("boolean", True, "t"),
        ("bytea", b"\x01\xff", "\\x01ff"),
        ("numeric(5,2)", "1.50", "1.50"),
    ],
)
def test_shown(sql_type: str, value: object, shown: str) -> None:
    found = conversion_for(column(sql_type), "")
    assert found is not None
    assert found.shown(value) == shown
    assert found.shown(pa.scalar(value, found.arrow_type)) == shown


@pytest.mark.parametrize("moment", [2**63 - 1, -(2**63), 253402300800000000, -62135596800000001])
def test_times_beyond_pythons_can_be_shown_and_compared(moment: int) -> None:
    """PostgreSQL's own range is wider than the application's."""
    found = conversion_for(column("timestamptz"), "DATETIME")
    assert found is not None
    values = pa.array([moment, 0], pa.int64()).view(found.arrow_type)
    assert found.shown(values[0])
    assert found.same(values, values).to_pylist() == [True, True]
    assert found.same(values, pa.array([0, 0], found.arrow_type)).to_pylist() == [False, True]


def test_decimals_are_compared_by_value() -> None:
    found = conversion_for(column("numeric"), "DECIMAL")
    assert found is not None
    pairs = [
        ("1", "1.00"),
        ("-0.50", "-0.5"),
        ("0", "0.000"),
        ("1", "1.001"),
        ("10", "1"),
        ("nan", "nan"),
        ("nan", "1"),
    ]
    left, right = (pa.array([*each, None, "1", None], pa.string()) for each in zip(*pairs, strict=True))
    expected = [True, True, True, False, False, True, False, True, True, True]
    assert found.same(left, right).to_pylist() == expected


def test_a_decimal_that_sqlite_cannot_hold_is_not_rounded_on_its_way_back() -> None:
    found = conversion_for(column("numeric(30,10)"), "DECIMAL(30,10)")
    assert found is not None
    exact = pa.array(["12345678901234567890.1234567890", "0.1000000000", "9223372036854775807.0000000000"], pa.string())
    back = found.back(exact)
    assert [back.python(row) for row in range(3)] == ["12345678901234567890.1234567890", 0.1, 2**63 - 1]
    assert found.fits(back).to_pylist() == [False, True, True]
    beyond = found.back(pa.array(["9223372036854775808.0000000000"], pa.string()))
    assert beyond.python(0) == "9223372036854775808.0000000000"


def test_an_array_of_an_enumeration_has_its_labels() -> None:
    """PostgreSQL's catalog has the array's type in the enumeration's schema, with an underscore before its name."""
    moods = replace(column("mood[]"), type="public.mood[]", type_schema="public")
    assert conversion_for(moods, "TEXT") is None
    found = conversion_for(moods, "TEXT", ["sad", "O'K"])
    assert found is not None
    assert found.forward(Cells.of(['["sad",null]', None])).to_pylist() == [["sad", None], None]
    assert found.fits(Cells.of(['["glad"]', '["sad"]'])).to_pylist() == [False, True]


def test_what_milliseconds_cannot_say_is_no_number_on_its_way_back() -> None:
    """PostgreSQL's clock has microseconds; Prisma reads a text in such a column too."""
    found = conversion_for(column("timestamptz"), "DATETIME", encoding=Encoding.PRISMA)
    assert found is not None
    back = found.back(pa.array([1704273055791000, 1704273055791001, None], pa.int64()).view(found.arrow_type))
    assert [back.python(row) for row in range(3)] == [1704273055791, "2024-01-03T09:10:55.791001+00:00", None]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (Encoding.SEQUELIZE, "2024-01-03 09:10:55.791001 +00:00"),
        (Encoding.RAILS, "2024-01-03 09:10:55.791001"),
        (Encoding.PRISMA_ADAPTER, "2024-01-03T09:10:55.791001+00:00"),
    ],
)
def test_no_digit_of_the_second_is_lost_on_the_way_back(encoding: Encoding, expected: str) -> None:
    found = conversion_for(column("timestamptz"), "DATETIME", encoding=encoding)
    assert found is not None
    back = found.back(pa.array([1704273055791001], pa.int64()).view(found.arrow_type))
    assert back.python(0) == expected


def test_a_refusal_names_the_first_row_of_its_reason() -> None:
    found = conversion_for(column("integer"), "INTEGER")
    assert found is not None
    with pytest.raises(
        Exception, match=r"things\.value: text in a whole-number column \(row 2 of the batch\)"
    ) as refusal:
        found.forward(Cells.of([1, None, "x", "y"]))
    assert refusal.value.details["row"] == 2


#: https://www.sqlite.org/datatype3.html, section 3.1.1, and what Sequelize declares.
AFFINITIES = {
    Affinity.INTEGER: "INT INTEGER TINYINT SMALLINT MEDIUMINT BIGINT INT2 INT8 TINYINT(1) CHARINT POINT",
    Affinity.TEXT: "CHARACTER(20) VARCHAR(255) NCHAR(55) TEXT CLOB varchar",
    Affinity.BLOB: "BLOB",
    Affinity.REAL: "REAL DOUBLE FLOAT double",
    Affinity.NUMERIC: "NUMERIC DECIMAL(10,5) BOOLEAN DATE DATETIME JSON UUID STRING",
}


@pytest.mark.parametrize(
    ("declared", "expected"), [(name, kind) for kind, names in AFFINITIES.items() for name in names.split()]
)
def test_affinity(declared: str, expected: Affinity) -> None:
    assert affinity_of(declared) is expected


def test_affinity_without_a_type() -> None:
    assert affinity_of("") is Affinity.BLOB
    assert affinity_of("DOUBLE PRECISION") is Affinity.REAL
    assert affinity_of("UNSIGNED BIG INT") is Affinity.INTEGER


def test_jsonb_ends_at_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real limit is 255 MB; the bytes count, not the characters."""
    monkeypatch.setattr(jsonb_form, "LONGEST", 12)
    found = conversion_for(column("jsonb"), "TEXT")
    assert found is not None
    accents = "\u00e9" * 5
    texts: list[Value] = ['"1234567890"', '"12345678901"', f'"{accents}"', f'"{accents}\u00e9"']
    assert found.fits(Cells.of(texts)).to_pylist() == [True, False, True, False]
