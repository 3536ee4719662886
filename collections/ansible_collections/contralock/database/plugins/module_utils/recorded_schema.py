"""Holds a schema against what the schema changes recorded when they were applied.

Whoever drops a key or changes a type afterwards takes a promise out of the profile. Tables that the profile calls never
carried are nobody's business here, and a role that owns the tables may alter them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import psycopg

from .catalog import Catalog, Description, difference
from .connection import Connection
from .errors import MigrationError
from .schema_history import Record, drifted, read_records
from .table_ownership import holder_of
from .target_reader import MEND, server_message

#: What is said where nothing was recorded, as in a target that was made by hand.
UNRECORDED = "no change of this schema is recorded in the target: its structure was held against the source alone"


@dataclass(frozen=True)
class Alteration:
    """How a schema differs from what it has to be, in sentences.

    Attributes:
        faults: What nobody has a right to.
        notes: What could not be said, and what a role altered that was given the tables.
        last: The schema change that left it otherwise, when that is what it was held against.
    """

    faults: list[str]
    notes: list[str]
    last: Record | None = None


def alteration(
    connection: Connection, catalog: Catalog, left_out: Collection[str], expected: Description | None = None
) -> Alteration:
    """Find what was altered in a schema.

    Args:
        connection: To the target.
        catalog: The schema as it is, or as it will be when an unfinished load is taken back.
        left_out: Tables that are of no account.
        expected: What it has to be; None takes what the schema changes recorded, if they did.

    Raises:
        MigrationError: The server refuses.
    """
    last: Record | None = None
    notes: list[str] = []
    try:
        if expected is None:
            last, notes = _recorded(connection, catalog.schema)
            expected = last.catalog if last else None
        if expected is None:
            return Alteration([], notes)
        wanted = without_objects(expected, catalog.schema, left_out)
        altered = difference(wanted, without_objects(catalog.description, catalog.schema, left_out))
        holder = holder_of(connection, catalog.schema) if altered else None
    except psycopg.Error as error:
        raise MigrationError(
            f"the record of schema changes cannot be read from PostgreSQL: {server_message(error)}", MEND
        ) from None
    if holder is None:
        return Alteration(altered, notes, last)
    told = [f"altered by {holder}, who owns the tables, since the last schema change: {each}" for each in altered]
    return Alteration([], notes + told, last)


def drift_of(connection: Connection, catalog: Catalog, left_out: Collection[str]) -> MigrationError | None:
    """Return the refusal of a target that was altered since its schema changes were applied; None when it was not.

    Args:
        connection: To the target.
        catalog: See ``alteration``.
        left_out: Tables that are of no account.

    Raises:
        MigrationError: The server refuses.
    """
    found = alteration(connection, catalog, left_out)
    return drifted(found.last, catalog, found.faults) if found.faults and found.last else None


def without_objects(description: Description, schema: str, tables: Collection[str]) -> Mapping[str, str]:
    """Return a catalog's description without some tables, what is part of them, and their sequences."""

    def is_left_out(name: str, definition: str) -> bool:
        return any(
            name.endswith(f" {schema}.{table}")
            or f" {schema}.{table}." in name
            or (name.startswith("sequence ") and f" of {schema}.{table}." in definition)
            for table in tables
        )

    return {name: definition for name, definition in description.items() if not is_left_out(name, definition)}


def _recorded(connection: Connection, schema: str) -> tuple[Record | None, list[str]]:
    """Return the last schema change, None where there is no record of this schema, and what could not be read."""
    try:
        # A refusal must not end a transaction whose snapshot others read.
        with connection.transaction():
            records = read_records(connection)
    except MigrationError as error:
        return None, [f"the schema was not held against the recorded one: {error.fact}"]
    if not records or f"schema {schema}" not in records[-1].catalog:
        return None, [UNRECORDED]
    return records[-1], []
