"""What of whole rows does not fit: two of one key, references to rows that are not there, checks that are broken.

All is decided on PostgreSQL's values, after rules and conversions: rules can make two texts one, and SQLite compares
by its own rules (1 = 1.0, NOCASE columns). What needs PostgreSQL itself is left to it, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Catalog, Constraint, Index
from .check_expressions import QUALIFIED_COLLATION, Check, parse_check
from .finding_cells import SHOWN_KEYS, Finding, joined_key
from .indexed_lengths import IndexedLengths, spelled_columns
from .kept_keys import KEPT_BYTES, ROW, KeptKeys, repeated, without_partner
from .plan import ColumnPlan, Plan, TablePlan
from .source_file import Reference

#: Why a row that is like another one does not fit.
SAME = "the same as in another row, where PostgreSQL wants each once"
DUPLICATE_MEND = (
    "Change or remove all but one of these rows in the application, or the rule that makes them the same in the mapping"
)
CHECK_MEND = "Correct the value in the application, or change the constraint in the schema"
ORPHAN_MEND = "Mend or delete these rows in the application, or bring back the row that they refer to"
#: A row's number is that of its part, and its place in the part in so many bits.
_PART_BITS = 40
_OWN_COLLATION = re.compile(f" COLLATE {QUALIFIED_COLLATION.pattern}")


@dataclass(frozen=True)
class _Unique:
    table: str
    columns: tuple[str, ...]
    nulls_are_equal: bool

    @property
    def group(self) -> tuple[str, ...]:
        return (self.table, *self.columns)


@dataclass
class _Found:
    """Rows that do not fit for one reason: how many, and the first of them."""

    count: int
    first: pa.Table

    @staticmethod
    def of(parts: Iterable[pa.Table]) -> _Found | None:
        """Gather rows that come in any order."""
        count, first = 0, None
        for rows in parts:
            count += rows.num_rows
            together = rows if first is None else pa.concat_tables([first, rows])
            first = together.take(pc.sort_indices(together.column(ROW)).slice(0, SHOWN_KEYS))
        return _Found(count, first) if count else None

    @property
    def numbers(self) -> list[int]:
        """The numbers of the first rows, in order."""
        numbers: list[int] = self.first.column(ROW).to_pylist()
        return numbers


@dataclass
class _Broken:
    """The rows of one part of a table that break a check."""

    count: int = 0
    numbers: list[int] = field(default_factory=list)
    shown: str = ""


class RowExaminer:
    """Holds rows against checks as they come, keeps all keys and references, and compares these in the end.

    Threads may add rows of different parts of tables at once. What is found depends on the rows and their order alone.

    Args:
        plan: What goes where.
        folder: Where keys and references go that are too many for memory (see ``kept_keys.py``).
        kept_bytes: What of them may stay in memory.
    """

    def __init__(self, plan: Plan, folder: Path | None = None, kept_bytes: int = KEPT_BYTES) -> None:
        self._plan = plan
        self._carried = {table.target: {column.target.name for column in table.columns} for table in plan.tables}
        self._uniques = [each for each in _uniques(plan.catalog) if self._can_keep(each.table, each.columns)]
        self._references = [each for each in plan.catalog.constraints if self._is_examined(each)]
        self._with_nulls = {each.group for each in self._uniques if each.nulls_are_equal}
        self._checks = list(self._parsed_checks())
        self._broken: dict[tuple[int, int], _Broken] = {}
        #: Target table -> number of the part -> its rows so far.
        self._rows: dict[str, dict[int, int]] = {name: {} for name in self._carried}
        self._lengths = IndexedLengths(plan.catalog, self._carried)
        # A dict, because a group may be wanted for several reasons.
        self._groups: dict[str, dict[tuple[str, ...], Sequence[str]]] = {name: {} for name in self._carried}
        for table in plan.tables:
            if table.key and self._can_keep(table.target, table.key):
                self._keep(table.target, table.key)
        for unique in self._uniques:
            self._keep(unique.table, unique.columns)
        for each in self._references:
            self._keep(each.table, each.columns)
            self._keep(str(each.referenced_table), each.referenced_columns)
        self._keys = KeptKeys(
            (
                (group, [(name, self._type(table, name)) for name in columns])
                for table, groups in self._groups.items()
                for group, columns in groups.items()
            ),
            folder,
            kept_bytes,
        )
        self._partitions: Sequence[int | None] = ()

    def references_of(self, table: str) -> frozenset[str]:
        """Return the columns of a target table that refer to others."""
        return frozenset(column for each in self._references if each.table == table for column in each.columns)

    def add(self, table: TablePlan, values: Sequence[pa.Array], part: int = 0) -> None:
        """Take the converted values of a table's next rows, in the plan's order of columns.

        Args:
            table: The table.
            values: One array for each of its columns.
            part: Which part of the table they belong to; parts are numbered in the order of their rows.

        Raises:
            MigrationError: The scratch folder is full, or cannot be written.
        """
        if not values or not len(values[0]):
            return
        named = {column.target.name: array for column, array in zip(table.columns, values, strict=True)}
        rows = self._rows[table.target]
        first = (part << _PART_BITS) + rows.get(part, 0)
        rows[part] = rows.get(part, 0) + len(values[0])
        self._check(table, named, first, part)
        self._lengths.add(table.target, named, part)
        for group, columns in self._groups[table.target].items():
            keys = [_comparable_values(named[name], self._type(table.target, name)) for name in columns]
            numbers = pa.array(np.arange(first, first + len(values[0])))
            if group not in self._with_nulls and any(key.null_count for key in keys):
                # A null is equal to nothing, and refers to nothing; a value that did not fit is reported already.
                valid = reduce(pc.and_, map(pc.is_valid, keys))
                keys, numbers = [key.filter(valid) for key in keys], numbers.filter(valid)
            self._keys.add(group, keys, numbers)

    def findings(self, workers: int = 1) -> Iterator[Finding]:
        """Yield what does not fit, when all rows of all tables have been added.

        Args:
            workers: How many uniquenesses and references may be looked at beside one another.

        Raises:
            MigrationError: The scratch folder is full, or cannot be read.
        """
        self._partitions = self._keys.finish()
        yield from self._all_broken()
        asked = [partial(self._duplicates, each) for each in self._uniques]
        asked += [partial(self._orphans, each) for each in self._references]
        with ThreadPoolExecutor(workers) as pool:
            for finding in pool.map(lambda ask: ask(), asked):
                if finding:
                    yield finding

    def close(self) -> None:
        """Give memory and disk back."""
        self._keys.close()

    def waiting(self) -> Iterator[Constraint | Index]:
        """Yield what only PostgreSQL itself can judge (``constraint_judge.py``), by name."""
        catalog = self._plan.catalog
        carried = {table.target for table in self._plan.tables}
        checked = [constraint for constraint, _ in self._checks]
        left: list[Constraint | Index] = [each for each in catalog.indexes if self._waits(each)]
        left += [each for each in catalog.constraints if each.kind in ("check", "exclusion") and each not in checked]
        left += [each for each in catalog.constraints if each.kind == "foreign key" and not self._is_examined(each)]
        yield from sorted((each for each in left if each.table in carried), key=lambda each: (each.table, each.name))

    def _waits(self, index: Index) -> bool:
        """Tell whether rows may be refused by an index that is not examined: for what it computes, or their length."""
        examined = {(each.table, frozenset(each.columns)) for each in self._uniques}
        if index.unique and (index.table, frozenset(_plain_columns(index, self._plan.catalog))) not in examined:
            return True
        computes = index.partial or None in spelled_columns(index, self._plan.catalog)
        return computes or self._lengths.may_refuse(index)

    def _keep(self, table: str, columns: Sequence[str]) -> None:
        self._groups[table][table, *columns] = columns

    def _type(self, table: str, column: str) -> pa.DataType:
        return _comparable(self._plan.table(table).column(column).conversion.arrow_type)

    def _has(self, table: str, columns: Iterable[str]) -> bool:
        return table in self._carried and self._carried[table].issuperset(columns)

    def _can_keep(self, table: str, columns: Sequence[str]) -> bool:
        return self._has(table, columns) and not any(pa.types.is_nested(self._type(table, name)) for name in columns)

    def _is_examined(self, each: Constraint) -> bool:
        parent = str(each.referenced_table)
        return (
            each.kind == "foreign key"
            and self._can_keep(each.table, each.columns)
            and self._can_keep(parent, each.referenced_columns)
            and _exact_columns(self._plan.catalog, each.table).issuperset(each.columns)
            # Of several columns it refuses a row in which some are NULL, which refers to nothing here.
            and (len(each.columns) == 1 or " MATCH FULL" not in each.text)
            and all(
                self._spelling(each.table, one) == self._spelling(parent, other)
                for one, other in zip(each.columns, each.referenced_columns, strict=True)
            )
        )

    def _spelling(self, table: str, column: str) -> tuple[pa.DataType, int | None]:
        """Return what has to be the same of two columns for equal values to be kept as equal ones: 97.5 is 97.50."""
        limits = self._plan.table(table).column(column).target.precision_and_scale
        return self._type(table, column), limits and limits[1]

    def _parsed_checks(self) -> Iterator[tuple[Constraint, Check]]:
        catalog = self._plan.catalog
        enums = [f"{enum.schema}.{enum.name}" for enum in catalog.enums]
        for each in catalog.constraints:
            if each.kind == "check" and self._has(each.table, each.columns):
                check = parse_check(each.text, catalog.columns_of(each.table), enums)
                if check is not None:
                    yield each, check

    def _check(self, table: TablePlan, values: Mapping[str, pa.Array], first: int, part: int) -> None:
        for number, (constraint, check) in enumerate(self._checks):
            if constraint.table != table.target:
                continue
            found = pc.indices_nonzero(check.broken(values))
            if not len(found):
                continue
            broken = self._broken.setdefault((number, part), _Broken())
            if not broken.count:
                row = found[0].as_py()
                broken.shown = joined_key(
                    [_shown_value(table.column(each), values[each][row]) for each in check.columns]
                )
            missing = SHOWN_KEYS - len(broken.numbers)
            broken.numbers += [first + row for row in found.slice(0, missing).to_pylist()]
            broken.count += len(found)

    def _all_broken(self) -> Iterator[Finding]:
        for number, (constraint, check) in enumerate(self._checks):
            parts = [self._broken[key] for key in sorted(self._broken) if key[0] == number]
            if parts:
                rows = [row for part in parts for row in part.numbers][:SHOWN_KEYS]
                found = _Found(sum(part.count for part in parts), pa.table({ROW: pa.array(rows, pa.int64())}))
                reason = f"against {constraint.text}"
                finding = self._finding(constraint.table, check.columns, found, reason, CHECK_MEND)
                yield replace(finding, shown=parts[0].shown)

    def _duplicates(self, unique: _Unique) -> Finding | None:
        found = _Found.of(
            repeated(self._kept(unique.group, partition, unique.nulls_are_equal), unique.columns)
            for partition in self._partitions
        )
        return self._finding(unique.table, unique.columns, found, SAME, DUPLICATE_MEND) if found else None

    def _orphans(self, reference: Constraint) -> Finding | None:
        parent = str(reference.referenced_table)
        own, others = (reference.table, *reference.columns), (parent, *reference.referenced_columns)
        found = _Found.of(
            without_partner(
                self._kept(own, partition),
                self._kept(others, partition),
                reference.columns,
                reference.referenced_columns,
            )
            for partition in self._partitions
        )
        wanted = f"{self._plan.table(parent).source.name} ({', '.join(reference.referenced_columns)})"
        reason = f"refers to no row of {wanted}"
        return self._finding(reference.table, reference.columns, found, reason, ORPHAN_MEND) if found else None

    def _kept(self, group: tuple[str, ...], partition: int | None, with_nulls: bool = False) -> pa.Table:
        rows = self._keys.read(group, partition)
        if group not in self._with_nulls or with_nulls:
            return rows
        return rows.filter(reduce(pc.and_, (pc.is_valid(rows.column(name)) for name in group[1:])))

    def _finding(self, target: str, columns: Sequence[str], found: _Found, reason: str, mend: str) -> Finding:
        table = self._plan.table(target)
        planned = [table.column(column) for column in columns]
        numbers = found.numbers
        keys = self._shown_keys(table, numbers)
        return Finding(
            table=table.source.name,
            column=", ".join(column.source for column in planned),
            target=f"{target}.{', '.join(columns)}",
            reason=reason,
            mend=mend,
            count=found.count,
            keys=tuple(keys.get(number) or f"row {self._row(target, number)}" for number in numbers),
            shown=self._shown(table, columns, found.first.slice(0, 1)) if found.first.num_columns > 1 else None,
        )

    def _shown_keys(self, table: TablePlan, numbers: Sequence[int]) -> dict[int, str]:
        """Return the keys of rows for a message; those that have none, or one that did not fit, are missing."""
        group = (table.target, *table.key)
        if group not in self._groups[table.target]:
            return {}
        wanted = pa.array(numbers, pa.int64())
        keys: dict[int, str] = {}
        for partition in self._partitions:
            rows = self._kept(group, partition)
            hits = rows.filter(pc.is_in(rows.column(ROW), value_set=wanted))
            for at, number in enumerate(hits.column(ROW).to_pylist()):
                keys[number] = self._shown(table, table.key, hits.slice(at, 1))
        return keys

    def _shown(self, table: TablePlan, columns: Sequence[str], row: pa.Table) -> str:
        """Return PostgreSQL's values of one row for a message."""
        return joined_key([_shown_value(table.column(column), row.column(column)[0]) for column in columns])

    def _row(self, target: str, number: int) -> int:
        """Return a row's place in its table, from 1."""
        own_part = number >> _PART_BITS
        before = sum(rows for part, rows in self._rows[target].items() if part < own_part)
        return before + (number & (1 << _PART_BITS) - 1) + 1


