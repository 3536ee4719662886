"""Every stored value of the tables gets the verdict and the value that the rule says."""

from __future__ import annotations

import math
import time

import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells
from ansible_collections.contralock.database.plugins.module_utils.conversion_base import Conversion
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError

from tests.unit.conversions.conversion_tables import IDS, TABLES
from tests.unit.conversions.type_table import TypeTable

tables = pytest.mark.parametrize("table", TABLES, ids=IDS)


def alike(left: object, right: object) -> bool:
    """Compare as the values mean it: 1 is not True, and -0.0 is not 0.0."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return type(left) is type(right) and left == right


def values_of(conversion: Conversion, values: pa.Array) -> list[object]:
    assert values.type == conversion.arrow_type
    return values.to_pylist()


@tables
def test_what_fits_alone(table: TypeTable) -> None:
    conversion = table.conversion()
    for stored, expected in table.fits:
        converted = conversion.convert(Cells.of([stored]))
        assert not converted.misfits, stored
        (found,) = values_of(conversion, converted.values)
        assert alike(found, expected), (stored, found, expected)


@tables
def test_what_does_not_fit_alone(table: TypeTable) -> None:
    conversion = table.conversion()
    for stored, reason in table.misfits:
        converted = conversion.convert(Cells.of([stored]))
        (misfit,) = converted.misfits
        assert reason in misfit.reason, (stored, misfit.reason)
        assert misfit.mend
        assert misfit.mask.to_pylist() == [True]
        assert values_of(conversion, converted.values) == [None]
        with pytest.raises(MigrationError, match=r"things\.value: .*\(row 0 of the batch\)"):
            conversion.forward(Cells.of([stored]))


@tables
def test_all_in_one_batch(table: TypeTable) -> None:
    """Fast and exact paths, storage classes and NULL side by side: nobody disturbs the neighbour."""
    conversion = table.conversion()
    rows = [(None, None), *table.fits, (None, None), *((stored, None) for stored, _ in table.misfits), *table.fits]
    bad = range(len(table.fits) + 2, len(table.fits) + 2 + len(table.misfits))
    cells = Cells.of([stored for stored, _ in rows])
    converted = conversion.convert(cells)
    for found, (stored, expected) in zip(values_of(conversion, converted.values), rows, strict=True):
        assert alike(found, expected), stored
    marked = [row for misfit in converted.misfits for row, is_so in enumerate(misfit.mask.to_pylist()) if is_so]
    assert sorted(marked) == list(bad)
    assert all(misfit.mask.null_count == 0 for misfit in converted.misfits)
    assert conversion.fits(cells).to_pylist() == [row not in bad for row in range(len(rows))]


@tables
def test_slices_are_read_like_copies(table: TypeTable) -> None:
    conversion = table.conversion()
    cells = Cells.of(["ignored", None, *(stored for stored, _ in table.fits)])
    sliced = cells.slice(1, cells.length)
    found = values_of(conversion, conversion.forward(sliced))
    assert all(alike(one, expected) for one, expected in zip(found, [None, *(e for _, e in table.fits)], strict=True))
    whole = conversion.convert(cells).values
    assert all(conversion.same(whole.slice(1), conversion.forward(sliced)).to_pylist())
    assert (
        conversion.render(whole.slice(2)).to_pylist() == conversion.render(conversion.forward(sliced)).to_pylist()[1:]
    )


@tables
def test_the_way_back(table: TypeTable) -> None:
    conversion = table.conversion()
    stored = [each for each, _ in table.fits]
    forward = conversion.forward(Cells.of([None, *stored]))
    back = conversion.back(forward)
    expected = Cells.of([None, *(table.respelled.get(each, each) for each in stored)])
    for row in range(back.length):
        given, wanted = back.stored(row), expected.stored(row)
        assert type(given) is type(wanted), expected.python(row)
        assert alike(given, wanted), (given, wanted)
    again = conversion.same(conversion.forward(back), forward)
    assert again.null_count == 0
    assert all(again.to_pylist())


@tables
def test_batches_without_anything(table: TypeTable) -> None:
    conversion = table.conversion()
    for cells, expected in ((Cells.of([]), []), (Cells.of([None, None]), [None, None])):
        converted = conversion.convert(cells)
        assert values_of(conversion, converted.values) == expected
        assert not converted.misfits
        assert conversion.fits(cells).to_pylist() == [True] * len(expected)
        assert conversion.render(converted.values).to_pylist() == expected
        assert conversion.back(converted.values).is_null().to_pylist() == [True] * len(expected)
        assert conversion.same(converted.values, converted.values).to_pylist() == [True] * len(expected)


@tables
def test_values_differ_from_others_and_from_null(table: TypeTable) -> None:
    conversion = table.conversion()
    distinct = {repr(expected): stored for stored, expected in table.fits}
    values = conversion.forward(Cells.of(list(distinct.values())))
    nulls = pa.nulls(len(values), conversion.arrow_type)
    assert not any(conversion.same(values, nulls).to_pylist())
    assert not any(conversion.same(nulls, values).to_pylist())
    for row in range(len(values)):
        repeated = pa.concat_arrays([values.slice(row, 1)] * len(values))
        assert conversion.same(values, repeated).to_pylist() == [each == row for each in range(len(values))]


@tables
def test_one_printable_line_for_messages(table: TypeTable) -> None:
    conversion = table.conversion()
    for value in conversion.forward(Cells.of([None, *(stored for stored, _ in table.fits)])):
        for shown in (conversion.shown(value), conversion.shown(value.as_py())):
            assert len(shown) <= 83
            assert shown.isprintable()


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Asia/Kolkata", "Pacific/Kiritimati"])
@pytest.mark.parametrize("table", [table for table in TABLES if "time" in table.sql_type], ids=lambda t: t.sql_type)
def test_the_process_time_zone_is_not_asked(table: TypeTable, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        test_what_fits_alone(table)
        test_the_way_back(table)
    finally:
        monkeypatch.undo()
        time.tzset()
