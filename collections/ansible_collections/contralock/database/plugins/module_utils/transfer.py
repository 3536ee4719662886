"""Loads everything that the plan names into the target, or leaves the target empty and whole.

The order of things: nothing but the plan's tables may be concerned, and they are empty (or hold what this run loaded);
room is taken for the record; an engine prepares and judges what it can without touching the target; only then the rows
go that an earlier load has left there; what stands there is recorded; the engine loads; rows are counted and the
catalog compared, sequences are set and tried. Whatever fails after the record was written takes everything back.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from .arrow_engine import ARROW
from .catalog import difference, snapshot
from .connection import FULL, Connection, connect
from .durable_files import refused_politely
from .earlier_load import rows_that_may_go
from .errors import MigrationError
from .findings import raise_findings
from .journal import room_taken
from .load_directory import private_directory
from .load_faults import load_failure, server_fault
from .load_mark import clear_mark, end_mark, set_mark, unfinished_load_told, unmarkable
from .pgloader_engine import PGLOADER
from .recorded_schema import drift_of
from .refused_load import named_refusal
from .run_step import counted
from .run_versions import versions_of
from .sequence_values import exhausted_sequences, prove_sequences, set_sequences
from .session_crew import SessionCrew, doing
from .source_file import open_source
from .source_watch import SourceWatch, watched
from .target_restore import (
    Restored,
    TargetRecord,
    clear_earlier,
    database_oid,
    own_mark,
    restore_target,
    standing_record,
    together,
)
from .target_state import (
    assert_emptiable,
    assert_writable,
    empty_tables,
    lock_tables,
    row_counts,
    target_fingerprint,
    writers,
)
from .transfer_order import (
    APPLICATION_NAME,
    TIME_LIMIT_SECONDS,
    WORKERS,
    Engine,
    Loader,
    Outcome,
    Progress,
    TableReport,
    Transfer,
    TransferReport,
)

__all__ = [
    "APPLICATION_NAME",
    "ENGINES",
    "TIME_LIMIT_SECONDS",
    "WORKERS",
    "Progress",
    "TableReport",
    "Transfer",
    "TransferReport",
    "assert_numbers_left",
    "assert_possible",
    "assert_ready",
    "transfer",
]

#: A server that is full has room again when it has buried the load's own sessions: how long the way back asks for that.
ROOM_SECONDS, ROOM_LOOK_SECONDS = 10.0, 0.2
#: Two numbers, of which neither has more digits (``target_fingerprint``).
LONGEST_FINGERPRINT = "0" * 80

ENGINES: Mapping[str, Engine] = {"pgloader": PGLOADER, "arrow": ARROW}


def transfer(order: Transfer, progress: Progress | None = None) -> TransferReport:
    """Load everything.

    Args:
        order: What to load. When its record says that an earlier attempt was loading, that one is taken back first;
            the rows of one that ended stay until this one is prepared and judged.
        progress: Told what is happening.

    Returns:
        What was loaded.

    Raises:
        MigrationError: It was refused before anything was touched; or it failed and the target is empty and whole
            again, and the message says whether rows that stood there before are gone. When even that could not be
            done, it says so, and how to do it later.
    """
    version = assert_possible(order)
    unfinished = clear_earlier(order.target, order.record, unfinished=True)
    say = progress or (lambda _: None)
    with _server_errors_told(), private_directory(order.directory), watched(order.source, "loaded") as watch:
        with connect(order.target, APPLICATION_NAME) as connection:
            held = assert_ready(connection, order)
            assert_numbers_left(connection, order)
            versions = versions_of(connection)
        with _record_room(order) as record_room:
            with watch.unwritten(), refused_politely(f"the load in {order.directory} cannot be prepared"):
                load = ENGINES[order.engine].prepare(order, say, bool(held))
            taken_out = _make_room(order, sum(held.values()), say)
            with _loss_told(taken_out), _server_errors_told():
                outcome, verified = _load(order, load, watch, record_room, say)
    return TransferReport(
        tables=outcome.tables,
        rule_counts=outcome.rule_counts,
        engine=order.engine,
        engine_version=version,
        prepare_seconds=round(outcome.prepare_seconds, 3),
        load_seconds=round(outcome.load_seconds, 3),
        analyze_seconds=round(verified.analyze_seconds, 3),
        verify_seconds=round(verified.seconds, 3),
        sequences=verified.sequences,
        versions=versions,
        restored_before=together(unfinished, taken_out),
    )


def _make_room(order: Transfer, expected: int, say: Progress) -> Restored | None:
    """Take the rows out that stand in the target; return None when nothing was there."""
    if expected:
        say({"line": f"load: taking out {counted(expected, 'row')} that the target holds"})
    try:
        restored = clear_earlier(order.target, order.record, discard=order.discard_rows or order.given_up)
        if not order.discard_rows:
            return restored
        with connect(order.target, APPLICATION_NAME) as connection, connection.transaction():
            schema, tables = order.plan.schema, order.tables
            lock_tables(connection, schema, tables)
            rows = {table: number for table, number in row_counts(connection, schema, tables).items() if number}
            if rows:
                empty_tables(connection, schema, tables)
        return together(restored, Restored(0, rows, ()) if rows else None)
    except MigrationError:
        raise
    except BaseException as error:
        if expected:
            error.add_note("It cannot be told whether the rows are still there that stood in the target: look at them")
        raise


@dataclass(frozen=True)
class _RecordRoom:
    """What writes the record when the load begins, and when it has ended."""

    begun: Callable[[str], None]
    ended: Callable[[str], None]


@contextlib.contextmanager
def _record_room(order: Transfer) -> Iterator[_RecordRoom]:
    """Take the room for the record while everything stands that stood in the target.

    Raises:
        MigrationError: There is none.
    """
    longest = order.record_of(2**32).loaded(dict.fromkeys(order.tables, LONGEST_FINGERPRINT))
    size = len(longest.text.encode())
    with room_taken(order.record, "begun", size) as begun, room_taken(order.record, "ended", size) as ended:
        yield _RecordRoom(begun, ended)


def _load(
    order: Transfer, load: Loader, watch: SourceWatch, room: _RecordRoom, say: Progress
) -> tuple[Outcome, _Verified]:
    """Load what is prepared into the empty target, or leave that empty and whole."""
    with connect(order.target, APPLICATION_NAME) as connection:
        # Preparing took its time.
        assert_ready(connection, order)
        record = order.record_of(database_oid(connection))
    room.begun(record.text)
    try:
        with _server_errors_told():
            with connect(order.target, APPLICATION_NAME) as connection:
                set_mark(connection, record.mark, order.record.parent)
            with watch.unwritten(), refused_politely(f"the load in {order.directory} cannot go on"):
                outcome = load(record, say)
            return outcome, _verify(order, record, outcome, room, say)
    except BaseException as error:
        _take_back(order, record, error)
        if isinstance(error, MigrationError) and (named := named_refusal(order, error, say)):
            raise named from None
        raise


@contextlib.contextmanager
def _loss_told(taken_out: Restored | None) -> Iterator[None]:
    """Say with what goes wrong in the block that it cost rows which were there before."""
    rows = sum(taken_out.rows.values()) if taken_out else 0
    try:
        yield
    except BaseException as error:
        if rows:
            gone = f"{counted(rows, 'row')} that stood there before {'is' if rows == 1 else 'are'} gone"
            error.add_note(f"{gone}: what belongs there has to be loaded again")
        raise


def assert_numbers_left(connection: Connection, order: Transfer) -> None:
    """Refuse numbers of the source after which a sequence of the target has none for the next row.

    Raises:
        MigrationError: Names each with its mend.
    """
    with contextlib.closing(open_source(order.source)) as source:
        raise_findings(exhausted_sequences(connection, order.plan, source))


def assert_possible(order: Transfer) -> str:
    """Refuse what needs no server to be refused; return the engine's version.

    Raises:
        MigrationError: The engine is unknown, missing or another version; label or scratch directory cannot be used.
    """
    if order.engine not in ENGINES:
        raise MigrationError(f"there is no engine {order.engine!r}", f"Choose one of {', '.join(ENGINES)}")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,46}", order.label):
        raise MigrationError(f"{order.label!r} is no label for a load", "Use up to 46 letters, digits, _ and -")
    return ENGINES[order.engine].version(order)


@contextlib.contextmanager
def _server_errors_told() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise load_failure("the target answered", [server_fault(error)]) from None


def assert_ready(connection: Connection, order: Transfer) -> dict[str, int]:
    """Refuse a target that a load could not begin with.

    Returns:
        Table to the rows that are there and may go: an earlier load's own, or whosever they are with discard_rows.

    Raises:
        MigrationError: It takes no rows; its schema is not what the plan was made from, or what the schema changes
            left; it holds rows of others, other tables refer to it, or the engine cannot spell its names.
    """
    assert_writable(connection)
    ENGINES[order.engine].assert_ready(connection, order)
    with unfinished_load_told(connection, own_mark(connection, order.record)):
        return _rows_that_may_go(connection, order)


def _rows_that_may_go(connection: Connection, order: Transfer) -> dict[str, int]:
    plan = order.plan
    if changed := difference(plan.catalog.description, snapshot(connection, plan.schema).description):
        raise MigrationError(
            f"the target's schema has changed since the plan was made: {'; '.join(changed[:5])}",
            "Let nobody change the schema meanwhile, and run again",
        )
    if drift := drift_of(connection, plan.catalog, {table.name for table in plan.catalog.tables} - set(order.tables)):
        raise drift
    if refusal := unmarkable(connection):
        raise refusal
    assert_emptiable(connection, plan.schema, order.tables)
    record = standing_record(connection, order.record)
    counts = row_counts(connection, plan.schema, order.tables)
    return rows_that_may_go(connection, record, counts, discard=order.discard_rows, given_up=order.given_up)


@dataclass(frozen=True)
class _Verified:
    """What was found right: the sequences' values, the seconds that it took, and those of ANALYZE."""

    sequences: Mapping[str, int | None]
    seconds: float
    analyze_seconds: float


