"""Databases that hypothesis makes: tables of any shape, with values of every type as each maker stores them.

A strategy gives what the maker would have written, so that nothing is refused, and the way back has to give it again.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
    #: A literal that both databases read; no row is written without the column, so no cell may turn into it.
    default: str | None = None


KINDS: Mapping[str, Kind] = {
    "smallint": Kind("smallint", "SMALLINT", st.integers(-(2**15), 2**15 - 1)),
    "integer": Kind("integer", "INTEGER", st.integers(-(2**31), 2**31 - 1)),
    "bigint": Kind("bigint", "BIGINT", st.integers(-(2**63), 2**63 - 1), default="7"),
    "numeric": Kind(
        "numeric(12,2)", "DECIMAL(12,2)", st.integers(-(10**12) + 1, 10**12 - 1).map(_cents), default="0.5"
    ),
    # As many decimal digits as four bytes keep: what a client of either database reads.
    "real": Kind("real", "REAL", st.floats(width=32, allow_nan=False, allow_infinity=False).map(_in_four_bytes)),
    "double": Kind("double precision", "DOUBLE PRECISION", _FINITE),
    "boolean": Kind("boolean", "TINYINT(1)", st.integers(0, 1)),
    "letters": Kind("boolean", "boolean", st.sampled_from("tf"), "rails_5_1"),
    "text": Kind("text", "TEXT", _TEXT, default="'unset'"),
    "varchar": Kind("varchar(20)", "VARCHAR(20)", _TEXT),
    "char": Kind("char(8)", "CHAR(8)", st.text(string.ascii_letters, min_size=1, max_size=8)),
    "uuid": Kind("uuid", "UUID", st.uuids().map(str)),
    "hex": Kind("uuid", "char(32)", st.uuids().map(lambda value: value.hex), "django"),
    "date": Kind("date", "DATE", _DAYS.map(str), default="'2000-01-01'"),
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
NAMES = ("userId", "order", "Name", "two words", "größe", "c5", "c6", "c7", "c8", "c9")


@dataclass(frozen=True)
class MadeTable:
    """A table: the kinds of its columns, how many of the first are its key, which are NOT NULL, and its rows.

    ``unique`` is the column whose values are, and ``parent`` the table that ``reference`` refers to by its key.
    """

    kinds: tuple[str, ...]
    key: int
    needed: frozenset[int]
    rows: tuple[tuple[Any, ...], ...]
    unique: int | None = None
    reference: int | None = None
    parent: str | None = None

    def created(self, name: str, target: bool) -> str:
        """Return the table's DDL for one of the sides."""
        columns = [
            f'"{NAMES[at]}" {KINDS[kind].target if target else KINDS[kind].declared}'
            + (f" DEFAULT {KINDS[kind].default}" if KINDS[kind].default else "")
            + (" NOT NULL" if at in self.needed else "")
            for at, kind in enumerate(self.kinds)
        ]
        key = ", ".join(f'"{each}"' for each in NAMES[: self.key])
        constraints = [f"PRIMARY KEY ({key})"] if key else []
        if self.unique is not None:
            constraints.append(f'UNIQUE ("{NAMES[self.unique]}")')
        if self.reference is not None:
            constraints.append(f'FOREIGN KEY ("{NAMES[self.reference]}") REFERENCES {self.parent} ("{NAMES[0]}")')
        return f"CREATE TABLE {name} ({', '.join([*columns, *constraints])})"


def _each_its_own(at: int) -> Callable[[tuple[Any, ...]], object]:
    """What tells rows apart by a unique column: NULLs are as many as there are."""
    return lambda row: object() if row[at] is None else row[at]


@st.composite
def made_tables(draw: st.DrawFn, others: Mapping[str, MadeTable]) -> MadeTable:
    """A table without a key, with a key of one column, or of two; some rows or many, many NULLs.

    Some have a unique column besides; some refer to themselves, or to one of the others that has a key of one column.
    """
    key = draw(st.integers(0, 2))
    kinds = [draw(st.sampled_from(_KEYS)) for _ in range(key)]
    unique = len(kinds) if key and draw(st.booleans()) else None
    kinds += [draw(st.sampled_from(_KEYS))] if unique is not None else []
    kinds += draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    needed = frozenset(range(key)) | draw(st.frozensets(st.integers(key, len(kinds) - 1)))
    cells = [KINDS[kind].values if at in needed else st.none() | KINDS[kind].values for at, kind in enumerate(kinds)]
    alike = [*([lambda row: row[:key]] if key else []), *([_each_its_own(unique)] if unique is not None else [])]
    rows = draw(st.lists(st.tuples(*cells), max_size=12, **({"unique_by": tuple(alike)} if alike else {})))
    table = MadeTable(tuple(kinds), key, needed, tuple(rows), unique)
    referred = {name: each for name, each in [*others.items(), (ITSELF, table)] if each.key == 1}
    if referred and draw(st.booleans()):
        parent = draw(st.sampled_from(sorted(referred)))
        table = _referring(draw, table, parent, referred[parent])
    # Many rows, which are the same in part: no key tells them apart.
    times = 1 if key else draw(st.sampled_from((1, 1, 40)))
    return replace(table, rows=table.rows * times)


#: The parent's name of a table that refers to itself, until it has one.
ITSELF = "itself"


def _referring(draw: st.DrawFn, table: MadeTable, name: str, parent: MadeTable) -> MadeTable:
    """The table with a column before its last one, of keys of its parent and NULLs: in any order of the rows."""
    at = len(table.kinds) - 1
    keys = st.none() | st.sampled_from([row[0] for row in parent.rows]) if parent.rows else st.none()
    rows = tuple((*row[:at], draw(keys), *row[at:]) for row in table.rows)
    return replace(
        table,
        kinds=(*table.kinds[:at], parent.kinds[0], *table.kinds[at:]),
        needed=frozenset(each + (each >= at) for each in table.needed),
        rows=rows,
        reference=at,
        parent=name,
    )


@st.composite
def made_databases(draw: st.DrawFn, number: int) -> dict[str, MadeTable]:
    """So many tables by their names; the later ones may refer to the earlier ones."""
    tables: dict[str, MadeTable] = {}
    for each in range(number):
        made = draw(made_tables(tables))
        name = f"t{each}"
        tables[name] = replace(made, parent=name) if made.parent == ITSELF else made
    return tables
