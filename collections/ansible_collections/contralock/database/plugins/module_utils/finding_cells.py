"""What does not fit, cell by cell: rules are applied, values converted, and every misfit is noted with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from .cells import Cells
from .conversion_base import shortened
from .errors import printable
from .plan import ColumnPlan, TablePlan
from .row_bytes import largest_row
from .rules_applied import apply_rules

SHOWN_KEYS = 10
OTHER_PROFILE = "Use the profile"


@dataclass(frozen=True)
class Finding:
    """Values of a source column (or rows, by these columns) that do not fit, all for one reason.

    Attributes:
        table: The source's table.
        column: The source's column; several are joined by ``, ``.
        target: Where they should go: ``users.status``.
        reason: A phrase without a full stop.
        mend: An imperative sentence without a full stop.
        count: How many there are.
        keys: The keys of the first ten rows as the source has them; ``row 7`` (from 1, as read) without a key.
        shown: The first value as the source has it, shortened; ``length N`` where the column is sensitive; None
            where the reason is not about a value.
    """

    table: str
    column: str
    target: str
    reason: str
    mend: str
    count: int
    keys: tuple[str, ...]
    shown: str | None = None

    def __str__(self) -> str:
        others = f" and {self.count - 1} more" if self.count > 1 else ""
        value = "" if self.shown is None else f", value {self.shown}"
        return printable(f"{self.table}.{self.column} at {self.keys[0]}{others}{value}: {self.reason}")


@dataclass(frozen=True)
class RuleCount:
    """How many cells a rule changed; named as in the mapping, by the target's table and column."""

    table: str
    column: str
    rule: str
    count: int


@dataclass(frozen=True)
class ColumnCount:
    """What becomes of a column's cells, after the profile's rules.

    Attributes:
        table: The source's table.
        column: The source's column.
        target: Where its cells go: ``users.status``.
        fits: How many go as values.
        nulls: How many go as NULL.
        misfits: How many do not fit; NULL in a NOT NULL column is one of them.
    """

    table: str
    column: str
    target: str
    fits: int
    nulls: int
    misfits: int


@dataclass
class _Tally:
    """A finding that grows; ``first`` is the place of its first row, and a place stands for a key that is none."""

    column: ColumnPlan
    reason: str
    mend: str
    first: int
    shown: str
    count: int = 0
    keys: tuple[str | int, ...] = ()


