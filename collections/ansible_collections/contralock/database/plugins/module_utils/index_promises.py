"""What an index promises, in a form in which one of SQLite can be held against one of PostgreSQL.

Columns are easy. Expressions and the WHERE of an index are held word by word, in PostgreSQL's spelling: what a draft
would write of SQLite's (``draft_profile_expressions.py``) against what PostgreSQL says of its own, without the
parentheses, casts and collations that it adds. Where these may have meant something, and where the words differ though
the columns are the same, nothing is claimed: it cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .catalog import Index
from .draft_profile_ddl import Token, Tokens, read_index_text, tokens_of

#: A function of one text, as PostgreSQL spells it in an index: lower(((name)::text COLLATE "C")).
_FUNCTION = re.compile(
    r"""(?P<function>lower|upper|rtrim)\(\(*(?P<column>"(?:[^"]|"")+"|\w+)\)*(?:::(?:text|character\ varying)\)*)?
        (?:\ COLLATE\ [^()]+\)*)?\)""",
    re.VERBOSE,
)
#: As ruleutils.c writes them: '-1'::integer; ::character varying(9)[]; = ANY (ARRAY['a', 'b']).
_NUMBER = re.compile(r"'(-?\d+(?:\.\d+)?)'::(?:smallint|integer|bigint|numeric|real|double precision)\b")
_CAST = re.compile(
    r"""::(?:character\ varying|double\ precision|bit\ varying|(?:timestamp|time)(?:\(\d\))?\ with(?:out)?\ time\ zone
        |(?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))*)(?:\([\d,\ ]+\))?(?:\[\])*""",
    re.VERBOSE,
)
_ANY = re.compile(r"= ANY (\(+)ARRAY\[")
_NONE = re.compile(r"<> ALL (\(+)ARRAY\[")
#: Words before a parenthesis that is no function's.
_NO_FUNCTIONS = ("AND", "OR", "NOT", "IN", "AS", "IS", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE")
_SIGNS = ("+", "-", "*", "/", "%", "||")


@dataclass(frozen=True)
class Expression:
    """An expression over the columns of a table.

    Attributes:
        shown: As its own side spells it.
        columns: The target's names of the columns in it.
        form: Its words in PostgreSQL's spelling; empty when it cannot be held against others.
    """

    shown: str
    columns: frozenset[str]
    form: tuple[str, ...] = ()

    def same(self, other: Expression) -> bool | None:
        """Tell whether two say the same; ``None`` when it cannot be told."""
        if self.form and self.form == other.form:
            return True
        return None if self.columns == other.columns else False


@dataclass(frozen=True)
class Member:
    """A member of an index.

    Attributes:
        column: The target's name of the column that it is, or is a function of; empty for another expression.
        under: SQLite's collation of the column; or PostgreSQL's function of it.
        expression: All that it says; ``None`` for a column itself.
    """

    column: str
    under: str = ""
    expression: Expression | None = None

    @property
    def shown(self) -> str:
        """The member as its own side spells it."""
        return self.expression.shown if self.expression else self.column


@dataclass(frozen=True)
class Keys:
    """The members of an index, and its WHERE; ``name`` is empty where it does not matter."""

    members: tuple[Member, ...]
    where: Expression | None = None
    name: str = ""

    @property
    def shown(self) -> str:
        """The keys as their own side spells them."""
        listed = ", ".join(member.shown for member in self.members)
        return f"{listed} WHERE {self.where.shown}" if self.where else listed

    def unique_by(self, other: Keys) -> bool | None:
        """Tell whether rows are unique by these keys of the source where they are by others of the target.

        Returns:
            ``None`` when it cannot be told. Collations and functions of a column are left out of account.
        """
        found = [self._has(member) for member in other.members]
        if other.where is not None:
            found.append(self.where.same(other.where) if self.where else False)
        if False in found:
            return False
        return None if None in found else True

    def _has(self, other: Member) -> bool | None:
        columns = {member.column for member in self.members if member.column}
        if other.column in columns:
            return True
        if other.expression is None:
            return False
        expressions = [member.expression for member in self.members if member.expression]
        if any(each.same(other.expression) for each in expressions):
            return True
        named = columns.union(*(each.columns for each in expressions))
        return None if other.expression.columns <= named else False


def keys_of_target(index: Index, spelled: Mapping[str, str]) -> Keys:
    """Return what an index of the target says.

    Args:
        index: From the catalog.
        spelled: See ``columns_as_spelled``.
    """
    names = frozenset(spelled.values())
    members = []
    for text in index.columns:
        computed = _FUNCTION.fullmatch(text)
        column = spelled.get(computed["column"] if computed else text, "")
        if column and not computed:
            members.append(Member(column))
        else:
            expression = _of_target(tokens_of(_without_casts(text)), text, names)
            members.append(Member(column, computed["function"] if computed else "", expression))
    where = read_index_text(_without_casts(index.text)).where if index.partial else None
    return Keys(tuple(members), None if where is None else _of_target(where, "", names), index.name)


def columns_named(tokens: Sequence[Token]) -> Iterator[str]:
    """Yield what may be the names of columns in an expression: words and names, but those of functions."""
    for token, following in zip(tokens, [*tokens[1:], Token("sign", "")], strict=False):
        if token.kind in ("word", "name") and following.text != "(":
            yield token.value


def form_of(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Return the words of an expression in PostgreSQL's spelling, without collations and parentheses.

    Returns:
        Nothing when parentheses may have meant something. Those of a function's arguments stay.
    """
    words: list[str] = []
    calls: list[bool] = []
    for before, token in zip([Token("sign", ""), *tokens], tokens, strict=False):
        if "COLLATE" in (before.keyword, token.keyword):
            continue
        kept = True
        if (token.kind, token.text) == ("sign", "("):
            calls.append(before.kind == "word" and before.keyword not in _NO_FUNCTIONS)
            kept = calls[-1]
        elif (token.kind, token.text) == ("sign", ")"):
            kept = calls.pop() if calls else False
        if kept:
            words.append(_word(token))
    return () if _is_grouped(words) else tuple(words)


def _word(token: Token) -> str:
    if token.kind == "word":
        return token.text.lower()
    return token.value if token.kind == "name" else token.text


def _is_grouped(words: Sequence[str]) -> bool:
    """Tell whether the words may mean something else with other parentheses."""
    joining = {"and", "or"}.intersection(words)
    if any(_is_not(words, at) for at in range(len(words))):
        joining.add("not")
    signs = [word for word in words if word in _SIGNS]
    return len(joining) > 1 or len(set(signs)) > 1 or signs.count("-") > 1


def _is_not(words: Sequence[str], at: int) -> bool:
    """Tell whether a word is the NOT of a whole condition, not that of IS NOT NULL and NOT IN."""
    return words[at] == "not" and "is" not in words[at - 1 : at] and "in" not in words[at + 1 : at + 2]


def _of_target(tokens: Tokens, shown: str, names: frozenset[str]) -> Expression:
    return Expression(shown, names.intersection(columns_named(tokens)), form_of(tokens))


def _without_casts(text: str) -> str:
    """Return PostgreSQL's text of an expression or index as whoever wrote it may have written it."""
    text = _CAST.sub("", _NUMBER.sub(r"\1", text))
    listed = _NONE.sub(r"NOT IN \1", _ANY.sub(r"IN \1", text))
    return listed if listed == text else listed.replace("]", "")
