"""Proves a draft with the whole source, and lets no column be computed by PostgreSQL that it computes otherwise."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .connection import Connection
from .draft_profile_columns import keep_ordinary
from .draft_profile_model import Draft
from .draft_profile_pages import mapping_text
from .draft_profile_sql import changes_of
from .draft_profile_trial import Proof, prove_draft
from .mapping_document import read_schema, read_yaml
from .profile import MAPPING_FILE, parse_mapping
from .source_file import Progress


def prove(connection: Connection, source: Path, draft: Draft, schema: Path, progress: Progress | None = None) -> Proof:
    """Hold the whole source against a draft.

    Args:
        connection: To an empty database, as its owner.
        source: The SQLite file, which nobody writes.
        draft: The draft, of what the server takes; it is changed where PostgreSQL computes something else.
        schema: The JSON Schema of mappings.
        progress: See ``examine_file``.

    Raises:
        MigrationError: See ``prove_draft``.
    """
    proof = _proved(connection, source, draft, schema, progress)
    if _keep_what_differs(draft, proof):
        proof = _proved(connection, source, draft, schema, progress)
    return proof


def _proved(connection: Connection, source: Path, draft: Draft, schema: Path, progress: Progress | None) -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / MAPPING_FILE
        file.write_text(mapping_text(draft), encoding="utf-8")
        mapping = parse_mapping(read_yaml(file), read_schema(schema))
    return prove_draft(connection, source, changes_of(draft), mapping, progress)


def _keep_what_differs(draft: Draft, proof: Proof) -> bool:
    """Let columns be ordinary ones whose values PostgreSQL computes otherwise; tell whether there are any."""
    reasons = {finding.target: f"{finding.keys[0]}: {finding.reason}" for finding in proof.findings}
    kept = [
        (table, column, reasons[target])
        for table in draft.tables
        for column in table.columns
        if column.generated is not None and (target := f"{table.target}.{column.target}") in reasons
    ]
    for table, column, reason in kept:
        keep_ordinary(draft, table.source, column, f"at {reason}")
    return bool(kept)
