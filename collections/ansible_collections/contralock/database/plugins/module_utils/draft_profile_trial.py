"""Tries a draft on a real PostgreSQL before anybody reads it: what the server refuses does not stand in it.

The database is a private one, or a scratch one beside a target; what is tried is taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psycopg

from .catalog import snapshot
from .connection import Connection
from .constraint_judge import judge_constraints
from .draft_profile_columns import keep_ordinary
from .draft_profile_model import Draft, DraftColumn, DraftTable, PieceKind, Quote
from .draft_profile_sql import bare_table, create_enums
from .errors import MigrationError
from .finding_rows import told_references
from .findings import Finding, RuleCount, examine_file
from .plan import make_plan
from .profile import Mapping
from .schema_changes import Request, perform
from .schema_execution import refusal
from .schema_files import Change
from .sequence_values import exhausted_sequences
from .source_file import Progress, UnsoundError, assert_integrity, assert_no_orphans, open_source
from .source_schema import read_schema

APPLICATION_NAME = "contralock draft_profile"


@dataclass(frozen=True)
class Proof:
    """What came of a draft on a real server.

    Attributes:
        problem: Why no plan can be made of it; empty when one was.
        findings: What of the source does not fit, as an assessment would say it.
        unsound: What SQLite's own checks refuse besides: the fact, and the mend; None when nothing.
        rule_counts: What the drafted rules would change.
        rows: All rows of the source that were looked at.
        notes: Sentences for the report.
    """

    problem: str = ""
    findings: tuple[Finding, ...] = ()
    unsound: UnsoundError | None = None
    rule_counts: tuple[RuleCount, ...] = ()
    rows: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """Whether the source would move with the draft as it is."""
        return not (self.problem or self.findings or self.unsound)


def quoted_by(connection: Connection) -> Quote:
    """Return what quotes a name where PostgreSQL itself says that it has to be."""

    @cache
    def quote(name: str) -> str:
        ((quoted,),) = connection.execute("SELECT quote_ident(%s)", [name]).fetchall()
        return str(quoted)

    return quote


def catalog_names(connection: Connection) -> frozenset[str]:
    """Return the names that PostgreSQL's own catalog has, and finds before those of any schema."""
    query = "SELECT relname::text FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace"
    return frozenset(str(name) for (name,) in connection.execute(query).fetchall())


def try_pieces(connection: Connection, draft: Draft) -> None:
    """Take everything out of a draft that the server refuses, and ask about it instead.

    Args:
        connection: To an empty database, as its owner; everything is rolled back.
        draft: The draft; it is changed.

    Raises:
        MigrationError: The server refuses even the bare tables.
    """
    with _explained("the drafted enumerations"), connection.transaction(force_rollback=True):
        for statement in create_enums(draft):
            connection.execute(statement.encode())
        for table in draft.tables:
            with _explained(f"the drafted table {table.target}"):
                connection.execute(bare_table(draft, table).encode())
        for table in draft.tables:
            for column in table.columns:
                _try_column(connection, draft, table, column)
        for kind in (PieceKind.UNIQUE, PieceKind.CHECK, PieceKind.INDEX, PieceKind.FOREIGN_KEY):
            for table in draft.tables:
                _try_kind(connection, draft, table, kind)


def prove_draft(
    connection: Connection,
    source: Path,
    changes: Sequence[Change],
    mapping: Mapping,
    progress: Progress | None = None,
) -> Proof:
    """Apply a draft, hold the whole source against it, and take it back.

    Args:
        connection: To an empty database, as its owner.
        source: The SQLite file, which nobody writes.
        changes: The drafted schema changes.
        mapping: The drafted mapping.
        progress: See ``examine_file``.

    Raises:
        MigrationError: A change cannot be applied or taken back, or the source cannot be read.
    """
    perform(connection, Request(changes))
    try:
        proof = _examined(connection, source, mapping, progress)
    finally:
        perform(connection, Request(changes, "reverted", allow_data_loss=True))
    return proof


def _examined(connection: Connection, source: Path, mapping: Mapping, progress: Progress | None) -> Proof:
    with closing(open_source(source)) as opened:
        schema = read_schema(opened)
    try:
        plan = make_plan(mapping, schema, snapshot(connection))
    except MigrationError as error:
        return Proof(problem=str(error))
    found = examine_file(source, plan, progress)
    judged = judge_constraints(connection, source, plan, found.waiting, progress)
    with closing(open_source(source)) as opened:
        used_up = exhausted_sequences(connection, plan, opened)
    findings = (*found.findings, *judged.findings, *used_up)
    notes = (*found.notes, *(f"Only the load will tell of {each}" for each in judged.unjudged))
    rows = sum(found.rows.values())
    return Proof("", findings, _unsound(source, findings), found.rule_counts, rows, notes)


def _unsound(source: Path, findings: Sequence[Finding]) -> UnsoundError | None:
    """Return what an assessment would have as an obstacle: the file is damaged, or rows refer to nothing."""
    with closing(open_source(source)) as reading:
        try:
            assert_integrity(reading)
            assert_no_orphans(reading, told_references(findings))
        except UnsoundError as error:
            return error
    return None


def _try_column(connection: Connection, draft: Draft, table: DraftTable, column: DraftColumn) -> None:
    place = f"{table.source}.{column.source}"
    name, owner = draft.quote(column.target), draft.quote(table.target)
    if column.generated is not None:
        statement = f"ALTER TABLE {owner} DROP COLUMN {name}, ADD COLUMN {column.definition(draft.quote)}"
        if refused := _refused(connection, statement):
            keep_ordinary(draft, table.source, column, refused)
    if column.default is not None:
        statement = f"ALTER TABLE {owner} ALTER COLUMN {name} SET DEFAULT {column.default}"
        if refused := _refused(connection, statement):
            draft.ask(place, f"its DEFAULT is not taken over ({refused}): say it in PostgreSQL's words")
            column.default = None


def _try_kind(connection: Connection, draft: Draft, table: DraftTable, kind: PieceKind) -> None:
    kept = []
    for piece in table.pieces:
        refused = _refused(connection, piece.statement(draft.quote)) if piece.kind is kind else ""
        if refused:
            said = piece.source or piece.name
            text = f"the {kind} {said} is not taken over ({refused}): say it in PostgreSQL's words"
            draft.ask(piece.place or table.source, text)
        else:
            kept.append(piece)
    table.pieces = kept


def _refused(connection: Connection, statement: str) -> str:
    """Execute a statement; return the server's words when it refuses, and then nothing has happened."""
    try:
        with connection.transaction():
            connection.execute(statement.encode())
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return error.diag.message_primary or type(error).__name__
    return ""


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise refusal(error, what) from None
