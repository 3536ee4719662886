"""Each strange value gets its verdict in each type: alone, and in the first and the last row among sound ones."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells, Value
from ansible_collections.contralock.database.plugins.module_utils.conversion_base import Conversion
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for

from tests.unit.conversions.strange_values import TYPES, VALUES, TypeVerdicts
from tests.unit.conversions.type_table import column

SOUND = 40
CASES = [(verdicts, *each) for verdicts in TYPES for each in verdicts.verdicts()]


def conversion(verdicts: TypeVerdicts) -> Conversion:
    found = conversion_for(column(verdicts.sql_type), "", verdicts.labels)
    assert found is not None
    return found


def sound_value(verdicts: TypeVerdicts) -> Value:
    return VALUES[next(iter(verdicts.fits), "word")]


def test_there_are_cases_enough() -> None:
    """Each type refuses some and takes some, and no verdict is about a value that is not there."""
    assert len(CASES) > 1000
    for verdicts in TYPES:
        answers = [fits for _, fits, _ in verdicts.verdicts()]
        assert any(answers)
        assert not all(answers)
        assert not (verdicts.fits.keys() | verdicts.refused.keys()) - VALUES.keys()
        assert not verdicts.fits.keys() & verdicts.refused.keys()


@pytest.mark.parametrize("verdicts", TYPES, ids=lambda verdicts: verdicts.sql_type)
def test_each_value_gets_its_verdict(verdicts: TypeVerdicts) -> None:
    made = conversion(verdicts)
    sound = [sound_value(verdicts)] * SOUND
    for name, fits, told in verdicts.verdicts():
        for values, row in (([VALUES[name]], 0), ([VALUES[name], *sound], 0), ([*sound, VALUES[name]], SOUND)):
            converted = made.convert(Cells.of(values))
            rows = [at for misfit in converted.misfits for at, bad in enumerate(misfit.mask.to_pylist()) if bad]
            assert rows == ([] if fits else [row]), (name, [misfit.reason for misfit in converted.misfits])
            assert fits or told in converted.misfits[0].reason, (name, told, converted.misfits[0].reason)
            assert converted.values.null_count == len(rows)


@pytest.mark.parametrize("verdicts", TYPES, ids=lambda verdicts: verdicts.sql_type)
def test_what_fits_comes_back(verdicts: TypeVerdicts) -> None:
    made = conversion(verdicts)
    forward = made.forward(Cells.of([VALUES[name] for name, fits, _ in verdicts.verdicts() if fits]))
    again = made.forward(made.back(forward))
    assert all(made.same(again, forward).to_pylist())
