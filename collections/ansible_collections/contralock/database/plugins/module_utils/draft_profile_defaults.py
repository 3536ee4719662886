"""What a SQLite DEFAULT becomes on PostgreSQL.

A constant is stored by SQLite itself once, in memory, with the column's affinity, and goes through the column's own
conversion: ``DEFAULT '0'`` of an INTEGER column is the number 0, and 1 in a boolean column is true. Functions of the
clock are known by name. Everything else is left to the operator.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from .affinity import affinity_of
from .cells import Cells, Value
from .conversion_base import Conversion
from .draft_profile_ddl import Token, spelled, tokens_of
from .source_schema import SourceColumn

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NUMERIC = ("smallint", "integer", "bigint", "numeric", "double precision")

_UTC = "(now() AT TIME ZONE 'UTC')"
_NOW: Mapping[str, str] = {
    "timestamptz": "now()",
    "timestamp": _UTC,
    "date": f"{_UTC}::date",
    "time": f"{_UTC}::time",
    "text": f"to_char({_UTC}, 'YYYY-MM-DD HH24:MI:SS')",
    "varchar": f"to_char({_UTC}, 'YYYY-MM-DD HH24:MI:SS')",
}
_TODAY: Mapping[str, str] = {
    "date": f"{_UTC}::date",
    "text": f"to_char({_UTC}, 'YYYY-MM-DD')",
    "varchar": f"to_char({_UTC}, 'YYYY-MM-DD')",
}
_TIME_OF_DAY: Mapping[str, str] = {
    "time": f"{_UTC}::time(0)",
    "text": f"to_char({_UTC}, 'HH24:MI:SS')",
    "varchar": f"to_char({_UTC}, 'HH24:MI:SS')",
}
_ISO = f'to_char({_UTC}, \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')'
_NOW_ISO: Mapping[str, str] = {**_NOW, "text": _ISO, "varchar": _ISO}
_SECONDS: Mapping[str, str] = dict.fromkeys(("integer", "bigint"), "extract(epoch FROM now())::bigint")
_UNIX: Mapping[str, str] = {**_SECONDS, "timestamptz": "now()", "timestamp": _UTC}
#: Spelling without spaces and parentheses, words in lower case -> base of the type -> SQL.
_CLOCK: Mapping[str, Mapping[str, str]] = {
    "current_timestamp": _NOW,
    "datetime'now'": _NOW,
    "current_date": _TODAY,
    "date'now'": _TODAY,
    "current_time": _TIME_OF_DAY,
    "time'now'": _TIME_OF_DAY,
    "unixepoch": _UNIX,
    "unixepoch'now'": _UNIX,
    "strftime'%s','now'": _UNIX,
    "caststrftime'%s','now'asinteger": _UNIX,
    "strftime'%Y-%m-%dT%H:%M:%fZ','now'": _NOW_ISO,
}


@dataclass(frozen=True)
class DraftDefault:
    """The DEFAULT as SQL (None without one), and what is open about it."""

    sql: str | None = None
    question: str = ""


def draft_default(column: SourceColumn, conversion: Conversion, base: str, labels: Sequence[str] = ()) -> DraftDefault:
    """Return the target's DEFAULT.

    Args:
        column: The source's column.
        conversion: The one that it gets.
        base: The target's type without numbers.
        labels: Of the enumeration that it gets instead, if any.
    """
    if column.default is None:
        return DraftDefault()
    tokens = tokens_of(column.default)
    while len(tokens) > 2 and tokens[0].text == "(" and tokens[-1].text == ")":
        tokens = tokens[1:-1]
    said = f"its DEFAULT {spelled(tokens)}"
    constant = _constant(tokens)
    if constant is None:
        words = (token.keyword.lower() or token.text for token in tokens if token.text not in ("(", ")"))
        clock = _CLOCK.get("".join(words), {}).get(base)
        if clock is None and base == "uuid" and "randomblob" in column.default.lower():
            clock = "gen_random_uuid()"
        return DraftDefault(clock, "" if clock else f"{said} is not taken over: say it in PostgreSQL's words")
    value = _stored(constant, column.declared_type)
    if value is None:
        return DraftDefault()
    if labels:
        text = default_text(column)
        return DraftDefault(literal(text)) if text in labels and text is not None else DraftDefault()
    converted = conversion.convert(Cells.of([value]))
    if converted.misfits:
        reason = converted.misfits[0].reason
        return DraftDefault(None, f"{said} does not fit {conversion.target.type} ({reason}) and is not taken over")
    return DraftDefault(_spelled_value(conversion.render(converted.values)[0].as_py(), base))


def default_text(column: SourceColumn) -> str | None:
    """Return a column's DEFAULT when it is a constant text; otherwise None."""
    constant = None if column.default is None else _constant(tokens_of(column.default))
    value = None if constant is None else _stored(constant, column.declared_type)
    return value.decode(errors="replace") if isinstance(value, bytearray) else None


def literal(text: str) -> str:
    """Return a text as SQL takes it (standard_conforming_strings is on since PostgreSQL 9.1)."""
    return "'" + text.replace("'", "''") + "'"


def _constant(tokens: Sequence[Token]) -> str | None:
    """Return a constant as SQLite takes it, and nothing that could do more."""
    sign = ""
    if len(tokens) == 2 and tokens[0].text in ("-", "+"):
        sign, tokens = tokens[0].text, tokens[1:]
    if len(tokens) != 1:
        return None
    (token,) = tokens
    if token.kind in ("number", "text", "blob"):
        return sign + token.text
    # SQLite takes "pending" for a text where there is no such column.
    if token.kind == "name":
        return literal(token.value)
    return token.text if token.keyword in ("NULL", "TRUE", "FALSE") else None


def _stored(constant: str, declared_type: str) -> Value:
    """Return what SQLite stores of a constant in a column of this type."""
    affinity = affinity_of(declared_type).value
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.text_factory = bytearray
        memory.execute(f"CREATE TABLE stored (value {affinity})")
        memory.execute(f"INSERT INTO stored VALUES ({constant})")
        ((value,),) = memory.execute("SELECT value FROM stored").fetchall()
    found: Value = value
    return found


def _spelled_value(text: str, base: str) -> str:
    if base == "boolean":
        return {"t": "true", "f": "false"}[text]
    return text if base in _NUMERIC and _NUMBER.fullmatch(text) else literal(text)