def _verify(order: Transfer, record: TargetRecord, outcome: Outcome, room: _RecordRoom, say: Progress) -> _Verified:
    """Prove that rows, schema and sequences are what they have to be, and write down what stands there now."""
    begun = time.monotonic()
    # A new connection: the load may have lasted longer than a firewall lets an idle one live.
    with connect(order.target, APPLICATION_NAME) as connection:
        say({"line": "load: counting rows, comparing the catalog"})
        assert_writable(connection)
        _assert_loaded(connection, order, outcome)
        say({"line": "load: sequences"})
        with contextlib.closing(open_source(order.source)) as source:
            sequences = set_sequences(connection, order.plan, source)
        prove_sequences(connection, order.plan, sequences)
        analyzing = time.monotonic()
        say({"line": "load: ANALYZE"})
        _analyze(order)
        analyze_seconds = time.monotonic() - analyzing
        loaded = record.loaded(target_fingerprint(connection, order.plan.schema, order.tables))
        end_mark(connection, record.mark)
        room.ended(loaded.text)
        # The record goes first: rows without either would be nobody's. A mark that stays does no harm beside it.
        with contextlib.suppress(psycopg.Error):
            clear_mark(connection, record.mark)
    values = {each.name: each.value for each in sequences}
    return _Verified(values, time.monotonic() - begun - analyze_seconds, analyze_seconds)


