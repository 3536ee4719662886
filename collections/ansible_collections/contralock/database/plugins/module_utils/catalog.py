"""What a schema of PostgreSQL consists of, as plain data that can be stored, compared and planned with.

Not part of it: comments, privileges (the roles of an application come and go) and where a column stands in its
table (a column that was dropped and made again stands last, and means the same).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, takewhile
from typing import Protocol, TypeVar

from psycopg.rows import class_row

from . import catalog_queries as queries
from .connection import Connection, set_locally
from .errors import MigrationError

#: Object -> definition, such as ``column public.users.bio`` -> ``text not null``: what is stored and compared.
Description = Mapping[str, str]

#: What PostgreSQL's answers are spelled by, fixed as pg_dump fixes it: a default's time constant reads differently in
#: another time zone, an empty search_path makes every name qualified, and a backslash may be written as two.
SPELLING: Mapping[str, str] = {
    "search_path": "",
    "quote_all_identifiers": "off",
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
}

SHOWN_CHARACTERS = 160


class Described(Protocol):
    """One object of a catalog."""

    @property
    def object(self) -> str:
        """Kind and full name, such as ``table public.users``; what a difference is reported under."""

    @property
    def definition(self) -> str:
        """All that makes up the object but its name, in one line; equal when nothing differs."""


@dataclass(frozen=True)
class Table:
    """A table, a partitioned table or a foreign table."""

    schema: str
    name: str
    owner: str
    kind: str
    persistence: str
    details: str

    @property
    def object(self) -> str:
        return f"table {self.schema}.{self.name}"

    @property
    def definition(self) -> str:
        return _join(", ", f"{self.persistence} {self.kind}", f"owned by {self.owner}", self.details)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    ``type`` is complete (``character varying(255)``, ``public.role[]``); ``type_name`` is its bare name in pg_type
    (``varchar``, ``_role``) in ``type_schema``; ``modifier`` is atttypmod, -1 without one; ``generated`` columns have
    their expression in ``default``; ``collation`` is empty where it is the type's own.
    """

    schema: str
    table: str
    name: str
    position: int
    type: str
    type_name: str
    type_schema: str
    modifier: int
    not_null: bool
    default: str | None
    identity: str
    generated: bool
    collation: str

    @property
    def length(self) -> int | None:
        """The n of varchar(n) and char(n), in characters."""
        return self.modifier - 4 if self.type_name in ("varchar", "bpchar") and self.modifier >= 4 else None

    @property
    def precision_and_scale(self) -> tuple[int, int] | None:
        """The p and s of numeric(p, s); the packing is that of ``numeric_typmod_*`` in PostgreSQL's numeric.c."""
        if self.type_name != "numeric" or self.modifier < 4:
            return None
        packed = self.modifier - 4
        return packed >> 16 & 0xFFFF, (packed & 0x7FF ^ 1024) - 1024

    @property
    def object(self) -> str:
        return f"column {self.schema}.{self.table}.{self.name}"

    @property
    def definition(self) -> str:
        return _join(
            " ",
            self.type,
            self.collation and f"collate {self.collation}",
            self.not_null and "not null",
            self.identity and f"generated {self.identity} as identity",
            self.default is not None and f"{'generated as' if self.generated else 'default'} {self.default}",
        )


@dataclass(frozen=True)
class Constraint:
    """A constraint of a table; ``kind`` is primary key, foreign key, unique, check or exclusion.

    ``enforced`` is False when the triggers that PostgreSQL enforces it by are switched off. ``referenced_table`` is one
    of the same schema, or None.
    """

    schema: str
    table: str
    name: str
    kind: str
    text: str
    validated: bool
    columns: Sequence[str]
    referenced_table: str | None
    referenced_columns: Sequence[str]
    enforced: bool = True

    @property
    def object(self) -> str:
        return f"constraint {self.schema}.{self.table}.{self.name}"

    @property
    def definition(self) -> str:
        return _join(", ", self.text, not self.enforced and "switched off")


@dataclass(frozen=True)
class Index:
    """An index of a table or materialized view; ``columns`` holds its keys, expressions included."""

    schema: str
    table: str
    name: str
    text: str
    valid: bool
    ready: bool
    unique: bool
    primary: bool
    partial: bool
    columns: Sequence[str]

    @property
    def object(self) -> str:
        return f"index {self.schema}.{self.table}.{self.name}"

    @property
    def definition(self) -> str:
        return _join(", ", self.text, not self.valid and "invalid", not self.ready and "not ready")


@dataclass(frozen=True)
class EnumType:
    """An enumeration with its labels in order."""

    schema: str
    name: str
    owner: str
    labels: Sequence[str]

    @property
    def object(self) -> str:
        return f"type {self.schema}.{self.name}"

    @property
    def definition(self) -> str:
        labels = ", ".join("'" + label.replace("'", "''") + "'" for label in self.labels)
        return f"enum ({labels}), owned by {self.owner}"


