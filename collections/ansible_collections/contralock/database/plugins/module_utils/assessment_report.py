"""What an assessment says: whether a source can be moved, what stands in the way, what rules do, how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Any

from .constraint_judge import Unjudged
from .errors import SHOWN_FINDINGS, MigrationError, printable
from .finding_cells import ColumnCount, Finding, RuleCount, count_of
from .plan import Plan
from .rules_applied import rule_name
from .run_step import counted, readable_bytes, spoken_seconds

UNMATCHED_MEND = "Remove the rules that match nothing, or say when_unmatched: accept for their columns"


class Verdict(StrEnum):
    """The answer. Ready means that transfer and comparison of these very values succeed (but for ``unjudged``)."""

    READY = "ready"
    READY_WITH_RULES = "ready with rules"
    NOT_READY = "not ready"


@dataclass(frozen=True)
class Obstacle:
    """What keeps a source from being moved as a whole: a sentence without a full stop, and the mend as one."""

    fact: str
    mend: str


@dataclass(frozen=True)
class LeftBehind:
    """What of the source stays behind because the profile says so.

    Attributes:
        table: The source's table.
        column: Its column; None where the whole table stays behind.
        count: The rows of the table, or the values of the column that are not NULL.
        reason: The profile's.
    """

    table: str
    column: str | None
    count: int
    reason: str

    def __str__(self) -> str:
        if self.column is None:
            return f"table {self.table}, {counted(self.count, 'row')}: {self.reason}"
        return f"column {self.table}.{self.column}, {counted(self.count, 'value')}: {self.reason}"


@dataclass(frozen=True)
class Estimate:
    """What a window will take.

    Attributes:
        seconds: Step to its expected length; ``window`` is their sum.
        disk_bytes: What the application's host needs free, the backup and the load's own files together.
        database_bytes: What the target will hold, indexes included.
    """

    seconds: Mapping[str, float]
    disk_bytes: int
    database_bytes: int


@dataclass(frozen=True)
class Assessment:
    """What a look at every value of a source found.

    Attributes:
        source: The file as the operator named it.
        bytes: Its size.
        rows: Target table to its rows, as far as they were judged.
        obstacles: What is wrong with the file or with the plan as a whole.
        findings: What of its values and rows does not fit.
        columns: What becomes of the cells of each column.
        rules: What the profile's rules would change.
        unmatched: Rules that would change nothing, as ``table.column: rule``.
        unjudged: What was not judged: of the target, what only the load itself will tell (ready means all but that); of
            the source, what has no place in a plan or cannot be read (it is not ready then).
        left_behind: What the profile leaves behind of that which the source has.
        notes: What else the operator should know.
        estimate: What a window will take; None when not everything has a place in the plan.
        longest_pause_ms: The longest time for which the application's writers could be held up; 0 for a file at rest.
        seconds: How long the look took.
    """

    source: str
    bytes: int
    rows: Mapping[str, int] = field(default_factory=dict)
    obstacles: tuple[Obstacle, ...] = ()
    findings: tuple[Finding, ...] = ()
    columns: tuple[ColumnCount, ...] = ()
    rules: tuple[RuleCount, ...] = ()
    unmatched: tuple[str, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    left_behind: tuple[LeftBehind, ...] = ()
    notes: tuple[str, ...] = ()
    estimate: Estimate | None = None
    longest_pause_ms: float = 0.0
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """The answer."""
        if self.obstacles or self.findings or self.unmatched:
            return Verdict.NOT_READY
        return Verdict.READY_WITH_RULES if self.rules else Verdict.READY

    @property
    def misfits(self) -> int:
        """How many values and rows do not fit."""
        return count_of(self.findings)

    def raise_unless_ready(self) -> None:
        """Refuse a source that is not ready.

        Raises:
            MigrationError: With every obstacle, the first ten findings and each mend; ``details`` has the document.
        """
        if self.verdict is Verdict.NOT_READY:
            pairs = list(_pairs(self))
            facts = [fact for fact, _ in pairs]
            raise MigrationError(
                (f"{_heading(self)}:\n- " if len(facts) > 1 else f"{_heading(self)}: ") + "\n- ".join(facts),
                "; ".join(mends_of(self)),
                as_document(self),
                pairs,
                _heading(self),
            )


def unmatched_rules(plan: Plan, rows: Mapping[str, int], counts: tuple[RuleCount, ...]) -> Iterator[str]:
    """Yield the rules that changed no value of a table that has rows, where the mapping does not accept that."""
    matched = {(each.table, each.column, each.rule) for each in counts if each.count}
    for table in plan.tables:
        for column in table.columns if rows.get(table.target) else ():
            for rule in () if column.may_match_nothing else map(rule_name, column.rules):
                if (table.target, column.target.name, rule) not in matched:
                    yield f"{table.target}.{column.target.name}: {rule}"


def as_document(assessment: Assessment) -> dict[str, Any]:
    """Return an assessment as JSON types, for a report; sensitive values are not in it."""
    return {
        "verdict": assessment.verdict.value,
        "source": assessment.source,
        "bytes": assessment.bytes,
        "rows": sum(assessment.rows.values()) if assessment.rows else None,
        "tables": dict(assessment.rows),
        "misfits": assessment.misfits,
        "obstacles": [asdict(each) for each in assessment.obstacles],
        "findings": [asdict(each) for each in assessment.findings],
        "columns": [asdict(each) for each in assessment.columns],
        "rules": [asdict(each) for each in assessment.rules],
        "unmatched_rules": list(assessment.unmatched),
        "unjudged": [asdict(each) for each in assessment.unjudged],
        "left_behind": [asdict(each) for each in assessment.left_behind],
        "mends": mends_of(assessment),
        "notes": list(assessment.notes),
        "estimate": asdict(assessment.estimate) if assessment.estimate else None,
        "longest_pause_ms": round(assessment.longest_pause_ms, 1),
        "seconds": round(assessment.seconds, 1),
    }


def as_lines(assessment: Assessment) -> Iterator[str]:
    """Yield an assessment as an operator reads it; the verdict comes last."""
    read = counted(sum(assessment.rows.values()), "row") if assessment.rows else "rows not read"
    yield f"{assessment.source}: {read}, {readable_bytes(assessment.bytes)}"
    width = max((len(printable(table)) for table in assessment.rows), default=0)
    for table, rows in assessment.rows.items():
        yield f"  {printable(table):<{width}}  {counted(rows, 'row', width=11)}  {_of_table(assessment, table)}"
    for each in assessment.rules:
        yield f"rule: {each.table}.{each.column}: {each.rule} changes {counted(each.count, 'value')}"
    yield from (f"left behind: {each}" for each in assessment.left_behind)
    yield from (f"note: {note}" for note in assessment.notes)
    for obstacle in assessment.obstacles:
        yield f"obstacle: {obstacle.fact}"
        yield f"  mend: {obstacle.mend}"
    for mend, findings in groupby(assessment.findings, lambda each: each.mend):
        for finding in findings:
            yield f"does not fit: {finding}"
            if len(finding.keys) > 1:
                yield f"  at {', '.join(finding.keys)}{', ...' if finding.count > len(finding.keys) else ''}"
        yield f"  mend: {mend}"
    yield from (f"rule without effect: {each}" for each in assessment.unmatched)
    if assessment.unmatched:
        yield f"  mend: {UNMATCHED_MEND}"
    yield from (f"not judged: {each}" for each in assessment.unjudged)
    if estimate := assessment.estimate:
        parts = ", ".join(f"{step} {spoken_seconds(seconds)}" for step, seconds in estimate.seconds.items())
        here, there = readable_bytes(estimate.disk_bytes), readable_bytes(estimate.database_bytes)
        yield f"expected: {parts}; disk {here} here, {there} in PostgreSQL"
    yield f"{_heading(assessment)}, in {spoken_seconds(assessment.seconds)}"


def mends_of(assessment: Assessment) -> list[str]:
    """Return what to do, each once, in the order of what it mends."""
    mends = [*(each.mend for each in assessment.obstacles), *(each.mend for each in assessment.findings)]
    if assessment.unmatched:
        mends.append(UNMATCHED_MEND)
    return list(dict.fromkeys(mends))


def _heading(assessment: Assessment) -> str:
    if assessment.verdict is Verdict.NOT_READY:
        return _not_ready(assessment)
    changed = sum(each.count for each in assessment.rules)
    count = len(assessment.unjudged)
    but = f", but for {count} {'thing' if count == 1 else 'things'} that only the load will tell" if count else ""
    return f"{assessment.verdict.value}{but}" + (f": {counted(changed, 'value')} change by rule" if changed else "")


def _not_ready(assessment: Assessment) -> str:
    found = (
        (len(assessment.obstacles), "obstacle", "obstacles"),
        (assessment.misfits, "value or row that does not fit", "values or rows that do not fit"),
        (len(assessment.unmatched), "rule that matches nothing", "rules that match nothing"),
    )
    return f"not ready: {', '.join(counted(count, one, more) for count, one, more in found if count)}"


def _pairs(assessment: Assessment) -> Iterator[tuple[str, str]]:
    """Yield what stands in the way with its mends, for a message: of the findings the first, and what is not shown."""
    found = assessment.findings
    yield from ((each.fact, each.mend) for each in assessment.obstacles)
    yield from ((str(finding), finding.mend) for finding in found[:SHOWN_FINDINGS])
    if found[SHOWN_FINDINGS:]:
        yield f"and {len(found) - SHOWN_FINDINGS} more kinds, with {count_of(found[SHOWN_FINDINGS:]):,} of them", ""
    yield from ((f"{each} changes nothing", UNMATCHED_MEND) for each in assessment.unmatched)


def _of_table(assessment: Assessment, table: str) -> str:
    """Say of a table's values and rows how many do not fit; those of all tables make the whole number."""
    count = count_of([each for each in assessment.findings if _table_of(assessment, each.target) == table])
    misfits = counted(count, "value or row that does not fit", "values or rows that do not fit")
    return misfits if count else "all fit"


def _table_of(assessment: Assessment, target: str) -> str:
    """Return the table of ``table.columns``; either may have a dot in its name."""
    return max((table for table in assessment.rows if target.startswith(f"{table}.")), key=len, default="")
