"""Holds the structure of the target against what it has to be.

That is what the schema changes recorded when they were applied (``schema_history.py``). Tables that the profile calls
never carried are nobody's business here. What the source declares and the target does not is no fault
(``structure_notes.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from .catalog import Catalog, Description
from .plan import Plan
from .recorded_schema import alteration, without_objects
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
