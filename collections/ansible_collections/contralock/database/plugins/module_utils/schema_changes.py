"""Bring a schema to its last change, or back: first a question that changes nothing, then the deeds.

Each change is one transaction together with its record, judged by PostgreSQL's own catalog before it commits and
read again afterwards. A way back has to restore exactly the catalog that stood before the change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import psycopg

from . import schema_loss
from .catalog import Catalog, Description, difference, snapshot
from .connection import Connection
from .errors import MigrationError
from .load_mark import load_at_work, loads_told, unfinished_load, without_loads
from .schema_execution import prepare_transaction, refusal, run_text
from .schema_files import Change, select_change
from .schema_history import (
    Record,
    add_record,
    drifted,
    one_runner,
    read_records,
    refuse_edited,
    refuse_foreign,
    remove_record,
)
from .table_ownership import current_role, hand_over, holder_of, to_hand_over

State = Literal["present", "reverted"]


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        changes: All changes there are, in order (``load_changes``, ``order_changes``).
        state: ``present`` applies what is pending, ``reverted`` takes back what was applied.
        to: Name or number of the last change that stays; only with ``reverted``, and all go without it.
        schema: The schema that the changes work in.
        allow_data_loss: Let a way back drop tables and columns that hold values.
        lock_wait: Seconds to wait for another runner, and for any lock that a change needs.
        tables_owner: Role that is to own the tables and types afterwards, which may then alter them; empty for the
            connecting one; None leaves that as it is.
        foreign: The changes of other profiles (``foreign_changes``), so that these can be named.
    """

    changes: Sequence[Change]
    state: State = "present"
    to: str | None = None
    schema: str = "public"
    allow_data_loss: bool = False
    lock_wait: int = 30
    tables_owner: str | None = None
    foreign: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, before any database is asked.

        Raises:
            MigrationError: ``to`` without ``reverted``, or a negative ``lock_wait``.
        """
        if self.to is not None and self.state == "present":
            fact = f"'to' ({self.to!r}) says how far to go back, and nothing is to go back"
            raise MigrationError(fact, "Leave it out, or say reverted")
        if self.lock_wait < 0:
            raise MigrationError(f"lock_wait is {self.lock_wait} seconds", "Give 0, which does not wait, or more")


@dataclass
class Report:
    """What was done, and what would be.

    Attributes:
        handed_over: The tables and types that changed their owner; after a question, those there are that would.
        altered: What the role that was given the tables has made of them since the last change, as sentences.
    """

    applied: list[str] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    durations: dict[str, int] = field(default_factory=dict)
    handed_over: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    version: str | None = None
    diff: str = ""

    @property
    def changed(self) -> bool:
        """Whether the run changed something; after a question, whether a run would."""
        return bool(self.applied or self.reverted or self.pending or self.handed_over)


@dataclass(frozen=True)
class Plan:
    """The steps to take, in order, and what they start from."""

    steps: Sequence[Change]
    records: Sequence[Record]
    catalog: Catalog
    altered: Sequence[str] = ()

    @property
    def version(self) -> str | None:
        """The name of the last change that was applied."""
        return self.records[-1].name if self.records else None


def ask(connection: Connection, request: Request) -> Report:
    """Say what a run would do, without changing or locking anything.

    Raises:
        MigrationError: A run would refuse.
    """
    with _refusals("reading the schema"):
        with loads_told(connection):
            plan = _read_plan(connection, request)
            handed_over = to_hand_over(connection, request.schema, request.tables_owner)
        if (plan.steps or handed_over) and (load := load_at_work(connection) or unfinished_load(connection)):
            raise load
    return Report(
        pending=[step.name for step in plan.steps],
        handed_over=handed_over,
        altered=list(plan.altered),
        version=plan.version,
        diff=_sql_of(plan, request.state),
    )


def perform(connection: Connection, request: Request, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Take every step that is pending.

    Args:
        connection: An autocommit connection (``connect``) of the role that owns the schema's objects.
        request: What is wanted.
        tell: Is given one line per finished step.

    Raises:
        MigrationError: A refusal, a failed step, or a catalog that is not what was recorded. A failed step leaves
            nothing behind; the steps before it stay, and are named in the message and in ``details``.
    """
    with _refusals("the run of schema changes"), one_runner(connection, request.lock_wait):
        with loads_told(connection):
            plan = _read_plan(connection, request)
        report = Report(altered=list(plan.altered), version=plan.version, diff=_sql_of(plan, request.state))
        deed, done, said = {
            "present": (_apply, report.applied, "applied"),
            "reverted": (_revert, report.reverted, "reverted"),
        }[request.state]
        changes = plan.steps or to_hand_over(connection, request.schema, request.tables_owner)
        with _beside_no_load(connection) if changes else nullcontext():
            for step in plan.steps:
                with _naming_the_done(done, report, said):
                    started = time.monotonic()
                    report.version = deed(connection, request, step)
                    report.durations[step.name] = round((time.monotonic() - started) * 1000)
                done.append(step.name)
                tell(f"{said} {step.name} in {report.durations[step.name]} ms")
            with _naming_the_done(done, report, said):
                # Without a record there is nothing to give, and no place to note it in.
                report.handed_over = _hand_over(connection, request) if report.version else []
        return report