def _analyze(order: Transfer) -> None:
    """Let the server look at the tables, the largest first, by several sessions."""
    largest_first = sorted(order.plan.tables, key=lambda table: -table.source.rows)
    with SessionCrew(order.target, APPLICATION_NAME, {}, order.workers) as crew:
        for table in largest_first:
            name = sql.Identifier(order.plan.schema, table.target)
            crew.submit(doing([sql.SQL("ANALYZE {}").format(name)]), lambda _: None)
        crew.work(lambda: None, math.inf)


def _assert_loaded(connection: Connection, order: Transfer, outcome: Outcome) -> None:
    expected = {name: table.rows for name, table in outcome.tables.items()}
    counts = row_counts(connection, order.plan.schema, order.tables)
    numbers: dict[str, object] = {"loaded": counts, "expected": expected}
    if added := [table for table in order.tables if counts[table] > expected[table]]:
        shown = ", ".join(f"{table} {counts[table] - expected[table]:,}" for table in added[:5])
        others = writers(connection, order.plan.schema, added)
        raise MigrationError(
            f"the target holds rows that the load did not write: {shown}; they go with it when it is taken back",
            f"Stop who writes there ({'; '.join(others) or 'nobody is connected any more'}), and run again; what was"
            " written meanwhile has to be written again after the load",
            numbers,
        )
    if wrong := [table for table in order.tables if counts[table] < expected[table]]:
        shown = ", ".join(f"{table} {counts[table]:,} of {expected[table]:,}" for table in wrong[:5])
        raise MigrationError(
            f"{order.engine} ended without a fault, and rows are missing: {shown}",
            "Run again; when it happens again, report it with the engine's version",
            numbers,
        )
    found = snapshot(connection, order.plan.schema).description
    if changed := difference(order.plan.catalog.description, found):
        raise MigrationError(
            f"{order.engine} ended without a fault, and has left another schema: {'; '.join(changed[:5])}",
            "Run again; when it happens again, report it with the engine's version",
            {"differences": changed},
        )


def _take_back(order: Transfer, record: TargetRecord, error: BaseException) -> None:
    """Leave the target as it was; when that fails, say it with the error that was there before."""
    try:
        # As it is written down: in its last moment a load is one that has ended, without a mark and with rows.
        _restore(order, TargetRecord.read(order.record) or record)
        if not isinstance(error, MigrationError):
            error.add_note("The target is empty and whole again")
    except MigrationError as second:
        fact = error.fact if isinstance(error, MigrationError) else f"the load was interrupted ({type(error).__name__})"
        details = error.details if isinstance(error, MigrationError) else {}
        raise MigrationError(
            f"{fact}. The target is not empty and whole: {second.fact}", second.mend, details
        ) from None
    except BaseException as second:
        second.add_note("The load was not taken back to its end: the target may hold a part of the rows until it is")
        raise


def _restore(order: Transfer, record: TargetRecord) -> None:
    deadline = time.monotonic() + ROOM_SECONDS
    while True:
        try:
            restore_target(order.target, record)
        except MigrationError as error:
            if time.monotonic() > deadline or not any(words in error.fact for words in FULL):
                raise
            time.sleep(ROOM_LOOK_SECONDS)
        else:
            return
