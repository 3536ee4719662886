"""What of a source does not fit its target, found before anything is loaded; and what the profile's rules do.

One pass over the whole source. Every verb reads through the same guard (``SourceExaminer``): what was found an hour ago
is not what the window reads.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

from .catalog import Constraint, Index
from .cells import Cells
from .columnar_reader import RowRange, read_columns, split_rows
from .errors import SHOWN_FINDINGS, MigrationError
from .finding_cells import OTHER_PROFILE, ColumnCount, Finding, RuleCount, TableExaminer, count_of
from .finding_rows import RowExaminer
from .plan import Plan, TablePlan
from .source_file import Progress, open_source
from .source_reader import one_view, read_table
from .worker_threads import WORKERS, Ticket, run_tasks

__all__ = [
    "ColumnCount",
    "Examination",
    "Finding",
    "PartExaminer",
    "RuleCount",
    "SourceExaminer",
    "TableExaminer",
    "examine",
    "examine_file",
    "raise_findings",
    "refusal_of",
]

_Part = tuple[TablePlan, int, RowRange | None]


@dataclass(frozen=True)
class Examination:
    """What a pass over a source found.

    Attributes:
        findings: What does not fit; tables in the plan's order, what is wrong between rows after it.
        rule_counts: What the rules changed.
        rows: Target table to the number of rows read.
        columns: What became of the cells of each column; in the plan's order.
        largest_rows: Target table to the bytes of its largest row as texts, where that is 1 MB or more.
        notes: Sentences for the report.
        waiting: What only PostgreSQL itself can judge: give it to ``judge_constraints``.
        duration_seconds: How long it took.
    """

    findings: tuple[Finding, ...]
    rule_counts: tuple[RuleCount, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[ColumnCount, ...] = ()
    largest_rows: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    waiting: tuple[Constraint | Index, ...] = ()
    duration_seconds: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether everything can be loaded as the plan says."""
        return not self.findings

    def raise_unless_ready(self) -> None:
        """Refuse when something does not fit.

        Raises:
            MigrationError: See ``raise_findings``.
        """
        raise_findings(self.findings)


class SourceExaminer:
    """Examines a source part by part; threads may examine parts at once, and the result is the same in any order.

    Close it at the end; it may have files in its folder.

    Args:
        plan: What goes where.
        folder: Where keys are put aside that are too many for memory; the system's temporary folder without one.
    """

    def __init__(self, plan: Plan, folder: Path | None = None) -> None:
        self._plan = plan
        self._across = RowExaminer(plan, folder)
        self._begun = time.monotonic()
        self._parts: dict[str, dict[int, TableExaminer]] = {table.target: {} for table in plan.tables}

    def part(self, table: TablePlan, number: int = 0) -> PartExaminer:
        """Begin a part of a table.

        Args:
            table: The table.
            number: The part's place among the table's parts, which are in the order of their rows.
        """
        references = self._across.references_of(table.target)
        examiner = TableExaminer(table, self._plan.key_otherwise, references)
        self._parts[table.target][number] = examiner
        return PartExaminer(examiner, self._across, number)

    def finish(self, workers: int = 1) -> Examination:
        """Return what was found, when all parts of all tables have been examined.

        Raises:
            MigrationError: Keys that were put aside cannot be read.
        """
        tables = [self._whole(table) for table in self._plan.tables]
        found = [finding for table in tables for finding in table.findings]
        return Examination(
            findings=(*found, *self._across.findings(workers)),
            rule_counts=tuple(count for table in tables for count in table.rule_counts),
            rows={table.table.target: table.rows for table in tables},
            columns=tuple(count for table in tables for count in table.columns),
            largest_rows={each.table.target: each.largest_row_bytes for each in tables if each.largest_row_bytes},
            notes=self._plan.notes,
            waiting=tuple(self._across.waiting()),
            duration_seconds=time.monotonic() - self._begun,
        )

    def close(self) -> None:
        """Give memory and disk back."""
        self._across.close()

    def _whole(self, table: TablePlan) -> TableExaminer:
        whole = TableExaminer(table)
        for _, part in sorted(self._parts[table.target].items()):
            whole.absorb(part)
        return whole


@dataclass(frozen=True)
class PartExaminer:
    """Examines one part of a table, in one thread."""

    _cells: TableExaminer
    _across: RowExaminer
    _number: int

    def add(self, batch: Sequence[Cells]) -> list[pa.Array]:
        """Examine the part's next rows.

        Args:
            batch: The cells of the plan's columns, in its order.

        Returns:
            PostgreSQL's values of the same columns; null where a cell is NULL or does not fit.

        Raises:
            MigrationError: Keys have to be put aside, and the folder is full.
        """
        values = self._cells.add(batch)
        self._across.add(self._cells.table, values, self._number)
        return values

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self._cells.rows

    @property
    def fits(self) -> bool:
        """Whether all cells of the part did so far."""
        return not self._cells.findings


