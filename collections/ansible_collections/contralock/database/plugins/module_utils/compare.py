"""Holds every cell of the source against the target, and names what differs.

Both sides are read once and matched by the converted key (by the whole row where a table has none). A cell is the same
when its conversion says so: what the source's cell becomes, after the profile's rules, is what the target has to hold.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Catalog, Description, difference, snapshot
from .cells import Cells
from .comparison_report import Comparison, Difference, Kind, TableComparison
from .connection import connect
from .conversion_base import shortened
from .default_check import DefaultCheck
from .errors import MigrationError
from .plan import ColumnPlan, Plan, TablePlan, make_plan
from .profile import Mapping
from .rules_applied import apply_rules
from .run_step import Progress, no_progress
from .source_file import explained, open_source
from .source_reader import BATCH_ROWS, read_table
from .source_schema import read_schema
from .symmetric_join import Rows, Side, SymmetricJoin, hashable, identity_of
from .target_reader import TargetReader, open_target, select_columns, server_message
from .value_display import Display

APPLICATION_NAME = "contralock compare"
#: A row of a table without a key is shown by its first columns.
SHOWN_COLUMNS = 6


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        redact_key: Keys the hash that stands for a sensitive value in what is reported.
        limit: How many differences are described; all are counted.
        schema: The target's schema, for ``compare_file``; ``compare`` takes the plan's.
        expected: What the target's catalog has to be (``Catalog.description``), None when nothing is known.
        batch_rows: Rows that are held against one another at once.
        application_name: How the sessions show themselves in ``pg_stat_activity``.
    """

    redact_key: bytes
    limit: int = 100
    schema: str = "public"
    expected: Description | None = None
    batch_rows: int = BATCH_ROWS
    application_name: str = APPLICATION_NAME


def compare_file(
    path: Path, target: str, mapping: Mapping, options: Options, progress: Progress = no_progress
) -> Comparison:
    """Compare a SQLite file with a target, by the plan that follows from them and a profile's mapping.

    Args:
        path: The file, which nobody writes.
        target: See ``compare``.
        mapping: The profile's exceptions.
        options: How.
        progress: See ``compare``.

    Raises:
        MigrationError: As ``compare``; or there is no such file, or no plan for it.
    """
    with closing(open_source(path)) as source:
        catalog, _ = _read_catalog(target, options.schema, options)
        return compare(source, target, make_plan(mapping, read_schema(source), catalog), options, progress)


def compare(
    source: sqlite3.Connection, target: str, plan: Plan, options: Options, progress: Progress = no_progress
) -> Comparison:
    """Compare a source with a target.

    Args:
        source: From ``open_source``; nobody may write to the file meanwhile.
        target: libpq connection string without a password, of the owner of the tables.
        plan: Which source column belongs to which target column.
        options: How.
        progress: Is told the table, its rows so far and the seconds left.

    Raises:
        MigrationError: It cannot be told: a side cannot be read, a source value does not fit its target, or the source
            was written meanwhile.
    """
    began = time.monotonic()
    before = _data_version(source)
    catalog, faults = _read_catalog(target, plan.schema, options)
    if options.expected is not None:
        faults += difference(options.expected, catalog.description)
    state = _State(options, plan, Display(options.redact_key), _Pace(plan, progress))
    with open_target(target, options.application_name) as reader:
        tables = tuple(_compare_table(source, reader, table, state) for table in plan.tables)
    if _data_version(source) != before:
        raise MigrationError(
            "the source was written while it was compared, so that nothing can be said about it",
            "Stop the application, or compare a backup of the file",
        )
    return Comparison(tables, tuple(state.found), tuple(faults), tuple(state.notes), time.monotonic() - began)


def _read_catalog(target: str, schema: str, options: Options) -> tuple[Catalog, list[str]]:
    """Return the target's schema and what keeps it from being whole."""
    try:
        with connect(target, options.application_name) as connection:
            catalog = snapshot(connection, schema)
            return catalog, catalog.faults(connection.info.user)
    except psycopg.Error as error:
        raise MigrationError(
            f"the catalog of schema {schema} cannot be read from PostgreSQL: {server_message(error)}",
            "Mend that (see the server's log) and run again; nothing was written",
        ) from None


