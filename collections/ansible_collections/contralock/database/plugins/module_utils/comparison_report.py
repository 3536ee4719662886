"""What a comparison of two databases found, and how it is said: as plain data, in lines, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from .errors import MigrationError, printable
from .run_step import counted

#: A failure's message is read on a terminal; the report has more.
SHOWN_IN_MESSAGE = 5


class Kind(StrEnum):
    """How a row or a cell differs, as it is said."""

    DIFFERS = "differs"
    MISSING = "missing in the target"
    EXTRA = "only in the target"


@dataclass(frozen=True)
class Difference:
    """One cell that differs, or one row that has no partner.

    Attributes:
        table: The target's table.
        key: The row's key as it is shown; the whole row, shortened, where the table has no key.
        column: The target's column, None where the whole row is meant.
        kind: How it differs.
        source: The value that the source gives, None where there is none to show.
        target: The value that the target holds, None where there is none to show.
    """

    table: str
    key: str
    column: str | None
    kind: Kind
    source: str | None = None
    target: str | None = None

    def __str__(self) -> str:
        where = printable(f"{self.table} {self.key}: {self.column or self.kind}")
        return (
            where if self.column is None else f"{where} is {self.source} in the source and {self.target} in the target"
        )


@dataclass(frozen=True)
class TableComparison:
    """The numbers of one table.

    Attributes:
        table: The target's table.
        source_rows: Rows that the source has.
        target_rows: Rows that the target has.
        cells: Cells of the source that were held against the target's.
        differing: Cells that differ, those of columns that the source lacks included.
        changed: Rows that are on both sides and differ in a cell.
        missing: Rows that only the source has.
        extra: Rows that only the target has.
        seconds: How long it took.
    """

    table: str
    source_rows: int
    target_rows: int
    cells: int
    differing: int
    changed: int
    missing: int
    extra: int
    seconds: float

    @property
    def number(self) -> int:
        """How many differences there are: cells, and rows without a partner."""
        return self.differing + self.missing + self.extra

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same."""
        return self.number == 0


@dataclass(frozen=True)
class LaterWrites:
    """The rows of a table in which the target went on after the source stood still."""

    added: int
    changed: int
    removed: int

    @property
    def rows(self) -> int:
        """All of them."""
        return self.added + self.changed + self.removed


@dataclass(frozen=True)
class UncarriedRows:
    """The rows that the target has in a table that the profile never carries: no way back takes them along.

    Attributes:
        table: The target's table.
        rows: How many it has.
        reason: Why it is never carried, in the profile's words.
    """

    table: str
    rows: int
    reason: str


