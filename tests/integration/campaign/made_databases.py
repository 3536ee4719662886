"""Databases that hypothesis makes: tables of any shape, with values of every type as each maker stores them.

A strategy gives what the maker would have written, so that nothing is refused, and the way back has to give it again.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st

LABELS = ("new", "New", "paid", "payé")
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_DAYS = st.dates(date(1, 1, 1), date(9999, 12, 30))
_INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3))


def _stringified(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _zoned(value: datetime) -> str:
    return f"{value.isoformat(' ', 'milliseconds')} +00:00"


def _django(value: datetime) -> str:
    return value.isoformat(" ")


def _six_digits(value: datetime) -> str:
    return value.isoformat(" ", "microseconds")


def _cents(count: int) -> int | float:
    return count // 100 if count % 100 == 0 else count / 100


def _in_four_bytes(value: float) -> float:
    return float(str(np.float32(value)))


@dataclass(frozen=True)
class Kind:
    """A column: its types, its maker, its values, and whether the way back gives the very cell again."""

    target: str
    declared: str
    values: st.SearchStrategy[Any]
    maker: str = "sequelize"
    is_document: bool = False


KINDS: Mapping[str, Kind] = {
    "smallint": Kind("smallint", "SMALLINT", st.integers(-(2**15), 2**15 - 1)),
    "integer": Kind("integer", "INTEGER", st.integers(-(2**31), 2**31 - 1)),
    "bigint": Kind("bigint", "BIGINT", st.integers(-(2**63), 2**63 - 1)),
    "numeric": Kind("numeric(12,2)", "DECIMAL(12,2)", st.integers(-(10**12) + 1, 10**12 - 1).map(_cents)),
    # As many decimal digits as four bytes keep: what a client of either database reads.
    "real": Kind("real", "REAL", st.floats(width=32, allow_nan=False, allow_infinity=False).map(_in_four_bytes)),
    "double": Kind("double precision", "DOUBLE PRECISION", _FINITE),
    "boolean": Kind("boolean", "TINYINT(1)", st.integers(0, 1)),
    "letters": Kind("boolean", "boolean", st.sampled_from("tf"), "rails_5_1"),
    "text": Kind("text", "TEXT", _TEXT),
    "varchar": Kind("varchar(20)", "VARCHAR(20)", _TEXT),
    "char": Kind("char(8)", "CHAR(8)", st.text(string.ascii_letters, min_size=1, max_size=8)),
    "uuid": Kind("uuid", "UUID", st.uuids().map(str)),
    "hex": Kind("uuid", "char(32)", st.uuids().map(lambda value: value.hex), "django"),
    "date": Kind("date", "DATE", _DAYS.map(str)),
    "timestamptz": Kind("timestamptz(3)", "DATETIME", _INSTANTS.map(_zoned)),
    "django_time": Kind("timestamptz(6)", "datetime", _INSTANTS.map(_django), "django"),
    "prisma_time": Kind(
        "timestamptz(3)",
        "DATETIME",
        _INSTANTS.map(lambda value: int(value.replace(tzinfo=UTC, microsecond=0).timestamp()) * 1000),
        "prisma",
    ),
    "rails_time": Kind("timestamptz(6)", "datetime(6)", _INSTANTS.map(_django), "rails"),
    "alchemy_time": Kind("timestamp(6)", "DATETIME", _INSTANTS.map(_six_digits), "sqlalchemy"),
    "time": Kind("time(6)", "time", st.times().map(str), "django"),
    "rails_clock": Kind("time(6)", "time", st.times().map("2000-01-01 {}".format), "rails"),
    "alchemy_clock": Kind(
        "time(6)", "TIME", st.times().map(lambda value: value.isoformat("microseconds")), "sqlalchemy"
    ),
    # Declared so, SQLite makes numbers of texts that look like some.
    "json": Kind("json", "JSON", _JSON.map(_stringified)),
    "jsonb": Kind("jsonb", "JSON", _JSON.map(_stringified), is_document=True),
    "bytea": Kind("bytea", "BLOB", st.binary(max_size=40)),
    "enum": Kind("state", "TEXT", st.sampled_from(LABELS)),
    "texts": Kind("text[]", "TEXT", st.lists(st.none() | _TEXT, max_size=3).map(_stringified)),
    "integers": Kind("integer[]", "TEXT", st.lists(st.integers(-9, 99), max_size=3).map(_stringified)),
}

#: Kinds of which a key may be.
_KEYS = ("bigint", "uuid", "text", "varchar", "hex", "date")


#: Names of columns: of PostgreSQL's own words, with capitals, with what has to be quoted.
NAMES = ("userId", "order", "Name", "two words", "größe", "c5", "c6", "c7")


@dataclass(frozen=True)
class MadeTable:
    """A table: the kinds of its columns, how many of the first are its key, which are NOT NULL, and its rows."""

    kinds: tuple[str, ...]
    key: int
    needed: frozenset[int]
    rows: tuple[tuple[Any, ...], ...]

    def created(self, name: str, target: bool) -> str:
        """Return the table's DDL for one of the sides."""
        columns = [
            f'"{NAMES[at]}" {KINDS[kind].target if target else KINDS[kind].declared}'
            + (" NOT NULL" if at in self.needed else "")
            for at, kind in enumerate(self.kinds)
        ]
        key = ", ".join(f'"{each}"' for each in NAMES[: self.key])
        return f"CREATE TABLE {name} ({', '.join([*columns, *([f'PRIMARY KEY ({key})'] if key else [])])})"


@st.composite
def made_tables(draw: st.DrawFn) -> MadeTable:
    """A table without a key, with a key of one column, or of two; some rows or many, many NULLs."""
    key = draw(st.integers(0, 2))
    kinds = [draw(st.sampled_from(_KEYS)) for _ in range(key)]
    kinds += draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    needed = frozenset(range(key)) | draw(st.frozensets(st.integers(key, len(kinds) - 1)))
    cells = [KINDS[kind].values if at in needed else st.none() | KINDS[kind].values for at, kind in enumerate(kinds)]
    unique = {"unique_by": lambda row: row[:key]} if key else {}
    rows = draw(st.lists(st.tuples(*cells), max_size=12, **unique))
    # Many rows, which are the same in part: no key tells them apart.
    times = 1 if key else draw(st.sampled_from((1, 1, 40)))
    return MadeTable(tuple(kinds), key, needed, tuple(rows) * times)