class TableExaminer:
    """Takes a table's batches as they are read, converts them and remembers what does not fit.

    Args:
        table: The table's plan.
        key_otherwise: The plan's; the profile to name when a key is no uuid.
        references: Target columns of foreign keys, which repeat keys.
    """

    def __init__(
        self, table: TablePlan, key_otherwise: str | None = None, references: frozenset[str] = frozenset()
    ) -> None:
        self.table = table
        self.rows = 0
        #: As texts, of a row that fits; 0 where none has ``row_bytes.NOTED_BYTES``.
        self.largest_row_bytes = 0
        self._tallies: dict[tuple[str, str, str], _Tally] = {}
        self._counts: dict[tuple[str, str], int] = {}
        #: Target column -> cells that go as NULL, cells that do not fit.
        self._nulls = {column.target.name: 0 for column in table.columns}
        self._misfits = dict(self._nulls)
        self._otherwise = key_otherwise
        self._key_like = references | frozenset(table.key)
        self._positions = {column.source: number for number, column in enumerate(table.columns)}
        self._keys = [(table.columns.index(column), column.sensitive) for column in map(table.column, table.key)]

    def add(self, batch: Sequence[Cells]) -> list[pa.Array]:
        """Examine the next rows.

        Args:
            batch: The cells of the plan's columns, in its order, as ``read_table`` yields them.

        Returns:
            PostgreSQL's values of the same columns; null where a cell is NULL or does not fit.
        """
        values = [self._convert(column, cells, batch) for column, cells in zip(self.table.columns, batch, strict=True)]
        self.rows += batch[0].length if batch else 0
        largest = largest_row([column.conversion for column in self.table.columns], values)
        self.largest_row_bytes = max(self.largest_row_bytes, largest)
        return values

    def absorb(self, later: TableExaminer) -> None:
        """Add what was found in the rows that follow these, by another examiner of the same table."""
        for key, tally in later._tallies.items():
            keys = tuple(each + self.rows if isinstance(each, int) else each for each in tally.keys)
            known = self._tallies.get(key)
            if known is None:
                self._tallies[key] = replace(tally, first=tally.first + self.rows, keys=keys)
            else:
                known.count += tally.count
                known.keys = (*known.keys, *keys)[:SHOWN_KEYS]
        for place, count in later._counts.items():
            self._counts[place] = self._counts.get(place, 0) + count
        for name in self._nulls:
            self._nulls[name] += later._nulls[name]
            self._misfits[name] += later._misfits[name]
        self.rows += later.rows
        self.largest_row_bytes = max(self.largest_row_bytes, later.largest_row_bytes)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What does not fit so far, in the order of the columns, and in each in that of the rows."""
        tallies = sorted(self._tallies.values(), key=lambda each: (self._positions[each.column.source], each.first))
        return tuple(
            Finding(
                table=self.table.source.name,
                column=tally.column.source,
                target=f"{self.table.target}.{tally.column.target.name}",
                reason=tally.reason,
                mend=tally.mend,
                count=tally.count,
                keys=tuple(f"row {key + 1}" if isinstance(key, int) else key for key in tally.keys),
                shown=tally.shown,
            )
            for tally in tallies
        )

    @property
    def rule_counts(self) -> tuple[RuleCount, ...]:
        """What rules changed so far; rules that changed nothing are not listed."""
        return tuple(
            RuleCount(self.table.target, column, rule, count) for (column, rule), count in self._counts.items() if count
        )

    @property
    def columns(self) -> tuple[ColumnCount, ...]:
        """What became of each column's cells so far."""
        return tuple(
            ColumnCount(
                table=self.table.source.name,
                column=column.source,
                target=f"{self.table.target}.{name}",
                fits=self.rows - self._nulls[name] - self._misfits[name],
                nulls=self._nulls[name],
                misfits=self._misfits[name],
            )
            for column in self.table.columns
            for name in [column.target.name]
        )

    def _convert(self, column: ColumnPlan, cells: Cells, batch: Sequence[Cells]) -> pa.Array:
        ruled = cells
        if column.rules:
            applied = apply_rules(column.rules, cells, column.conversion)
            ruled = applied.cells
            for rule, count in applied.counts.items():
                place = (column.target.name, rule)
                self._counts[place] = self._counts.get(place, 0) + count
        converted = column.conversion.convert(ruled)
        misfits = sum(
            self._note(column, misfit.reason, self._mend(column, misfit.mend), misfit.mask, batch)
            for misfit in converted.misfits
        )
        nulls = converted.values.null_count - misfits
        if nulls and column.target.not_null:
            reason = "NULL in a column that is NOT NULL"
            misfits += self._note(column, reason, _null_mend(column), ruled.is_null(), batch)
            nulls = 0
        self._nulls[column.target.name] += nulls
        self._misfits[column.target.name] += misfits
        return converted.values

    def _note(self, column: ColumnPlan, reason: str, mend: str, mask: pa.BooleanArray, batch: Sequence[Cells]) -> int:
        """Remember where the mask is true, and return how often it is."""
        rows = pc.indices_nonzero(mask)
        tally = self._tallies.get((column.source, reason, mend))
        if tally is None:
            first = rows[0].as_py()
            shown = shown_cell(batch[self._positions[column.source]], first, column.sensitive)
            tally = _Tally(column, reason, mend, self.rows + first, shown)
            self._tallies[column.source, reason, mend] = tally
        wanted = rows.slice(0, max(0, SHOWN_KEYS - len(tally.keys))).to_pylist()
        tally.keys += tuple(self._key(batch, row) for row in wanted)
        tally.count += len(rows)
        return len(rows)

    def _key(self, batch: Sequence[Cells], row: int) -> str | int:
        parts = [key_text(batch[index], row, sensitive) for index, sensitive in self._keys]
        return joined_key(parts) or self.rows + row

    def _mend(self, column: ColumnPlan, mend: str) -> str:
        is_key = column.target.type_name == "uuid" and column.target.name in self._key_like
        return key_mend(self._otherwise) if self._otherwise and is_key else mend


def key_mend(profile: str) -> str:
    """Say what to do when keys are no uuids."""
    return f"{OTHER_PROFILE} {profile!r}, which takes keys that are no UUIDs"


def shown_cell(cells: Cells, row: int, sensitive: bool) -> str:
    """Return a cell for a message: a text in quotes, so that ``'5'`` is not ``5``; of a secret its length alone."""
    value = cells.python(row)
    if value is None:
        return "NULL"
    if sensitive:
        return f"length {len(value) if isinstance(value, str | bytes) else len(str(value))}"
    if isinstance(value, bytes):
        return f"x'{shortened(value[:50].hex())}'"
    return f"'{shortened(value)}'" if isinstance(value, str) else str(value)


def key_text(cells: Cells, row: int, sensitive: bool) -> str:
    """Return a cell as part of a key: like ``shown_cell``, texts without quotes."""
    value = cells.python(row)
    return shortened(value) if isinstance(value, str) and not sensitive else shown_cell(cells, row, sensitive)


def joined_key(parts: Sequence[str]) -> str:
    """Return the parts of a key as one: ``a``, or ``(a, b)``; empty without any."""
    return f"({', '.join(parts)})" if len(parts) > 1 else "".join(parts)


def _null_mend(column: ColumnPlan) -> str:
    place = f"tables.{column.target.table}.columns.{column.target.name}"
    return f"Give it a value in the application, or add the rule default with when: is_null to {place} in the mapping"


def count_of(findings: Sequence[Finding]) -> int:
    """Return how many values and rows do not fit."""
    return sum(finding.count for finding in findings)
