"""CHECK constraints of the simple kind, decided on Arrow columns before anything is loaded.

Understood is what most schemas check: columns compared with constants or one another, IN lists, IS NULL, AND, OR, NOT,
as ``pg_get_constraintdef`` spells them (with all parentheses and casts). Everything else is left to PostgreSQL, and
named; nothing is guessed. https://www.postgresql.org/docs/current/ddl-constraints.html: a check is broken where it is
false, and satisfied where it is true or null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Column

#: Column name to its values, as a conversion returns them.
Values = Mapping[str, pa.Array]

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"]|"")+")|(?P<text>'(?:[^']|'')*')|(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w$]*)
        |(?P<sign>::|>=|<=|<>|[=<>()\[\],.-]))""",
    re.VERBOSE,
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_WHOLE = ("int2", "int4", "int8")
_TEXTS = ("text", "varchar")
_TYPES_OF_NUMBERS = ("smallint", "integer", "bigint", "numeric")
_TYPES_OF_TEXTS = ("text", "character varying")
_KEYWORDS = ("AND", "OR", "NOT", "IS", "NULL", "ANY", "ARRAY")
#: A collation of one's own may call two different texts equal. PostgreSQL's own ones never do; under an empty
#: search_path only they are spelled without a schema.
QUALIFIED_COLLATION = re.compile(r"""(?:"(?:[^"]|"")+"|\w+)\.""")
#: To compare decimals of two scales, Arrow gives both the larger one: 256 bits hold the digits of any two of this many.
_MOST_DIGITS = 38


class _UnknownError(Exception):
    """The text has something that is not understood here."""


@dataclass(frozen=True)
class _Node:
    """A part of an expression; ``kind`` is number, text or truth."""

    kind: str
    value: Callable[[Values], Any]


@dataclass(frozen=True)
class Check:
    """A check that can be decided here; ``columns`` are those that it looks at."""

    columns: tuple[str, ...]
    _node: _Node

    def broken(self, values: Values) -> pa.BooleanArray:
        """Return the rows that break it; never null.

        Args:
            values: At least ``columns``, converted, of one length.
        """
        return pc.fill_null(pc.invert(self._node.value(values)), False)


def parse_check(text: str, columns: Sequence[Column], enums: Sequence[str]) -> Check | None:
    """Understand a check.

    Args:
        text: The constraint as ``pg_get_constraintdef`` gives it: ``CHECK ((balance >= 0))``.
        columns: The table's columns.
        enums: Full names of the schema's enumerations (``public.enum_users_role``).

    Returns:
        The check, or ``None`` when it says something that is not understood.
    """
    try:
        parser = _Parser(text, {column.name: column for column in columns}, set(enums))
        return Check(*parser.check())
    except _UnknownError:
        return None


