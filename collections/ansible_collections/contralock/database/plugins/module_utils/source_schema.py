"""What a SQLite database consists of, as SQLite itself says it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import MigrationError, quoted
from .source_file import explained, quote_identifier, table_of_source

#: hidden in PRAGMA table_xinfo (https://www.sqlite.org/pragma.html#pragma_table_xinfo): 2 and 3 are generated columns,
#: virtual and stored; 1 are hidden columns of a virtual table, which is refused.
_GENERATED = (2, 3)


@dataclass(frozen=True)
class SourceColumn:
    """A column of a table.

    Attributes:
        name: As the schema spells it.
        declared_type: Its words after the name, such as ``VARCHAR(255)``; empty without any.
        not_null: Whether NOT NULL is declared. A primary key alone does not imply it in SQLite.
        default: The text of its DEFAULT as SQL, None without one.
        key_position: Its place in the declared primary key from 1; 0 outside of it.
        generated: Whether SQLite computes it.
    """

    name: str
    declared_type: str
    not_null: bool
    default: str | None
    key_position: int
    generated: bool


@dataclass(frozen=True)
class SourceForeignKey:
    """A declared reference; without named columns it means the parent's primary key, which is then filled in."""

    columns: tuple[str, ...]
    table: str
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True)
class SourceTable:
    """A table; ``key`` is the declared primary key in its order, ``rows`` how many there were when it was read."""

    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    rows: int
    foreign_keys: tuple[SourceForeignKey, ...] = ()
    without_rowid: bool = False
    strict: bool = False

    def column(self, name: str) -> SourceColumn:
        """Return a column by its exact name.

        Raises:
            KeyError: There is none.
        """
        return {column.name: column for column in self.columns}[name]


@dataclass(frozen=True)
class SourceSchema:
    """Tables, views and triggers, each ordered by name; a trigger's name is followed by its table's."""

    tables: tuple[SourceTable, ...]
    views: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()

    def table(self, name: str) -> SourceTable:
        """Return a table by its exact name.

        Raises:
            KeyError: There is none.
        """
        return {table.name: table for table in self.tables}[name]


def read_schema(connection: sqlite3.Connection) -> SourceSchema:
    """Read the schema of a database, and count each table's rows.

    SQLite's own tables (``sqlite_sequence``, ``sqlite_stat1``, ...) are left out: they are not the application's.

    Args:
        connection: From ``open_source``.

    Raises:
        MigrationError: There is no table, a table is virtual, or a name is no UTF-8.
    """
    with explained("the source's schema"):
        listed = ask_schema(connection, "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main'")
        own = sorted(row for row in listed if not str(row[0]).lower().startswith("sqlite_"))
        if virtual := [str(row[0]) for row in own if row[1] == "virtual"]:
            raise MigrationError(
                f"the source has virtual tables, which are not moved: {', '.join(map(repr, virtual))}",
                "Drop them, with the extension that made them loaded, and make their like in PostgreSQL",
            )
        tables = [row for row in own if row[1] == "table"]
        if not tables:
            raise MigrationError("the source has no tables", "Name the SQLite file that the application uses")
        keys = {str(name): _columns(connection, str(name)) for name, *_ in tables}
        return SourceSchema(
            tables=tuple(
                SourceTable(
                    name=str(name),
                    columns=keys[str(name)],
                    key=_key(keys[str(name)]),
                    rows=_count(connection, str(name)),
                    foreign_keys=tuple(_foreign_keys(connection, str(name), keys)),
                    without_rowid=bool(without_rowid),
                    strict=bool(strict),
                )
                for name, _, without_rowid, strict in tables
            ),
            views=tuple(str(row[0]) for row in own if row[1] == "view"),
            triggers=tuple(
                f"{name} on {table}"
                for name, table in ask_schema(
                    connection, "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"
                )
            ),
        )


def _columns(connection: sqlite3.Connection, table: str) -> tuple[SourceColumn, ...]:
    query = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid'
    return tuple(
        SourceColumn(
            name=str(name),
            declared_type=str(declared_type),
            not_null=bool(not_null),
            default=None if default is None else str(default),
            key_position=int(str(key_position)),
            generated=hidden in _GENERATED,
        )
        for name, declared_type, not_null, default, key_position, hidden in ask_schema(connection, query, [table])
    )


def _key(columns: Iterable[SourceColumn]) -> tuple[str, ...]:
    members = [column for column in columns if column.key_position]
    return tuple(column.name for column in sorted(members, key=lambda column: column.key_position))


def _foreign_keys(
    connection: sqlite3.Connection, table: str, tables: dict[str, tuple[SourceColumn, ...]]
) -> Iterable[SourceForeignKey]:
    # SQLite numbers them backwards, and finds tables and columns without regard to case.
    spelled = {name.lower(): name for name in tables}
    query = 'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq'
    links: dict[object, list[tuple[str, str, str | None]]] = {}
    for number, parent, column, referenced in ask_schema(connection, query, [table]):
        found = spelled.get(str(parent).lower(), str(parent))
        links.setdefault(number, []).append((found, str(column), None if referenced is None else str(referenced)))
    for pairs in links.values():
        parent = pairs[0][0]
        named = tuple(referenced for _, _, referenced in pairs if referenced is not None)
        yield SourceForeignKey(
            columns=tuple(column for _, column, _ in pairs),
            table=parent,
            referenced_columns=named or _key(tables.get(parent, ())),
        )


def _count(connection: sqlite3.Connection, table: str) -> int:
    with explained(table_of_source(table)):
        ((count,),) = connection.execute(f"SELECT count(*) FROM {quote_identifier(table)}").fetchall()
    return int(count)


def ask_schema(connection: sqlite3.Connection, query: str, parameters: Sequence[str] = ()) -> list[tuple[object, ...]]:
    """Ask, with every TEXT as str whatever the connection's text_factory is."""
    rows = connection.execute(query, parameters).fetchall()
    return [tuple(_decoded(value) for value in row) for row in rows]


def _decoded(value: object) -> object:
    if not isinstance(value, bytearray):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        shown = value.decode(errors="backslashreplace")
        raise MigrationError(
            f"a name in the source's schema is no UTF-8: {quoted(shown)}", "Rename that table or column"
        ) from None
