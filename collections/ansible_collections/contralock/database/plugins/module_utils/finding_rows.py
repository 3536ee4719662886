"""What of whole rows does not fit: two of one key, references to rows that are not there, checks that are broken.

All is decided on PostgreSQL's values, after rules and conversions: rules can make two texts one, and SQLite compares
by its own rules (1 = 1.0, NOCASE columns). Uniqueness that needs PostgreSQL itself is named, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Catalog, Constraint, Index
from .check_expressions import QUALIFIED_COLLATION, Check, parse_check
from .finding_cells import SHOWN_KEYS, Finding, joined_key
from .plan import ColumnPlan, Plan, TablePlan
from .source_reader import quote_identifier

_DUPLICATE_MEND = (
    "Change or remove all but one of these rows in the application, or the rule that makes them the same in the mapping"
)
_CHECK_MEND = "Correct the value in the application, or change the constraint in the schema"
_ORPHAN_MEND = "Mend or delete these rows in the application, or bring back the row that they refer to"
#: The column that numbers the rows of an Arrow table here; a NUL is in no column's name.
_ROW = "\0row"
_OWN_COLLATION = re.compile(f" COLLATE {QUALIFIED_COLLATION.pattern}")


@dataclass(frozen=True)
class _Unique:
    table: str
    columns: tuple[str, ...]
    nulls_are_equal: bool


@dataclass
class _Broken:
    """A check, and the rows so far that break it."""

    constraint: Constraint
    check: Check
    count: int = 0
    rows: list[int] = field(default_factory=list)
    shown: str = ""


class RowExaminer:
    """Holds rows against checks as they come, keeps all keys and references, and compares these in the end.

    These are in memory: 16 bytes for each uuid.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._carried = {table.target: {column.target.name for column in table.columns} for table in plan.tables}
        self._uniques = [each for each in _uniques(plan.catalog) if self._has(each.table, each.columns)]
        self._references = [each for each in plan.catalog.constraints if self._is_examined(each)]
        self._batches: dict[tuple[str, str], list[pa.Array]] = {}
        self._checks = list(self._parsed_checks())
        self._rows_of = dict.fromkeys(self._carried, 0)
        for table in plan.tables:
            self._keep(table.target, table.key)
        for unique in self._uniques:
            self._keep(unique.table, unique.columns)
        for each in self._references:
            self._keep(each.table, each.columns)
            self._keep(str(each.referenced_table), each.referenced_columns)

    def references_of(self, table: str) -> frozenset[str]:
        """Return the columns of a target table that refer to others."""
        return frozenset(column for each in self._references if each.table == table for column in each.columns)

    def add(self, table: TablePlan, values: Sequence[pa.Array]) -> None:
        """Take the converted values of a table's next rows, in the plan's order of columns."""
        for column, array in zip(table.columns, values, strict=True):
            kept = self._batches.get((table.target, column.target.name))
            if kept is not None:
                kept.append(array)
        self._check(table, {column.target.name: array for column, array in zip(table.columns, values, strict=True)})
        self._rows_of[table.target] += len(values[0]) if values else 0

    def findings(self) -> Iterator[Finding]:
        """Yield what does not fit, when all rows of all tables have been added."""
        for broken in self._checks:
            if broken.count:
                yield self._broken(broken)
        for unique in self._uniques:
            yield from self._duplicates(unique)
        for reference in self._references:
            yield from self._orphans(reference)

    def not_examined(self) -> Iterator[str]:
        """Yield sentences about what PostgreSQL alone can decide; the load fails where such a constraint is broken."""
        catalog = self._plan.catalog
        uniques = [each for each in catalog.indexes if each.unique]
        examined = {(each.table, frozenset(each.columns)) for each in self._uniques}
        checked = [broken.constraint for broken in self._checks]
        names = [
            *(each.name for each in uniques if (each.table, frozenset(_plain_columns(each, catalog))) not in examined),
            *(each.name for each in catalog.constraints if each.kind in ("check", "exclusion") and each not in checked),
            *(each.name for each in catalog.constraints if each.kind == "foreign key" and not self._is_examined(each)),
        ]
        if named := sorted(names):
            yield f"Constraints that only the load will check: {', '.join(named)}"

    def _keep(self, table: str, columns: Iterable[str]) -> None:
        for column in columns:
            self._batches.setdefault((table, column), [])

    def _has(self, table: str, columns: Iterable[str]) -> bool:
        return table in self._carried and self._carried[table].issuperset(columns)

    def _is_examined(self, each: Constraint) -> bool:
        return (
            each.kind == "foreign key"
            and self._has(each.table, each.columns)
            and self._has(str(each.referenced_table), each.referenced_columns)
            and _exact_columns(self._plan.catalog, each.table).issuperset(each.columns)
        )

    def _parsed_checks(self) -> Iterator[_Broken]:
        catalog = self._plan.catalog
        enums = [f"{enum.schema}.{enum.name}" for enum in catalog.enums]
        for each in catalog.constraints:
            if each.kind == "check" and self._has(each.table, each.columns):
                check = parse_check(each.text, catalog.columns_of(each.table), enums)
                if check is not None:
                    yield _Broken(each, check)

    def _check(self, table: TablePlan, values: Mapping[str, pa.Array]) -> None:
        for broken in self._checks:
            if broken.constraint.table != table.target:
                continue
            found = pc.indices_nonzero(broken.check.broken(values))
            if len(found) and not broken.rows:
                first = found[0].as_py()
                shown = [_shown_value(table.column(each), values[each][first]) for each in broken.check.columns]
                broken.shown = joined_key(shown)
            missing = SHOWN_KEYS - len(broken.rows)
            broken.rows += [self._rows_of[table.target] + row for row in found.slice(0, missing).to_pylist()]
            broken.count += len(found)

    def _broken(self, broken: _Broken) -> Finding:
        reason = f"against {broken.constraint.text}"
        finding = self._finding(broken.constraint.table, broken.check.columns, broken.rows, reason, _CHECK_MEND)
        return replace(finding, count=broken.count, shown=broken.shown)

    def _column(self, table: str, column: str) -> pa.ChunkedArray:
        wanted = _comparable(self._plan.table(table).column(column).conversion.arrow_type)
        return pa.chunked_array([array.cast(wanted) for array in self._batches[table, column]], wanted)

    def _rows(self, table: str, columns: Sequence[str], with_nulls: bool = False) -> pa.Table:
        arrays = [self._column(table, column) for column in columns]
        rows = pa.table([*arrays, pa.arange(0, len(arrays[0]))], names=[*columns, _ROW])
        # A null is equal to nothing in a key, and refers to nothing; a value that did not fit is reported already.
        return rows if with_nulls else rows.filter(_all_valid(arrays))

    def _duplicates(self, unique: _Unique) -> Iterator[Finding]:
        rows = self._rows(unique.table, unique.columns, unique.nulls_are_equal)
        groups = rows.group_by(list(unique.columns)).aggregate([(_ROW, "count")])
        if groups.num_rows == rows.num_rows:
            return
        # Rare, and then worth a second look: which rows are in the groups of more than one.
        listed = rows.group_by(list(unique.columns)).aggregate([(_ROW, "list")]).column(f"{_ROW}_list")
        shared = [group for group in listed.to_pylist() if len(group) > 1]
        numbers = sorted(number for group in shared for number in group)
        finding = self._finding(
            unique.table,
            unique.columns,
            numbers,
            "the same as in another row, where PostgreSQL wants each once",
            _DUPLICATE_MEND,
        )
        yield replace(finding, shown=self._shown(unique.table, unique.columns, numbers[0]))

    def _orphans(self, reference: Constraint) -> Iterator[Finding]:
        parent = str(reference.referenced_table)
        children = self._rows(reference.table, reference.columns)
        parents = self._rows(parent, reference.referenced_columns).drop_columns([_ROW])
        lost = children.join(
            parents,
            keys=list(reference.columns),
            right_keys=list(reference.referenced_columns),
            join_type="left anti",
        )
        if lost.num_rows:
            wanted = f"{self._plan.table(parent).source.name} ({', '.join(reference.referenced_columns)})"
            numbers = sorted(lost.column(_ROW).to_pylist())
            finding = self._finding(
                reference.table, reference.columns, numbers, f"refers to no row of {wanted}", _ORPHAN_MEND
            )
            yield replace(finding, shown=self._shown(reference.table, reference.columns, numbers[0]))

    def _finding(self, target: str, columns: Sequence[str], rows: Sequence[int], reason: str, mend: str) -> Finding:
        table = self._plan.table(target)
        planned = [table.column(column) for column in columns]
        return Finding(
            table=table.source.name,
            column=", ".join(column.source for column in planned),
            target=f"{target}.{', '.join(columns)}",
            reason=reason,
            mend=mend,
            count=len(rows),
            keys=tuple(self._key(table, row) for row in rows[:SHOWN_KEYS]),
        )

    def _key(self, table: TablePlan, row: int) -> str:
        parts = self._values(table.target, table.key, row)
        # What did not fit is null here.
        return joined_key(parts) if parts and "NULL" not in parts else f"row {row + 1}"

    def _shown(self, table: str, columns: Sequence[str], row: int) -> str:
        return joined_key(self._values(table, columns, row))

    def _values(self, table: str, columns: Iterable[str], row: int) -> list[str]:
        """Return PostgreSQL's values of kept columns for a message."""
        plan = self._plan.table(table)
        return [_shown_value(plan.column(column), self._column(table, column)[row]) for column in columns]


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
    spelled = {name: name for name in names} | {quote_identifier(name): name for name in names}
    plain = (
        not index.partial and not _OWN_COLLATION.search(index.text) and all(each in spelled for each in index.columns)
    )
    return tuple(spelled[each] for each in index.columns) if plain else ()


def _exact_columns(catalog: Catalog, table: str) -> set[str]:
    """Return the columns in which only equal values are equal; a collation of one's own may see that otherwise."""
    columns = catalog.columns_of(table)
    return {each.name for each in columns if not QUALIFIED_COLLATION.match(each.collation)}


def _comparable(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type in which a value meets those of another column: integer may refer to bigint."""
    return pa.int64() if pa.types.is_integer(arrow_type) else arrow_type


def _all_valid(columns: Iterable[pa.ChunkedArray]) -> pa.ChunkedArray:
    return reduce(pc.and_, (pc.is_valid(column) for column in columns))
