"""Whether a source can be moved: every value examined, the file checked, the window's length and room foretold."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Words
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .assessment_report import Assessment, Estimate, LeftBehind, Obstacle, unmatched_rules
from .catalog import Catalog
from .connection import Connection, connect
from .constraint_judge import Unjudged, judge_constraints
from .durable_files import refused_politely
from .earlier_load import may_discard, rows_that_may_go, settled_catalog
from .errors import MigrationError
from .finding_rows import told_references
from .findings import examine_file
from .live_copy import Limits, copy_live
from .load_mark import load_at_work, loads_told, unfinished_load, unmarkable
from .pgloader import LARGEST_ROW_BYTES
from .pgloader_engine import unspeakable_names
from .plan import Plan, make_partial_plan
from .profile import Mapping
from .recorded_schema import drift_of
from .row_bytes import too_large_rows
from .run_step import counted
from .sequence_values import exhausted_sequences
from .source_file import (
    Progress,
    UnsoundError,
    assert_integrity,
    assert_no_orphans,
    explained,
    open_source,
    quote_identifier,
    table_of_source,
)
from .source_schema import SourceSchema, read_schema
from .source_watch import watched
from .target_restore import LOADED, own_mark, record_file, standing_record
from .target_state import row_counts, unwritable
from .text_order import order_notes
from .worker_threads import WORKERS

APPLICATION_NAME = "contralock source_assessment"
#: The snapshot's own folder; its name is fixed, so that what a killed assessment has left goes with the next one.
SNAPSHOT = ".assessment"


@dataclass(frozen=True)
class Rates:
    """What a window costs, measured with the contralock profile (benchmarks/README.md, "What an assessment foretells").

    Attributes:
        seconds: Step to its length by each second that the assessment of the file took on the same machine.
        disk: What the backup and the load's own files have by each byte of the source.
        database: What the target has by each byte of the source.
    """

    seconds: Words[str, float]
    disk: float
    database: float


RATES: Words[str, Rates] = {
    "pgloader": Rates({"back up": 0.33, "transfer": 3.3, "compare": 0.46}, disk=1.6, database=0.7),
    # It writes no copy.
    "arrow": Rates({"back up": 0.33, "transfer": 0.9, "compare": 0.46}, disk=1.0, database=0.65),
}
#: What a window takes whatever the source.
FIXED_SECONDS = 17.0


@dataclass(frozen=True)
class Options:
    """What an assessment works with.

    Attributes:
        directory: What keeps the record of each target (a load's ``root``), if there is one: so the rows of an earlier
            load are told from others', and a schema that a killed load has left without its keys is known as it was.
            The snapshot of a live file lies in it meanwhile, in a private folder of its own that is removed at the end.
        limits: What the snapshot may cost the application.
        schema: The target's schema.
        workers: Threads that read and examine.
        engine: What is going to load, so that rows and names that it cannot carry are found.
        scratch: Where keys that are too many for memory are put aside; the system's temporary folder without one.
        discard_rows: Whether rows in the target may go, whoever loaded or changed them.
        spoken: The library's names of options to what the reader can type (``MigrationError.speak``).
    """

    directory: Path
    limits: Limits = field(default_factory=Limits)
    schema: str = "public"
    workers: int = WORKERS
    engine: str = "pgloader"
    scratch: Path | None = None
    discard_rows: bool = False
    spoken: Words[str, str] = field(default_factory=dict)


def assess_running(source: Path, target: str, mapping: Mapping, options: Options, progress: Progress) -> Assessment:
    """Assess a source that an application is writing.

    Args:
        source: The live file. It is read through SQLite's backup API alone.
        target: The target as its owner; it is asked for its catalog.
        mapping: The profile's exceptions.
        options: Where and how.
        progress: Called with what is done, how much, and of how much.

    Raises:
        MigrationError: It cannot be told: a snapshot cannot be taken, or the target cannot be asked.
    """
    began = time.monotonic()
    asked = _asked(target, mapping, options)
    with _snapshot_folder(options.directory) as private:
        snapshot_file = private / "source.sqlite"
        with refused_politely(f"cannot back up {source}"):
            copied = copy_live(source, snapshot_file, options.limits, progress)
        found = _assessed(snapshot_file, asked, replace(options, scratch=private), progress)
    pause = round(copied.pause * 1000, 1)
    return replace(found, source=str(source), longest_pause_ms=pause, seconds=time.monotonic() - began)


def assess_file(source: Path, target: str, mapping: Mapping, options: Options, progress: Progress) -> Assessment:
    """Assess a file that nobody writes (see ``columnar_reader.py``); the arguments are those of ``assess_running``.

    Raises:
        MigrationError: It cannot be told: the file cannot be read or is written, or the target cannot be asked.
    """
    began = time.monotonic()
    found = _assessed(source, _asked(target, mapping, options), options, progress)
    return replace(found, seconds=time.monotonic() - began)


@dataclass(frozen=True)
class _Asked:
    """What a file is held against; ``obstacles`` are of the target itself, ``half`` tells of half a load in it."""

    target: str
    catalog: Catalog
    mapping: Mapping
    obstacles: tuple[Obstacle, ...]
    half: bool


def _asked(target: str, mapping: Mapping, options: Options) -> _Asked:
    with connect(target, APPLICATION_NAME) as connection:
        ours = own_mark(connection, record_file(connection, options.directory))
        with loads_told(connection, ours):
            catalog = settled_catalog(connection, options.directory, options.schema)
        tables = {table.name for table in catalog.tables}
        drift = drift_of(connection, catalog, mapping.never_carried.keys() & tables)
        at_work = load_at_work(connection)
        half = at_work or unfinished_load(connection, ours)
        carried = tables - mapping.never_carried.keys()
        if half and not at_work and not drift and not any(row_counts(connection, catalog.schema, carried).values()):
            # It was killed before it touched anything: the next load goes on.
            half = None
        refusals = (unwritable(connection), unmarkable(connection), half, drift)
        return _Asked(target, catalog, mapping, tuple(_obstacle(each) for each in refusals if each), bool(half))


def _rows_in_the_way(connection: Connection, asked: _Asked, plan: Plan, options: Options) -> MigrationError | None:
    """Return why the rows that the target holds may not go, as a load says it; None when they may, or there are none.

    Half a load is told as that, and our own is taken back.
    """
    if asked.half:
        return None
    root = options.directory
    record = standing_record(connection, record_file(connection, root))
    if record and record.state != LOADED:
        return None
    given_up = may_discard(root, record, discard=options.discard_rows)
    counts = row_counts(connection, plan.schema, [table.target for table in plan.tables])
    try:
        rows_that_may_go(connection, record, counts, discard=options.discard_rows, given_up=given_up)
    except MigrationError as error:
        error.speak(options.spoken)
        return error
    return None


def _assessed(path: Path, asked: _Asked, options: Options, progress: Progress) -> Assessment:
    """Assess a file at rest: whatever stands in the way hides nothing of the rest."""
    began = time.monotonic()
    with watched(path, "assessed") as watch, watch.unwritten(), _checked_beside(path) as checked:
        try:
            found, planned = _examined(path, asked, options, progress)
        except MigrationError as error:
            checks = checked()
            if not checks.broken:
                raise
            found, planned = _nothing_judged(path, error), False
        else:
            progress("integrity", 0, 1)
            checks = checked()
            progress("integrity", 1, 1)
        seconds = time.monotonic() - began
        unsound = checks.broken
        if checks.orphans:
            # Rows that a foreign key of the target refuses are findings already; of the others SQLite knows.
            with closing(open_source(path)) as reading:
                unsound = _unsound(reading, partial(assert_no_orphans, told=told_references(found.findings)))
    estimate = estimated(options.engine, seconds, found.bytes) if planned else None
    return replace(found, obstacles=(*asked.obstacles, *unsound, *found.obstacles), estimate=estimate)


@dataclass(frozen=True)
class _Checks:
    """What SQLite's own checks refuse; ``orphans`` says that there are some where nothing else is wrong."""

    broken: tuple[Obstacle, ...]
    orphans: bool


@contextmanager
def _checked_beside(path: Path) -> Iterator[Callable[[], _Checks]]:
    """Have SQLite check a file while the block reads it: that takes as long as the reading, and one core.

    Yields:
        What waits for the answer.
    """
    opened: list[sqlite3.Connection] = []
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(_checked, path, opened)
        try:
            yield checking.result
        except BaseException:
            for each in opened:
                with suppress(sqlite3.Error):
                    each.interrupt()
            raise


def _checked(path: Path, opened: list[sqlite3.Connection]) -> _Checks:
    with closing(open_source(path)) as reading:
        opened.append(reading)
        broken = _unsound(reading, assert_integrity)
        return _Checks(broken, not broken and bool(_unsound(reading, assert_no_orphans)))


def _unsound(reading: sqlite3.Connection, check: Callable[[sqlite3.Connection], None]) -> tuple[Obstacle, ...]:
    """Return what a check of the file refuses."""
    try:
        check(reading)
    except UnsoundError as error:
        return (_obstacle(error),)
    return ()


def _nothing_judged(path: Path, error: MigrationError) -> Assessment:
    why = Unjudged("the source", "none of its values could be judged")
    return Assessment(str(path), path.stat().st_size, obstacles=(_obstacle(error),), unjudged=(why,))


def _examined(path: Path, asked: _Asked, options: Options, progress: Progress) -> tuple[Assessment, bool]:
    """Examine what has a plan; tell whether that is everything."""
    size = path.stat().st_size
    with closing(open_source(path)) as reading:
        try:
            source = read_schema(reading)
            plan, refusal = make_partial_plan(asked.mapping, source, asked.catalog)
        except MigrationError as error:
            return _nothing_judged(path, error), False
    found = examine_file(path, plan, progress, workers=options.workers, folder=options.scratch)
    with connect(asked.target, APPLICATION_NAME) as connection:
        judged = judge_constraints(connection, path, plan, found.waiting, progress)
        ordered = tuple(order_notes(connection, plan))
        with closing(open_source(path)) as reading:
            used_up = exhausted_sequences(connection, plan, reading)
            left_behind = tuple(_left_behind(plan, source, reading))
        refusals = [refusal, _rows_in_the_way(connection, asked, plan, options)]
    if options.engine == "pgloader":
        refusals += [unspeakable_names(plan), too_large_rows(found.largest_rows, LARGEST_ROW_BYTES, "pgloader")]
    assessment = Assessment(
        source=str(path),
        bytes=size,
        rows=found.rows,
        obstacles=tuple(_obstacle(each) for each in refusals if each),
        findings=(*found.findings, *judged.findings, *used_up),
        columns=found.columns,
        rules=tuple(each for each in found.rule_counts if each.count),
        unmatched=tuple(unmatched_rules(plan, found.rows, found.rule_counts)),
        unjudged=(*_left_out(plan, source), *judged.unjudged),
        left_behind=left_behind,
        notes=(*found.notes, *ordered),
    )
    return assessment, refusal is None


def _left_out(plan: Plan, source: SourceSchema) -> Iterator[Unjudged]:
    """Yield what is neither carried nor left behind: its values are not judged."""
    planned = {table.source.name: table for table in plan.tables}
    for table in source.tables:
        own = planned.get(table.name)
        if own is None:
            if table.name not in plan.tables_left_behind:
                unread = f"it has no place in the plan, so that its {counted(table.rows, 'row')} were not read"
                yield Unjudged(f"table {table.name} of the source", unread)
            continue
        for column in table.columns:
            if column.name not in own.source_columns and column.name not in own.left_behind:
                yield Unjudged(f"column {table.name}.{column.name} of the source", "it has no place in the plan")


def _left_behind(plan: Plan, source: SourceSchema, reading: sqlite3.Connection) -> Iterator[LeftBehind]:
    """Yield what the profile leaves behind; of a column its values are counted."""
    for name, reason in plan.tables_left_behind.items():
        yield LeftBehind(name, None, source.table(name).rows, reason)
    for table in plan.tables:
        if table.left_behind:
            named = quote_identifier(table.source.name)
            values = ", ".join(f"count({named}.{quote_identifier(column)})" for column in table.left_behind)
            with explained(table_of_source(table.source.name)):
                counts = reading.execute(f"SELECT {values} FROM {named}").fetchone()
            for (column, reason), count in zip(table.left_behind.items(), counts, strict=True):
                yield LeftBehind(table.source.name, column, count, reason)


def estimated(engine: str, assessed_seconds: float, size: int) -> Estimate:
    """Foretell a window.

    Args:
        engine: What loads.
        assessed_seconds: How long it took to examine and to check the file: the same values on the same machine.
        size: The source's bytes.
    """
    rates = RATES[engine]
    seconds = {step: round(assessed_seconds * each, 1) for step, each in rates.seconds.items()}
    seconds["stop, switch and start"] = FIXED_SECONDS
    seconds["window"] = round(sum(seconds.values()), 1)
    return Estimate(seconds, round(size * rates.disk), round(size * rates.database))


def _obstacle(error: MigrationError) -> Obstacle:
    return Obstacle(error.fact, error.mend)


@contextmanager
def _snapshot_folder(directory: Path) -> Iterator[Path]:
    """Have an empty private folder for the length of the block; what a killed assessment has left goes first.

    Raises:
        MigrationError: Another assessment is at work, or there is no room.
    """
    private = directory / SNAPSHOT
    with refused_politely(f"cannot make room for a snapshot in {directory}"):
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    with ExitStack() as held:
        held.callback(os.close, lock)
        _take_alone(lock, directory)
        shutil.rmtree(private, ignore_errors=True)
        try:
            with refused_politely(f"cannot make room for a snapshot in {directory}"):
                private.mkdir(mode=0o700)
            yield private
        finally:
            shutil.rmtree(private, ignore_errors=True)


def _take_alone(lock: int, directory: Path) -> None:
    # The folder itself is the lock, so that no file for it is left.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MigrationError(
            f"another assessment is at work in {directory}", "Wait until it has ended, and run again"
        ) from None
