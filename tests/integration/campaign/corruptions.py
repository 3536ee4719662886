"""What can go wrong with a value on its way, as SQL on the target; it shares no code with the comparison that finds it.

Each type has a table of its own: ``id`` is its key, ``v`` holds the values, ``beside`` is never touched. A kind of
corruption says for each type how the value is spoiled, and which values it can spoil at all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

ROWS = 400
PLANTED = 50
#: Labels with their neighbours: another case, a trailing blank, and the same letters taken apart (NFD).
MOODS = ("calm", "Calm", "stormy", "élan", "élan ", "e\u0301lan", "e\u0301lan ")
WORDS = ("Zoë", "naïve", "façade", "plain", "1.0", "1.0", "tab\there", "emoji 🦊", "back\\slash", "MiXeD")


@dataclass(frozen=True)
class Type:
    """A type: its name in PostgreSQL and in SQLite, and what makes a stored value of a random source."""

    target: str
    declared: str
    make: Callable[[random.Random], object]


def _text(chance: random.Random, length: int = 30) -> str:
    return f"{chance.choice(WORDS)} {chance.randrange(10**6)}"[:length].rstrip()


def _time(chance: random.Random, digits: int) -> datetime:
    fraction = chance.randrange(10**digits) * 10 ** (6 - digits)
    return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10**9), microseconds=fraction)


def _zoned(digits: int) -> Callable[[random.Random], str]:
    return lambda chance: f"{_time(chance, digits).strftime('%Y-%m-%d %H:%M:%S.%f')[: 20 + digits]} +00:00"


def _document(chance: random.Random) -> str:
    leaf = {"n": chance.randrange(10**6), "t": _text(chance), "one": 1.0}
    return json.dumps({"a": [leaf, chance.random()], "b": {"c": [[chance.randrange(9)]]}}, ensure_ascii=False)


def _uuid(chance: random.Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))


def _moods(chance: random.Random) -> str:
    return json.dumps(["calm", chance.choice(MOODS)], ensure_ascii=False)


def _double(chance: random.Random) -> float:
    return chance.uniform(1, 2) * 10.0 ** chance.randrange(-30, 30)


#: Name of the table to the type of its ``v``.
TYPES: Mapping[str, Type] = {
    "t_smallint": Type("smallint", "SMALLINT", lambda chance: chance.randrange(-30000, 30000)),
    "t_integer": Type("integer", "INTEGER", lambda chance: chance.randrange(-(2**30), 2**30)),
    "t_bigint": Type("bigint", "BIGINT", lambda chance: chance.randrange(2**53, 2**62)),
    "t_numeric": Type("numeric(14,2)", "DECIMAL(14,2)", lambda chance: chance.randrange(10**9) / 100),
    "t_number": Type("numeric", "DECIMAL", lambda chance: chance.randrange(10**9) / 1000),
    "t_real": Type("real", "FLOAT", lambda chance: float(chance.randrange(1, 2**22)) / 4),
    "t_double": Type("double precision", "DOUBLE PRECISION", _double),
    "t_boolean": Type("boolean", "TINYINT(1)", lambda chance: chance.randrange(2)),
    "t_text": Type("text", "TEXT", _text),
    "t_varchar": Type("varchar(40)", "VARCHAR(40)", _text),
    # Two more than are written: letters that are taken apart need room.
    "t_char": Type("char(14)", "CHAR(14)", lambda chance: _text(chance, 12)),
    "t_uuid": Type("uuid", "UUID", _uuid),
    "t_date": Type("date", "DATE", lambda chance: _time(chance, 0).strftime("%Y-%m-%d")),
    "t_time": Type("time(6)", "TIME", lambda chance: _time(chance, 6).strftime("%H:%M:%S.%f")),
    "t_time3": Type("time(3)", "TIME", lambda chance: _time(chance, 3).strftime("%H:%M:%S.%f")[:12]),
    "t_timestamp": Type("timestamp(3)", "DATETIME", _zoned(3)),
    "t_timestamp6": Type("timestamp(6)", "DATETIME", _zoned(6)),
    "t_timestamptz": Type("timestamptz(3)", "DATETIME", _zoned(3)),
    "t_timestamptz6": Type("timestamptz(6)", "DATETIME", _zoned(6)),
    "t_json": Type("json", "JSON", _document),
    "t_jsonb": Type("jsonb", "JSON", _document),
    "t_bytea": Type("bytea", "BLOB", lambda chance: chance.randbytes(chance.randrange(1, 40))),
    "t_enum": Type("mood", "TEXT", lambda chance: chance.choice(MOODS)),
    "t_integers": Type("integer[]", "JSON", lambda chance: json.dumps([chance.randrange(99) for _ in range(3)])),
    "t_texts": Type("text[]", "JSON", lambda chance: json.dumps([_text(chance), "1.0"], ensure_ascii=False)),
    "t_uuids": Type("uuid[]", "JSON", lambda chance: json.dumps([_uuid(chance), _uuid(chance)])),
    "t_moods": Type("mood[]", "JSON", _moods),
}

_TEXTS = ("t_text", "t_varchar")
_CHARS = (*_TEXTS, "t_char")
_JSONS = ("t_json", "t_jsonb")
_ARRAYS = {"t_integers": "integer[]", "t_texts": "text[]", "t_uuids": "uuid[]", "t_moods": "mood[]"}
_TEXTS_WITHIN = {"t_char": "char(14)", "t_json": "json", "t_jsonb": "jsonb", "t_enum": "mood", "t_moods": "mood[]"}
_NUMBERS = ("t_numeric", "t_number")
_FLOATS = ("t_real", "t_double")
_TIMES = ("t_time", "t_time3")
_WHOLE = ("t_smallint", "t_integer", "t_bigint")
_INSTANTS = ("t_timestamp", "t_timestamp6", "t_timestamptz", "t_timestamptz6")
_NEXT_MOOD = f"(enum_range(NULL::mood))[array_position(enum_range(NULL::mood), v) % {len(MOODS)} + 1]"
_ANOTHER_UUID = "md5(v::text)::uuid"


def _next_float(size: int, integer: str, fraction: int) -> str:
    """SQL for the next larger number: one in the last place of the fraction, for the exponent that the bits tell."""
    bits = f"('x' || encode(float{size}send(v), 'hex'))::bit({size * 8})::{integer}"
    exponent = f"(({bits} >> {fraction}) & {'2047' if size == 8 else '255'}) - {'1023' if size == 8 else '127'}"
    return f"v + power(2::float8, {exponent} - {fraction})::float{size}"


@dataclass(frozen=True)
class Corruption:
    """Tables to the SQL expression that spoils ``v``.

    ``where`` chooses the values that it can spoil, ``wheres`` those of some of the tables.
    """

    spoiled: Mapping[str, str]
    where: str = "v IS NOT NULL"
    wheres: Mapping[str, str] = field(default_factory=dict)


#: Kind to what it does. Rows that are missing, doubled or swapped are no expressions: see the test.
CORRUPTIONS: Mapping[str, Corruption] = {
    "cell changed": Corruption(
        {
            **dict.fromkeys(_WHOLE, "v + 1"),
            **dict.fromkeys(_TEXTS, "'x' || left(v, 38)"),
            **dict.fromkeys(_INSTANTS, "v + interval '1 day'"),
            **dict.fromkeys(_NUMBERS, "v + 0.01"),
            **dict.fromkeys(_FLOATS, "v * 2"),
            **dict.fromkeys(_TIMES, "v + interval '1 minute'"),
            "t_boolean": "NOT v",
            "t_char": "overlay(v placing '#' from 1)",
            "t_uuid": _ANOTHER_UUID,
            "t_date": "v + 1",
            **dict.fromkeys(_JSONS, "'{\"planted\": 1}'"),
            "t_bytea": r"v || '\x00'",
            "t_enum": _NEXT_MOOD,
            "t_integers": "v || 7",
            **dict.fromkeys(("t_texts", "t_uuids"), "v[2:2] || v[1:1]"),
            "t_moods": "'{stormy,stormy}'",
        }
    ),
    "NULL for a value": Corruption(dict.fromkeys(TYPES, "NULL")),
    "'' for NULL": Corruption(
        {
            **dict.fromkeys(_CHARS, "''"),
            **dict.fromkeys(_JSONS, "'\"\"'"),
            **dict.fromkeys(_ARRAYS, "'{}'"),
            "t_bytea": r"'\x'",
        },
        where="v IS NULL",
    ),
    "JSON's null, and a list of it, for NULL": Corruption(
        dict.fromkeys(_JSONS, "'null'") | dict.fromkeys(_ARRAYS, "'{NULL}'"), where="v IS NULL"
    ),
    "{} for NULL": Corruption(dict.fromkeys(_JSONS, "'{}'"), where="v IS NULL"),
    "an hour": Corruption(dict.fromkeys((*_INSTANTS, *_TIMES), "v + interval '1 hour'")),
    "a millisecond": Corruption(dict.fromkeys((*_INSTANTS, *_TIMES), "v + interval '1 millisecond'")),
    "a microsecond": Corruption(
        dict.fromkeys(("t_timestamp6", "t_timestamptz6", "t_time"), "v - interval '1 microsecond'")
    ),
    "the last bit": Corruption(
        {
            "t_double": _next_float(8, "bigint", 52),
            "t_real": _next_float(4, "integer", 23),
            "t_bytea": "set_bit(v, 8 * (length(v) - 1), 1 - get_bit(v, 8 * (length(v) - 1)))",
        }
    ),
    "what no file holds": Corruption(
        dict.fromkeys((*_INSTANTS, "t_date"), "'-infinity'")
        | dict.fromkeys((*_NUMBERS, *_FLOATS), "'NaN'")
        | dict.fromkeys(_TIMES, "'24:00'")
    ),
    "NFD for NFC": Corruption(
        {
            **dict.fromkeys(_TEXTS, "normalize(v, NFD)"),
            **{name: f"normalize(v::text, NFD)::{kind}" for name, kind in _TEXTS_WITHIN.items()},
            "t_texts": "ARRAY[normalize(v[1], NFD), v[2]]",
        },
        where="v::text ~ '[ëïçé]'",
    ),
    "one digit": Corruption(
        {
            "t_bigint": "CASE WHEN v / 1000 % 10 = 9 THEN v - 1000 ELSE v + 1000 END",
            **dict.fromkeys(_NUMBERS, "CASE WHEN mod(trunc(v), 10) = 9 THEN v - 1 ELSE v + 1 END"),
            **dict.fromkeys(_CHARS, "translate(v, '0123456789', '1234567890')"),
        },
        where="v::text ~ '[0-9]'",
    ),
    "deep inside": Corruption(
        {
            "t_jsonb": "jsonb_set(v, '{b,c,0,0}', to_jsonb((v #>> '{b,c,0,0}')::int + 1))",
            "t_json": "jsonb_set(v::jsonb, '{a,0,t}', '\"other\"')::json",
        }
    ),
    "another dimension": Corruption(dict.fromkeys(_ARRAYS, "ARRAY[v]")),
    "another lower bound": Corruption(
        {name: f"(format('[%s:%s]=', 5, 4 + cardinality(v)) || v::text)::{kind}" for name, kind in _ARRAYS.items()}
        | {"t_integers": "('[0:2]=' || v::text)::integer[]"}
    ),
    "NULL within": Corruption(dict.fromkeys(_ARRAYS, "array_replace(v, v[1], NULL)")),
    "a neighbour": Corruption({"t_enum": _NEXT_MOOD, "t_moods": "ARRAY['Calm'::mood] || v[2:2]"}),
    "a trailing blank": Corruption(
        dict.fromkeys(_TEXTS, "v || ' '")
        | {
            "t_json": "(v::text || ' ')::json",
            "t_jsonb": "jsonb_set(v, '{a,0,t}', to_jsonb((v #>> '{a,0,t}') || ' '))",
            "t_texts": "ARRAY[v[1] || ' ', v[2]]",
            "t_enum": "(v::text || ' ')::mood",
            "t_moods": "ARRAY[v[1], (v[2]::text || ' ')::mood]",
        },
        wheres={"t_enum": "v::text ~ 'lan$'", "t_moods": "v[2]::text ~ 'lan$'"},
    ),
    "case only": Corruption(
        dict.fromkeys(_CHARS, "upper(v)")
        | {name: f"replace(v::text, '\"n\"', '\"N\"')::{name[2:]}" for name in _JSONS}
        | {
            "t_texts": "ARRAY[upper(v[1]), v[2]]",
            "t_enum": "initcap(v::text)::mood",
            "t_moods": "initcap(v::text)::mood[]",
        },
        where="upper(v::text) <> v::text",
        wheres={"t_enum": "v = 'calm'", "t_moods": "lower(v::text) = '{calm,calm}'"},
    ),
    "1 for 1.0": Corruption(
        dict.fromkeys(_CHARS, "replace(v, '1.0 ', '1 ')")
        | {name: f"replace(v::text, '\"one\": 1.0', '\"one\": 1')::{name[2:]}" for name in _JSONS}
        | {"t_texts": "ARRAY[v[1], '1']"},
        wheres=dict.fromkeys(_CHARS, "v LIKE '1.0 %'"),
    ),
}
