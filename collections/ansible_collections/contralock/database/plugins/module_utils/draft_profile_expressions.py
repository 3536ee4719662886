"""An expression of a SQLite schema in PostgreSQL's words, where it means the same there; otherwise nothing.

Only what both understand alike is taken over: columns, constants, comparisons, AND, OR, NOT, IN, BETWEEN, IS NULL,
CASE, sums and products, ``||`` and a few functions (lower() and upper() in a collation in which they know ASCII letters
only, as in SQLite, and texts that are ordered in one that goes by their bytes). Left out on purpose: division (an error
by zero there, NULL here), LIKE (blind to case here), IS between values, functions of dates and JSON, and everything
about a column whose collation is blind to case. What is taken over is tried on a server before it stands in a draft.
Sources: https://www.sqlite.org/lang_expr.html; PostgreSQL manual, "Functions and Operators".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .draft_profile_ddl import Token, Tokens

_KEYWORDS = frozenset(("AND", "OR", "NOT", "NULL", "IN", "BETWEEN", "ISNULL", "NOTNULL", "TRUE", "FALSE"))
_KEYWORDS |= {"CASE", "WHEN", "THEN", "ELSE", "END"}
_FUNCTIONS = {"LOWER": "lower", "UPPER": "upper", "LENGTH": "length", "ABS": "abs", "COALESCE": "coalesce"}
_FUNCTIONS |= {"IFNULL": "coalesce", "NULLIF": "nullif", "TRIM": "trim"}
_SIGNS = {"==": "=", "!=": "<>"} | {sign: sign for sign in ("=", "<>", "<", "<=", ">", ">=", "||", "(", ")", ",")}
_SUMS = ("+", "-", "*")
_EQUAL = ("=", "==", "<>", "!=")
_ORDERS = ("<", "<=", ">", ">=")
#: What parts comparisons; the AND of a BETWEEN does not.
_BETWEEN_COMPARISONS = ("AND", "OR", "NOT")
#: Functions of texts whose result has no order of texts, or has the right one.
_ORDERLESS = ("LOWER", "UPPER", "LENGTH")
#: In this collation lower() and upper() know the letters of ASCII only, and texts go by their bytes, as in SQLite.
_ASCII = 'COLLATE "C"'
_TRUTHS = {"0": "false", "1": "true"}
_JSON = ("json", "jsonb")


@dataclass(frozen=True)
class Known:
    """A column that an expression may name.

    Attributes:
        target: Its name in the target, quoted where it has to be.
        boolean: Whether it becomes a boolean, so that 0 and 1 beside it become false and true.
        folded: Whether its own collation takes different texts for the same.
        text: Whether it is a text there, so that its order is a collation's.
    """

    target: str
    boolean: bool = False
    folded: bool = False
    text: bool = False


def translate(tokens: Sequence[Token], columns: Mapping[str, Known]) -> str | None:
    """Return the expression for PostgreSQL, or ``None`` when it says something that is not surely the same there.

    Args:
        tokens: The expression.
        columns: The table's columns by their names in lower case.
    """
    texts = {token.text for token in tokens if token.kind == "sign"}
    # || binds closer than sums here, and less close there.
    if not tokens or ("||" in texts and texts & set(_SUMS)):
        return None
    words: list[str] = []
    ordered = _ordered(tokens, columns)
    for at, token in enumerate(tokens):
        word = _word(tokens, at, columns)
        if word is None:
            return None
        words.append(word if token.kind != "number" else _number(tokens, at, columns))
        if at in ordered:
            words[at] += f" {_ASCII}"
    return _joined(_folding_ascii(tokens, words))


def folds(tokens: Sequence[Token]) -> bool:
    """Tell whether an expression calls what folds ASCII letters alone in SQLite, and every letter in PostgreSQL."""
    return any(_folds(tokens, at) for at in range(len(tokens)))


def orders(tokens: Sequence[Token], columns: Mapping[str, Known]) -> bool:
    """Tell whether an expression depends on the order of texts, which is that of their bytes in SQLite."""
    return bool(_ordered(tokens, columns))


def _ordered(tokens: Sequence[Token], columns: Mapping[str, Known]) -> set[int]:
    """Return the places of the columns of text that are held against something by <, <=, >, >= or BETWEEN."""
    found: set[int] = set()
    for part in _comparisons(tokens):
        if any(tokens[at].text in _ORDERS or tokens[at].keyword == "BETWEEN" for at in part):
            found.update(at for at in part if _is_ordered_text(tokens, at, columns))
    return found


def _comparisons(tokens: Sequence[Token]) -> Iterator[list[int]]:
    """Yield the places of the tokens of each comparison; a CASE, whose result may be compared, is not parted."""
    if any(token.keyword == "CASE" for token in tokens):
        yield list(range(len(tokens)))
        return
    part: list[int] = []
    between = False
    for at, token in enumerate(tokens):
        joins = (between and token.keyword == "AND") or (token.keyword == "NOT" and _follows(tokens, at, "BETWEEN"))
        if token.keyword in _BETWEEN_COMPARISONS and not joins:
            yield part
            part = []
        else:
            part.append(at)
        between = (between or token.keyword == "BETWEEN") and token.keyword != "AND"
    yield part


def _follows(tokens: Sequence[Token], at: int, keyword: str) -> bool:
    return at + 1 < len(tokens) and tokens[at + 1].keyword == keyword


def _is_ordered_text(tokens: Sequence[Token], at: int, columns: Mapping[str, Known]) -> bool:
    known = columns.get(tokens[at].value.lower()) if tokens[at].kind in ("word", "name") else None
    orderless = _is_argument(tokens, at) and tokens[at - 2].keyword in _ORDERLESS
    return known is not None and known.text and not orderless


def _folds(tokens: Sequence[Token], at: int) -> bool:
    return tokens[at].keyword in ("LOWER", "UPPER") and at + 1 < len(tokens) and tokens[at + 1].text == "("


def _folding_ascii(tokens: Sequence[Token], words: Sequence[str]) -> Iterator[str]:
    """Yield the words, and a collation behind what is folded, which binds closer than all that is not one word."""
    calls = {at + 1: _end_of(tokens, at + 1) for at in range(len(tokens)) if _folds(tokens, at)}
    several = {end: end - begin > 2 for begin, end in calls.items()}
    for at, word in enumerate(words):
        if at in several:
            yield from (")", _ASCII) if several[at] else (_ASCII,)
        yield word
        if at in calls and several[calls[at]]:
            yield "("


def _end_of(tokens: Sequence[Token], begin: int) -> int:
    """Return where the parenthesis is closed that is opened at ``begin``."""
    depth = 0
    for at in range(begin, len(tokens)):
        depth += (tokens[at].text == "(") - (tokens[at].text == ")")
        if not depth:
            return at
    return len(tokens)


def _word(tokens: Sequence[Token], at: int, columns: Mapping[str, Known]) -> str | None:
    """Return one token in PostgreSQL's spelling, None where there is none."""
    token = tokens[at]
    following = tokens[at + 1] if at + 1 < len(tokens) else Token("sign", "")
    if token.kind in ("text", "number"):
        # Hexadecimal numbers are no constants before PostgreSQL 16.
        return None if token.text[:2].lower() == "0x" else token.text
    if token.kind not in ("word", "name"):
        return token.text if token.text in _SUMS else _SIGNS.get(token.text)
    if following.text == "(" and token.keyword in _FUNCTIONS:
        return _FUNCTIONS[token.keyword]
    if token.keyword == "IS":
        nulls = [each.keyword for each in tokens[at + 1 : at + 3]]
        return "IS" if nulls[:1] == ["NULL"] or nulls == ["NOT", "NULL"] else None
    return token.keyword if token.keyword in _KEYWORDS else _column(tokens, at, columns)


