"""Holds every cell of the source against the target, and names what differs.

Both sides are read once and matched by the converted key (by the whole row where a table has none). A cell is the same
when its conversion says so: what the source's cell becomes, after the profile's rules, is what the target has to hold.

Several workers read parts of the tables in one snapshot of the target. What is found does not depend on which of them
is faster: it is put together in the order of the parts.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from .catalog import Description
from .cells import Cells
from .columnar_reader import read_columns
from .comparison_parts import WHOLE, Part, parts_of
from .comparison_report import Comparison, Difference, TableComparison
from .computed_columns import uncompared, with_computed
from .errors import MigrationError
from .load_mark import load_at_work, unfinished_load, unfinished_load_told
from .plan import Plan, TablePlan, make_plan
from .profile import Mapping as ProfileMapping
from .row_judge import TableJudge, Tally, read_notes
from .row_spill import PARTITIONS, RowSpill, settle
from .run_step import Progress, no_progress
from .source_file import open_source
from .source_reader import read_table
from .source_schema import read_schema
from .source_watch import watched
from .structure_check import structural_faults
from .structure_notes import source_notes
from .symmetric_join import Rows, Side, SymmetricJoin
from .target_moment import Moment, open_moment
from .target_reader import TargetReader
from .text_order import order_notes
from .uncarried_rows import count_uncarried
from .value_display import Display
from .worker_threads import WORKERS, Ticket, run_tasks

APPLICATION_NAME = "contralock compare"
#: Rows that are held against one another at once: few, because both sides of several workers are in memory together,
#: with what is made of them, and the larger the blocks of memory, the more of it is lost between them.
BATCH_ROWS = 10_000
#: Not /tmp, which may be memory.
SCRATCH = "/var/tmp"  # noqa: S108 (the files in it have no name)


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        redact_key: Keys the hash that stands for a sensitive value in what is reported.
        limit: How many differences are described; all are counted.
        schema: The target's schema.
        expected: What the target's catalog has to be (``Catalog.description``); None takes what the schema changes
            recorded in the target, if there is a record.
        batch_rows: Rows that are held against one another at once.
        application_name: How the sessions show themselves in ``pg_stat_activity``.
        workers: How many threads read and compare, each with a session of its own in the target.
        at_rest: Whether nobody writes the source and this process holds no lock on it (``columnar_reader.py``). Where
            that cannot be said, the source is read row by row, and each table by one worker.
        scratch: Where rows are put aside when the orders of both sides have too little in common; None stands for
            ``$TMPDIR``, or /var/tmp.
        uncarried: Whether the rows of never carried tables are counted. Before a move there is nothing to say of them.
    """

    redact_key: bytes
    limit: int = 100
    schema: str = "public"
    expected: Description | None = None
    batch_rows: int = BATCH_ROWS
    application_name: str = APPLICATION_NAME
    workers: int = WORKERS
    at_rest: bool = True
    scratch: Path | None = None
    uncarried: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            MigrationError: There are no workers.
        """
        if self.workers < 1:
            raise MigrationError(f"{self.workers} workers compare nothing", "Give at least 1")


def compare_file(
    path: Path, target: str, mapping: ProfileMapping, options: Options, progress: Progress = no_progress
) -> Comparison:
    """Compare a SQLite file with a target, by the plan that follows from them and a profile's mapping.

    Args:
        path: The file, which nobody writes; that somebody does is noticed.
        target: libpq connection string without a password, of the owner of the tables.
        mapping: The profile's exceptions.
        options: How.
        progress: Is told the table, its rows so far and the seconds left.

    Raises:
        MigrationError: It cannot be told: there is no such file, no plan for it, a side cannot be read, a value of the
            source does not fit its target, or the source was written meanwhile; a load is at work in the target, or one
            has not ended though nothing differs: its last steps are missing, and it is still to be taken back.
    """
    began = time.monotonic()
    with (
        closing(open_source(path)) as source,
        open_moment(target, options.application_name) as moment,
        watched(path, "compared") as watch,
        watch.unwritten(),
    ):
        _assert_no_load(moment)
        with unfinished_load_told(moment.connection):
            plan = with_computed(make_plan(mapping, read_schema(source), moment.catalog(options.schema)))
        faults, notes = structural_faults(moment, plan, options.expected)
        half = unfinished_load(moment.connection)
        if half:
            notes.append(str(half))
        work = _Work(path, moment, plan, options, progress)
        tables = work.compare(source)
        uncarried, uncounted = count_uncarried(moment, plan, mapping) if options.uncarried else ([], [])
        notes += [*uncounted, *read_notes(work.judges), *uncompared(plan), *source_notes(source, plan)]
        notes += order_notes(moment.connection, plan)
        # What has begun meanwhile is about to change what was compared.
        _assert_no_load(moment)
    comparison = Comparison(
        tuple(comparison for comparison, _ in tables),
        tuple(difference for _, found in tables for difference in found)[: options.limit],
        tuple(faults),
        tuple(notes),
        time.monotonic() - began,
        tuple(uncarried),
    )
    if half and comparison.equal:
        raise half
    return comparison


def _assert_no_load(moment: Moment) -> None:
    """Refuse a target that changes from one moment to the next: what is said of it would be true no more."""
    if load := load_at_work(moment.connection):
        raise load


@dataclass(frozen=True)
class _Unit:
    """What one worker does in one go: a part of a table; what finds no partner there is put aside."""

    table: int
    part: Part
    aside: Mapping[Side, RowSpill]


class _Work:
    """A comparison of all tables.

    Attributes:
        judges: One for each table of the plan, in its order.
    """

    def __init__(self, path: Path, moment: Moment, plan: Plan, options: Options, progress: Progress) -> None:
        self._path = path
        self._moment = moment
        self._plan = plan
        self._options = options
        self._pace = _Pace(plan, progress)
        self._scratch = options.scratch or Path(os.environ.get("TMPDIR", SCRATCH))
        self._readers: SimpleQueue[TargetReader] = SimpleQueue()
        display = Display(options.redact_key)
        self.judges = [TableJudge(table, plan, display, options.limit) for table in plan.tables]

    def compare(self, source: sqlite3.Connection) -> list[tuple[TableComparison, list[Difference]]]:
        """Compare; return the numbers of each table in the plan's order, and the first of its differences."""
        with ExitStack() as stack:
            units = self._units(source, stack)
            readers = [stack.enter_context(self._moment.reader()) for _ in range(self._options.workers)]
            for reader in readers:
                self._readers.put(reader)

            def interrupt() -> None:
                for reader in readers:
                    reader.interrupt()

            workers, hear = self._options.workers, self._pace.hear
            tasks = [partial(self._compare_part, unit) for unit in units]
            tallies = run_tasks(tasks, workers, hear, interrupt)
            found: list[list[Tally]] = [[] for _ in self.judges]
            for unit, tally in zip(units, tallies, strict=True):
                found[unit.table].append(tally)
            rests = [rest for number in range(len(self.judges)) for rest in _rests(number, units)]
            tasks_of_rests = [partial(self._compare_rest, *rest) for rest in rests]
            for (number, *_), tally in zip(rests, run_tasks(tasks_of_rests, workers, hear, interrupt), strict=True):
                found[number].append(tally)
        return [judge.result(tallies) for judge, tallies in zip(self.judges, found, strict=True)]

    def _units(self, source: sqlite3.Connection, stack: ExitStack) -> list[_Unit]:
        """Cut the tables into parts, those of the largest tables first: so that all workers end at the same time."""
        tables = self._plan.tables
        units = []
        for number in sorted(range(len(tables)), key=lambda each: -tables[each].source.rows):
            parts: Sequence[Part] = WHOLE
            if self._options.at_rest:
                parts = parts_of(self._path, source, self._moment, self._plan.catalog, tables[number])
            for part in parts:
                aside = {side: RowSpill(self._scratch) for side in Side}
                for spill in aside.values():
                    stack.callback(spill.close)
                units.append(_Unit(number, part, aside))
        return units

    def _compare_part(self, unit: _Unit, ticket: Ticket[tuple[int, int]]) -> Tally:
        """Compare the rows of a part with one another."""
        judge, tally = self.judges[unit.table], Tally()
        reader = self._readers.get()

        def aside(side: Side, rows: Rows) -> None:
            unit.aside[side].add(rows)

        join = SymmetricJoin(aside=aside)
        try:
            # Closed here: SQLite's objects belong to the thread that made them.
            with (
                closing(self._source(judge, unit, tally, ticket)) as source,
                closing(self._target(judge, unit, reader, tally, ticket)) as target,
            ):
                for source_rows, target_rows in join.run(source, target):
                    judge.hold(source_rows, target_rows, tally)
        finally:
            self._readers.put(reader)
        join.put_aside(aside)
        for spill in unit.aside.values():
            spill.finish()
        tally.ended = time.monotonic()
        return tally

    def _compare_rest(
        self,
        number: int,
        spills: Mapping[Side, Sequence[RowSpill]],
        partition: int | None,
        ticket: Ticket[tuple[int, int]],
    ) -> Tally:
        """Compare what found no partner in its part, or some of it."""
        judge, tally = self.judges[number], Tally()
        for source, target in settle(spills, partition):
            ticket.check()
            if source and target:
                judge.hold(source, target, tally)
            elif source:
                judge.leave_alone(source, Side.SOURCE, tally)
            elif target:
                judge.leave_alone(target, Side.TARGET, tally)
        tally.ended = time.monotonic()
        return tally

    def _source(
        self, judge: TableJudge, unit: _Unit, tally: Tally, ticket: Ticket[tuple[int, int]]
    ) -> Generator[Rows, None, None]:
        with closing(self._batches(judge.table, unit.part)) as batches:
            for batch in batches:
                ticket.check()
                rows = judge.source_rows(batch)
                tally.read[Side.SOURCE] += len(rows)
                yield rows
                ticket.say((unit.table, len(rows)))

    def _batches(self, table: TablePlan, part: Part) -> Generator[list[Cells], None, None]:
        name, columns, size = table.source.name, table.source_columns, self._options.batch_rows
        if self._options.at_rest:
            yield from read_columns(self._path, name, columns, rows=part.rows, batch_rows=size)
            return
        # A connection belongs to the thread that opened it.
        with closing(open_source(self._path)) as connection:
            yield from read_table(connection, name, columns, batch_rows=size)

    def _target(
        self, judge: TableJudge, unit: _Unit, reader: TargetReader, tally: Tally, ticket: Ticket[tuple[int, int]]
    ) -> Generator[Rows, None, None]:
        what = f"table {self._plan.schema}.{judge.table.target}"
        with closing(reader.read(judge.query(unit.part.blocks), what, self._options.batch_rows)) as batches:
            for arrays in batches:
                ticket.check()
                rows = judge.target_rows(arrays)
                tally.read[Side.TARGET] += len(rows)
                yield rows


