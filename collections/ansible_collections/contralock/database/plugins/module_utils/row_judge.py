"""Judges the rows of one table that belong together, and describes the first of those that differ.

A row of the source has the plan's columns. A row of the target has two more for each column that the source lacks:
whether its value is wrong, and the value; and one more for each column of arrays (``array_shape.py``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from .array_shape import lists_only, other_shapes, written
from .cells import Cells
from .comparison_report import Difference, Kind, TableComparison
from .conversion_base import shortened
from .default_check import DefaultCheck
from .errors import MigrationError
from .plan import ColumnPlan, Plan, TablePlan
from .rules_applied import apply_rules
from .symmetric_join import Rows, Side, hashable, identity_of
from .target_reader import BlockRange, select_columns
from .value_display import Display, is_quoted, rendered

#: A row of a table without a key is shown by its first columns.
SHOWN_COLUMNS = 6
_KINDS = tuple(Kind)


@dataclass
class Tally:
    """What was found in some of a table's rows.

    Attributes:
        read: Rows that were read, of each side.
        alone: Rows without a partner, of each side.
        cells: Cells of the source that were held against the target's.
        differing: Cells that differ.
        changed: Rows that are on both sides and differ in a cell.
        found: The first differences.
        began: When this began, on ``time.monotonic``'s clock.
        ended: When it ended.
    """

    read: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    alone: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    cells: int = 0
    differing: int = 0
    changed: int = 0
    found: list[Difference] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0


class TableJudge:
    """How one table is read and judged; it keeps nothing of the rows, so that threads may share it.

    Attributes:
        table: The table's plan.
        key: Positions of the columns that identify a row; empty when all of them do together.
        defaults: The columns that the source lacks.
    """

    def __init__(self, table: TablePlan, plan: Plan, display: Display, limit: int) -> None:
        """Prepare for a table.

        Args:
            table: Its plan.
            plan: The whole plan.
            display: Shows values, and hides secrets.
            limit: How many differences are described.
        """
        self.table = table
        self.columns = table.columns
        self._schema = plan.schema
        self._display = display
        self._limit = limit
        by_name = {column.name: column for column in plan.catalog.columns_of(table.target)}
        self.defaults = [
            DefaultCheck(by_name[each], (table.target, each) in plan.sensitive) for each in table.defaulted
        ]
        arrays = [at for at, column in enumerate(self.columns) if pa.types.is_list(column.conversion.arrow_type)]
        #: Position of a column of arrays to that of its other shapes in a row of the target.
        self._shapes = {at: len(self.columns) + 2 * len(self.defaults) + number for number, at in enumerate(arrays)}
        names = [column.target.name for column in self.columns]
        # Without a key, or with one that the source does not give, a row is identified by all that it holds.
        self.key = [names.index(name) for name in table.key] if set(table.key) <= set(names) else []

    def source_rows(self, batch: Sequence[Cells]) -> Rows:
        """Convert rows of the source as the plan says.

        Raises:
            MigrationError: A value does not fit.
        """
        return self._rows(tuple(self._converted(column, batch, at) for at, column in enumerate(self.columns)))

    def target_rows(self, arrays: Sequence[pa.Array]) -> Rows:
        """Take rows of the target as ``query`` returns them.

        Raises:
            MigrationError: The driver reads a type in another way than the conversions.
        """
        for column, array in zip(self.columns, arrays, strict=False):
            _assert_type(column, array)
        return self._rows(tuple(arrays))

    def query(self, blocks: BlockRange | None) -> str:
        """Return the query for the target's rows; those on some pages when they are given."""
        columns: list[str | sql.Composable] = [column.target.name for column in self.columns]
        expressions = [expression for check in self.defaults for expression in check.expressions()]
        for at in self._shapes:
            name = sql.Identifier(self.table.target, self.columns[at].target.name)
            columns[at] = lists_only(name)
            expressions.append(other_shapes(name))
        return select_columns(self._schema, self.table.target, columns, expressions=expressions, blocks=blocks)

    def hold(self, source: Rows, target: Rows, tally: Tally) -> None:
        """Hold rows of the source against their partners."""
        tally.cells += len(source) * len(self.columns)
        wrong = self._wrong_columns(source, target)
        if not wrong:
            return
        tally.differing += sum(pc.sum(mask).as_py() for mask in wrong.values())
        any_wrong = None
        for mask in wrong.values():
            any_wrong = mask if any_wrong is None else pc.or_(any_wrong, mask)
        rows = pc.indices_nonzero(any_wrong)
        tally.changed += len(rows)
        room = max(0, self._limit - len(tally.found))
        rows = rows[:room]
        told = [
            (row, difference)
            for at, mask in wrong.items()
            for row, difference in self._describe(at, rows.filter(mask.take(rows)), source, target)
        ]
        told.sort(key=lambda each: each[0])
        tally.found += [difference for _, difference in told][:room]

    def leave_alone(self, rows: Rows, side: Side, tally: Tally) -> None:
        """Note rows that have no partner on the other side."""
        tally.alone[side] += len(rows)
        few = rows.head(max(0, self._limit - len(tally.found)))
        if len(few):
            kind = Kind.MISSING if side is Side.SOURCE else Kind.EXTRA
            tally.found += [Difference(self.table.target, key, None, kind) for key in self._keys(few)]

    def result(self, tallies: Sequence[Tally]) -> tuple[TableComparison, list[Difference]]:
        """Put what was found in all rows together: the numbers, and the first differences in an order of their own.

        Args:
            tallies: All of the table's, in the order of its parts.
        """
        found = [difference for tally in tallies for difference in tally.found]
        found.sort(key=_place)
        comparison = TableComparison(
            table=self.table.target,
            source_rows=sum(tally.read[Side.SOURCE] for tally in tallies),
            target_rows=sum(tally.read[Side.TARGET] for tally in tallies),
            cells=sum(tally.cells for tally in tallies),
            differing=sum(tally.differing for tally in tallies),
            changed=sum(tally.changed for tally in tallies),
            missing=sum(tally.alone[Side.SOURCE] for tally in tallies),
            extra=sum(tally.alone[Side.TARGET] for tally in tallies),
            seconds=max(tally.ended for tally in tallies) - min(tally.began for tally in tallies),
        )
        return comparison, found[: self._limit]

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
        return self._display.hidden(text) if sensitive else shortened(text or "NULL")

    def _rows(self, arrays: tuple[pa.Array, ...]) -> Rows:
        numbers = self.key or range(len(self.columns))
        return Rows(identity_of([self._identifying(at, arrays) for at in numbers]), arrays)

    def _identifying(self, at: int, arrays: tuple[pa.Array, ...]) -> pa.Array:
        conversion = self.columns[at].conversion
        if at in self._shapes:  # as PostgreSQL's text: Arrow has no hash of a list
            return self._written(at, conversion.render(arrays[at]), arrays)
        return hashable(arrays[at], conversion.target.type_name == "numeric")

    def _written(self, at: int, texts: pa.Array, columns: tuple[pa.Array, ...]) -> pa.Array:
        """Put the arrays among texts that are no lists; only rows of the target have some."""
        place = self._shapes.get(at, len(columns))
        return written(texts, columns[place]) if place < len(columns) else texts

    def _wrong_columns(self, source: Rows, target: Rows) -> dict[int, pa.BooleanArray]:
        """Return number of the column -> which rows differ in it, for the columns in which any does."""
        masks: dict[int, pa.BooleanArray] = {}
        for at, column in enumerate(self.columns):
            left, right = source.columns[at], target.columns[at]
            # Arrow takes 0.0 and -0.0 for the same; the conversion does not.
            if _holds_floats(left.type) or not left.equals(right):
                masks[at] = pc.invert(column.conversion.same(left, right))
            if at in self._shapes and (shapes := target.columns[self._shapes[at]]).null_count < len(shapes):
                other = pc.is_valid(shapes)
                masks[at] = pc.or_(masks[at], other) if at in masks else other
        for number in range(len(self.defaults)):
            masks[len(self.columns) + number] = target.columns[len(self.columns) + 2 * number]
        return {at: mask for at, mask in masks.items() if pc.any(mask).as_py()}

    def _describe(self, at: int, rows: pa.Array, source: Rows, target: Rows) -> Iterator[tuple[int, Difference]]:
        if not len(rows):
            return
        few, held = source.take(rows), target.take(rows)
        if at < len(self.columns):
            column = self.columns[at]
            name, quoted = column.target.name, is_quoted(column.conversion)
            texts = zip(self._texts(at, few), self._texts(at, held), strict=True)
            pairs = [self._display.pair(left, right, column.sensitive, quoted) for left, right in texts]
        else:
            number = at - len(self.columns)
            check = self.defaults[number]
            name = check.column.name
            values = held.columns[len(self.columns) + 2 * number + 1].to_pylist()
            pairs = [(check.wanted, self._display.pair(None, each, check.sensitive)[1]) for each in values]
        for row, key, (left, right) in zip(rows.to_pylist(), self._keys(few), pairs, strict=True):
            yield row, Difference(self.table.target, key, name, Kind.DIFFERS, left, right)

    def _texts(self, at: int, rows: Rows) -> list[str | None]:
        texts = rendered(self.columns[at].conversion, rows.columns[at])
        if at not in self._shapes:
            return texts
        found: list[str | None] = self._written(at, pa.array(texts, pa.large_string()), rows.columns).to_pylist()
        return found

    def _keys(self, rows: Rows) -> list[str]:
        """Show what identifies the rows."""
        numbers = self.key or list(range(min(SHOWN_COLUMNS, len(self.columns))))
        shown = []
        for at in numbers:
            column = self.columns[at]
            quoted = not self.key and is_quoted(column.conversion)
            shown.append([self._display.single(text, column.sensitive, quoted) for text in self._texts(at, rows)])
        names = [self.columns[at].target.name for at in numbers]
        return [
            ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
            for values in zip(*shown, strict=True)
        ]


def read_notes(judges: Iterable[TableJudge]) -> list[str]:
    """Return sentences about the columns that can be compared in part only."""
    return [check.note for judge in judges for check in judge.defaults if check.note]


def _place(difference: Difference) -> tuple[int, list[str | int]]:
    """Return what differences are ordered by: the kind, then the key with its numbers by their size.

    Where the rows stand in either database is chance; the columns of a row keep their order, because a sort does.
    """
    parts = re.split(r"([0-9]+)", difference.key)
    return _KINDS.index(difference.kind), [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _holds_floats(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind))


def _assert_type(column: ColumnPlan, array: pa.Array) -> None:
    if array.type != column.conversion.arrow_type:
        raise MigrationError(
            f"{column.target.table}.{column.target.name}: the driver reads {column.target.type} as {array.type},"
            f" not as {column.conversion.arrow_type}",
            "Install the toolkit's own version of adbc-driver-postgresql (role migration_toolkit)",
        )
