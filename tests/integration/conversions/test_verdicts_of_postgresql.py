"""Random values: PostgreSQL's own verdict and print, against the conversions'."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

import psycopg
import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils import jsonb_columns
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells, Value
from ansible_collections.contralock.database.plugins.module_utils.conversion_base import Conversion
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for

from tests.throwaway_cluster import Cluster
from tests.unit.conversions.type_table import column

Connection = psycopg.Connection[tuple[object, ...]]

#: Runs a cast for every text of an array; what the type refuses becomes NULL.
FUNCTION = """
CREATE FUNCTION pg_temp.printed(given text[], wanted text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    each text;
    answer text;
BEGIN
    FOREACH each IN ARRAY given LOOP
        BEGIN
            EXECUTE format('SELECT $1::%s::text', wanted) INTO answer USING each;
        EXCEPTION WHEN OTHERS THEN
            answer := NULL;
        END;
        RETURN NEXT answer;
    END LOOP;
END $$
"""


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Connection]:
    with cluster.database() as database, psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute(FUNCTION)
        yield connection


def printed(server: Connection, texts: Sequence[str], sql_type: str) -> list[str | None]:
    """Return each text as PostgreSQL prints it after a cast; None where it refuses."""
    query = "SELECT * FROM pg_temp.printed(%s, %s)"
    return [row[0] for row in server.execute(query, [list(texts), sql_type]).fetchall()]  # type: ignore[misc] (text or null)


def converted(sql_type: str, declared_type: str, stored: Sequence[Value]) -> list[str | None]:
    """Return each value in the target's own print; None where it does not fit."""
    conversion: Conversion | None = conversion_for(column(sql_type), declared_type)
    assert conversion is not None
    values: list[str | None] = conversion.render(conversion.convert(Cells.of(stored)).values).to_pylist()
    return values


def assert_equal(texts: Sequence[object], ours: Sequence[object], theirs: Sequence[object]) -> None:
    for text, one, other in zip(texts, ours, theirs, strict=True):
        assert one == other, text


# --- JSON ---

SCALARS = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "0.00",
    "5",
    "-5",
    "1.5",
    "1.50",
    "1e2",
    "1E+2",
    "1e-2",
    "1.5e1",
    "1.25e1",
    "1.50e2",
    "0e5",
    "0e-5",
    "-0e-3",
    "1e-7",
    "0.0001",
    "1234567890123456789012345678901234567890",
    "0.30000000000000004",
    "1e21",
    "123456789.1234567890",
    "1e400",
    "1e-99999999999999999999",
    "9007199254740993",
    '""',
    '"a"',
    '"é"',
    '"😀"',
    '"\\u00e9"',
    '"\\ud83d\\ude00"',
    '"\\u0001"',
    '"\x7f"',
    '"\\/"',
    '"\\\\"',
    '"\\""',
    '"\\n\\t\\b\\f\\r"',
    '"\\u2028"',
    '"\u2028"',
    '"\\u0041"',
    '"<&>"',
    '"\\\\u0000"',
    '"1e5"',
    '"é"',
]
REFUSED = ('"\\u0000"', '"\\ud83d"', '"\\ude00"', '"\\ud83dx"', "1e131072", "1e-16384", "0e-16384")
KEYS = ("", "a", "b", "aa", "ab", "ba", "B", "\u00e9", "\U0001f600", "zzz", "\u20ac", "\\u00e8", "\\n", "10", "9", "id")
SPACES = ("", "", "", " ", "\n", "\t", "\r", "  ")


def random_json(source: random.Random, depth: int) -> str:
    """Write a JSON text with odd numbers, escapes and spaces; keys are unique as long as they are spelled alike."""
    kind = source.random()
    space = source.choice(SPACES)
    if depth == 0 or kind < 0.35:
        return space + source.choice(SCALARS) + source.choice(SPACES)
    count = source.randrange(5)
    if kind < 0.6:
        return f"{space}[{','.join(random_json(source, depth - 1) for _ in range(count)) or space}]{space}"
    pairs = [f'{space}"{key}"{space}:{random_json(source, depth - 1)}' for key in source.sample(KEYS, count)]
    return f"{space}{{{','.join(pairs) or space}}}"