def _rests(number: int, units: Sequence[_Unit]) -> Iterator[tuple[int, Mapping[Side, Sequence[RowSpill]], int | None]]:
    """Yield what is left to compare of a table: nothing, a little that is done at once, or its partitions."""
    spills = {side: [unit.aside[side] for unit in units if unit.table == number] for side in Side}
    everything = [spill for side in Side for spill in spills[side]]
    if any(spill.on_disk for spill in everything):
        yield from ((number, spills, partition) for partition in range(PARTITIONS))
    elif any(spill.rows for spill in everything):
        yield number, spills, None


class _Pace:
    """Says how far the comparison is, and how long it may still take."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._tables = plan.tables
        self._total = sum(table.source.rows for table in plan.tables)
        self._began = time.monotonic()
        self._done = [0] * len(plan.tables)
        self._progress = progress

    def hear(self, read: tuple[int, int]) -> None:
        """Take the number of a table, and how many more rows of it were compared."""
        number, rows = read
        self._done[number] += rows
        table, done = self._tables[number], sum(self._done)
        said: dict[str, object] = {"table": table.target, "rows": self._done[number], "of_rows": table.source.rows}
        if done:
            left = max(0, self._total - done)
            said["seconds_left"] = round((time.monotonic() - self._began) * left / done, 1)
        self._progress(said)