def _column(tokens: Sequence[Token], at: int, columns: Mapping[str, Known]) -> str | None:
    known = columns.get(tokens[at].value.lower())
    following = tokens[at + 1].text if at + 1 < len(tokens) else ""
    if known is None or following in ("(", ".") or (known.folded and not _is_argument(tokens, at)):
        return None
    return known.target


def _is_argument(tokens: Sequence[Token], at: int) -> bool:
    """Tell whether a column is all that a function gets, whose result is compared byte by byte again."""
    around = tokens[at - 2 : at + 2] if at >= 2 else ()
    return len(around) == 4 and around[0].keyword in _FUNCTIONS and (around[1].text, around[3].text) == ("(", ")")


def _number(tokens: Sequence[Token], at: int, columns: Mapping[str, Known]) -> str:
    """Return a number, or the truth that it stands for beside a boolean column."""
    number = tokens[at].text
    if number not in _TRUTHS:
        return number
    before = list(tokens[:at])
    if len(before) >= 2 and before[-1].text in _EQUAL and _is_boolean(before[-2], columns):
        return _TRUTHS[number]
    # column IN (0, 1)
    while before and (before[-1].kind == "number" or before[-1].text == ","):
        before.pop()
    if before and before.pop().text == "(" and before and before.pop().keyword == "IN":
        if before and before[-1].keyword == "NOT":
            before.pop()
        if before and _is_boolean(before[-1], columns):
            return _TRUTHS[number]
    return number


