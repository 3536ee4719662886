"""What can go wrong with a value on its way, as SQL on the target; it shares no code with the comparison that finds it.

Each type has a table of its own: ``id`` is its key, ``v`` holds the values, ``beside`` is never touched. A kind of
corruption says for each type how the value is spoiled, and which values it can spoil at all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

ROWS = 400
PLANTED = 50
MOODS = ("calm", "Calm", "stormy", "élan", "élan ")
WORDS = ("Zoë", "naïve", "façade", "plain", "1.0", "tab\there", "emoji 🦊", "back\\slash", "MiXeD")


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


def _double(chance: random.Random) -> float:
    return chance.uniform(1, 2) * 10.0 ** chance.randrange(-30, 30)


#: Name of the table to the type of its ``v``.
TYPES: Mapping[str, Type] = {
    "t_smallint": Type("smallint", "SMALLINT", lambda chance: chance.randrange(-30000, 30000)),
    "t_integer": Type("integer", "INTEGER", lambda chance: chance.randrange(-(2**30), 2**30)),
    "t_bigint": Type("bigint", "BIGINT", lambda chance: chance.randrange(2**53, 2**62)),
    "t_numeric": Type("numeric(14,2)", "DECIMAL(14,2)", lambda chance: chance.randrange(10**9) / 100),
    "t_real": Type("real", "FLOAT", lambda chance: float(chance.randrange(1, 2**22)) / 4),
    "t_double": Type("double precision", "DOUBLE PRECISION", _double),
    "t_boolean": Type("boolean", "TINYINT(1)", lambda chance: chance.randrange(2)),
    "t_text": Type("text", "TEXT", _text),
    "t_varchar": Type("varchar(40)", "VARCHAR(40)", _text),
    "t_char": Type("char(12)", "CHAR(12)", lambda chance: _text(chance, 12)),
    "t_uuid": Type("uuid", "UUID", lambda chance: str(UUID(int=chance.getrandbits(128), version=4))),
    "t_date": Type("date", "DATE", lambda chance: _time(chance, 0).strftime("%Y-%m-%d")),
    "t_time": Type("time(6)", "TIME", lambda chance: _time(chance, 6).strftime("%H:%M:%S.%f")),
    "t_timestamp": Type("timestamp(3)", "DATETIME", _zoned(3)),
    "t_timestamptz": Type("timestamptz(3)", "DATETIME", _zoned(3)),
    "t_timestamptz6": Type("timestamptz(6)", "DATETIME", _zoned(6)),
    "t_json": Type("json", "JSON", _document),
    "t_jsonb": Type("jsonb", "JSON", _document),
    "t_bytea": Type("bytea", "BLOB", lambda chance: chance.randbytes(chance.randrange(1, 40))),
    "t_enum": Type("mood", "TEXT", lambda chance: chance.choice(MOODS)),
    "t_integers": Type("integer[]", "JSON", lambda chance: json.dumps([chance.randrange(99) for _ in range(3)])),
    "t_texts": Type("text[]", "JSON", lambda chance: json.dumps([_text(chance), "1.0"], ensure_ascii=False)),
}

_TEXTS = ("t_text", "t_varchar")
_WHOLE = ("t_smallint", "t_integer", "t_bigint")
_INSTANTS = ("t_timestamp", "t_timestamptz", "t_timestamptz6")
_NEXT_MOOD = f"(enum_range(NULL::mood))[array_position(enum_range(NULL::mood), v) % {len(MOODS)} + 1]"
_ANOTHER_UUID = "md5(v::text)::uuid"


@dataclass(frozen=True)
class Corruption:
    """Tables to the SQL expression that spoils ``v``; ``where`` chooses the values that it can spoil."""

    spoiled: Mapping[str, str]
    where: str = "v IS NOT NULL"


#: Kind to what it does. Rows that are missing, doubled or swapped are no expressions: see the test.
CORRUPTIONS: Mapping[str, Corruption] = {
    "cell changed": Corruption(
        {
            **dict.fromkeys(_WHOLE, "v + 1"),
            **dict.fromkeys(_TEXTS, "'x' || left(v, 38)"),
            **dict.fromkeys(_INSTANTS, "v + interval '1 day'"),
            "t_numeric": "v + 0.01",
            "t_real": "v * 2",
            "t_double": "v * 2",
            "t_boolean": "NOT v",
            "t_char": "overlay(v placing '#' from 1)",
            "t_uuid": _ANOTHER_UUID,
            "t_date": "v + 1",
            "t_time": "v + interval '1 minute'",
            "t_json": "'{\"planted\": 1}'",
            "t_jsonb": "'{\"planted\": 1}'",
            "t_bytea": r"v || '\x00'",
            "t_enum": _NEXT_MOOD,
            "t_integers": "v || 7",
            "t_texts": "v[2:2] || v[1:1]",
        }
    ),
    "NULL for a value": Corruption(dict.fromkeys(TYPES, "NULL")),
    "'' for NULL": Corruption(dict.fromkeys((*_TEXTS, "t_char"), "''") | {"t_bytea": r"'\x'"}, where="v IS NULL"),
    "an hour": Corruption(dict.fromkeys((*_INSTANTS, "t_time"), "v + interval '1 hour'")),
    "a millisecond": Corruption(dict.fromkeys((*_INSTANTS, "t_time"), "v + interval '1 millisecond'")),
    "a microsecond": Corruption(dict.fromkeys(("t_timestamptz6", "t_time"), "v - interval '1 microsecond'")),
    "the last bit": Corruption({"t_double": "v * (1 + 2.220446049250313e-16::float8)", "t_real": "v + 0.25"}),
    "NFD for NFC": Corruption(
        {
            **dict.fromkeys(_TEXTS, "normalize(v, NFD)"),
            "t_json": "normalize(v::text, NFD)::json",
            "t_jsonb": "normalize(v::text, NFD)::jsonb",
            "t_texts": "ARRAY[normalize(v[1], NFD), v[2]]",
        },
        where="v::text ~ '[ëïç]'",
    ),
    "one digit": Corruption(
        {
            "t_bigint": "CASE WHEN v / 1000 % 10 = 9 THEN v - 1000 ELSE v + 1000 END",
            "t_numeric": "CASE WHEN mod(trunc(v), 10) = 9 THEN v - 1 ELSE v + 1 END",
            "t_text": "translate(v, '0123456789', '1234567890')",
        },
        where="v::text ~ '[0-9]'",
    ),
    "deep inside": Corruption(
        {
            "t_jsonb": "jsonb_set(v, '{b,c,0,0}', to_jsonb((v #>> '{b,c,0,0}')::int + 1))",
            "t_json": "jsonb_set(v::jsonb, '{a,0,t}', '\"other\"')::json",
        }
    ),
    "another dimension": Corruption({"t_integers": "ARRAY[v]", "t_texts": "ARRAY[v[1:1], v[2:2]]"}),
    "another lower bound": Corruption(
        {"t_integers": "('[0:2]=' || v::text)::integer[]", "t_texts": "('[5:6]=' || v::text)::text[]"}
    ),
    "a neighbour": Corruption({"t_enum": _NEXT_MOOD}),
    "a trailing blank": Corruption(dict.fromkeys(_TEXTS, "v || ' '") | {"t_texts": "ARRAY[v[1] || ' ', v[2]]"}),
    "case only": Corruption(
        dict.fromkeys(_TEXTS, "upper(v)")
        | {"t_texts": "ARRAY[upper(v[1]), v[2]]", "t_json": """replace(v::text, '"n"', '"N"')::json"""},
        where="upper(v::text) <> v::text",
    ),
    "1 for 1.0": Corruption(
        {
            "t_text": "regexp_replace(v, '.*', '1')",
            "t_json": "replace(v::text, '1.0}', '1}')::json",
            "t_texts": "ARRAY[v[1], '1']",
        }
    ),
}
