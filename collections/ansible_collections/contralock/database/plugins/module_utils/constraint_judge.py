"""Lets PostgreSQL judge what cannot be judged here: expressions in CHECKs and indexes, partial ones, exclusions.

Only tables that have such a constraint are read again, and of them only the columns that it looks at; a temporary table
on the target's server holds them meanwhile (``constraint_trial.py``). What even that cannot say is named, and why.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg

from .catalog import Constraint, Index
from .cells import Cells
from .columnar_reader import read_columns
from .computed_columns import as_given, computed_values
from .connection import Connection
from .constraint_trial import COMPUTED, FILLED, Broken, Question, Trial, UnaskableError, trial_of
from .finding_cells import Finding, joined_key, key_text
from .finding_rows import CHECK_MEND, DUPLICATE_MEND, SAME
from .load_faults import server_fault
from .plan import ColumnPlan, Plan, TablePlan
from .source_file import Progress
from .wide_rows import first_wide_row, may_be_wide

_UNNAMED = "a row that PostgreSQL does not name"
_WIDE_MEND = "Split the table, or keep the columns that nobody searches in one of type jsonb"
_LONG_MEND = "Shorten the value in the application, or change the index in the schema (one on md5() of it, or none)"
#: Those that a load fires: it takes keys and indexes away and builds them again, tries the next numbers without other
#: constraints in the way, and has its mark meanwhile. One that belongs to an extension is the extension's own business.
#: PostgreSQL manual, "Event Trigger Firing Matrix".
_EVENT_TRIGGERS = """
SELECT e.evtname::text FROM pg_event_trigger e
 WHERE e.evtenabled IN ('O', 'A') AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop')
   AND (e.evttags IS NULL OR e.evttags && ARRAY['ALTER TABLE', 'CREATE INDEX', 'DROP INDEX', 'CREATE SCHEMA',
                                                'DROP SCHEMA', 'COMMENT'])
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid
                      AND d.deptype = 'e')
 ORDER BY 1"""
_OTHER_MEND = "Correct the expression in the schema, or let the column be an ordinary one, which is loaded"
_COMPUTED_MEND = "Correct the value in the application, or change the expression in the schema"
#: What is asked of a computed column -> what becomes of the rows for which it does not hold, and the mend.
_OF_COMPUTED = {
    COMPUTED: ("PostgreSQL computes another value of it than SQLite", _OTHER_MEND),
    FILLED: ("PostgreSQL computes NULL, and it is NOT NULL", _COMPUTED_MEND),
}


@dataclass(frozen=True)
class Unjudged:
    """Something that the load alone will tell: what it is (``constraint public.t.c``), and why, as a phrase."""

    object: str
    why: str

    def __str__(self) -> str:
        return f"{self.object}: {self.why}"


@dataclass(frozen=True)
class Judged:
    """What PostgreSQL says: what does not fit, and what cannot be told."""

    findings: tuple[Finding, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()


def judge_constraints(
    connection: Connection,
    source: Path,
    plan: Plan,
    waiting: Sequence[Constraint | Index],
    progress: Progress | None = None,
) -> Judged:
    """Hold the rows against constraints and unique indexes, in PostgreSQL.

    Args:
        connection: To a server that has the types and functions of the target, as a role that may make temporary
            tables; not in a transaction. Nothing stays, and nothing of the target is locked.
        source: The SQLite file, which nobody writes.
        plan: What goes where.
        waiting: From an ``Examination``.
        progress: Called with the target's table, its rows so far, and all of them.

    Raises:
        MigrationError: The source cannot be read.
    """
    findings: list[Finding] = []
    unjudged = list(_of_the_load(connection, plan))
    given = as_given(plan)
    for table in plan.tables:
        own = [each for each in waiting if each.table == table.target]
        for asked, seen in ((computed_values(plan, table), given), (own, plan)):
            judge = _TableJudge(connection, source, seen, seen.table(table.target), progress or (lambda *_: None))
            if every := list(asked):
                findings += judge.findings(every)
                unjudged += judge.unjudged
        if may_be_wide(plan.catalog, table.target):
            judge = _TableJudge(connection, source, plan, table, progress or (lambda *_: None))
            findings += judge.too_wide()
            unjudged += judge.unjudged
    return Judged(tuple(findings), tuple(unjudged))


def _of_the_load(connection: Connection, plan: Plan) -> Iterator[Unjudged]:
    """Yield what acts on the load itself."""
    for (name,) in connection.execute(_EVENT_TRIGGERS).fetchall():
        yield Unjudged(f"event trigger {name}", "it acts when a load takes keys and indexes away and builds them again")
    carried = {table.target for table in plan.tables}
    for each in plan.catalog.others:
        # A trigger's name follows its table's. One that is switched off (D) does nothing.
        acts = each.kind == "trigger" and not each.text.endswith(" enabled D")
        if acts and any(each.name.startswith(f"{table}.") for table in carried):
            yield Unjudged(each.object, "it acts on each row that is loaded")
    for table in plan.catalog.tables:
        if table.name in carried and "forced row security" in table.details:
            yield Unjudged(table.object, "its row security binds its owner too")
        if table.name in carried and table.kind == "partitioned table":
            yield Unjudged(table.object, "whether its partitions take each of its rows, the load alone tells")


class _TableJudge:
    """Judges one table."""

    def __init__(self, connection: Connection, source: Path, plan: Plan, table: TablePlan, progress: Progress) -> None:
        self.unjudged: list[Unjudged] = []
        self._connection = connection
        self._source = source
        self._plan = plan
        self._table = table
        self._progress = progress

    def findings(self, waiting: Sequence[Constraint | Index]) -> list[Finding]:
        """Return what does not fit; ``unjudged`` says then what could not be told."""
        found: list[tuple[Question, Broken]] = []
        try:
            with trial_of(self._connection, self._table, self._plan.catalog) as trial:
                questions = list(self._questions(trial, waiting))
                if not questions:
                    return []
                planned = trial.planned(questions)
                with closing(self._batches(planned)) as batches:
                    trial.fill(planned, batches)
                for question in questions:
                    if broken := self._asked(trial, question):
                        found.append((question, broken))
        except psycopg.Error as error:
            known = {each.object for each in self.unjudged}
            self.unjudged += [_not_asked(each, error) for each in waiting if each.object not in known]
            return []
        return [self._finding(question, broken) for question, broken in found]

    def too_wide(self) -> Iterator[Finding]:
        """Yield the first row that has no room on a page."""
        table = self._table
        try:
            with (
                trial_of(self._connection, table, self._plan.catalog, numbered=False) as trial,
                closing(self._batches(table.columns)) as batches,
            ):
                found = first_wide_row(trial, batches)
        except psycopg.Error as error:
            why = f"whether its rows fit on a page PostgreSQL could not be asked ({server_fault(error)})"
            self.unjudged.append(Unjudged(f"table {self._plan.schema}.{table.target}", why))
            return
        if found:
            number, refused = found
            columns = f"({len(self._plan.catalog.columns_of(table.target))} columns)"
            keys = tuple(key for key, _ in self._shown([number], [])) or (f"row {number + 1}",)
            reason = f"against the room of a page: {server_fault(refused)}"
            yield Finding(table.source.name, columns, table.target, reason, _WIDE_MEND, 1, keys)

    def _asked(self, trial: Trial, question: Question) -> Broken | None:
        try:
            return trial.broken(question)
        except psycopg.Error as error:
            self.unjudged.append(_not_asked(question.asked, error))
            return None

    def _questions(self, trial: Trial, waiting: Sequence[Constraint | Index]) -> Iterator[Question]:
        for each in waiting:
            try:
                yield trial.question(each)
            except UnaskableError as error:
                self.unjudged.append(Unjudged(each.object, str(error)))

    def _batches(self, planned: Sequence[ColumnPlan]) -> Generator[list[Cells], None, None]:
        total, done = self._table.source.rows, 0
        columns = [column.source for column in planned]
        with closing(read_columns(self._source, self._table.source.name, columns)) as batches:
            for batch in batches:
                done += batch[0].length
                self._progress(f"{self._table.target} (in PostgreSQL)", done, max(total, done))
                yield batch

    def _finding(self, question: Question, broken: Broken) -> Finding:
        names = {column.target.name for column in self._table.columns}
        columns = [self._table.column(name) for name in question.columns if name in names]
        shown = self._shown(broken.rows, [column.source for column in columns])
        reason, mend = _reason(question, broken)
        return Finding(
            table=self._table.source.name,
            column=", ".join(column.source for column in columns),
            target=f"{self._table.target}.{', '.join(_about(question))}",
            reason=reason,
            mend=mend,
            count=broken.count,
            keys=tuple(key for key, _ in shown) or (_UNNAMED,),
            shown=shown[0][1] if shown else None,
        )

    def _shown(self, rows: Sequence[int], columns: Sequence[str]) -> list[tuple[str, str]]:
        """Return key and values of rows as the source has them."""
        key = self._table.source_key
        wanted = list(dict.fromkeys([*key, *columns]))
        secret = {column.source: column.sensitive for column in self._table.columns}
        found: list[tuple[str, str]] = []
        first = 0
        if not rows or not wanted:
            return found
        with closing(read_columns(self._source, self._table.source.name, wanted)) as batches:
            for batch in batches:
                for row in (number for number in rows if first <= number < first + batch[0].length):
                    texts = {
                        name: key_text(cells, row - first, secret[name])
                        for name, cells in zip(wanted, batch, strict=True)
                    }
                    own = joined_key([texts[name] for name in key]) or f"row {row + 1}"
                    found.append((own, joined_key([texts[name] for name in columns])))
                first += batch[0].length
                if first > max(rows):
                    break
        return found


def _not_asked(each: Constraint | Index, error: psycopg.Error) -> Unjudged:
    return Unjudged(each.object, f"PostgreSQL could not be asked ({server_fault(error)})")


def _about(question: Question) -> Sequence[str]:
    """Return the target's columns that a question is about."""
    asked = question.asked
    return asked.columns if isinstance(asked, Constraint) and asked.kind in _OF_COMPUTED else question.columns


def _reason(question: Question, broken: Broken) -> tuple[str, str]:
    """Return why rows do not fit, and the mend."""
    asked = question.asked
    kind = asked.kind if isinstance(asked, Constraint) else "index"
    against = f"against {f'the computed column {asked.name}' if kind in _OF_COMPUTED else asked.text}"
    if isinstance(broken.error, psycopg.errors.ProgramLimitExceeded):
        return f"{against}: {server_fault(broken.error)}", _LONG_MEND
    if isinstance(broken.error, psycopg.errors.UniqueViolation | psycopg.errors.ExclusionViolation):
        return f"{against}: {server_fault(broken.error)}", DUPLICATE_MEND
    if broken.error is not None:
        return f"{against}, which PostgreSQL cannot compute: {server_fault(broken.error)}", _COMPUTED_MEND
    if kind in _OF_COMPUTED:
        why, mend = _OF_COMPUTED[kind]
        return f"{against}: {why}", mend
    if kind != "index":
        return against, CHECK_MEND
    condition = f" among the rows with {question.condition}" if question.condition else ""
    return f"{SAME} ({', '.join(question.keys)}){condition}", DUPLICATE_MEND
