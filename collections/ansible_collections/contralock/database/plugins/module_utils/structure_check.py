"""Holds the structure of the target against what it has to be, and says what of the source's own rules it lacks.

What it has to be is what the schema changes recorded when they were applied (``schema_history.py``). Tables that the
profile calls never carried are nobody's business here. What the source declared and the target does not is no fault:
the profile may mean it so. But the operator is told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from .catalog import Catalog, Description, Index
from .plan import Plan, TablePlan
from .recorded_schema import alteration, without_objects
from .source_file import explained, quote_identifier
from .source_schema import ask_schema
from .target_moment import Moment


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
        # PostgreSQL quotes a column in an index where its name needs that.
        spelled = {quote_identifier(column.name): column.name for column in self.plan.catalog.columns_of(name)}
        unique = [
            {spelled.get(column, column) for column in index.columns}
            for index in self.plan.catalog.indexes
            if index.table == name and _is_unique(index)
        ]
        for columns in self._unique():
            if not any(index <= set(columns) for index in unique):
                yield f"{name}: unique in the source, and not in the target: {', '.join(columns)}"
        for columns, parent in self._references():
            yield f"{name}: refers to {parent} in the source, and to nothing in the target: {', '.join(columns)}"

    def _targets(self, columns: Iterable[object]) -> tuple[str, ...] | None:
        """Return the target's names of columns; None when not all of them are carried (an expression has no name)."""
        names = {column.source.lower(): column.target.name for column in self.table.columns}
        found = [names.get(str(column).lower()) for column in columns]
        return None if None in found else tuple(str(name) for name in found)

    def _unique(self) -> Iterator[tuple[str, ...]]:
        listed = 'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial ORDER BY name'
        indexed = "SELECT name FROM pragma_index_info(?) ORDER BY seqno"
        with explained("the source's schema"):
            indexes = [name for (name,) in ask_schema(self.source, listed, [self.table.source.name])]
            found = [[column for (column,) in ask_schema(self.source, indexed, [str(index)])] for index in indexes]
        named = {self._targets(columns) for columns in [*found, self.table.source.key] if columns}
        yield from sorted(columns for columns in named if columns)

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


def _is_unique(index: Index) -> bool:
    return index.unique and not index.partial
