"""The text of a ``.env`` file as npm's dotenv 16 reads it, and changes of it that dotenv reads back exactly.

The grammar is dotenv 16.6.1's regular expression (``lib/main.js``, ``LINE`` and ``parse``), with what JavaScript means
by white space and by the end of a line. It is used as it stands, because its corners are what the application sees: a
value may span lines, ``KEY: value`` counts, the last of several lines wins, a ``#`` ends a value without quotes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .ecmascript import WHITE_SPACE, trim
from .errors import MigrationError

#: ECMA-262: ``\s`` is WhiteSpace and LineTerminator; ``.`` and, with the flag m, ``^`` and ``$`` know four line ends.
_SPACE = f"[{WHITE_SPACE}]"
_BEGIN = r"(?:\A|(?<=[\n\r\u2028\u2029]))"
_END = r"(?=[\n\r\u2028\u2029]|\Z)"
_NO_LINE_END = r"[^\n\r\u2028\u2029]"

_ASSIGNMENT = re.compile(
    rf"{_BEGIN}{_SPACE}*(?:export{_SPACE}+)?([A-Za-z0-9_.-]+)(?:{_SPACE}*={_SPACE}*?|:{_SPACE}+?)"
    rf"({_SPACE}*'(?:\\'|[^'])*'|{_SPACE}*\"(?:\\\"|[^\"])*\"|{_SPACE}*`(?:\\`|[^`])*`|[^#\r\n]+)?"
    rf"{_SPACE}*(?:#{_NO_LINE_END}*)?{_END}"
)
_SURROUNDING_QUOTES = re.compile(rf"{_BEGIN}(['\"`])([\s\S]*)\1{_END}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Read alike by dotenv, by a shell, by systemd's EnvironmentFile= and by docker compose.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+")

#: Stands above the keys that the file did not have. Whoever reads the file wants to know where they come from.
MARK = "# Added by the move from SQLite to PostgreSQL"


@dataclass(frozen=True)
class Assignment:
    """One assignment: its key, the value that dotenv reads, and the place of its text in the file.

    ``start`` and ``end`` enclose the value with its quotes, without the white space around; both are offsets in
    characters. ``quote`` is the quotation mark, or empty.
    """

    key: str
    value: str
    start: int
    end: int
    quote: str


def parse(text: str) -> dict[str, str]:
    """Return what dotenv's ``parse`` returns: key -> value, the last assignment of a key counting."""
    return {assignment.key: assignment.value for assignment in assignments(text)}


def assignments(text: str) -> Iterator[Assignment]:
    """Yield the assignments in the file's order, those that a later one overrides included."""
    # dotenv turns \r\n and \r into \n first; what follows needs the places in the text as it is.
    pairs = [match.start() - number for number, match in enumerate(re.finditer(r"\r\n", text))]
    lines = re.sub(r"\r\n?", "\n", text)
    for match in _ASSIGNMENT.finditer(lines):
        raw = match[2] or ""
        trimmed = trim(raw)
        # An empty value stands right behind the sign: white space may separate it from a comment.
        start = match.end(2) if match[2] is None else match.start(2)
        if match[2] is None:
            start = _end_of_sign(lines, match)
        elif trimmed:
            start += raw.index(trimmed)
        first, last = (place + bisect_left(pairs, place) for place in (start, start + len(trimmed)))
        yield Assignment(match[1], _unquote(trimmed), first, last, _quote_of(trimmed))


def set_values(text: str, values: Mapping[str, str]) -> str:
    """Set keys to values; everything else in the text stays as it is, to the character.

    The assignment that counts, the last of its key, is changed in place and keeps its kind of quotes where they can
    hold the value. Keys that the text lacks are appended below ``MARK``.

    Args:
        text: The file's text, with any line ends.
        values: Key (letters, digits, underscores) -> value.

    Returns:
        The text, from which dotenv reads what it read before and the given values. It is the same text when it said
        so already.

    Raises:
        MigrationError: A key is none, or no kind of quotes can carry a value. The message does not show the value.
    """
    for key, value in values.items():
        if not _KEY.fullmatch(key):
            raise MigrationError(f"{key!r} is no name of a variable", "Use letters, digits and underscores")
        text = _set_value(text, key, value)
    return text


def _set_value(text: str, key: str, value: str) -> str:
    found = [assignment for assignment in assignments(text) if assignment.key == key]
    if found and found[-1].value == value:
        return text
    wanted = {**parse(text), key: value}
    for spelling in _spellings(value, found[-1].quote if found else ""):
        changed = _replace(text, found[-1], spelling) if found else _append(text, f"{key}={spelling}")
        # What dotenv reads decides, not an idea of it: a value may close a quotation mark that stood open before.
        if parse(changed) == wanted:
            return changed
    raise MigrationError(
        f"no kind of quotes carries the value of {key} in a .env file as dotenv reads it",
        "Choose a value without line breaks, backslashes, quotation marks and #, "
        "and see that no quotation mark in the file stands open",
        {"key": key},
    )


def _spellings(value: str, former_quote: str) -> Iterator[str]:
    """Yield ways to write a value, those first that every reader of such files takes alike."""
    quotes = [*former_quote, *"'\"`"]
    clean = [quote for quote in quotes if quote not in value]
    if not former_quote and _PLAIN.fullmatch(value):
        yield value
    yield from (f"{quote}{value}{quote}" for quote in clean)
    # Between double quotes, and only there, dotenv knows \n and \r.
    yield '"' + value.replace("\n", "\\n").replace("\r", "\\r") + '"'
    # It takes quotation marks in the midst of a value as they are, quoted or not.
    yield value
    yield from (f"{quote}{value}{quote}" for quote in quotes)


def _replace(text: str, assignment: Assignment, spelling: str) -> str:
    return text[: assignment.start] + spelling + text[assignment.end :]


def _append(text: str, line: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith(("\n", "\r")):
        text += newline
    block = text.rpartition(MARK)
    in_block = bool(block[1]) and not re.search(r"(?:\r\n?|\n)[ \t]*(?:\r\n?|\n)", block[2])
    separator = "" if in_block else (newline if text else "") + MARK + newline
    return f"{text}{separator}{line}{newline}"


def _end_of_sign(lines: str, match: re.Match[str]) -> int:
    """Where the value would begin when the expression matched none: behind ``=``, or behind ``:`` and its space."""
    sign = re.compile(rf"{_SPACE}*=|:{_SPACE}").match(lines, match.end(1))
    return sign.end() if sign else match.end(1)


def _unquote(trimmed: str) -> str:
    value = _SURROUNDING_QUOTES.sub(lambda match: match[2], trimmed)
    if trimmed.startswith('"'):
        value = value.replace("\\n", "\n").replace("\\r", "\r")
    return value


def _quote_of(trimmed: str) -> str:
    quoted = len(trimmed) > 1 and trimmed[0] in "'\"`" and trimmed[-1] == trimmed[0]
    return trimmed[0] if quoted else ""