def pending_changes(changes: Sequence[Change], records: Sequence[Record]) -> list[Change]:
    """Return the changes that were not applied yet.

    Raises:
        MigrationError: The history was edited (``refuse_edited``), or a pending change stands before an applied one.
    """
    refuse_edited(changes, records)
    applied = {record.name for record in records}
    pending = [change for change in changes if change.name not in applied]
    late = [change.name for change in pending if records and change.name < records[-1].name]
    if late:
        raise MigrationError(
            f"schema changes {', '.join(late)} stand before {records[-1].name}, which was applied without them",
            f"Number them after {records[-1].name}, or take the later ones back first (state reverted)",
        )
    return pending


def changes_to_revert(changes: Sequence[Change], records: Sequence[Record], to: str | None) -> list[Change]:
    """Return the applied changes after ``to``, the last one first.

    Raises:
        MigrationError: The history was edited, or ``to`` is unknown or not applied.
    """
    refuse_edited(changes, records)
    names = [record.name for record in records]
    stays = 0
    if to is not None:
        last = select_change(changes, to)
        if last.name not in names:
            raise MigrationError(
                f"schema change {last.name} cannot stay: it is not applied", f"Name one of {', '.join(names) or 'none'}"
            )
        stays = names.index(last.name) + 1
    files = {change.name: change for change in changes}
    return [files[name] for name in reversed(names[stays:])]


