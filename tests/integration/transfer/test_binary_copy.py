"""What is sent in binary form is what PostgreSQL reads from text."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils.binary_copy import BinaryForm, TextForm, form_for
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.plan import ColumnPlan

from tests.throwaway_cluster import Cluster

US = pa.timestamp("us")
#: Type -> Arrow's type of its values, and values; each with what PostgreSQL prints for it (ISO, UTC).
VALUES: dict[str, tuple[Any, list[Any], list[str]]] = {
    "boolean": (pa.bool_(), [True, False], ["true", "false"]),
    "smallint": (pa.int16(), [-32768, 32767, 0], ["-32768", "32767", "0"]),
    "integer": (pa.int32(), [-(2**31), 2**31 - 1], ["-2147483648", "2147483647"]),
    "bigint": (pa.int64(), [-(2**63), 2**63 - 1, 2**53 + 1], [str(-(2**63)), str(2**63 - 1), str(2**53 + 1)]),
    "real": (pa.float32(), [97.1, -0.0, float("inf")], ["97.1", "-0", "Infinity"]),
    "double precision": (
        pa.float64(),
        [0.1 + 0.2, 5e-324, -0.0, float("-inf"), 1.7976931348623157e308],
        ["0.30000000000000004", "5e-324", "-0", "-Infinity", "1.7976931348623157e+308"],
    ),
    "numeric(9,2)": (pa.string(), ["0.00", "-0.05", "97.50", "9999999.99"], ["0.00", "-0.05", "97.50", "9999999.99"]),
    "text": (pa.string(), ["", "é\t\\\n", "😀", "\\N", "\\."], ["", "é\t\\\n", "😀", "\\N", "\\."]),
    "varchar(5)": (pa.string(), ["", "éééé "], ["", "éééé "]),
    "char(3)": (pa.string(), ["a  ", "abc"], ["a", "abc"]),
    "uuid": (pa.binary(16), [bytes(16), bytes(range(16))], [str(0) * 8 + "-0000-0000-0000-000000000000",
                                                            "00010203-0405-0607-0809-0a0b0c0d0e0f"]),
    "bytea": (pa.binary(), [b"", b"\x00\xff"], ["\\x", "\\x00ff"]),
    "date": (pa.date32(), [-719162, 0, 2932896], ["0001-01-01", "1970-01-01", "9999-12-31"]),
    "time": (pa.time64("us"), [0, 86_399_999_999], ["00:00:00", "23:59:59.999999"]),
    "timestamp": (US, [-1, 946684800000000], ["1969-12-31 23:59:59.999999", "2000-01-01 00:00:00"]),
    "timestamptz": (pa.timestamp("us", "UTC"), [-62135596800000000], ["0001-01-01 00:00:00+00"]),
    "json": (pa.string(), ['{"a": 1,  "a": 2}', "1"], ['{"a": 1,  "a": 2}', "1"]),
    "jsonb": (pa.string(), ['{"a": "é"}', "[]"], ['{"a": "é"}', "[]"]),
    "mood": (pa.string(), ["it's", "Ok"], ["it's", "Ok"]),
}  # fmt: skip
LABELS = ("it's", "Ok", "bad")


@pytest.fixture(scope="module")
def connection(cluster: Cluster) -> Any:
    with cluster.database() as database, psycopg.connect(database.conninfo, autocommit=True) as opened:
        opened.execute("CREATE TYPE mood AS ENUM ('it''s', 'Ok', 'bad')")
        opened.execute("SET timezone = 'UTC'")
        yield opened


def columns_of(connection: Any, types: list[str]) -> tuple[ColumnPlan, ...]:
    connection.execute("DROP TABLE IF EXISTS t")
    connection.execute(f"CREATE TABLE t ({', '.join(f'c{n} {kind}' for n, kind in enumerate(types))})")
    planned = []
    for column in snapshot(connection).columns_of("t"):
        conversion = conversion_for(column, "", LABELS if column.type_name == "mood" else None)
        assert conversion is not None
        planned.append(ColumnPlan(column.name, column, conversion))
    return tuple(planned)


def sent(connection: Any, form: BinaryForm | TextForm, *batches: list[pa.Array]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor, cursor.copy(f"COPY t FROM STDIN {form.options}") as copy:
        for content in (form.head, *map(form.encode, batches), form.tail):
            copy.write(content)
    names = ", ".join(f"{column.target.name}::text" for column in form.columns)
    return list(connection.execute(f"SELECT {names} FROM t").fetchall())


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("nulls", ["none", "between", "only"])
def test_each_type_arrives(connection: Any, kind: str, nulls: str) -> None:
    arrow_type, values, printed = VALUES[kind]
    columns = columns_of(connection, [kind])
    given: list[Any] = {"none": values, "between": [None, *values, None], "only": [None, None]}[nulls]
    wanted: list[Any] = {"none": printed, "between": [None, *printed, None], "only": [None, None]}[nulls]
    array = pa.array(given, arrow_type)
    assert BinaryForm.takes(columns)
    assert sent(connection, BinaryForm(columns), [array]) == [(each,) for each in wanted]
    # A slice, as batches are cut from larger ones, and text beside it.
    connection.execute("TRUNCATE t")
    assert sent(connection, BinaryForm(columns), [pa.concat_arrays([array, array]).slice(1, len(array))])[0] == (
        wanted[1 % len(wanted)],
    )
    connection.execute("TRUNCATE t")
    assert sent(connection, TextForm(columns), [array]) == [(each,) for each in wanted]


def test_columns_of_all_types_beside_one_another(connection: Any) -> None:
    columns = columns_of(connection, list(VALUES))
    shuffled = random.Random(5)
    for batch in range(3):
        given, wanted = [], []
        for arrow_type, values, printed in VALUES.values():
            chosen = [shuffled.randrange(-2 * (batch > 0), len(values)) for _ in range(50)]
            given.append(pa.array([values[n] if n >= 0 else None for n in chosen], arrow_type))
            wanted.append([printed[n] if n >= 0 else None for n in chosen])
        connection.execute("TRUNCATE t")
        assert sent(connection, BinaryForm(columns), given) == list(zip(*wanted, strict=True))


def test_no_rows_and_no_batches(connection: Any) -> None:
    columns = columns_of(connection, ["integer", "text"])
    empty = [pa.array([], pa.int32()), pa.array([], pa.string())]
    for form in (BinaryForm(columns), TextForm(columns)):
        assert sent(connection, form) == []
        assert sent(connection, form, empty) == []


def numbers() -> list[str]:
    """Decimal numbers of all lengths, around each border of four digits."""
    shuffled = random.Random(7)
    made = ["0", "0.0000", "-0.0001", "10000", "9999.9999", "100000000", "0.00001", "1" * 15, "-" + "9" * 16]
    for _ in range(2000):
        before, after = shuffled.randrange(1, 20), shuffled.randrange(0, 20)
        text = str(shuffled.randrange(10**before))
        if after:
            text += "." + "".join(shuffled.choice("0009") for _ in range(after - 1)) + shuffled.choice("0123")
        made.append(("-" if shuffled.random() < 0.5 and Decimal(text) else "") + text)
    return made


@pytest.mark.parametrize("longest", [16, 17, 1000])
def test_numbers_of_any_length(connection: Any, longest: int) -> None:
    columns = columns_of(connection, ["numeric"])
    texts = [text for text in numbers() if len(text) <= longest] + ["7" * 300 + "." + "1" * 300] * (longest > 16)
    assert sent(connection, BinaryForm(columns), [pa.array(texts, pa.string())]) == [(text,) for text in texts]


def test_lists_go_as_text(connection: Any) -> None:
    columns = columns_of(connection, ["integer", "text[]"])
    lists = [["a,b", None, "", '"\\'], [], None]
    rows = [pa.array([1, 2, 3], pa.int32()), pa.array(lists, pa.list_(pa.string()))]
    form = form_for(columns)
    assert isinstance(form, TextForm)
    sent(connection, form, rows)
    assert connection.execute("SELECT c1 FROM t ORDER BY c0").fetchall() == [(each,) for each in lists]


def test_what_has_no_binary_form_goes_as_text(connection: Any) -> None:
    columns = columns_of(connection, ["integer", "text"])
    assert isinstance(form_for(columns), BinaryForm)
    unknown = replace(columns[1], target=replace(columns[1].target, type_name="interval"))
    assert isinstance(form_for((columns[0], unknown)), TextForm)
