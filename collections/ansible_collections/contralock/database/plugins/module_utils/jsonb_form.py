"""JSON as PostgreSQL prints it: jsonb's own form, without a server.

jsonb keeps the meaning of a JSON text: keys ordered by length and then by bytes, numbers with all their digits (as
numeric prints them), escapes resolved. Its printed form is made here, so that two jsonb values are the same when their
texts are. Sources: RFC 8259; the PostgreSQL manual, "JSON Types"; PostgreSQL's jsonb_util.c (lengthCompareJsonbString),
json.c (escape_json) and numeric.c (the limits). What jsonb refuses, or would lose without a word, does not fit.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from .conversion_base import GENERAL_MEND, Reason, UnfitError

#: PostgreSQL's parser ends at about 13,000 with its default max_stack_depth of 2 MB; a smaller stack may be set.
DEEPEST = 4_000
#: numeric.c: NUMERIC_WEIGHT_MAX (in groups of four digits) and NUMERIC_DSCALE_MAX.
DIGITS_BEFORE_POINT = 131_072
DIGITS_AFTER_POINT = 16_383
#: jsonb.h: JENTRY_OFFLENMASK is the longest string and container, in bytes.
LONGEST = 0x0FFFFFFF

NO_JSON = Reason(
    "text that is no JSON",
    "Correct the value in the application, or add the rule default with when: is_not_json",
)
TOO_DEEP = Reason(f"JSON that is nested deeper than {DEEPEST}")
DUPLICATE_KEY = Reason(
    "JSON object with a key that stands in it twice; jsonb keeps the last one only",
    "Remove one of them in the application, or make the column json",
)
NUL_ESCAPE = Reason(r"JSON text with the character \u0000", "Take it out of the text; jsonb cannot hold it")
LONE_SURROGATE = Reason(
    r"JSON text with half a surrogate pair, such as \ud83d",
    "Complete or remove the half character in the application; jsonb cannot hold it",
)
NUMBER_TOO_LARGE = Reason(
    f"JSON number with more than {DIGITS_BEFORE_POINT} digits before or {DIGITS_AFTER_POINT} after the point"
)
TOO_LONG = Reason("JSON of more than 255 MB, which jsonb cannot hold", f"{GENERAL_MEND}, or make the column json")

# A string's end is found by Python's JSON scanner: of a possessive group Python 3.11.2 leaves half behind that failed
# (and takes "\\u" for a string), and any other group needs 80 bytes of memory for each escape.
_TOKEN = re.compile(
    r"""[ \t\n\r]*+(?:
        (?P<mark>[\[\]{},:])
      | (?P<string>")
      | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)
      | (?P<word>true|false|null)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
# What this reads is sound.
_STRINGS_AND_SPACES = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")|[ ]+')
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)$")

#: State of the exact reader to what may come next; "value" stands for whatever begins one.
_VALUE = frozenset({"string", "number", "word", "[", "{"})
_MAY_COME: dict[str, frozenset[str]] = {
    "value": _VALUE,
    "first item": _VALUE | {"]"},
    "after item": frozenset({",", "]"}),
    "key": frozenset({"string"}),
    "first key": frozenset({"string", "}"}),
    "colon": frozenset({":"}),
    "after pair": frozenset({",", "}"}),
    "end": frozenset({"end"}),
}


def is_json(value: bytes) -> bool:
    """Tell whether a stored text is JSON by RFC 8259: duplicate keys, lone surrogates and any depth are."""
    try:
        check_json(value.decode(), deepest=sys.maxsize)
    except (UnicodeDecodeError, UnfitError):
        return False
    return True


def check_json(text: str, deepest: int = DEEPEST) -> None:
    """Refuse what PostgreSQL's type json does not take.

    Args:
        text: The text.
        deepest: How many arrays and objects may be open at once.

    Raises:
        UnfitError: The text is no JSON, or too deep.
    """
    try:
        orjson.loads(text)
    except ValueError:
        # It has limits of its own (depth, halves of characters, size of numbers): the exact reader decides.
        _Reader(strict=False, deepest=deepest).read(text)


def jsonb_form(text: str) -> str:
    """Return a JSON text as ``SELECT text::jsonb::text`` prints it.

    Raises:
        UnfitError: The text is no JSON; or jsonb refuses it or would lose a part (a duplicate key).
    """
    if len(text) > LONGEST // 4 and len(text.encode(errors="surrogatepass")) > LONGEST:
        raise UnfitError(TOO_LONG)
    # An escaped U+0000 looks like others that are none (\\u0000): the exact reader knows.
    printed = None if "\\u0000" in text else _quick_form(text)
    return _Reader(strict=True).read(text) if printed is None else printed


def compact_form(printed: str) -> str:
    """Return jsonb's printed form as JSON.stringify spells it: no spaces between tokens, numbers as they are."""
    return _STRINGS_AND_SPACES.sub(r"\1", printed)


class _UnusualError(ValueError):
    """Something that only the exact reader prints as PostgreSQL does."""


def _quick_form(text: str) -> str | None:
    """Return jsonb's form by Python's own reader and printer; None when the exact one has to look."""
    decoder = _PLAIN if text.isascii() and "\\u" not in text else _WIDE
    try:
        printed = _ENCODER.encode(decoder.decode(text))
        if decoder is _WIDE:
            printed.encode()  # refuses lone surrogates
    except (ValueError, RecursionError):
        return None
    return printed