def _is_boolean(token: Token, columns: Mapping[str, Known]) -> bool:
    known = columns.get(token.value.lower()) if token.kind in ("word", "name") else None
    return known is not None and known.boolean


def _joined(words: Iterable[str]) -> str:
    text = ""
    for word in words:
        tight = not text or text.endswith("(") or word in (")", ",") or (word == "(" and _calls(text))
        text += word if tight else f" {word}"
    return text


def _calls(text: str) -> bool:
    return text.rpartition(" ")[2].rpartition("(")[2] in _FUNCTIONS.values()


@dataclass(frozen=True)
class Implied:
    """A check that the target's type makes needless; ``evidence`` is what it tells of the column."""

    column: str
    evidence: str


def implied(tokens: Tokens) -> Implied | None:
    """Recognise a check that only says what a type says: of JSON, of 0 and 1, of a storage class.

    Returns:
        The column in lower case, and ``json``, ``boolean`` or ``type``; ``None`` when it says more.
    """
    while len(tokens) > 2 and tokens[0].text == "(" and tokens[-1].text == ")" and _one_group(tokens):
        tokens = tokens[1:-1]
    words = [token.keyword or token.text for token in tokens]
    for shape, evidence in _SHAPES:
        if (column := shape(tokens, words)) is not None:
            return Implied(column.lower(), evidence)
    return None


def said_by_type(tokens: Tokens, types: Mapping[str, str]) -> bool:
    """Tell whether the type of its column says what a check says.

    Args:
        tokens: The check's expression.
        types: The source's columns in lower case to PostgreSQL's types (``boolean``, ``jsonb``).
    """
    found = implied(tokens)
    if found is None or found.column not in types:
        return False
    named = types[found.column]
    return {"json": named in _JSON, "boolean": named == "boolean"}.get(found.evidence, True)


def _one_group(tokens: Sequence[Token]) -> bool:
    depth = 0
    for token in tokens[:-1]:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return False
    return True


def _json_check(tokens: Tokens, words: list[str]) -> str | None:
    """``JSON_VALID("x") OR "x" IS NULL``, as Django writes it, or its first half alone."""
    if words[:2] != ["JSON_VALID", "("] or len(tokens) < 4 or words[3] != ")":
        return None
    rest = words[4:]
    whole = not rest or (rest[:1] == ["OR"] and rest[2:] == ["IS", "NULL"] and tokens[5].value == tokens[2].value)
    return tokens[2].value if whole else None


def _truth_check(tokens: Tokens, words: list[str]) -> str | None:
    """``x IN (0, 1)``, as SQLAlchemy writes it."""
    listed = [word for word in words[3:-1] if word != ","]
    return tokens[0].value if words[1:3] == ["IN", "("] and sorted(listed) == ["0", "1"] else None


def _class_check(tokens: Tokens, words: list[str]) -> str | None:
    """``typeof(x) = 'integer'``."""
    plain = len(words) == 6 and words[:2] == ["TYPEOF", "("] and words[3] == ")" and words[4] in _EQUAL[:2]
    return tokens[2].value if plain and tokens[5].kind == "text" else None


_SHAPES: tuple[tuple[Callable[[Tokens, list[str]], str | None], str], ...] = (
    (_json_check, "json"),
    (_truth_check, "boolean"),
    (_class_check, "type"),
)
