"""What a draft needs to know of a SQLite schema beyond tables and columns: indexes, checks, collations, actions."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from .draft_profile_ddl import IndexText, ReferenceText, TableText, Tokens, read_index_text, read_table_text
from .source_file import explained
from .source_schema import SourceForeignKey, SourceTable, ask_schema

#: cid in PRAGMA index_xinfo (https://www.sqlite.org/pragma.html#pragma_index_xinfo) of an expression.
_EXPRESSION = -2


@dataclass(frozen=True)
class IndexMember:
    """A column of an index, or an expression (then ``column`` is None); ``collation`` is in capitals."""

    column: str | None
    expression: Tokens
    descending: bool
    collation: str


@dataclass(frozen=True)
class SourceIndex:
    """An index, also one that a UNIQUE or PRIMARY KEY made (then ``origin`` is u or pk, and it has no own name)."""

    name: str
    unique: bool
    origin: str
    members: tuple[IndexMember, ...]
    where: Tokens | None = None

    @property
    def plain_columns(self) -> tuple[str, ...] | None:
        """Its columns when it consists of whole columns of all rows, compared byte by byte; otherwise None."""
        named = tuple(member.column for member in self.members if member.column is not None)
        plain = self.where is None and len(named) == len(self.members)
        return named if plain and all(member.collation == "BINARY" for member in self.members) else None


@dataclass(frozen=True)
class SourceReference:
    """A foreign key in full: its own name (empty without one), and its actions as SQLite spells them (``SET NULL``)."""

    key: SourceForeignKey
    name: str
    on_update: str
    on_delete: str
    deferred: bool


@dataclass(frozen=True)
class TableDetail:
    """A table with all that its text and SQLite's pragmas say.

    Attributes:
        table: What the plan knows of it.
        text: What its own text says.
        indexes: In SQLite's order.
        references: Its foreign keys, in the order of the text.
        numbered: The column that SQLite fills with the row's number (INTEGER PRIMARY KEY); None without one.
    """

    table: SourceTable
    text: TableText
    indexes: tuple[SourceIndex, ...] = ()
    references: tuple[SourceReference, ...] = ()
    numbered: str | None = None
    sql: str = field(default="", repr=False)


def read_detail(connection: sqlite3.Connection, table: SourceTable) -> TableDetail:
    """Read all that the schema says of one table.

    Args:
        connection: From ``open_source``.
        table: From ``read_schema``.

    Raises:
        MigrationError: SQLite cannot tell.
    """
    with explained("the source's schema"):
        query = "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('table', 'index') AND sql NOTNULL"
        texts = {str(name): str(sql) for name, sql in ask_schema(connection, query, [table.name])}
        sql = texts.get(table.name, "")
        text = read_table_text(sql)
        indexes = tuple(_indexes(connection, table, texts))
        return TableDetail(
            table=table,
            text=text,
            indexes=indexes,
            references=tuple(_references(connection, table, text)),
            numbered=_numbered(table, indexes),
            sql=sql,
        )


def read_texts(connection: sqlite3.Connection, kind: str) -> dict[str, str]:
    """Return name to text of the schema's views or triggers.

    Args:
        connection: From ``open_source``.
        kind: ``view`` or ``trigger``.
    """
    query = "SELECT name, sql FROM sqlite_schema WHERE type = ? ORDER BY name"
    return {str(name): str(sql) for name, sql in ask_schema(connection, query, [kind])}


def _indexes(connection: sqlite3.Connection, table: SourceTable, texts: dict[str, str]) -> Iterator[SourceIndex]:
    query = 'SELECT name, "unique", origin FROM pragma_index_list(?) ORDER BY seq DESC'
    for name, unique, origin in ask_schema(connection, query, [table.name]):
        text = read_index_text(texts[str(name)]) if str(name) in texts else IndexText((), None)
        yield SourceIndex(
            name=str(name),
            unique=bool(unique),
            origin=str(origin),
            members=tuple(_members(connection, str(name), text)),
            where=text.where,
        )


def _members(connection: sqlite3.Connection, index: str, text: IndexText) -> Iterator[IndexMember]:
    query = 'SELECT seqno, cid, name, "desc", coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno'
    for place, number, name, descending, collation in ask_schema(connection, query, [index]):
        at = int(str(place))
        expression = text.members[at] if number == _EXPRESSION and at < len(text.members) else ()
        column = None if number == _EXPRESSION or name is None else str(name)
        yield IndexMember(column, expression, bool(descending), str(collation or "BINARY").upper())


def _references(connection: sqlite3.Connection, table: SourceTable, text: TableText) -> Iterator[SourceReference]:
    # One row for each key, numbered backwards like those that the table's own keys were read from.
    query = "SELECT DISTINCT id, on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id DESC"
    rows = ask_schema(connection, query, [table.name])
    unknown = [ReferenceText("", False)] * len(rows)
    told = text.references if len(text.references) == len(rows) else unknown
    for key, (_, on_update, on_delete), said in zip(table.foreign_keys, rows, told, strict=True):
        yield SourceReference(key, said.name, str(on_update), str(on_delete), said.deferred)


def _numbered(table: SourceTable, indexes: tuple[SourceIndex, ...]) -> str | None:
    """Return the column that is the row's number: it has no index of its own (INTEGER PRIMARY KEY DESC has one).

    https://www.sqlite.org/lang_createtable.html#rowids_and_the_integer_primary_key
    """
    if table.without_rowid or len(table.key) != 1 or any(index.origin == "pk" for index in indexes):
        return None
    column = table.column(table.key[0])
    return column.name if column.declared_type.upper() == "INTEGER" else None


def pairs_of(
    details: Mapping[str, TableDetail], child: TableDetail, reference: SourceReference
) -> tuple[tuple[str, str], ...]:
    """Return referring and referred column of a foreign key, as their tables spell them.

    Args:
        details: The tables that there are.
        child: The table that refers.
        reference: One of its foreign keys.

    Returns:
        The pairs; nothing when the parent or one of the columns is not there.
    """
    parent = details.get(reference.key.table)
    if parent is None or len(reference.key.columns) != len(reference.key.referenced_columns):
        return ()
    ours = {column.name.lower(): column.name for column in child.table.columns}
    theirs = {column.name.lower(): column.name for column in parent.table.columns}
    pairs = zip(reference.key.columns, reference.key.referenced_columns, strict=True)
    found = [(ours.get(here.lower()), theirs.get(there.lower())) for here, there in pairs]
    return tuple((here, there) for here, there in found if here and there) if all(map(all, found)) else ()


def is_unique(detail: TableDetail, columns: Collection[str]) -> bool:
    """Tell whether a table's key or a plain uniqueness consists of exactly these columns."""
    wanted = set(columns)
    uniques = (index.plain_columns for index in detail.indexes if index.unique)
    return wanted == set(detail.table.key) or any(wanted == set(each) for each in uniques if each)