def _ordered_plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > 1:
        pairs.sort(key=lambda pair: (len(pair[0]), pair[0]))
    return _unique(pairs)


def _ordered_wide(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    pairs.sort(key=lambda pair: _key_order(pair[0]))
    return _unique(pairs)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _UnusualError
    return found


def _key_order(key: str) -> tuple[int, bytes]:
    stored = key.encode()
    return len(stored), stored


def _usual_number(token: str) -> float:
    """Return a number whose shortest form is what stands there; JavaScript writes no other."""
    number = float(token)
    if repr(number) != token or "e" in token or not number:
        raise _UnusualError
    return number


def _refuse_constant(token: str) -> None:
    raise _UnusualError(token)


_PLAIN, _WIDE = (
    json.JSONDecoder(object_pairs_hook=hook, parse_float=_usual_number, parse_constant=_refuse_constant)
    for hook in (_ordered_plain, _ordered_wide)
)
_ANY_STRING = json.JSONDecoder()
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(", ", ": "))


def _printed_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _printed_number(token: str) -> str:
    """Return a number as numeric_out prints it: no exponent, all digits of the fraction that were written."""
    exponent = _EXPONENT.search(token)
    if exponent and len(exponent[1].lstrip("+-").lstrip("0")) > 9:
        raise UnfitError(NUMBER_TOO_LARGE)
    number = Decimal(token)
    scale = -int(number.as_tuple().exponent)
    if scale > DIGITS_AFTER_POINT or (number and number.adjusted() >= DIGITS_BEFORE_POINT):
        raise UnfitError(NUMBER_TOO_LARGE)
    if not number:
        return f"0.{'0' * scale}" if scale > 0 else "0"
    return format(number, "f")


@dataclass
class _Container:
    """An array or object that is not closed yet; ``keys`` is empty in an array."""

    is_object: bool
    items: list[str] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)

    def printed(self) -> str:
        if not self.is_object:
            return f"[{', '.join(self.items)}]"
        pairs = sorted(zip(self.keys, self.items, strict=True), key=lambda pair: _key_order(pair[0]))
        return f"{{{', '.join(f'{_printed_string(key)}: {item}' for key, item in pairs)}}}"


class _Reader:
    """The exact reader: token by token with a stack of its own, so that depth and digits have PostgreSQL's limits.

    Args:
        strict: Whether jsonb's limits hold; otherwise only the syntax (and depth) is looked at.
        deepest: How many arrays and objects may be open at once.
    """

    def __init__(self, strict: bool, deepest: int = DEEPEST) -> None:
        self._strict = strict
        self._deepest = deepest
        self._stack: list[_Container] = []
        self._state = "value"
        self._result = ""

    def read(self, text: str) -> str:
        """Return the printed form; without ``strict`` it means nothing.

        Raises:
            UnfitError: The text is no JSON, or jsonb does not take it.
        """
        for kind, token in _tokens(text):
            if kind not in _MAY_COME[self._state]:
                raise UnfitError(NO_JSON)
            self._take(kind, token)
        return self._result

    def _take(self, kind: str, token: str) -> None:
        match kind:
            case "[" | "{":
                self._open(kind)
            case "]" | "}":
                self._deliver(self._stack.pop().printed() if self._strict else self._dropped())
            case ",":
                self._state = "key" if self._stack[-1].is_object else "value"
            case ":":
                self._state = "value"
            case "string" if self._state in ("key", "first key"):
                self._key(token)
            case "string" | "number" | "word":
                self._deliver(self._scalar(kind, token))

    def _open(self, kind: str) -> None:
        if len(self._stack) == self._deepest:
            raise UnfitError(TOO_DEEP)
        self._stack.append(_Container(is_object=kind == "{"))
        self._state = "first key" if kind == "{" else "first item"

    def _dropped(self) -> str:
        self._stack.pop()
        return ""

    def _key(self, token: str) -> None:
        if self._strict:
            key = _string(token)
            if key in self._stack[-1].keys:
                raise UnfitError(DUPLICATE_KEY)
            self._stack[-1].keys[key] = None
        self._state = "colon"

    def _scalar(self, kind: str, token: str) -> str:
        if not self._strict:
            return ""
        if kind == "string":
            return _printed_string(_string(token)) if "\\" in token else token
        return _printed_number(token) if kind == "number" else token

    def _deliver(self, printed: str) -> None:
        if not self._stack:
            self._result, self._state = printed, "end"
            return
        if self._strict:
            self._stack[-1].items.append(printed)
        self._state = "after pair" if self._stack[-1].is_object else "after item"


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield kind (a mark is its own) and text of each token, then ``end``."""
    place = 0
    while found := _TOKEN.match(text, place):
        kind = str(found.lastgroup)
        place = _end_of_string(text, found.start(kind)) if kind == "string" else found.end()
        token = text[found.start(kind) : place]
        yield (token if kind == "mark" else kind), token
        if kind == "end":
            return
    raise UnfitError(NO_JSON)


def _end_of_string(text: str, place: int) -> int:
    """Return the place behind a string that begins at this one."""
    try:
        return _ANY_STRING.raw_decode(text, place)[1]
    except ValueError:
        raise UnfitError(NO_JSON) from None


def _string(token: str) -> str:
    """Return what a string token says; jsonb's limits hold."""
    if "\\" not in token:
        return token[1:-1]
    text: str = json.loads(token)
    if "\0" in text:
        raise UnfitError(NUL_ESCAPE)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnfitError(LONE_SURROGATE) from None
    return text
