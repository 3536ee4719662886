"""What a SQLite schema says only in its own words: checks, collations, expressions, deferred keys.

SQLite's pragmas tell columns, keys and indexes; the rest stands in the text of ``sqlite_schema`` alone, as whoever made
the table wrote it. It is read by tokens (https://www.sqlite.org/lang_keywords.html, tokenize.c), never by searching,
so that a word in a default or a comment is none of the schema's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|$))
      |(?P<blob>[xX]'[0-9a-fA-F]*')
      |(?P<text>'(?:[^']|'')*')
      |(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      |(?P<word>[^\W\d][\w$]*)
      |(?P<sign>->>|->|\|\||<<|>>|<=|>=|<>|==|!=|.)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTES = {'"': '"', "`": "`", "[": "]", "'": "'"}
_TABLE_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


@dataclass(frozen=True)
class Token:
    """One token: ``kind`` is word, name (in quotes), text, blob, number or sign; ``text`` is as it was written."""

    kind: str
    text: str

    @property
    def keyword(self) -> str:
        """The word in capitals; empty for everything else, also for a name in quotes."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def value(self) -> str:
        """What a name, word or text means, without its quotes."""
        first = self.text[:1]
        if self.kind not in ("name", "text") or first not in _QUOTES:
            return self.text
        last = _QUOTES[first]
        return self.text[1:-1].replace(last * 2, last)


Tokens = tuple[Token, ...]


@dataclass
class ColumnText:
    """What the text says of one column beyond the pragmas; ``collation`` is in capitals, empty without one."""

    name: str
    collation: str = ""
    generated: Tokens | None = None


@dataclass(frozen=True)
class CheckText:
    """A CHECK: its own name (empty without one) and its expression."""

    name: str
    expression: Tokens


@dataclass(frozen=True)
class ReferenceText:
    """A REFERENCES: its own name (empty without one), and whether it waits for the end of a transaction."""

    name: str
    deferred: bool


@dataclass
class TableText:
    """What the text of a table says beyond the pragmas.

    Attributes:
        columns: By their names in lower case.
        checks: All CHECKs, in order.
        references: All REFERENCES, in order.
        autoincrement: Whether a key is never used again.
    """

    columns: dict[str, ColumnText] = field(default_factory=dict)
    checks: list[CheckText] = field(default_factory=list)
    references: list[ReferenceText] = field(default_factory=list)
    autoincrement: bool = False

    def collation(self, column: str) -> str:
        """Return a column's collation in capitals; empty where none is named."""
        found = self.columns.get(column.lower())
        return found.collation if found else ""


@dataclass(frozen=True)
class IndexText:
    """The text of an index: the tokens of each of its members, without ASC and COLLATE, and those of its WHERE."""

    members: tuple[Tokens, ...]
    where: Tokens | None


def tokens_of(text: str) -> Tokens:
    """Split a text into tokens; comments and white space go."""
    found = (match for match in _TOKEN.finditer(text) if match.lastgroup != "space")
    return tuple(Token(str(match.lastgroup), match[0]) for match in found)


def spelled(tokens: Sequence[Token]) -> str:
    """Write tokens as a text again, in one line and readable."""
    text = " ".join(token.text for token in tokens)
    text = re.sub(r"\s+([,).])", r"\1", re.sub(r"([(.])\s+", r"\1", text))
    # A function's name and its parenthesis belong together; AND ( and IN ( do not.
    return re.sub(r"\b(?!(?:AND|OR|NOT|IN|AS|WHEN|THEN|ELSE)\b)(\w+) \(", r"\1(", text, flags=re.IGNORECASE)


def read_table_text(sql: str) -> TableText:
    """Read the text of a CREATE TABLE, as ``sqlite_schema.sql`` has it."""
    found = TableText()
    for part in split_at_commas(_group(tokens_of(sql))):
        if not part:
            continue
        column = None
        if part[0].keyword not in _TABLE_CONSTRAINTS:
            column = ColumnText(part[0].value)
            found.columns[column.name.lower()] = column
        _read_part(part[1:] if column else part, column, found)
    return found


def read_index_text(sql: str) -> IndexText:
    """Read the text of a CREATE INDEX, as ``sqlite_schema.sql`` has it."""
    tokens = tokens_of(sql)
    members = _group(tokens)
    # Names may be spelled like keywords only in quotes, so that the first WHERE outside of parentheses is the clause.
    rest = tokens[_end_of_group(tokens) :]
    where = next((rest[at + 1 :] for at, token in enumerate(rest) if token.keyword == "WHERE"), None)
    return IndexText(tuple(_bare_member(part) for part in split_at_commas(members)), where)


def split_at_commas(tokens: Sequence[Token]) -> list[Tokens]:
    """Split a list at its own commas, not at those within parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def _group(tokens: Sequence[Token]) -> Tokens:
    """Return what stands in the first parentheses."""
    first = next((at for at, token in enumerate(tokens) if token.text == "(" and token.kind == "sign"), len(tokens))
    return tuple(tokens[first + 1 : _end_of_group(tokens) - 1])


def _end_of_group(tokens: Sequence[Token], start: int = 0) -> int:
    """Return the place after the parenthesis that ends the first group from ``start``."""
    depth = 0
    for at in range(start, len(tokens)):
        if tokens[at].kind == "sign":
            depth += (tokens[at].text == "(") - (tokens[at].text == ")")
            if depth == 0 and tokens[at].text == ")":
                return at + 1
    return len(tokens)


def _read_part(part: Sequence[Token], column: ColumnText | None, found: TableText) -> None:
    """Read one column's definition or one constraint of the table."""
    name = ""
    for at, token in _outside(part):
        following = part[at + 1] if at + 1 < len(part) else None
        if token.keyword == "CONSTRAINT" and following:
            name = following.value
        elif token.keyword == "CHECK":
            found.checks.append(CheckText(name, _group(part[at:])))
            name = ""
        elif token.keyword == "AUTOINCREMENT":
            found.autoincrement = True
        elif token.keyword == "REFERENCES":
            found.references.append(ReferenceText(name, _is_deferred(part[at:])))
            name = ""
        elif token.keyword == "COLLATE" and column and following:
            column.collation = following.value.upper()
        elif token.keyword == "AS" and column and following and following.text == "(":
            column.generated = _group(part[at:])


def _is_deferred(tokens: Sequence[Token]) -> bool:
    """Tell whether a REFERENCES clause says DEFERRABLE INITIALLY DEFERRED; the next clause is another one's."""
    words = [token.keyword for _, token in _outside(tokens)]
    stop = next((at for at, word in enumerate(words) if at and word in ("REFERENCES", "CHECK")), len(words))
    text = " ".join(words[:stop])
    return "DEFERRABLE INITIALLY DEFERRED" in text and "NOT DEFERRABLE" not in text


def _outside(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """Yield the tokens that stand in no parentheses, with their places."""
    depth = 0
    for at, token in enumerate(tokens):
        if token.kind == "sign":
            depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            yield at, token


def _bare_member(part: Tokens) -> Tokens:
    """Return a member of an index without its collation and direction, which the pragma tells."""
    end = len(part)
    while end > 1 and part[end - 1].keyword in ("ASC", "DESC"):
        end -= 1
    if end > 2 and part[end - 2].keyword == "COLLATE":
        end -= 2
    return part[:end]