class _Parser:
    """Recursive descent over the tokens of one constraint."""

    def __init__(self, text: str, columns: Mapping[str, Column], enums: set[str]) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._columns = columns
        self._enums = enums
        self._seen: list[str] = []

    def check(self) -> tuple[tuple[str, ...], _Node]:
        self._expect("CHECK")
        node = self._truth(self._operand())
        # NOT VALID, NO INHERIT: rows of this load are checked all the same.
        if self._rest() not in ([], ["NOT", "VALID"], ["NO", "INHERIT"]) or not self._seen:
            raise _UnknownError
        return tuple(dict.fromkeys(self._seen)), node

    def _expression(self) -> _Node:
        node = self._conjunction()
        while self._accept("OR"):
            node = self._joined(pc.or_kleene, node, self._conjunction())
        return node

    def _conjunction(self) -> _Node:
        node = self._negation()
        while self._accept("AND"):
            node = self._joined(pc.and_kleene, node, self._negation())
        return node

    def _negation(self) -> _Node:
        if self._accept("NOT"):
            inner = self._truth(self._negation())
            return _Node("truth", lambda values: pc.invert(inner.value(values)))
        return self._comparison()

    def _comparison(self) -> _Node:
        left = self._operand()
        if self._accept("IS"):
            test = pc.is_valid if self._accept("NOT") else pc.is_null
            self._expect("NULL")
            return _Node("truth", lambda values: test(left.value(values)))
        sign = next((sign for sign in _COMPARISONS if self._accept(sign)), None)
        if sign is None:
            return left
        if sign == "=" and self._accept("ANY"):
            return self._one_of(left)
        right = self._operand()
        # The order of texts is the collation's, that of labels the enumeration's.
        if left.kind != right.kind or (left.kind != "number" and sign not in ("=", "<>")):
            raise _UnknownError
        compare = _COMPARISONS[sign]
        return _Node("truth", lambda values: compare(left.value(values), right.value(values)))

    def _one_of(self, left: _Node) -> _Node:
        self._expect("(")
        wrapped = self._accept("(")
        self._expect("ARRAY")
        self._expect("[")
        members = [self._operand()]
        while self._accept(","):
            members.append(self._operand())
        self._expect("]")
        if wrapped:
            self._expect(")")
        node = self._equal(left, members[0])
        for member in members[1:]:
            node = self._joined(pc.or_kleene, node, self._equal(left, member))
        while self._accept("::"):
            self._type()
        self._expect(")")
        return node

    def _equal(self, left: _Node, right: _Node) -> _Node:
        if left.kind != right.kind:
            raise _UnknownError
        return _Node("truth", lambda values: pc.equal(left.value(values), right.value(values)))

    def _operand(self) -> _Node:
        if self._accept("("):
            node = self._expression()
            self._expect(")")
        else:
            node = self._literal() or self._column()
        while self._accept("::"):
            node = self._cast(node, self._type())
        return node

    def _literal(self) -> _Node | None:
        group, token = self._peek()
        if group == "number":
            self._at += 1
            return _constant(Decimal(token))
        if group == "text":
            self._at += 1
            text = token[1:-1].replace("''", "'")
            # A negative number, or one of a given type, is spelled '-5'::integer.
            if self._accept("::"):
                kind = self._kind_of(self._type())
                return _number(text) if kind == "number" else _Node("text", lambda _: pa.scalar(text))
            return _Node("text", lambda _: pa.scalar(text))
        return None

    def _column(self) -> _Node:
        group, token = self._peek()
        name = token[1:-1].replace('""', '"') if group == "quoted" else token
        column = self._columns.get(name)
        if column is None or group not in ("quoted", "word") or token in _KEYWORDS:
            raise _UnknownError
        self._at += 1
        self._seen.append(name)
        if column.type_name in _WHOLE:
            return _Node("number", lambda values: values[name])
        plain_text = column.type_name in _TEXTS and not QUALIFIED_COLLATION.match(column.collation)
        if plain_text or f"{column.type_schema}.{column.type_name}" in self._enums:
            return _Node("text", lambda values: values[name])
        if column.type_name == "bool":
            return _Node("truth", lambda values: values[name])
        limits = column.precision_and_scale
        if limits and limits[0] <= _MOST_DIGITS and 0 <= limits[1] <= limits[0]:
            decimal = pa.decimal256(*limits)
            return _Node("number", lambda values: values[name].cast(decimal))
        raise _UnknownError

    def _cast(self, node: _Node, name: str) -> _Node:
        # A cast that keeps the kind keeps the value: integer to numeric, label or varchar to text.
        if self._kind_of(name) != node.kind or (node.kind == "number" and name != "numeric"):
            raise _UnknownError
        return node

    def _kind_of(self, name: str) -> str:
        if name in _TYPES_OF_NUMBERS:
            return "number"
        if name in _TYPES_OF_TEXTS or name in self._enums:
            return "text"
        raise _UnknownError

    def _type(self) -> str:
        """Read a type's name; one with a length or precision could change the value."""
        words = [self._word()]
        while self._accept("."):
            words.append(".")
            words.append(self._word())
        if words == ["character"]:
            words = ["character ", self._word()]
        if self._accept("["):
            self._expect("]")
        return "".join(words)

    def _word(self) -> str:
        group, token = self._peek()
        if group not in ("word", "quoted"):
            raise _UnknownError
        self._at += 1
        return token[1:-1].replace('""', '"') if group == "quoted" else token

    def _truth(self, node: _Node) -> _Node:
        if node.kind != "truth":
            raise _UnknownError
        return node

    def _joined(self, join: Callable[[Any, Any], Any], left: _Node, right: _Node) -> _Node:
        one, other = self._truth(left), self._truth(right)
        return _Node("truth", lambda values: join(one.value(values), other.value(values)))

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _accept(self, token: str) -> bool:
        group, found = self._peek()
        fits = found == token and group in ("word", "sign")
        self._at += fits
        return fits

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise _UnknownError

    def _rest(self) -> list[str]:
        return [token for _, token in self._tokens[self._at :]]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise _UnknownError
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def _number(text: str) -> _Node:
    try:
        return _constant(Decimal(text))
    except InvalidOperation:
        raise _UnknownError from None


def _constant(number: Decimal) -> _Node:
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or len(digits) > _MOST_DIGITS // 2 or abs(exponent) > _MOST_DIGITS // 2:
        raise _UnknownError
    is_whole = number == int(number) and abs(number) < 1 << 63
    scalar = pa.scalar(int(number)) if is_whole else pa.scalar(number, pa.decimal256(_MOST_DIGITS, max(-exponent, 0)))
    return _Node("number", lambda _: scalar)