def random_texts() -> list[str]:
    source = random.Random(20240103)
    sound = [random_json(source, 4) for _ in range(3000)]
    damaged = []
    for text in sound:
        place = source.randrange(len(text) + 1)
        cut = source.choice((0, 0, 1, 2))
        damaged.append(text[:place] + source.choice('{}[],:"\\0e.-+ tn\n\x01') + text[place + cut :])
    wrapped = [form.format(each) for each in REFUSED for form in ("{}", "[1, {}]", '{{"a": {}}}')]
    return [*SCALARS, *REFUSED, *wrapped, *sound, *damaged]


def random_documents() -> list[str]:
    """Write documents of few shapes, as an application does: other values in the same places; some are damaged."""
    source = random.Random(20240104)
    texts = []
    for _ in range(30):
        keys, separators = source.sample(KEYS[:9], source.randrange(1, 6)), source.choice(((",", ":"), (", ", ": ")))
        for _ in range(60):
            values = [source.choice((*SCALARS[:28], *SCALARS[28:33], '["a","b"]', '{"bb":1,"a":[]}')) for _ in keys]
            pairs = [f'"{key}"{separators[1]}{value}' for key, value in zip(keys, values, strict=True)]
            text = f"{{{separators[0].join(pairs)}}}"
            place = source.randrange(len(text))
            texts.append(text if source.random() < 0.9 else text[:place] + source.choice('{}[],:"0 ') + text[place:])
    return texts


def has_duplicate_key(text: str) -> bool:
    found = False

    def look(pairs: list[tuple[str, object]]) -> None:
        nonlocal found
        found = found or len({key for key, _ in pairs}) != len(pairs)

    json.loads(text, object_pairs_hook=look, parse_int=str)
    return found


def test_jsonb_is_printed_as_postgresql_prints_it(server: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonb_columns, "FEWEST_ROWS", 8)
    texts = [*random_texts(), *random_documents()]
    theirs = printed(server, texts, "jsonb")
    ours = converted("jsonb", "TEXT", texts)
    assert sum(text is not None for text in theirs) > 4500
    assert sum(text is None for text in theirs) > 1000
    # The one difference: PostgreSQL drops all but the last of equal keys, which loses what the others said.
    expected = [
        None if text is not None and has_duplicate_key(given) else text
        for given, text in zip(texts, theirs, strict=True)
    ]
    assert_equal(texts, ours, expected)


def test_json_is_taken_where_postgresql_takes_it(server: Connection) -> None:
    texts = random_texts()
    assert_equal(texts, converted("json", "TEXT", texts), printed(server, texts, "json"))


def test_the_limits_of_json_lie_within_postgresqls(server: Connection) -> None:
    deep = ["[" * 4000 + "]" * 4000, '{"a":' * 4000 + "1" + "}" * 4000]
    large = ["1e131071", "-1e131071", "1e-16383", "9" * 131072, "0." + "1" * 16383, "0e-16383", "0e99999999"]
    for sql_type in ("json", "jsonb"):
        assert None not in printed(server, deep, sql_type)
        assert_equal(large, converted(sql_type, "TEXT", large), printed(server, large, sql_type))
    beyond = ["9" * 131073, "0." + "1" * 16384, "1.0e131072"]
    assert converted("jsonb", "TEXT", beyond) == printed(server, beyond, "jsonb") == [None] * 3


# --- numbers ---


@pytest.mark.parametrize(
    ("precision", "scale"), [(5, 2), (12, 4), (18, 8), (3, 0), (30, 10), (38, 20), (2, 4), (4, -2)]
)
def test_a_decimal_fits_where_postgresql_keeps_it_exactly(server: Connection, precision: int, scale: int) -> None:
    source = random.Random(precision * 100 + scale)
    numbers: list[Value] = []
    for _ in range(1500):
        whole = source.randrange(-(10 ** source.randrange(1, 19)), 10 ** source.randrange(1, 19))
        numbers += [whole, whole / 10 ** source.randrange(1, 12), float(whole)]
    numbers += [source.uniform(-2, 2) * 10.0 ** source.randrange(-30, 30) for _ in range(1500)]
    sql_type = f"numeric({precision},{scale})"
    texts = [repr(number) for number in numbers]
    rounded, exact = printed(server, texts, sql_type), printed(server, texts, "numeric")
    query = "SELECT given::numeric = wanted::numeric FROM unnest(%s::text[], %s::text[]) AS pair (given, wanted)"
    kept = [row[0] for row in server.execute(query, [rounded, exact]).fetchall()]
    expected = [text if same else None for text, same in zip(rounded, kept, strict=True)]
    assert expected.count(None) < len(expected)
    assert_equal(texts, converted(sql_type, "DECIMAL", numbers), expected)