def _read_plan(connection: Connection, request: Request) -> Plan:
    """Plan from one view of the database, in a transaction that the server keeps from writing."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        prepare_transaction(connection, request.schema, request.lock_wait)
        return _plan(connection, request)


def _plan(connection: Connection, request: Request) -> Plan:
    records = read_records(connection)
    refuse_foreign(records, request.foreign)
    catalog = snapshot(connection, request.schema)
    drift = _drift(records[-1], catalog) if records else []
    if request.state == "present":
        steps = pending_changes(request.changes, records)
    else:
        steps = changes_to_revert(request.changes, records, request.to)
    # Whoever was given the tables may alter them. But nobody knows what a change would make of that, or a way back.
    holder = holder_of(connection, request.schema)
    if drift and (steps or holder is None or request.tables_owner not in (None, holder)):
        raise drifted(records[-1], catalog, drift)
    if steps and request.state == "reverted" and not request.allow_data_loss:
        restored = records[-len(steps)].catalog_before
        schema_loss.refuse(connection, *schema_loss.missing_from(catalog, restored))
    return Plan(steps, records, catalog, drift)


def _drift(last: Record, catalog: Catalog) -> list[str]:
    """Say how the schema differs from what its last change left."""
    if f"schema {catalog.schema}" not in last.catalog:
        recorded = next((each for each in last.catalog if each.startswith("schema ")), "another schema")
        raise MigrationError(
            f"the recorded schema changes are those of {recorded}, not of schema {catalog.schema}",
            "Name that schema, or use a database of its own",
        )
    return difference(last.catalog, catalog.description)


def _hand_over(connection: Connection, request: Request) -> list[str]:
    """Let the tables belong to whom they should, all of them or none."""
    what = f"giving the tables of schema {request.schema} to {request.tables_owner or 'the role that connects'}"
    with _refusals(what), connection.transaction():
        prepare_transaction(connection, request.schema, request.lock_wait)
        return hand_over(connection, request.schema, request.tables_owner)


def _apply(connection: Connection, request: Request, change: Change) -> str:
    """Apply one change with its record in one transaction; return the new version."""
    what = f"{change.name}.up.sql"
    with _refusals(what), connection.transaction():
        prepare_transaction(connection, request.schema, request.lock_wait)
        before = snapshot(connection, request.schema)
        started = time.monotonic()
        run_text(connection, change, "up")
        prepare_transaction(connection, request.schema, request.lock_wait)
        after = snapshot(connection, request.schema)
        if faults := after.faults(current_role(connection)):
            raise MigrationError(
                f"{what} leaves a schema that is not whole: {'; '.join(faults)}",
                "Let the change make valid indexes and validated constraints, owned by the role that connects",
                {"faults": faults},
            )
        duration_ms = round((time.monotonic() - started) * 1000)
        add_record(connection, change, duration_ms, before.description, after.description)
    with _refusals(what):
        _verify(connection, request.schema, read_records(connection)[-1], change.name)
    return change.name


def _revert(connection: Connection, request: Request, change: Change) -> str | None:
    """Take one change back with its record in one transaction; return the version that is left."""
    what = f"{change.name}.down.sql"
    with _refusals(what), connection.transaction():
        prepare_transaction(connection, request.schema, request.lock_wait)
        record, *earlier = reversed(read_records(connection))
        if not request.allow_data_loss:
            _refuse_loss(connection, request, change)
        run_text(connection, change, "down")
        if not earlier:
            # With the last record goes the mark of whom the tables were given to: nobody would know what to take back.
            hand_over(connection, request.schema, "")
        prepare_transaction(connection, request.schema, request.lock_wait)
        _refuse_remains(what, record.catalog_before, snapshot(connection, request.schema).description)
        remove_record(connection, change.name)
    with _refusals(what):
        left = read_records(connection)
        _refuse_remains(what, record.catalog_before, snapshot(connection, request.schema).description)
    return left[-1].name if left else None


def _refuse_loss(connection: Connection, request: Request, change: Change) -> None:
    """Try the way back, see what vanishes by identity (not by name), undo the trial, and look for values in it."""
    before = schema_loss.stored(connection, request.schema)
    with connection.transaction(force_rollback=True):
        run_text(connection, change, "down")
        after = schema_loss.stored(connection, request.schema)
    prepare_transaction(connection, request.schema, request.lock_wait)
    tables, columns = schema_loss.vanished(before, after)
    schema_loss.lock(connection, request.schema, tables | {table for table, _ in columns})
    schema_loss.refuse(connection, request.schema, tables, columns)


def _refuse_remains(what: str, wanted: Description, found: Description) -> None:
    if left := difference(wanted, found):
        raise MigrationError(
            f"{what} does not restore the schema that stood before the change: {'; '.join(left)}",
            "Mend the file so that it takes back exactly what the up file made",
            {"difference": left},
        )


def _verify(connection: Connection, schema: str, record: Record, name: str) -> None:
    """Read what was committed: it is there for every session, and it is what the transaction saw."""
    if record.name != name:
        raise MigrationError(f"schema change {name} is not the last in the record, {record.name} is", "Run again")
    catalog = snapshot(connection, schema)
    if drift := _drift(record, catalog):
        raise drifted(record, catalog, drift)


@contextmanager
def _beside_no_load(connection: Connection) -> Iterator[None]:
    """Keep a change and a load apart: what is left of a load's target after a change, nobody could take back.

    Raises:
        MigrationError: One is at work, or was killed; nothing was changed.
    """
    with without_loads(connection):
        if load := unfinished_load(connection):
            raise load
        yield


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Give an error of the server that no text of a change caused (a lost connection, a full disk) its mend."""
    try:
        yield
    except psycopg.Error as error:
        raise refusal(error, what) from None


@contextmanager
def _naming_the_done(done: Sequence[str], report: Report, said: str) -> Iterator[None]:
    """Add to a failure what stays of this run."""
    try:
        yield
    except MigrationError as error:
        stays = f" ({said} in this run and kept: {', '.join(done)})" if done else ""
        details = {**error.details, said: list(done), "version": report.version}
        raise MigrationError(f"{error.fact}{stays}", error.mend, details) from error


def _sql_of(plan: Plan, state: State) -> str:
    """Return the SQL of the steps as a text for the operator."""
    direction = "up" if state == "present" else "down"
    parts = [f"-- {step.name}.{direction}.sql\n{getattr(step, direction).rstrip()}\n" for step in plan.steps]
    return "\n".join(parts)
