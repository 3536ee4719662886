"""What of a source does not fit its target, found before anything is loaded; and what the profile's rules do.

One pass over the whole source. Every verb reads through the same guard (``TableExaminer``): what was found an hour ago
is not what the window reads.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from .errors import MigrationError
from .finding_cells import OTHER_PROFILE, Finding, RuleCount, TableExaminer, count_of
from .finding_rows import RowExaminer
from .plan import Plan
from .source_file import Progress
from .source_reader import one_view, read_table

__all__ = ["Examination", "Finding", "RuleCount", "TableExaminer", "examine", "raise_findings"]

SHOWN_FINDINGS = 10


@dataclass(frozen=True)
class Examination:
    """What a pass over a source found.

    Attributes:
        findings: What does not fit; tables in the plan's order, what is wrong between rows after it.
        rule_counts: What the rules changed.
        rows: Target table to the number of rows read.
        notes: Sentences for the report: the plan's, and which constraints only the load will check.
        duration_seconds: How long it took.
    """

    findings: tuple[Finding, ...]
    rule_counts: tuple[RuleCount, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
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


def examine(connection: sqlite3.Connection, plan: Plan, progress: Progress | None = None) -> Examination:
    """Read the whole source and find everything in it that does not fit.

    Found are values that no conversion takes, NULL in NOT NULL columns, rows that PostgreSQL's primary keys, unique
    indexes and checks would refuse, and references to rows that are not there; all after the profile's rules.

    Args:
        connection: From ``open_source``. All is read in one transaction: a live file in rollback-journal mode holds its
            writers up meanwhile, so give it a snapshot.
        plan: What goes where.
        progress: Called with the target's table, its rows so far, and all of them (0 when nobody counted).

    Raises:
        MigrationError: The source cannot be read.
    """
    started = time.monotonic()
    report = progress or (lambda *_: None)
    findings: list[Finding] = []
    rule_counts: list[RuleCount] = []
    rows: dict[str, int] = {}
    across = RowExaminer(plan)
    with one_view(connection):
        for table in plan.tables:
            examiner = TableExaminer(table, plan.key_otherwise, across.references_of(table.target))
            total = table.source.rows or 0
            report(table.target, 0, total)
            for batch in read_table(connection, table.source.name, table.source_columns):
                across.add(table, examiner.add(batch))
                report(table.target, examiner.rows, max(total, examiner.rows))
            findings += examiner.findings
            rule_counts += examiner.rule_counts
            rows[table.target] = examiner.rows
    findings += across.findings()
    return Examination(
        findings=tuple(findings),
        rule_counts=tuple(rule_counts),
        rows=rows,
        notes=(*plan.notes, *across.not_examined()),
        duration_seconds=time.monotonic() - started,
    )


def raise_findings(findings: tuple[Finding, ...]) -> None:
    """Refuse when there are findings.

    Raises:
        MigrationError: With table, column, key, value and reason of the first ten, the number of all, and each mend;
            ``details`` has all findings.
    """
    if not findings:
        return
    count = count_of(findings)
    shown = [str(finding) for finding in findings[:SHOWN_FINDINGS]]
    if len(findings) > len(shown):
        shown.append(f"and {len(findings) - len(shown)} more kinds, with {count_of(findings[SHOWN_FINDINGS:])} of them")
    # Several kinds share a mend; and where another profile is wanted, nothing else needs to be mended for this one.
    mends = list(dict.fromkeys(finding.mend for finding in findings[:SHOWN_FINDINGS]))
    mends = [each for each in mends if each.startswith(OTHER_PROFILE)] or mends
    raise MigrationError(
        f"{count} {'value of the source does' if count == 1 else 'values of the source do'} not fit the target:"
        + ("\n- " if len(shown) > 1 else " ")
        + "\n- ".join(shown),
        "; ".join(mends),
        {"count": count, "findings": [asdict(finding) for finding in findings]},
    )
