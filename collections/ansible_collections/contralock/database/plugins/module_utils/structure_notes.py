"""Says what the source's own schema promises and the target's does not.

NOT NULL, DEFAULTs, uniqueness (of some rows and of expressions, too), CHECKs, indexes, references. None of it is a
fault: a profile may mean it so, and names and shapes differ on purpose. But the operator is told. No loss are a CHECK
that only says what the target's type says, an index whose first column is the first of another one, and an index of
whole JSON documents, which finds none of their parts.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from .conversion_base import shortened
from .draft_profile_ddl import Tokens, spelled, tokens_of
from .draft_profile_expressions import Known, said_by_type, translate
from .draft_profile_source import IndexMember, SourceIndex, TableDetail, read_detail
from .errors import MigrationError
from .index_promises import Expression, Keys, Member, columns_named, form_of, keys_of_target
from .indexed_lengths import columns_as_spelled
from .plan import Plan, TablePlan
from .run_step import counted
from .source_file import explained, quote_identifier, table_of_source
from .source_schema import SourceColumn, ask_schema

#: SQLite's collations that call different texts equal (https://www.sqlite.org/datatype3.html#collation): what they
#: leave out of account, and the functions that do.
_IGNORED: Mapping[str, str] = {"NOCASE": "case", "RTRIM": "blanks at the end"}
_FOLDING: Mapping[str, tuple[str, ...]] = {"NOCASE": ("lower", "upper"), "RTRIM": ("rtrim",)}
_TEXTS = ("text", "varchar")
_NULL = re.compile(r"[\s(]*NULL[\s)]*", re.IGNORECASE)
#: Of the first value of a column: object, array or another type of JSON; NULL when it is none.
_DOCUMENT = """
SELECT CASE WHEN typeof(value) = 'text' AND json_valid(value) THEN json_type(value) END
  FROM (SELECT {column} AS value FROM {table} WHERE {column} <> '' LIMIT 1)"""


def source_notes(source: sqlite3.Connection, plan: Plan) -> list[str]:
    """Say what the source declares and the target does not.

    Args:
        source: From ``open_source``.
        plan: What is carried.

    Raises:
        MigrationError: The source cannot be read.
    """
    return [f"{table.target}: {note}" for table in plan.tables for note in _Declared(source, plan, table).notes()]


@dataclass(frozen=True)
class _Declared:
    """What a table of the source declares, against the target's."""

    source: sqlite3.Connection
    plan: Plan
    table: TablePlan

    def notes(self) -> Iterator[str]:
        yield from self._columns()
        try:
            detail = read_detail(self.source, self.table.source)
        except MigrationError as error:
            # The plan knows what is compared: no proof fails for a comment in Latin-1.
            yield f"its indexes and CHECKs in the source were not held against the target's: {error.fact}"
        else:
            yield from self._uniqueness(detail)
            yield from self._indexes(detail)
            yield from self._checks(detail)
        for columns, parent in self._references():
            yield f"refers to {parent} in the source, and to nothing in the target: {', '.join(columns)}"

    def _columns(self) -> Iterator[str]:
        pairs = [(self.table.source.column(each.source), each.target) for each in self.table.columns]
        optional = [target.name for source, target in pairs if source.not_null and not target.not_null]
        if optional:
            yield f"NOT NULL in the source, and may be NULL in the target: {', '.join(optional)}"
        filled = [target for source, target in pairs if _has_default(source)]
        empty = [target.name for target in filled if target.default is None and not target.identity]
        if empty:
            yield f"has a DEFAULT in the source, and none in the target: {', '.join(empty)}"

    def _uniqueness(self, detail: TableDetail) -> Iterator[str]:
        unique = [keys for keys, is_unique in self._kept if is_unique]
        for promise in self._unique(detail):
            judged = [(keys, promise.unique_by(keys)) for keys in unique]
            found = [keys for keys, is_same in judged if is_same]
            unsure = ", ".join(keys.name for keys, is_same in judged if is_same is None)
            if not found and unsure:
                yield f"unique in the source, and it cannot be told whether {unsure} says the same: {promise.shown}"
            elif not found:
                yield f"unique in the source, and not in the target: {promise.shown}"
            elif weaker := min((self._weaker(keys, promise) for keys in found), key=len):
                ignored = " and ".join(weaker)
                yield f"unique without regard to {ignored} in the source, and with it in the target: {promise.shown}"

    def _unique(self, detail: TableDetail) -> list[Keys]:
        """Return each uniqueness of what is carried once."""
        found = {keys for index in detail.indexes if index.unique and (keys := self._keys(detail, index))}
        # An INTEGER PRIMARY KEY has no index.
        own = tuple(Member(self._carried.get(name.lower(), "")) for name in self.table.source.key)
        columns = {member.column for member in own}
        whole = [{member.column for member in keys.members} for keys in found if keys.where is None]
        if own and all(columns) and columns not in whole:
            found.add(Keys(own))
        return sorted(found, key=lambda keys: (keys.shown, [member.under for member in keys.members]))

    def _weaker(self, keys: Keys, promise: Keys) -> list[str]:
        """Say what a uniqueness of the target tells apart, and that of the source does not."""
        types = {each.name: each.type_name for each in self.plan.catalog.columns_of(self.table.target)}
        collations = {each.column: each.under for each in promise.members if each.column}
        return [
            _IGNORED[collations[each.column]]
            for each in keys.members
            if collations.get(each.column, "") in _IGNORED
            and types[each.column] in _TEXTS
            and each.under not in _FOLDING[collations[each.column]]
        ]

    def _indexes(self, detail: TableDetail) -> Iterator[str]:
        missing: dict[str, None] = {}
        for index in detail.indexes:
            first = None if index.unique else self._member(detail, index.members[0])
            if first is None:
                continue
            # One of some rows finds the others no more.
            serving = [keys for keys, _ in self._kept if keys.where is None or index.where is not None]
            judged = [(keys.name, _begins_with(keys, first)) for keys in serving]
            unsure = ", ".join(name for name, is_same in judged if is_same is None)
            if any(is_same for _, is_same in judged) or self._holds_documents(first):
                continue
            if unsure:
                yield f"first in an index of the source, and it cannot be told whether in {unsure}: {first.shown}"
            else:
                missing[first.shown] = None
        if missing:
            yield f"first in an index of the source, and in none of the target: {', '.join(missing)}"

    def _holds_documents(self, member: Member) -> bool:
        """Tell whether a column holds JSON documents, so far as its first value tells; a text without one may."""
        columns = [each for each in self.table.columns if each.target.name == member.column]
        if member.expression is not None or not columns:
            return False
        table = self.table.source.name
        column = f"{quote_identifier(table)}.{quote_identifier(columns[0].source)}"
        with explained(table_of_source(table)):
            found = ask_schema(self.source, _DOCUMENT.format(column=column, table=quote_identifier(table)))
        return found in ([("object",)], [("array",)]) or (not found and columns[0].target.type_name == "text")

    def _checks(self, detail: TableDetail) -> Iterator[str]:
        expressions = [check.expression for check in detail.text.checks]
        said = [each for each in expressions if self._is_carried(each) and not self._is_of_type(each)]
        constraints = self.plan.catalog.constraints
        kept = sum(each.kind == "check" and each.table == self.table.target for each in constraints)
        if kept < len(said):
            texts = "; ".join(shortened(f"CHECK ({spelled(each)})") for each in said)
            yield f"{counted(len(said), 'CHECK')} in the source, {kept or 'none'} in the target: {texts}"

    def _is_of_type(self, check: Tokens) -> bool:
        """Tell whether the type of its column says what a check says; also an enumeration, of a list of texts."""
        types = {each.source.lower(): each.target for each in self.table.columns}
        if said_by_type(check, {name: column.type for name, column in types.items()}):
            return True
        column = types.get(check[0].value.lower()) if check else None
        if column is None or [each.keyword or each.text for each in check[1:3]] != ["IN", "("]:
            return False
        listed = {each.value for each in check[3:-1] if each.kind == "text"}
        enums = self.plan.catalog.enums
        labels = [each.labels for each in enums if (each.schema, each.name) == (column.type_schema, column.type_name)]
        return bool(labels) and listed.issuperset(labels[0]) and check[-1].text == ")"

    def _references(self) -> Iterator[tuple[tuple[str, ...], str]]:
        targets = {table.source.name: table.target for table in self.plan.tables}
        kept = {
            (frozenset(each.columns), each.referenced_table)
            for each in self.plan.catalog.constraints
            if each.kind == "foreign key" and each.table == self.table.target
        }
        for key in self.table.source.foreign_keys:
            names = [self._carried.get(column.lower(), "") for column in key.columns]
            parent = targets.get(key.table)
            if all(names) and parent and (frozenset(names), parent) not in kept:
                yield tuple(names), parent

    @cached_property
    def _carried(self) -> Mapping[str, str]:
        """Source columns in lower case to the target's."""
        carried = (*self.table.columns, *self.table.computed)
        return {column.source.lower(): column.target.name for column in carried}

    @cached_property
    def _kept(self) -> list[tuple[Keys, bool]]:
        """What the target's indexes say, and whether that is unique."""
        names = columns_as_spelled(self.table.target, self.plan.catalog)
        ours = [index for index in self.plan.catalog.indexes if index.table == self.table.target]
        return [(keys_of_target(index, names), index.unique) for index in ours]

    def _keys(self, detail: TableDetail, index: SourceIndex) -> Keys | None:
        """Return what an index of the source says; None when some of it is not carried."""
        members = [self._member(detail, member) for member in index.members]
        where = None if index.where is None else self._expression(detail, index.where)
        if None in members or (index.where is not None and where is None):
            return None
        return Keys(tuple(member for member in members if member), where)

    def _member(self, detail: TableDetail, member: IndexMember) -> Member | None:
        if member.column is None:
            expression = self._expression(detail, member.expression)
            return Member("", expression=expression) if expression else None
        name = self._carried.get(member.column.lower())
        return Member(name, member.collation) if name else None

    def _expression(self, detail: TableDetail, tokens: Tokens) -> Expression | None:
        if not self._is_carried(tokens):
            return None
        types = {each.target.name: each.target.type_name for each in self.table.columns}
        known = {
            source: Known(
                quote_identifier(target),
                boolean=types.get(target) == "bool",
                folded=detail.text.collation(source) not in ("", "BINARY"),
            )
            for source, target in self._carried.items()
        }
        named = {name.lower() for name in columns_named(tokens)}
        columns = frozenset(target for source, target in self._carried.items() if source in named)
        said = translate(tokens, known)
        return Expression(shortened(spelled(tokens)), columns, form_of(tokens_of(said)) if said else ())

    def _is_carried(self, tokens: Tokens) -> bool:
        """Tell whether all columns that an expression names are carried."""
        ours = {column.name.lower() for column in self.table.source.columns}
        return ours.intersection(name.lower() for name in columns_named(tokens)) <= self._carried.keys()


def _begins_with(keys: Keys, first: Member) -> bool | None:
    """Tell whether an index of the target begins with what one of the source does; ``None`` when it cannot be told."""
    other = keys.members[0]
    if first.expression is None:
        # A function of a column finds it only where SQLite's collation does the same.
        return other.column == first.column and (not other.under or first.under in _IGNORED)
    return first.expression.same(other.expression) if other.expression else False


def _has_default(column: SourceColumn) -> bool:
    return column.default is not None and not _NULL.fullmatch(column.default)