def examine(connection: sqlite3.Connection, plan: Plan, progress: Progress | None = None) -> Examination:
    """Read the whole source and find everything in it that does not fit.

    Found are values that no conversion takes, NULL in NOT NULL columns, rows that PostgreSQL's primary keys, unique
    indexes and checks would refuse, and references to rows that are not there; all after the profile's rules.

    Args:
        connection: From ``open_source``. All is read in one transaction: a live file in rollback-journal mode holds its
            writers up meanwhile, so give it a snapshot. Where nobody writes the file, ``examine_file`` is faster.
        plan: What goes where.
        progress: Called with the target's table, its rows so far, and all of them.

    Raises:
        MigrationError: The source cannot be read.
    """
    report = progress or (lambda *_: None)
    with closing(SourceExaminer(plan)) as examiner, one_view(connection):
        for table in plan.tables:
            part = examiner.part(table)
            total = table.source.rows
            report(table.target, 0, total)
            for batch in read_table(connection, table.source.name, table.source_columns):
                part.add(batch)
                report(table.target, part.rows, max(total, part.rows))
        return examiner.finish()


def examine_file(
    path: Path, plan: Plan, progress: Progress | None = None, *, workers: int = WORKERS, folder: Path | None = None
) -> Examination:
    """Examine a file that nobody writes (see ``columnar_reader.py``), several parts at once.

    Args:
        path: The file; this process may not hold a lock on it.
        plan: What goes where.
        progress: Called by the caller's own thread with the target's table, its rows so far, and all of them.
        workers: How many threads read and examine; one is enough for a single core.
        folder: Where keys are put aside that are too many for memory; the system's temporary folder without one.

    Returns:
        What ``examine`` finds.

    Raises:
        MigrationError: The source cannot be read, it was written meanwhile, or the folder is full.
    """
    with closing(SourceExaminer(plan, folder)) as examiner:
        with closing(open_source(path)) as connection:
            parts = [
                (table, number, rows)
                for table in plan.tables
                for number, rows in enumerate(split_rows(connection, table.source))
            ]

        def work(part: _Part, ticket: Ticket[tuple[TablePlan, int]]) -> None:
            table, number, rows = part
            own = examiner.part(table, number)
            with closing(read_columns(path, table.source.name, table.source_columns, rows=rows)) as batches:
                for batch in batches:
                    ticket.check()
                    own.add(batch)
                    ticket.say((table, batch[0].length))

        read = dict.fromkeys((table.target for table in plan.tables), 0)

        def hear(news: tuple[TablePlan, int]) -> None:
            table, count = news
            read[table.target] += count
            if progress:
                progress(table.target, read[table.target], max(table.source.rows, read[table.target]))

        run_tasks([partial(work, part) for part in parts], max(1, workers), hear, lambda: None)
        return examiner.finish(workers)


def raise_findings(findings: Sequence[Finding]) -> None:
    """Refuse when there are findings.

    Raises:
        MigrationError: See ``refusal_of``.
    """
    if refusal := refusal_of(findings):
        raise refusal


def refusal_of(findings: Sequence[Finding]) -> MigrationError | None:
    """Return the refusal of what was found; None when nothing was.

    It has table, column, key, value and reason of the first ten, the number of all, and each mend; ``details`` has all
    findings.
    """
    if not findings:
        return None
    count = count_of(findings)
    pairs = [(str(finding), finding.mend) for finding in findings[:SHOWN_FINDINGS]]
    # Where another profile is wanted, nothing else needs to be mended for this one.
    if other := next((mend for _, mend in pairs if mend.startswith(OTHER_PROFILE)), ""):
        pairs = [(fact, other) for fact, _ in pairs]
    if len(findings) > len(pairs):
        more = f"and {len(findings) - len(pairs)} more kinds, with {count_of(findings[SHOWN_FINDINGS:])} of them"
        pairs.append((more, other))
    shown = [fact for fact, _ in pairs]
    return MigrationError(
        f"{count} {'value of the source does' if count == 1 else 'values of the source do'} not fit the target:"
        + ("\n- " if len(shown) > 1 else " ")
        + "\n- ".join(shown),
        "; ".join(dict.fromkeys(mend for _, mend in pairs if mend)),
        {"count": count, "findings": [asdict(finding) for finding in findings]},
        pairs,
        f"{count_of(findings):,} values of the source do not fit the target",
    )