def told_references(findings: Iterable[Finding]) -> set[Reference]:
    """Return the references of the source whose broken rows are findings."""
    return {(each.table, frozenset(each.column.split(", "))) for each in findings if each.mend == ORPHAN_MEND}


def _shown_value(column: ColumnPlan, value: pa.Scalar) -> str:
    """Return PostgreSQL's value for a message."""
    text = column.conversion.shown(value.cast(column.conversion.arrow_type))
    return f"length {len(text)}" if column.sensitive else text


def _uniques(catalog: Catalog) -> Iterator[_Unique]:
    """Yield each uniqueness of plain columns once; a primary key or unique constraint has an index of its own."""
    seen: set[tuple[str, frozenset[str]]] = set()
    for index in catalog.indexes:
        columns = _plain_columns(index, catalog) if index.unique else ()
        if columns and (index.table, frozenset(columns)) not in seen:
            seen.add((index.table, frozenset(columns)))
            yield _Unique(index.table, columns, "NULLS NOT DISTINCT" in index.text)


def _plain_columns(index: Index, catalog: Catalog) -> tuple[str, ...]:
    """Return the columns of an index that is about all rows and whole values; otherwise nothing."""
    names = _exact_columns(catalog, index.table)
    spelled = spelled_columns(index, catalog)
    plain = not index.partial and not _OWN_COLLATION.search(index.text) and names.issuperset(spelled)
    return tuple(str(each) for each in spelled) if plain else ()


def _exact_columns(catalog: Catalog, table: str) -> set[str]:
    """Return the columns in which only equal values are equal; a collation of one's own may see that otherwise."""
    columns = catalog.columns_of(table)
    return {each.name for each in columns if not QUALIFIED_COLLATION.match(each.collation)}


def _comparable(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type in which a value meets those of another column: integer may refer to bigint."""
    if pa.types.is_integer(arrow_type):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(arrow_type) else arrow_type


def _comparable_values(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return values in that type; PostgreSQL takes -0 for 0, whose bits are others."""
    return pc.add(values.cast(wanted), 0.0) if pa.types.is_floating(wanted) else values.cast(wanted)
