"""What PostgreSQL computes from the columns that are loaded, as questions about the rows.

A column that PostgreSQL computes is loaded by nobody. Whether it can compute it of these rows, and computes what SQLite
did, is a CHECK that a table has where the column is an ordinary one with SQLite's values (``constraint_trial.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from psycopg import sql

from .catalog import Column, Constraint
from .constraint_trial import COMPUTED, FILLED
from .plan import Plan, TablePlan

#: Types without an equality of their own, and the type that has one.
_COMPARED_AS = {"json": "jsonb", "xml": "text"}


def with_computed(plan: Plan) -> Plan:
    """Return a plan in which the columns that both sides compute stand among the others: to look at, not to load."""
    return replace(plan, tables=tuple(_given(table) for table in plan.tables))


def as_given(plan: Plan) -> Plan:
    """Return a plan for a target whose computed columns are ordinary ones, with SQLite's values in them."""
    catalog = plan.catalog
    columns = [replace(each, generated=False, default=None) if each.generated else each for each in catalog.columns]
    return replace(with_computed(plan), catalog=replace(catalog, columns=columns))


def computed_values(plan: Plan, table: TablePlan) -> Iterator[Constraint]:
    """Yield what holds where PostgreSQL computes what SQLite computes, or anything where SQLite has no such column.

    Of a column that is NOT NULL also that it does not compute NULL.
    """
    known = {column.target.name for column in table.computed}
    for column in plan.catalog.columns_of(table.target):
        if column.generated:
            yield from _expected(column, column.name in known)


def uncompared(plan: Plan) -> Iterator[str]:
    """Yield a sentence for each table with columns that PostgreSQL computes and nothing can be held against."""
    for table in plan.tables:
        known = {column.target.name for column in table.computed}
        columns = plan.catalog.columns_of(table.target)
        if names := [each.name for each in columns if each.generated and each.name not in known]:
            yield f"{table.target}: PostgreSQL computes it, and it is held against nothing: {', '.join(names)}"


def _given(table: TablePlan) -> TablePlan:
    return replace(table, columns=(*table.columns, *table.computed))


def _expected(column: Column, compared: bool) -> Iterator[Constraint]:
    kind = _COMPARED_AS.get(column.type_name, "")
    name = sql.Identifier(column.name).as_string(None) + (f"::{kind}" if kind else "")
    value = f"({column.default})" + (f"::{kind}" if kind else "")
    if compared:
        yield _check(column, COMPUTED, f"{value} IS NOT DISTINCT FROM {name}")
    elif not column.not_null:
        # Of whatever it is, the number of values is not negative: but it has to be computed for that.
        yield _check(column, COMPUTED, f"num_nonnulls({value}) >= 0")
    if column.not_null:
        # Where SQLite has a value, that is held against PostgreSQL's already.
        known = f"num_nonnulls({name}) > 0 OR " if compared else ""
        yield _check(column, FILLED, f"{known}num_nonnulls({value}) > 0")


def _check(column: Column, kind: str, condition: str) -> Constraint:
    return Constraint(
        column.schema, column.table, column.name, kind, f"CHECK ({condition})", True, [column.name], None, []
    )