def test_floating_point_numbers_keep_their_bits(server: Connection) -> None:
    source = random.Random(7)
    numbers = [source.uniform(-1, 1) * 10.0 ** source.randrange(-320, 308) for _ in range(3000)]
    assert [float(text) for text in printed(server, [repr(each) for each in numbers], "float8") if text] == numbers
    rendered = [text or "" for text in converted("double precision", "DOUBLE", numbers)]
    assert [float(text or "nan") for text in printed(server, rendered, "float8")] == numbers


def test_real_keeps_what_postgresql_prints_again(server: Connection) -> None:
    source = random.Random(8)
    numbers: list[Value] = [round(source.uniform(-1000, 1000), source.randrange(9)) for _ in range(3000)]
    theirs = printed(server, [repr(each) for each in numbers], "float4")
    expected = [float(str(text)) == number for text, number in zip(theirs, numbers, strict=True)]
    ours = [text is not None for text in converted("real", "REAL", numbers)]
    assert 0 < sum(expected) < len(expected)
    assert_equal(numbers, ours, expected)


# --- times ---


def random_time(source: random.Random) -> str:
    """Write a time in one of the forms that name an offset; one in five does not exist."""
    date = f"{source.choice((1, 99, 1600, 1900, 1969, 1970, 2000, 2023, 2024, 9999)):04}"
    date += f"-{source.choice((1, 2, 2, 2, 4, 12)):02}-{source.choice((1, 15, 28, 29, 30, 31)):02}"
    time = f"{source.randrange(24):02}:{source.randrange(60):02}:{source.randrange(60):02}"
    fraction = source.choice(("", ".5", ".79", ".791", ".7910", ".791000", ".7911", ".000"))
    zone = source.choice(("Z", " +00:00", "+05:30", " -10:00", "+15:59", "-0330"))
    return f"{date}{source.choice(' T')}{time}{fraction}{zone}"


def test_times_mean_what_postgresql_understands(server: Connection) -> None:
    source = random.Random(9)
    texts = [random_time(source) for _ in range(5000)]
    theirs = printed(server, texts, "timestamptz")
    ours = converted("timestamptz(3)", "DATETIME", texts)
    read = printed(server, [text or "" for text in ours], "timestamptz")
    for text, mine, one, other in zip(texts, ours, read, theirs, strict=True):
        if mine is None:
            # Refused: it does not exist, has too many digits, or lies outside the years that the application writes.
            assert other is None or ".7911" in text or "BC" in other or other.startswith("10000"), text
        else:
            assert one == other, text
    assert sum(text is not None for text in ours) > 2500


def test_all_days_around_the_centuries(server: Connection) -> None:
    """2000 and 2400 have a 29 February, 1900 and 2100 have none."""
    query = """SELECT d::date::text, extract(epoch FROM d)::bigint * 1000000 + 86399999000
                 FROM unnest('{1896, 1996, 2096, 2396}'::int[]) AS y (year),
                      generate_series(make_date(year, 1, 1), make_date(year + 8, 12, 31), '1 day') AS d"""
    days = server.execute(query).fetchall()
    dates = [str(day) for day, _ in days]
    assert converted("date", "DATE", dates) == dates
    conversion = conversion_for(column("timestamptz(3)"), "DATETIME")
    assert conversion is not None
    times = conversion.forward(Cells.of([f"{day} 23:59:59.999 +00:00" for day in dates]))
    assert times.view(pa.int64()).to_pylist() == [microseconds for _, microseconds in days]