@dataclass(frozen=True)
class OtherObject:
    """A view, sequence, function, trigger, domain, policy, ...: there is nothing to plan with, only to compare."""

    schema: str
    kind: str
    name: str
    owner: str | None
    text: str

    @property
    def object(self) -> str:
        return f"{self.kind} {self.schema}.{self.name}"

    @property
    def definition(self) -> str:
        return _join(", ", self.text, self.owner and f"owned by {self.owner}")


@dataclass(frozen=True)
class Catalog:
    """Everything in one schema, each kind ordered by name (columns by table and position)."""

    schema: str
    owner: str
    tables: Sequence[Table]
    columns: Sequence[Column]
    constraints: Sequence[Constraint]
    indexes: Sequence[Index]
    enums: Sequence[EnumType]
    others: Sequence[OtherObject]

    def columns_of(self, table: str) -> list[Column]:
        """Return the columns of a table in their order."""
        return [column for column in self.columns if column.table == table]

    @cached_property
    def description(self) -> dict[str, str]:
        """The canonical description: JSON-ready, ordered by object, equal where the schemas are."""
        described: Iterator[Described] = chain(
            self.tables, self.columns, self.constraints, self.indexes, self.enums, self.others
        )
        found = {each.object: each.definition for each in described}
        return dict(sorted((found | {f"schema {self.schema}": f"owned by {self.owner}"}).items()))

    def faults(self, owner: str) -> list[str]:
        """Name what keeps the schema from being whole: broken indexes, unproven or idle constraints, foreign owners.

        Args:
            owner: The role that has to own every object of the schema.
        """
        owned: Iterator[Table | EnumType | OtherObject] = chain(self.tables, self.enums, self.others)
        return [
            *(f"{each.object}: is invalid" for each in self.indexes if not (each.valid and each.ready)),
            *(f"{each.object}: is not validated" for each in self.constraints if not each.validated),
            *(f"{each.object}: is switched off" for each in self.constraints if not each.enforced),
            *(f"{each.object}: belongs to {each.owner}" for each in owned if each.owner not in (owner, None)),
        ]


def snapshot(connection: Connection, schema: str = "public") -> Catalog:
    """Read a schema from PostgreSQL's catalog.

    Args:
        connection: In a transaction or not; its settings stay as they are.
        schema: The schema's name, unquoted.

    Returns:
        The schema as this transaction sees it.

    Raises:
        MigrationError: There is no such schema.
        psycopg.Error: The server does not answer.
    """
    # Rolling back takes the settings back too, in a savepoint as in a transaction; nothing is written here.
    with connection.transaction(force_rollback=True):
        set_locally(connection, SPELLING)
        found = connection.execute(queries.SCHEMA, {"schema": schema}).fetchone()
        if found is None:
            raise MigrationError(
                f"there is no schema {schema!r} in database {connection.info.dbname!r}",
                "Create it, owned by the role that connects, or name another one",
            )
        return Catalog(
            schema=schema,
            owner=str(found[0]),
            tables=_read(connection, Table, queries.TABLES, schema),
            columns=_read(connection, Column, queries.COLUMNS, schema),
            constraints=_read(connection, Constraint, queries.CONSTRAINTS, schema),
            indexes=_read(connection, Index, queries.INDEXES, schema),
            enums=_read(connection, EnumType, queries.ENUMS, schema),
            others=_read(connection, OtherObject, queries.OBJECTS, schema),
        )


def difference(before: Description, after: Description) -> list[str]:
    """Say in sentences what changed from one description to the other.

    Returns:
        One sentence per object, ordered by object; empty when they are equal.
    """
    return [
        f"{each}: {_change(before.get(each), after.get(each))}"
        for each in sorted(before.keys() | after.keys())
        if before.get(each) != after.get(each)
    ]


def _change(before: str | None, after: str | None) -> str:
    if after is None:
        return f"missing, was {_shown(str(before))}"
    if before is None:
        return f"new, is {_shown(after)}"
    # Two long texts (a function's) may begin alike: show them from shortly before the place where they part.
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    start = max(0, common - SHOWN_CHARACTERS // 2) if max(len(before), len(after)) > SHOWN_CHARACTERS else 0
    return f"was {_shown(before, start)}, is now {_shown(after, start)}"


def _shown(text: str, start: int = 0) -> str:
    part = " ".join(text[start : start + SHOWN_CHARACTERS].split())
    return f"{'...' if start else ''}{part}{'...' if len(text) > start + SHOWN_CHARACTERS else ''}"


def _join(separator: str, *parts: str | bool | None) -> str:
    return separator.join(part for part in parts if part and isinstance(part, str))


Record = TypeVar("Record", Table, Column, Constraint, Index, EnumType, OtherObject)


def _read(connection: Connection, kind: type[Record], query: str, schema: str) -> tuple[Record, ...]:
    """Ask one question; its columns carry the names of the record's fields."""
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        cursor.execute(f"SELECT %(schema)s AS schema, q.* FROM ({query}) q", {"schema": schema})
        return tuple(cursor.fetchall())
