"""Makes the constraints and indexes of a draft: what is surely the same on PostgreSQL; the rest becomes a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .conversion_base import shortened
from .draft_profile_columns import TEXTS, known_columns
from .draft_profile_ddl import Tokens, spelled
from .draft_profile_expressions import Known, folds, orders, said_by_type, translate
from .draft_profile_links import Place, can_be_joined
from .draft_profile_model import Draft, DraftTable, Piece, PieceKind
from .draft_profile_names import FreeNames
from .draft_profile_source import IndexMember, SourceIndex, SourceReference, TableDetail, is_unique, pairs_of
from .draft_profile_study import Choice, Study

#: A B-tree of PostgreSQL takes no longer entry (BTMaxItemSize with pages of 8 KB, in bytes).
_LONGEST_ENTRY = 2700
_ASCII_ONLY = 'in SQLite lower() and upper() know ASCII letters only, as they do in the collation "C"'
_BY_BYTES = 'SQLite orders texts by their bytes, as the collation "C" does'
_SAID_AGAIN = "a query finds the index when it says the same"


class PieceMaker:
    """Makes the pieces, table by table.

    Args:
        draft: Has the columns of all tables; gets the questions.
        free: The schema's names.
        details: The source's tables.
        studies: What their columns hold.
        choices: What was chosen for them.
    """

    def __init__(
        self,
        draft: Draft,
        free: FreeNames,
        details: Mapping[str, TableDetail],
        studies: Mapping[Place, Study],
        choices: Mapping[Place, Choice],
    ) -> None:
        self._draft = draft
        self._free = free
        self._details = details
        self._studies = studies
        self._choices = choices
        self._targets = {(table.source, column.source): column for table in draft.tables for column in table.columns}

    def make(self, table: DraftTable) -> None:
        """Give a table its key and its pieces."""
        detail = self._details[table.source]
        known = known_columns(detail, table.columns, self._draft)
        table.key = self._names(table, detail.table.key)
        if table.key:
            table.key_name = self._free.take(f"{table.target}_pkey")
        table.pieces += self._indexes(table, detail, known)
        table.pieces += self._checks(table, detail, known)
        table.pieces += self._foreign_keys(table, detail)
        table.remarks += _remarks(detail)

    def _indexes(self, table: DraftTable, detail: TableDetail, known: Mapping[str, Known]) -> Iterator[Piece]:
        seen: dict[tuple[object, ...], str] = {("key", frozenset(table.key)): "the primary key"}
        for index in detail.indexes:
            if index.origin == "pk" and index.plain_columns is not None:
                continue
            place = index.name if index.origin == "c" else table.source
            body = self._index_body(table, index, known)
            if body is None:
                said = f"the index {index.name} on {_members_text(index)} is not taken over"
                self._draft.ask(table.source, f"{said}: say it in PostgreSQL's words")
                continue
            if too_long := self._too_long(table, index):
                self._draft.ask(
                    table.source,
                    f"the index {index.name} is not taken over: {too_long} holds texts that are too long for one",
                )
                continue
            plain = self._names(table, index.plain_columns or ())
            if double := _double_of(index, plain, body, seen):
                said = shortened(index.name) if index.origin == "c" else f"UNIQUE {body}"
                table.remarks.append(f"{said} is left out: {double} does the same")
            elif index.origin == "u" and plain:
                name = self._free.take(f"{table.target}_{'_'.join(plain)}_key")
                yield Piece(PieceKind.UNIQUE, table.target, name, f"UNIQUE {self._listed(plain)}", place=table.source)
            else:
                yield self._index(table, index, known, body, place)

    def _index(self, table: DraftTable, index: SourceIndex, known: Mapping[str, Known], body: str, place: str) -> Piece:
        columns = self._names(table, [member.column for member in index.members if member.column])
        name = self._free.take(index.name if index.origin == "c" else "_".join([table.target, *columns, "key"]))
        unique = "UNIQUE " if index.unique else ""
        statement = f"CREATE {unique}INDEX {self._draft.quote(name)} ON {self._draft.quote(table.target)} {body}"
        folded = any(member.collation == "NOCASE" for member in index.members)
        reasons = ["blind to the case of ASCII letters, as NOCASE is"] if folded else []
        reasons += _reasons([index.where or (), *(member.expression for member in index.members)], known)
        reasons += [_SAID_AGAIN] if reasons[folded:] else []
        return Piece(PieceKind.INDEX, table.target, name, statement, "; ".join(reasons), table.source, place)

    def _index_body(self, table: DraftTable, index: SourceIndex, known: Mapping[str, Known]) -> str | None:
        """Return the members and the WHERE of an index; None when they cannot be said."""
        members = [self._member(table, member, known) for member in index.members]
        where = None if index.where is None else translate(index.where, known)
        if None in members or (index.where is not None and where is None):
            return None
        listed = ", ".join(member for member in members if member is not None)
        return f"({listed})" + (f" WHERE {where}" if where else "")

    def _member(self, table: DraftTable, member: IndexMember, known: Mapping[str, Known]) -> str | None:
        if member.column is None:
            expression = translate(member.expression, known)
            text = None if expression is None else f"({expression})"
        else:
            column = self._targets[table.source, member.column]
            text = self._draft.quote(column.target)
            if column.type.partition("(")[0] in TEXTS:
                # In the collation "C" lower() knows the letters of ASCII only, as NOCASE does.
                folds = {"NOCASE": f'lower({text} COLLATE "C")', "RTRIM": f"rtrim({text})"}
                text = folds.get(member.collation, text)
        return f"{text} DESC" if text and member.descending else text

    def _too_long(self, table: DraftTable, index: SourceIndex) -> str:
        """Return the column of an index that has texts which no index holds."""
        columns = (member.column for member in index.members if member.column)
        return next((name for name in columns if self._studies[table.source, name].longest > _LONGEST_ENTRY), "")

    def _checks(self, table: DraftTable, detail: TableDetail, known: Mapping[str, Known]) -> Iterator[Piece]:
        for check in detail.text.checks:
            if said_by_type(check.expression, {column.source.lower(): column.type for column in table.columns}):
                continue
            expression = translate(check.expression, known)
            said = shortened(spelled(check.expression))
            if expression is None:
                self._draft.ask(table.source, f"CHECK ({said}) is not taken over: say it in PostgreSQL's words")
                continue
            named = [known[token.value.lower()] for token in check.expression if token.value.lower() in known]
            columns = [column.target for column in table.columns if self._draft.quote(column.target) in _targets(named)]
            name = self._free.take(check.name or "_".join([table.target, *columns[:1], "check"]))
            yield Piece(
                PieceKind.CHECK,
                table.target,
                name,
                f"CHECK ({expression})",
                "; ".join(_reasons([check.expression], known)),
                place=table.source,
                source=f"CHECK ({said})",
            )

    def _foreign_keys(self, table: DraftTable, detail: TableDetail) -> Iterator[Piece]:
        for reference in detail.references:
            said = f"{', '.join(reference.key.columns)} refers to {reference.key.table}"
            fault = self._fault(table, detail, reference)
            if fault:
                self._draft.ask(table.source, f"the foreign key {shortened(said)} is not taken over: {fault}")
                continue
            pairs = pairs_of(self._details, detail, reference)
            columns = self._names(table, [here for here, _ in pairs])
            parent = next(each for each in self._draft.tables if each.source == reference.key.table)
            referred = self._names(parent, [there for _, there in pairs])
            body = f"FOREIGN KEY {self._listed(columns)} REFERENCES {self._draft.quote(parent.target)} "
            body += " ".join([self._listed(referred), *_actions(reference)])
            name = self._free.take(reference.name or f"{table.target}_{'_'.join(columns)}_fkey")
            yield Piece(PieceKind.FOREIGN_KEY, table.target, name, body, place=table.source, source=said)

    def _fault(self, table: DraftTable, detail: TableDetail, reference: SourceReference) -> str:
        """Say what keeps a foreign key from being one on PostgreSQL; empty when nothing does."""
        if reference.key.table in self._draft.left_behind:
            return "that table stays behind"
        pairs = pairs_of(self._details, detail, reference)
        if not pairs:
            return "that table, or a column of the key, is not there"
        parent = reference.key.table
        if not is_unique(self._details[parent], [there for _, there in pairs]):
            return "these columns are not unique there byte by byte"
        choices = [(self._choices[table.source, here], self._choices[parent, there]) for here, there in pairs]
        if not all(can_be_joined(one, other) for one, other in choices):
            return "the two sides hold different kinds of values"
        computed = [self._targets[table.source, here].generated for here, _ in pairs]
        return "PostgreSQL computes the column" if any(computed) else ""

    def _names(self, table: DraftTable, columns: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._targets[table.source, column].target for column in columns)

    def _listed(self, names: Iterable[str]) -> str:
        return f"({', '.join(map(self._draft.quote, names))})"


def _reasons(expressions: Iterable[Tokens], known: Mapping[str, Known]) -> list[str]:
    """Return why expressions name a collation."""
    every = list(expressions)
    reasons = [_ASCII_ONLY] if any(map(folds, every)) else []
    return reasons + ([_BY_BYTES] if any(orders(each, known) for each in every) else [])


def _double_of(index: SourceIndex, plain: tuple[str, ...], body: str, seen: dict[tuple[object, ...], str]) -> str:
    """Return what does the same as an index already; note the index otherwise."""
    if index.unique and plain and (found := seen.get(("key", frozenset(plain)))):
        return found
    if found := seen.get(("body", body)):
        # A unique index does what another on the same columns does, not the other way round.
        return "" if index.unique else found
    name = f"the index {index.name}" if index.origin == "c" else f"UNIQUE {body}"
    if index.unique and plain:
        seen["key", frozenset(plain)] = name
    seen["body", body] = name
    return ""


def _members_text(index: SourceIndex) -> str:
    """Return the members and the WHERE of an index as SQLite has them."""
    members = [member.column or spelled(member.expression) for member in index.members]
    where = "" if index.where is None else f" WHERE {spelled(index.where)}"
    return shortened(f"({', '.join(members)}){where}")


def _targets(known: Iterable[Known]) -> set[str]:
    return {each.target for each in known}


def _actions(reference: SourceReference) -> Iterator[str]:
    for event, action in (("UPDATE", reference.on_update), ("DELETE", reference.on_delete)):
        if action in ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"):
            yield f"ON {event} {action}"
    if reference.deferred:
        yield "DEFERRABLE INITIALLY DEFERRED"


def _remarks(detail: TableDetail) -> Iterator[str]:
    if detail.table.without_rowid:
        yield "WITHOUT ROWID in SQLite, which means nothing here"
    if detail.table.strict:
        yield "STRICT in SQLite, as every table is here"
    if detail.text.autoincrement:
        yield "AUTOINCREMENT in SQLite: a key that was deleted is never given out again, here neither"
