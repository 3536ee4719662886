"""Documents that are printed together are printed as the exact reader prints each; what it refuses is left to it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils import jsonb_columns
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells
from ansible_collections.contralock.database.plugins.module_utils.conversion_base import UnfitError
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.jsonb_columns import FEWEST_ROWS, printed_together
from ansible_collections.contralock.database.plugins.module_utils.jsonb_form import jsonb_form

from tests.unit.conversions.type_table import column

KEYS = ("a", "b", "id", "ab", "\u00e9", "createdAt", "a_longer_key_of_20_b", "x" * 32, "y" * 33, "\U0001f600", "")
SCALARS = ("1", "0", "-5", "12.50", "-0.5", "1234567890.0123456789", "true", "false", "null", '"x"', '""', '"\u00e9"',
           '"a:b,{}[] c"', '"say \\"a\\", C:\\\\"', '"\\\\"', '"\\n\\t\\b\\f\\r"', '"\\\\\\"{"', "[]", "{}",
           '["a","b"]', '[1,{"k":"v"}]', '{"z":{"y":null},"x":[]}')  # fmt: skip
#: What is no JSON, is not printed as it is written, or has no room together with others.
ODD = ("-0", "-0.0", "01", "1.", ".5", "1e5", "-", "+1", "tru", "nulll", "NaN", "\\n", '"\\"',
       '"\\/"', '"\\x"', "\\", '"a\\', '"\\u00e9"', '"\t"', "[ ]", "", "1" * 30,
       "[1,]", '"', '{"a":1,"a":2}', "[1 2]", '"a""b"')  # fmt: skip


def exact(text: str | None) -> str | None:
    try:
        return None if text is None else jsonb_form(text)
    except UnfitError:
        return None


def texts(*values: str | None) -> pa.LargeBinaryArray:
    return pa.array([None if value is None else value.encode() for value in values], pa.large_binary())


def shape(source: random.Random) -> Callable[[], str]:
    """What writes documents of one shape, now and then with a fault."""
    keys, space = source.sample(KEYS, source.randrange(6)), source.choice(("", "", " "))
    usual = {key: source.sample(SCALARS, 2) for key in keys}

    def write() -> str:
        values = [source.choice(ODD if source.random() < 0.01 else usual[key]) for key in keys]
        pairs = [f'"{key}":{space}{value}' for key, value in zip(keys, values, strict=True)]
        text = f"{{{f',{space}'.join(pairs)}}}"
        if source.random() < 0.02:
            place = source.randrange(len(text))
            text = text[:place] + source.choice('{}[],:"\\ 0.e-\n') + text[place + source.choice((0, 1)) :]
        return text

    return write


def test_each_is_printed_as_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonb_columns, "FEWEST_ROWS", 8)
    # Several goes, so that shapes are known from the one before.
    monkeypatch.setattr(jsonb_columns, "_CACHED_BYTES", 1 << 14)
    source, together, number = random.Random(12), 0, 0
    for _ in range(12):
        shapes = [shape(source) for _ in range(source.choice((1, 2, 5)))]
        given = [source.choice(shapes)() if source.random() > 0.03 else None for _ in range(1500)]
        for start in (0, 7):
            found = printed_together(texts(*given).slice(start))
            found.validate(full=True)
            for text, printed in zip(given[start:], found.to_pylist(), strict=True):
                assert printed is None or printed == exact(text), text
            together, number = together + len(found) - found.null_count, number + len(found)
    assert together > number // 2


@pytest.mark.parametrize("odd", [*ODD, None])
def test_an_odd_one_disturbs_nobody(odd: str | None) -> None:
    """Wherever it stands: inside a document or in place of one, before the others, among them or behind them."""
    sound = [f'{{"b":{number},"aa":["x{number}"],"a":"{number}"}}' for number in range(3 * FEWEST_ROWS)]
    expected = [exact(text) for text in sound]
    for strange in (odd, f'{{"b":{odd},"aa":["x"],"a":"1"}}', f'{{"b":1,"aa":[{odd}],"a":"1"}}'):
        for place in (0, FEWEST_ROWS, len(sound)):
            found = printed_together(texts(*sound[:place], strange, *sound[place:])).to_pylist()
            assert found.pop(place) in (None, exact(strange)), strange
            # The first of a shape shows it: where that is the odd one, the next one does.
            assert [text for text in found if text] == [text for text, it in zip(expected, found, strict=True) if it]
            assert found.count(None) <= (0 if place else 1)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["JavaScript", "Python"])
def test_what_applications_write_is_read_together(separators: tuple[str, str]) -> None:
    documents = [
        {"id": str(number), "amount": number * 1.5, "tags": ["a", "b"], "who": {"name": "caf\u00e9", "ok": number > 5}}
        for number in range(2 * FEWEST_ROWS)
    ]
    given = [json.dumps(each, ensure_ascii=False, separators=separators) for each in documents]
    assert printed_together(texts(*given)).to_pylist() == [exact(text) for text in given]


def test_few_documents_and_none_are_left_alone() -> None:
    for given in ([], [None], ["{}"] * (FEWEST_ROWS - 1)):
        assert printed_together(texts(*given)).to_pylist() == [None] * len(given)
    assert printed_together(texts(*[None] * FEWEST_ROWS)).to_pylist() == [None] * FEWEST_ROWS
    assert printed_together(texts(*[""] * FEWEST_ROWS)).to_pylist() == [None] * FEWEST_ROWS


def test_a_text_that_is_no_utf8_is_found_among_many() -> None:
    conversion = conversion_for(column("jsonb"), "TEXT")
    assert conversion is not None
    bad = bytearray(b'{"a":"\xff"}')
    converted = conversion.convert(Cells.of(['{"a":"x"}'] * FEWEST_ROWS + [bad]))
    (misfit,) = converted.misfits
    assert "UTF-8" in misfit.reason
    assert misfit.mask.to_pylist() == [False] * FEWEST_ROWS + [True]
    assert converted.values.to_pylist() == ['{"a": "x"}'] * FEWEST_ROWS + [None]