@dataclass(frozen=True)
class Comparison:
    """What was found in all tables.

    Attributes:
        tables: One entry per table of the plan, in its order.
        differences: The first of them; ``tables`` counts all.
        catalog_faults: Sentences about the target's schema: what keeps it from being whole, or from being the expected.
        notes: Sentences about what could not be compared, and why.
        seconds: How long it took.
        uncarried: The never carried tables that have rows, where these were asked for.
    """

    tables: tuple[TableComparison, ...]
    differences: tuple[Difference, ...] = ()
    catalog_faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    uncarried: tuple[UncarriedRows, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing at all was found."""
        return not self.catalog_faults and all(table.equal for table in self.tables)

    @property
    def rows(self) -> int:
        """Rows of the source."""
        return sum(table.source_rows for table in self.tables)

    @property
    def cells(self) -> int:
        """Cells of the source that were held against the target's."""
        return sum(table.cells for table in self.tables)

    @property
    def number(self) -> int:
        """How many differences there are: cells, and rows without a partner."""
        return sum(table.number for table in self.tables)


def later_writes(comparison: Comparison) -> dict[str, LaterWrites]:
    """Return what the target has beyond a source that stood still, for each table where there is something."""
    found = {each.table: LaterWrites(each.extra, each.changed, each.missing) for each in comparison.tables}
    return {table: writes for table, writes in found.items() if writes.rows}


def as_document(comparison: Comparison) -> dict[str, object]:
    """Return a comparison as JSON types, for a report; sensitive values are not in it."""
    return {
        "equal": comparison.equal,
        "rows": comparison.rows,
        "cells": comparison.cells,
        "number": comparison.number,
        "tables": [asdict(table) | {"seconds": round(table.seconds, 3)} for table in comparison.tables],
        "differences": [asdict(each) | {"kind": each.kind.value} for each in comparison.differences],
        "later_writes": {table: asdict(each) for table, each in later_writes(comparison).items()},
        "later_rows": sum(each.rows for each in later_writes(comparison).values()),
        "never_carried": [asdict(each) for each in comparison.uncarried],
        "catalog_faults": list(comparison.catalog_faults),
        "notes": list(comparison.notes),
        "seconds": round(comparison.seconds, 3),
    }


def as_facts(comparison: Comparison) -> dict[str, object]:
    """Return what the journal of a run keeps: the numbers, in all and by table (beside those of the transfer)."""
    return {
        "equal": comparison.equal,
        "rows": comparison.rows,
        "cells": comparison.cells,
        "differences": comparison.number,
        "seconds": round(comparison.seconds, 3),
        "tables": {
            each.table: {
                "rows": each.source_rows,
                "cells": each.cells,
                "differences": each.number,
                "compare_seconds": round(each.seconds, 3),
            }
            for each in comparison.tables
        },
    }


def as_lines(comparison: Comparison) -> list[str]:
    """Return a comparison as an operator reads it: a line per table, what differs, the result."""
    width = max((len(printable(table.table)) for table in comparison.tables), default=0)
    lines = [_table_line(table, width) for table in comparison.tables]
    lines += [
        f"never carried: {each.table} has {counted(each.rows, 'row')} in the target, a way back leaves "
        f"{'it' if each.rows == 1 else 'them'} there: {each.reason}"
        for each in comparison.uncarried
    ]
    lines += [f"note: {note}" for note in comparison.notes]
    lines += [f"catalog: {fault}" for fault in comparison.catalog_faults]
    lines += [f"difference: {difference}" for difference in comparison.differences]
    if (hidden := comparison.number - len(comparison.differences)) > 0:
        lines.append(f"... and {hidden:,} more")
    return [*lines, f"{result(comparison)}, in {comparison.seconds:.1f} s"]


def result(comparison: Comparison) -> str:
    """Return the result as one phrase without a full stop."""
    tables = counted(len(comparison.tables), "table")
    compared = f"{counted(comparison.cells, 'cell')} in {counted(comparison.rows, 'row')} of {tables}"
    if comparison.equal:
        return f"the same: {compared}, no difference"
    faults = f", {counted(len(comparison.catalog_faults), 'fault')} in the catalog" if comparison.catalog_faults else ""
    return f"not the same: {compared}, {counted(comparison.number, 'difference')}{faults}"


def raise_unless_equal(comparison: Comparison) -> None:
    """Refuse what is not the same.

    Raises:
        MigrationError: Says how many differences there are, and the first of them; ``details`` has the document.
    """
    if comparison.equal:
        return
    found = [*comparison.catalog_faults, *map(str, comparison.differences)]
    more = comparison.number + len(comparison.catalog_faults) - len(found[:SHOWN_IN_MESSAGE])
    shown = "; ".join([*found[:SHOWN_IN_MESSAGE], *([f"{more:,} more"] if more > 0 else [])])
    raise MigrationError(
        f"the target does not hold what the source gives ({result(comparison)}): {shown}",
        "Find out who wrote to the target after the load, or what changed it; then load it again",
        as_document(comparison),
    )


def _table_line(table: TableComparison, width: int) -> str:
    counts = (counted(table.source_rows, "row", width=11), counted(table.cells, "cell", width=13))
    numbers = "  ".join([f"{printable(table.table):<{width}}", *counts])
    if table.equal:
        return f"{numbers}  the same"
    return f"{numbers}  {', '.join(_counted(table))}"


def _counted(table: TableComparison) -> Iterable[str]:
    if table.differing:
        verb = "differs" if table.differing == 1 else "differ"
        yield f"{counted(table.differing, 'cell')} {verb} in {counted(table.changed, 'row')}"
    if table.missing:
        yield f"{counted(table.missing, 'row')} missing in the target"
    if table.extra:
        yield f"{counted(table.extra, 'row')} only in the target"
