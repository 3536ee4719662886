"""Holds the structure of the target against what it has to be, and says what of the source's own rules it lacks.

What it has to be is what the schema changes recorded when they were applied (``schema_history.py``). Tables that the
profile calls never carried are nobody's business here. What the source declared and the target does not is no fault:
the profile may mean it so. But the operator is told.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from .catalog import Catalog, Description, Index
from .indexed_lengths import columns_as_spelled
from .plan import Plan, TablePlan
from .recorded_schema import alteration, without_objects
from .source_file import explained
from .source_schema import ask_schema
from .target_moment import Moment

#: Columns of a uniqueness, each with SQLite's collation of it.
_Key = tuple[tuple[str, str], ...]
#: A function of one text, as PostgreSQL spells it in an index: lower(((name)::text COLLATE "C")).
_FUNCTION = re.compile(
    r"""(?P<function>lower|upper|rtrim)\(\(*(?P<column>"(?:[^"]|"")+"|\w+)\)*(?:::(?:text|character\ varying)\)*)?
        (?:\ COLLATE\ [^()]+\)*)?\)""",
    re.VERBOSE,
)
#: SQLite's collations that call different texts equal (https://www.sqlite.org/datatype3.html#collation): what they
#: leave out of account, and the functions that do.
_IGNORED: Mapping[str, str] = {"NOCASE": "case", "RTRIM": "blanks at the end"}
_FOLDING: Mapping[str, tuple[str, ...]] = {"NOCASE": ("lower", "upper"), "RTRIM": ("rtrim",)}
_TEXTS = ("text", "varchar")


def structural_faults(moment: Moment, plan: Plan, expected: Description | None) -> tuple[list[str], list[str]]:
    """Find what keeps the target's schema from being whole, and from being what it has to be.

    Args:
        moment: The target.
        plan: What is carried; its catalog is that of ``moment``.
        expected: What the catalog has to be; None takes what the schema changes recorded, if they did.

    Returns:
        Sentences about faults; and notes: what could not be said, and what a role that was given the tables altered.

    Raises:
        MigrationError: The server refuses.
    """
    left_out = {table.name for table in plan.catalog.tables} - {table.target for table in plan.tables}
    catalog = without_tables(plan.catalog, left_out)
    faults = catalog.faults(moment.connection.info.user)
    changed = alteration(moment.connection, catalog, left_out, expected)
    return [*faults, *changed.faults], changed.notes


def without_tables(catalog: Catalog, tables: Collection[str]) -> Catalog:
    """Return a catalog that lacks some tables and what is part of them."""
    if not tables:
        return catalog
    kept = {each.object: each for each in catalog.others}
    named = without_objects({name: each.definition for name, each in kept.items()}, catalog.schema, tables)
    return replace(
        catalog,
        tables=[each for each in catalog.tables if each.name not in tables],
        columns=[each for each in catalog.columns if each.table not in tables],
        constraints=[each for each in catalog.constraints if each.table not in tables],
        indexes=[each for each in catalog.indexes if each.table not in tables],
        others=[each for name, each in kept.items() if name in named],
    )


def source_notes(source: sqlite3.Connection, plan: Plan) -> list[str]:
    """Say what the source declares and the target does not: NOT NULL, uniqueness, references.

    Args:
        source: From ``open_source``.
        plan: What is carried.

    Raises:
        MigrationError: The source cannot be read.
    """
    return [note for table in plan.tables for note in _Declared(source, plan, table).notes()]


@dataclass(frozen=True)
class _Declared:
    """What a table of the source declares."""

    source: sqlite3.Connection
    plan: Plan
    table: TablePlan

    def notes(self) -> Iterator[str]:
        name = self.table.target
        optional = [
            column.target.name
            for column in self.table.columns
            if self.table.source.column(column.source).not_null and not column.target.not_null
        ]
        if optional:
            yield f"{name}: NOT NULL in the source, and may be NULL in the target: {', '.join(optional)}"
        kept = [self._members(index) for index in self.plan.catalog.indexes if index.table == name]
        for key in self._unique():
            found = [index for index in kept if index and index.keys() <= dict(key).keys()]
            named = ", ".join(column for column, _ in key)
            if not found:
                yield f"{name}: unique in the source, and not in the target: {named}"
            elif weaker := min((self._weaker(index, dict(key)) for index in found), key=len):
                ignored = " and ".join(weaker)
                yield f"{name}: unique without regard to {ignored} in the source, and with it in the target: {named}"
        for columns, parent in self._references():
            yield f"{name}: refers to {parent} in the source, and to nothing in the target: {', '.join(columns)}"

    def _targets(self, columns: Iterable[object]) -> tuple[str, ...] | None:
        """Return the target's names of columns; None when not all of them are carried (an expression has no name)."""
        names = {column.source.lower(): column.target.name for column in self.table.columns}
        found = [names.get(str(column).lower()) for column in columns]
        return None if None in found else tuple(str(name) for name in found)

    def _unique(self) -> Iterator[_Key]:
        """Yield each uniqueness of carried columns once, by the target's names."""
        listed = 'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial ORDER BY name'
        indexed = "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno"
        with explained("the source's schema"):
            indexes = [name for (name,) in ask_schema(self.source, listed, [self.table.source.name])]
            found = [list(ask_schema(self.source, indexed, [str(index)])) for index in indexes]
        keys: set[_Key] = set()
        for members in found:
            if columns := self._targets(column for column, _ in members):
                keys.add(tuple(zip(columns, (str(collation) for _, collation in members), strict=True)))
        # An INTEGER PRIMARY KEY has no index.
        if own := self._targets(self.table.source.key):
            keys |= set() if any(dict(key).keys() == set(own) for key in keys) else {tuple((each, "") for each in own)}
        yield from sorted(keys)

    def _members(self, index: Index) -> dict[str, str]:
        """Return each column of a uniqueness of all rows, with the function of it that is unique; else nothing."""
        spelled = columns_as_spelled(index.table, self.plan.catalog)
        found: dict[str, str] = {}
        for member in index.columns if index.unique and not index.partial else ():
            computed = _FUNCTION.fullmatch(member)
            name = spelled.get(computed["column"] if computed else member)
            if name is None:
                return {}
            found[name] = computed["function"] if computed else ""
        return found

    def _weaker(self, index: Mapping[str, str], key: Mapping[str, str]) -> list[str]:
        """Say what a uniqueness of the target tells apart, and that of the source does not."""
        types = {each.name: each.type_name for each in self.plan.catalog.columns_of(self.table.target)}
        return [
            _IGNORED[key[name]]
            for name, function in index.items()
            if key[name] in _IGNORED and types[name] in _TEXTS and function not in _FOLDING[key[name]]
        ]

    def _references(self) -> Iterator[tuple[tuple[str, ...], str]]:
        targets = {table.source.name: table.target for table in self.plan.tables}
        kept = {
            (frozenset(each.columns), each.referenced_table)
            for each in self.plan.catalog.constraints
            if each.kind == "foreign key" and each.table == self.table.target
        }
        for key in self.table.source.foreign_keys:
            columns, parent = self._targets(key.columns), targets.get(key.table)
            if columns and parent and (frozenset(columns), parent) not in kept:
                yield columns, parent
