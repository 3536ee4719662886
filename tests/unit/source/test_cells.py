"""Cells keep what SQLite stores: value, storage class, bytes."""

from __future__ import annotations

import sqlite3

import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells

VALUES = [1, 1.0, "1", b"1", None, -(2**63), 2**63 - 1, float("inf"), "", b"", bytearray(b"a\0b"), bytearray(b"\xff")]
CLASSES = ["integer", "real", "text", "blob", "null", "integer", "integer", "real", "text", "blob", "text", "text"]
SHOWN = [1, 1.0, "1", b"1", None, -(2**63), 2**63 - 1, float("inf"), "", b"", "a\0b", "\\xff"]


def typed(values: list[object]) -> list[tuple[type, object]]:
    return [(type(value), value) for value in values]


def shown(cells: Cells) -> list[tuple[type, object]]:
    return typed([cells.python(row) for row in range(cells.length)])


def test_each_value_keeps_its_class_and_its_bytes() -> None:
    cells = Cells.of(VALUES)
    assert cells.length == len(VALUES)
    assert shown(cells) == typed(SHOWN)


def test_values_return_as_they_were_given() -> None:
    stored = [bytearray(value.encode()) if isinstance(value, str) else value for value in VALUES]
    cells = Cells.of(VALUES)
    assert typed([cells.stored(row) for row in range(cells.length)]) == typed(stored)


def test_each_value_has_its_class_in_sqlite_too() -> None:
    connection = sqlite3.connect(":memory:")
    cells = Cells.of(VALUES)
    for row, expected in enumerate(CLASSES):
        ((found,),) = connection.execute("SELECT typeof(?)", [cells.python(row)])
        assert found == expected


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ([1, None], ["integers"]),
        ([1.5, None], ["reals"]),
        (["a", None], ["texts"]),
        ([b"a", None], ["blobs"]),
        ([None, None], []),
        ([], []),
        ([1, 1.0, "a"], ["integers", "reals", "texts"]),
    ],
)
def test_a_class_without_a_cell_has_no_part(values: list[object], parts: list[str]) -> None:
    assert list(Cells.of(values).parts) == parts


def test_null_is_what_no_class_holds() -> None:
    assert Cells.of(VALUES).is_null().to_pylist() == [value is None for value in VALUES]
    assert Cells.of([None, None]).is_null().to_pylist() == [True, True]
    assert Cells.of([]).is_null().to_pylist() == []
    assert Cells.of([float("nan")]).is_null().to_pylist() == [False]


def test_take_filter_and_slice_choose_cells() -> None:
    cells = Cells.of(VALUES)
    assert shown(cells.take(pa.array([3, 0, 4]))) == typed([b"1", 1, None])
    assert shown(cells.filter(pa.array([value == 1 for value in VALUES]))) == typed([1, 1.0])
    assert shown(cells.slice(2, 2)) == typed(["1", b"1"])
    assert cells.slice(2, 100).length == len(VALUES) - 2
    assert cells.slice(100, 1).length == 0
    assert list(cells.slice(0, 1).parts) == ["integers"]


def test_batches_with_different_classes_join() -> None:
    joined = Cells.concat([Cells.of([1, None]), Cells.of([]), Cells.of(["a"]), Cells.of([None, 2.5])])
    assert shown(joined) == typed([1, None, "a", None, 2.5])
    assert Cells.concat([]).length == 0
    assert Cells.concat([Cells.of([None]), Cells.of([None])]).is_null().to_pylist() == [True, True]


@pytest.mark.parametrize("row", [12, -13])
def test_a_row_outside_is_an_error(row: int) -> None:
    with pytest.raises(IndexError, match="of 12"):
        Cells.of(VALUES).python(row)


@pytest.mark.parametrize("value", [True, object(), 1j])
def test_other_types_are_no_cells(value: object) -> None:
    with pytest.raises(TypeError, match="no storage class"):
        Cells.of([value])