class _Pace:
    """Says how far the comparison is, and how long it may still take."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        counts = [table.source.rows for table in plan.tables]
        self._total = None if None in counts else sum(count or 0 for count in counts)
        self._began = time.monotonic()
        self._done = 0
        self._progress = progress

    def say(self, table: TablePlan, rows: int, new: int) -> None:
        """Say that ``new`` rows of the source were read, ``rows`` of this table by now."""
        self._done += new
        said: dict[str, object] = {"table": table.target, "rows": rows}
        if table.source.rows is not None:
            said["of_rows"] = table.source.rows
        if self._total and self._done:
            left = max(0, self._total - self._done)
            said["seconds_left"] = round((time.monotonic() - self._began) * left / self._done, 1)
        self._progress(said)


@dataclass
class _State:
    """What the tables share."""

    options: Options
    plan: Plan
    display: Display
    pace: _Pace
    found: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def room(self) -> int:
        """How many differences may still be described."""
        return max(0, self.options.limit - len(self.found))


def _compare_table(
    source: sqlite3.Connection, reader: TargetReader, table: TablePlan, state: _State
) -> TableComparison:
    began = time.monotonic()
    by_name = {column.name: column for column in state.plan.catalog.columns_of(table.target)}
    defaults = [DefaultCheck(by_name[each], (table.target, each) in state.plan.sensitive) for each in table.defaulted]
    state.notes += [check.note for check in defaults if check.note]
    judge = _Judge(table, defaults, state)
    join = SymmetricJoin()
    for pair in join.run(judge.source_rows(source), judge.target_rows(reader)):
        judge.hold(*pair)
    judge.report_single(join.waiting[Side.SOURCE], Kind.MISSING)
    judge.report_single(join.waiting[Side.TARGET], Kind.EXTRA)
    return TableComparison(
        table=table.target,
        source_rows=judge.read[Side.SOURCE],
        target_rows=judge.read[Side.TARGET],
        cells=judge.cells,
        differing=judge.differing,
        changed=judge.changed,
        missing=join.rows_waiting(Side.SOURCE),
        extra=join.rows_waiting(Side.TARGET),
        seconds=time.monotonic() - began,
    )


class _Judge:
    """Reads both sides of one table and judges the rows that belong together.

    A row of the source has the plan's columns; a row of the target has two more for each of the ``defaults``: whether
    its value is wrong, and the value.
    """

    def __init__(self, table: TablePlan, defaults: Sequence[DefaultCheck], state: _State) -> None:
        self.table = table
        self.columns = table.columns
        self.defaults = defaults
        self.state = state
        self.read = dict.fromkeys(Side, 0)
        self.cells = self.differing = self.changed = 0
        names = [column.target.name for column in self.columns]
        # Without a key, or with one that the source does not give, a row is identified by all that it holds.
        self.key = [names.index(name) for name in table.key] if set(table.key) <= set(names) else []

    def source_rows(self, connection: sqlite3.Connection) -> Iterator[Rows]:
        """Read the source, converted as the plan says."""
        names = [column.source for column in self.columns]
        order = [names[at] for at in self.key]
        for batch in read_table(connection, self.table.source.name, names, order, self.state.options.batch_rows):
            arrays = tuple(self._converted(column, batch, at) for at, column in enumerate(self.columns))
            self.read[Side.SOURCE] += len(arrays[0])
            yield self._rows(arrays)
            self.state.pace.say(self.table, self.read[Side.SOURCE], len(arrays[0]))

    def target_rows(self, reader: TargetReader) -> Iterator[Rows]:
        """Read the target."""
        columns = [column.target for column in self.columns]
        query = select_columns(
            self.state.plan.schema,
            self.table.target,
            [column.name for column in columns],
            [(columns[at].name, columns[at].type_name) for at in self.key],
            [expression for check in self.defaults for expression in check.expressions()],
        )
        what = f"table {self.state.plan.schema}.{self.table.target}"
        for arrays in reader.read(query, what, self.state.options.batch_rows):
            for column, array in zip(self.columns, arrays, strict=False):
                _assert_type(column, array)
            self.read[Side.TARGET] += len(arrays[0])
            yield self._rows(tuple(arrays))

    def hold(self, source: Rows, target: Rows) -> None:
        """Hold rows of the source against their partners."""
        self.cells += len(source) * len(self.columns)
        wrong = self._wrong_columns(source, target)
        if not wrong:
            return
        self.differing += sum(pc.sum(mask).as_py() for mask in wrong.values())
        any_wrong = None
        for mask in wrong.values():
            any_wrong = mask if any_wrong is None else pc.or_(any_wrong, mask)
        rows = pc.indices_nonzero(any_wrong)
        self.changed += len(rows)
        rows = rows[: self.state.room]
        told = [
            (row, difference)
            for at, mask in wrong.items()
            for row, difference in self._describe(at, rows.filter(mask.take(rows)), source, target)
        ]
        told.sort(key=lambda each: each[0])
        self.state.found += [difference for _, difference in told][: self.state.room]

    def report_single(self, chunks: Iterable[Rows], kind: Kind) -> None:
        """Report the rows that found no partner."""
        for chunk in chunks:
            few = chunk.head(self.state.room)
            if not len(few):
                return
            self.state.found += [Difference(self.table.target, key, None, kind) for key in self._keys(few)]

    def _converted(self, column: ColumnPlan, batch: Sequence[Cells], at: int) -> pa.Array:
        cells = apply_rules(column.rules, batch[at], column.conversion).cells if column.rules else batch[at]
        try:
            converted = column.conversion.convert(cells)
        except pa.ArrowException as error:
            raise self._inconvertible(column, error) from None
        if converted.misfits:
            first = converted.misfits[0]
            row = pc.index(first.mask, True).as_py()
            place = f"{self.table.target}.{column.target.name} {self._source_key(batch, row)}"
            raise MigrationError(
                f"{place}: the source's value does not fit: {first.reason}",
                first.mend,
                {"table": self.table.target, "column": column.target.name, "reason": first.reason},
            )
        return converted.values

    def _inconvertible(self, column: ColumnPlan, error: Exception) -> MigrationError:
        # Arrow's own words would repeat the value, which may be a secret.
        place = f"{self.table.target}.{column.target.name}"
        return MigrationError(
            f"{place}: a batch of the source cannot be converted ({type(error).__name__})",
            "Report this: the conversion should have named the value that does not fit",
        )

    def _source_key(self, batch: Sequence[Cells], row: int) -> str:
        shown = [(self.columns[at].source, batch[at].python(row), self.columns[at].sensitive) for at in self.key]
        named = (f"{name}={self._plain(value, sensitive)}" for name, value, sensitive in shown)
        return f"({', '.join(named)})" if shown else f"(a row of {self.table.source.name}, which has no key)"

    def _plain(self, value: object, sensitive: bool) -> str:
        text = None if value is None else str(value)
        return self.state.display.hidden(text) if sensitive else shortened(text or "NULL")

    def _rows(self, arrays: tuple[pa.Array, ...]) -> Rows:
        numbers = self.key or range(len(self.columns))
        parts = [hashable(arrays[at], self.columns[at].target.type_name == "numeric") for at in numbers]
        return Rows(identity_of(parts), arrays)

    def _wrong_columns(self, source: Rows, target: Rows) -> dict[int, pa.BooleanArray]:
        """Return number of the column -> which rows differ in it, for the columns in which any does."""
        masks: dict[int, pa.BooleanArray] = {}
        for at, column in enumerate(self.columns):
            left, right = source.columns[at], target.columns[at]
            # Arrow takes 0.0 and -0.0 for the same; the conversion does not.
            if not pa.types.is_floating(left.type) and left.equals(right):
                continue
            masks[at] = pc.invert(column.conversion.same(left, right))
        for number in range(len(self.defaults)):
            masks[len(self.columns) + number] = target.columns[len(self.columns) + 2 * number]
        return {at: mask for at, mask in masks.items() if pc.any(mask).as_py()}

    def _describe(self, at: int, rows: pa.Array, source: Rows, target: Rows) -> Iterator[tuple[int, Difference]]:
        if not len(rows):
            return
        few = source.take(rows)
        if at < len(self.columns):
            column = self.columns[at]
            name = column.target.name
            pairs = self.state.display.pairs(
                column.conversion, column.sensitive, few.columns[at], target.columns[at].take(rows)
            )
        else:
            number = at - len(self.columns)
            check = self.defaults[number]
            name = check.column.name
            held = target.columns[len(self.columns) + 2 * number + 1].take(rows).to_pylist()
            pairs = [(check.wanted, self.state.display.pair(None, each, check.sensitive)[1]) for each in held]
        for row, key, (left, right) in zip(rows.to_pylist(), self._keys(few), pairs, strict=True):
            yield row, Difference(self.table.target, key, name, Kind.DIFFERS, left, right)

    def _keys(self, rows: Rows) -> list[str]:
        """Show what identifies the rows."""
        numbers = self.key or list(range(min(SHOWN_COLUMNS, len(self.columns))))
        bare = bool(self.key)
        shown = [
            self.state.display.single(self.columns[at].conversion, self.columns[at].sensitive, rows.columns[at], bare)
            for at in numbers
        ]
        names = [self.columns[at].target.name for at in numbers]
        return [
            ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
            for values in zip(*shown, strict=True)
        ]


def _assert_type(column: ColumnPlan, array: pa.Array) -> None:
    if array.type != column.conversion.arrow_type:
        raise MigrationError(
            f"{column.target.table}.{column.target.name}: the driver reads {column.target.type} as {array.type},"
            f" not as {column.conversion.arrow_type}",
            "Install the toolkit's own version of adbc-driver-postgresql (role migration_toolkit)",
        )


def _data_version(source: sqlite3.Connection) -> int:
    """Return a number that changes when another connection commits (https://www.sqlite.org/pragma.html)."""
    with explained("the source"):
        return int(source.execute("PRAGMA data_version").fetchone()[0])
