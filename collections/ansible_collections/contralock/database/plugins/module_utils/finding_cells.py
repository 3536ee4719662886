"""What does not fit, cell by cell: rules are applied, values converted, and every misfit is noted with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from .cells import Cells
from .conversion_base import shortened
from .plan import ColumnPlan, TablePlan
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
        return f"{self.table}.{self.column} at {self.keys[0]}{others}{value}: {self.reason}"


@dataclass(frozen=True)
class RuleCount:
    """How many cells a rule changed; named as in the mapping, by the target's table and column."""

    table: str
    column: str
    rule: str
    count: int


@dataclass
class _Tally:
    """A finding that grows."""

    column: ColumnPlan
    reason: str
    mend: str
    count: int = 0
    keys: tuple[str, ...] = ()
    shown: str | None = None


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
        self._tallies: dict[tuple[str, str, str], _Tally] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._otherwise = key_otherwise
        self._key_like = references | frozenset(table.key)
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
        return values

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What does not fit so far, in the order in which it was met."""
        return tuple(
            Finding(
                table=self.table.source.name,
                column=tally.column.source,
                target=f"{self.table.target}.{tally.column.target.name}",
                reason=tally.reason,
                mend=tally.mend,
                count=tally.count,
                keys=tally.keys,
                shown=tally.shown,
            )
            for tally in self._tallies.values()
        )

    @property
    def rule_counts(self) -> tuple[RuleCount, ...]:
        """What rules changed so far; rules that changed nothing are not listed."""
        return tuple(
            RuleCount(self.table.target, column, rule, count) for (column, rule), count in self._counts.items() if count
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
        for misfit in converted.misfits:
            self._note(column, misfit.reason, self._mend(column, misfit.mend), misfit.mask, batch)
        if column.target.not_null and converted.values.null_count:
            missing = ruled.is_null()
            if pc.any(missing).as_py():
                self._note(column, "NULL in a column that is NOT NULL", _null_mend(column), missing, batch)
        return converted.values

    def _note(self, column: ColumnPlan, reason: str, mend: str, mask: pa.BooleanArray, batch: Sequence[Cells]) -> None:
        tally = self._tallies.setdefault((column.source, reason, mend), _Tally(column, reason, mend))
        rows = pc.indices_nonzero(mask)
        if tally.shown is None:
            cells = batch[self.table.columns.index(column)]
            tally.shown = shown_cell(cells, rows[0].as_py(), column.sensitive)
        wanted = rows.slice(0, max(0, SHOWN_KEYS - len(tally.keys))).to_pylist()
        tally.keys += tuple(self._key(batch, row) for row in wanted)
        tally.count += len(rows)

    def _key(self, batch: Sequence[Cells], row: int) -> str:
        parts = [key_text(batch[index], row, sensitive) for index, sensitive in self._keys]
        return joined_key(parts) or f"row {self.rows + row + 1}"

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
