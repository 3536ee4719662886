"""Which source column goes to which target column, and by which conversion: what every verb reads.

The plan is derived: target types and constraints come from PostgreSQL's catalog, source columns from SQLite's own
schema, names from the profile's naming rule; the mapping says the exceptions. What none of them places is refused.
"""

from __future__ import annotations

import collections.abc
import re
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from .catalog import Catalog, Column, Constraint
from .conversion_base import Conversion
from .conversions import conversion_for
from .errors import MigrationError
from .naming import likely
from .plan_problems import Problem, Problems
from .profile import Mapping, Quarantine, Rule, TableMapping
from .rules_applied import suits, unfit_defaults
from .source_schema import SourceSchema, SourceTable

_WHOLE_NUMBERS = ("int2", "int4", "int8")
#: As PostgreSQL's ruleutils.c writes it; a sequence that is looked up by a text has another form.
_NEXT_VALUE = re.compile(r"nextval\('(?:[^']|'')+'::regclass\)")


@dataclass(frozen=True)
class ColumnPlan:
    """One column that is carried.

    Attributes:
        source: Its name in the source.
        target: The target's column, as the catalog describes it.
        conversion: How values get from one to the other and back.
        rules: What is done to the source's values before, in order.
        sensitive: Its values appear nowhere but in the databases.
        may_match_nothing: Rules that change no value here are no question for the operator.
    """

    source: str
    target: Column
    conversion: Conversion
    rules: tuple[Rule, ...] = ()
    sensitive: bool = False
    may_match_nothing: bool = False


@dataclass(frozen=True)
class TablePlan:
    """One table that is carried.

    Attributes:
        source: The source's table.
        target: The name of the target's table.
        columns: What is carried, in the order of the target's columns.
        key: The target's primary key (target names), all of it carried; empty when it has none.
        defaulted: Target columns that the source lacks; their DEFAULT fills them, NULL without one.
        left_behind: Source column to the reason why it does not come along.
        computed: Of these, columns that SQLite computes where the target computes one of that name: nothing loads
            them, and what the target computes has to be what the source does.
    """

    source: SourceTable
    target: str
    columns: tuple[ColumnPlan, ...]
    key: tuple[str, ...] = ()
    defaulted: tuple[str, ...] = ()
    left_behind: collections.abc.Mapping[str, str] = field(default_factory=dict)
    computed: tuple[ColumnPlan, ...] = ()

    def column(self, target: str) -> ColumnPlan:
        """Return the plan of a target column.

        Raises:
            KeyError: It is not carried.
        """
        return {column.target.name: column for column in self.columns}[target]

    @property
    def source_columns(self) -> tuple[str, ...]:
        """The source's names of ``columns``, in the same order."""
        return tuple(column.source for column in self.columns)

    @property
    def source_key(self) -> tuple[str, ...]:
        """The source's names of ``key``, in the same order."""
        return tuple(self.column(name).source for name in self.key)


@dataclass(frozen=True)
class Plan:
    """Everything that is carried.

    Attributes:
        tables: Parents before children, as far as the target's foreign keys have no cycles.
        tables_left_behind: Source table to the reason why it does not come along.
        schema: The target's schema.
        catalog: What the plan was made from: types, keys, constraints of the target.
        key_otherwise: The profile that a source with other keys than uuids needs; None when any key will do.
        sensitive: Target table and column of all secrets, of the columns that their DEFAULT fills too.
        notes: Sentences for the report: what of the source stays where it is by its nature (views, triggers).
    """

    tables: tuple[TablePlan, ...]
    tables_left_behind: collections.abc.Mapping[str, str]
    schema: str
    catalog: Catalog = field(repr=False)
    key_otherwise: str | None = None
    sensitive: frozenset[tuple[str, str]] = frozenset()
    notes: tuple[str, ...] = ()

    def table(self, target: str) -> TablePlan:
        """Return the plan of a target table.

        Raises:
            KeyError: It is not carried.
        """
        return {table.target: table for table in self.tables}[target]


def make_plan(mapping: Mapping, source: SourceSchema, catalog: Catalog) -> Plan:
    """Derive the plan from the profile's mapping, the source and the target.

    Args:
        mapping: The profile's exceptions.
        source: From ``read_schema``.
        catalog: The target, after the schema changes were applied.

    Raises:
        MigrationError: A table or column has no place, no source or no conversion, an entry of the mapping is for
            nothing, keys differ, ...: all of it in one message. Or two names would become one.
    """
    plan, refusal = make_partial_plan(mapping, source, catalog)
    if refusal:
        raise refusal
    return plan


def make_partial_plan(mapping: Mapping, source: SourceSchema, catalog: Catalog) -> tuple[Plan, MigrationError | None]:
    """Derive as much of the plan as can be: the arguments are those of ``make_plan``.

    Returns:
        The plan, without the tables and columns that have a problem; and what ``make_plan`` would raise about these.

    Raises:
        MigrationError: Two names would become one, or the target holds nothing.
    """
    if not catalog.tables:
        raise MigrationError(
            f"the schema {catalog.schema} of the target holds no tables",
            "Bring the profile's schema there first, by scripts/apply_schema.py or playbooks/prepare.yml",
        )
    problems = Problems()
    targets = _target_tables(mapping, source, catalog, problems)
    _check_entries(mapping, catalog, problems)
    tables = [_Pair(mapping, source.table(name), target, catalog, problems).plan() for name, target in targets.items()]
    tables = [table for table in tables if table.columns]
    present = {table.name for table in source.tables}
    plan = Plan(
        tables=tuple(_parents_first(tables, catalog.constraints)),
        tables_left_behind={name: why for name, why in mapping.tables_left_behind.items() if name in present},
        schema=catalog.schema,
        catalog=catalog,
        key_otherwise=mapping.key_otherwise if mapping.key_type == "uuid" else None,
        sensitive=mapping.sensitive_columns(),
        notes=tuple(_notes(source, catalog, tables)),
    )
    return plan, problems.refusal()


def primary_key(catalog: Catalog, table: str) -> tuple[str, ...]:
    """Return the columns of a target table's primary key, in its order; empty when it has none."""
    keys = (each for each in catalog.constraints if each.table == table and each.kind == "primary key")
    return next((tuple(key.columns) for key in keys), ())


def _target_tables(mapping: Mapping, source: SourceSchema, catalog: Catalog, problems: Problems) -> dict[str, str]:
    """Return source table to target table of those that have a place."""
    wanted = mapping.target_tables(table.name for table in source.tables)
    existing = {table.name for table in catalog.tables}
    placed = {}
    for name, target in wanted.items():
        named = mapping.tables.get(target, TableMapping()).source
        if target in existing and target in mapping.never_carried:
            # Carried all the same, its rows would count as the users' on the way back, and would be said to stay there.
            problems.add(Problem.NEVER_CARRIED, _renamed(name, target))
        elif target in existing and (not named or name in named):
            placed[name] = target
        else:
            problems.add(Problem.STRAY_TABLE, _renamed(name, target))
    for table in sorted(existing - set(placed.values()) - mapping.never_carried.keys()):
        problems.add(Problem.TABLE_WITHOUT_SOURCE, table)
    return placed


def _check_entries(mapping: Mapping, catalog: Catalog, problems: Problems) -> None:
    """Find entries for what the target does not have.

    That the source lacks what an entry names is no fault: one mapping serves several forms of a source, and where a
    name is misspelt, what was meant has no place then.
    """
    columns: dict[str, set[str]] = {table.name: set() for table in catalog.tables}
    for column in catalog.columns:
        columns[column.table].add(column.name)
    everywhere = set().union(*columns.values()) if columns else set()
    for place, tables in (
        ("tables", mapping.tables),
        ("left_behind.columns", mapping.columns_left_behind),
        ("never_carried", mapping.never_carried),
    ):
        for table in sorted(tables.keys() - columns.keys()):
            problems.add(Problem.UNKNOWN_ENTRY, f"{place}.{table}{likely(table, columns)}")
    for table, entry in mapping.tables.items():
        for name in entry.columns:
            if table in columns and name not in columns[table]:
                meant = likely(name, columns[table])
                problems.add(Problem.UNKNOWN_ENTRY, f"tables.{table}.columns.{name}{meant}")
    for name, target in mapping.renames.items():
        if target not in everywhere:
            problems.add(Problem.UNKNOWN_ENTRY, f"renames.{name}: {target}{likely(target, everywhere)}")


@dataclass(frozen=True)
class _Pair:
    """A source table and its target, while its plan is made."""

    mapping: Mapping
    source: SourceTable
    target: str
    catalog: Catalog
    problems: Problems

    def plan(self) -> TablePlan:
        """Return the plan; what is wrong is in ``problems`` then."""
        columns = {column.name: column for column in self.catalog.columns_of(self.target)}
        sources = self._sources(columns)
        planned = [self._column(sources[name], column) for name, column in columns.items() if name in sources]
        if not planned:
            self.problems.add(Problem.NOTHING_CARRIED, self.target)
        carried = tuple(column for column in planned if column is not None)
        key = primary_key(self.catalog, self.target)
        self._check_key([columns[name] for name in key], sources)
        left_behind = self.mapping.columns_left_behind.get(self.target, {})
        return TablePlan(
            source=self.source,
            target=self.target,
            columns=carried,
            key=key if {column.target.name for column in carried}.issuperset(key) else (),
            defaulted=tuple(self._defaulted(columns, sources)),
            left_behind={
                column.name: left_behind[column.name] for column in self.source.columns if column.name in left_behind
            },
            computed=tuple(self._computed(columns, left_behind)),
        )

    def _sources(self, columns: dict[str, Column]) -> dict[str, str]:
        """Return target column to source column of those that have a place."""
        placed: dict[str, str] = {}
        names = (column.name for column in self.source.columns)
        for name, target in self.mapping.target_columns(self.target, names).items():
            named = self.mapping.column(self.target, target).source
            # An entry's 'source' replaces the naming rule; what the rule would bring there as well has no place.
            if target in columns and (not named or name in named):
                placed[target] = name
            else:
                self.problems.add(Problem.STRAY_COLUMN, _renamed(f"{self.source.name}.{name}", target))
        return placed

    def _column(self, name: str, column: Column) -> ColumnPlan | None:
        where = f"{column.table}.{column.name}"
        before = self.problems.count
        exceptions = self.mapping.column(column.table, column.name)
        conversion = self._conversion(name, column)
        if column.generated:
            self.problems.add(Problem.GENERATED, where)
        if "nextval(" in (column.default or "") and not _counts_up(column):
            self.problems.add(Problem.SEQUENCE, where)
        for rule in exceptions.rules:
            if isinstance(rule, Quarantine):
                self.problems.add(Problem.QUARANTINE, where)
            elif conversion is not None and not suits(rule, conversion):
                self.problems.add(Problem.UNSUITABLE_RULE, f"{rule.name} on {where} ({column.type})")
        if conversion is None:
            self.problems.add(Problem.NO_CONVERSION, f"{where} ({column.type})")
            return None
        for reason in unfit_defaults(exceptions.rules, conversion):
            self.problems.add(Problem.UNFIT_DEFAULT, f"{where} ({reason})")
        if self.problems.count > before:
            return None
        return ColumnPlan(
            name, column, conversion, exceptions.rules, exceptions.sensitive, exceptions.may_match_nothing
        )

    def _conversion(self, name: str, column: Column) -> Conversion | None:
        labels = {(enum.schema, enum.name): enum.labels for enum in self.catalog.enums}
        return conversion_for(
            column,
            self.source.column(name).declared_type,
            labels.get((column.type_schema, column.type_name.removeprefix("_" if column.type.endswith("[]") else ""))),
            self.mapping.encoding(column.table, column.name),
        )

    def _computed(self, columns: dict[str, Column], left_behind: Container[str]) -> Iterator[ColumnPlan]:
        """Yield what both sides compute; where nothing converts one to the other there is nothing to hold."""
        for source in self.source.columns:
            if not source.generated or source.name not in left_behind:
                continue
            # What PostgreSQL cannot call by any name is left behind for that.
            with suppress(MigrationError):
                column = columns.get(self.mapping.target_column(self.target, source.name))
                conversion = self._conversion(source.name, column) if column and column.generated else None
                if column and conversion:
                    sensitive = self.mapping.column(self.target, column.name).sensitive
                    yield ColumnPlan(source.name, column, conversion, sensitive=sensitive)

    def _defaulted(self, columns: dict[str, Column], sources: dict[str, str]) -> Iterator[str]:
        """Yield the target columns that their DEFAULT fills; what PostgreSQL computes needs no source."""
        for name, column in columns.items():
            if name in sources or column.generated:
                continue
            if column.not_null and column.default is None and not column.identity:
                self.problems.add(Problem.UNFILLABLE, f"{self.target}.{name}")
            elif not self.mapping.column(self.target, name).may_be_absent:
                self.problems.add(Problem.COLUMN_WITHOUT_SOURCE, f"{self.target}.{name}")
            else:
                yield name

    def _check_key(self, key: list[Column], sources: dict[str, str]) -> None:
        names = [column.name for column in key]
        carried = {sources.get(name, "") for name in names}
        # Without a declared key in the source the target's may be any columns that come along.
        if carried != set(self.source.key) and (self.source.key or "" in carried):
            theirs, ours = ", ".join(self.source.key) or "none", ", ".join(names) or "none"
            self.problems.add(Problem.OTHER_KEY, f"{self.target} ({theirs} in the source, {ours} in the target)")
        for column in key:
            if self.mapping.key_type == "uuid" and column.type_name != "uuid":
                self.problems.add(Problem.KEY_NOT_UUID, f"{self.target}.{column.name} ({column.type})")


def _counts_up(column: Column) -> bool:
    """Tell whether the column's DEFAULT is a sequence's next value and nothing else, so that a load can set it."""
    return column.type_name in _WHOLE_NUMBERS and _NEXT_VALUE.fullmatch(column.default or "") is not None


def _parents_first(tables: Iterable[TablePlan], constraints: Iterable[Constraint]) -> Iterator[TablePlan]:
    """Yield each table after those that it refers to; where there is a cycle, by name."""
    waiting = {table.target: table for table in sorted(tables, key=lambda table: table.target)}
    parents: dict[str, set[str]] = {name: set() for name in waiting}
    for each in constraints:
        if each.kind == "foreign key" and each.table in parents and each.referenced_table != each.table:
            parents[each.table].add(str(each.referenced_table))
    while waiting:
        name = next((each for each in waiting if not parents[each] & waiting.keys()), next(iter(waiting)))
        yield waiting.pop(name)


def _notes(source: SourceSchema, catalog: Catalog, tables: Iterable[TablePlan]) -> Iterator[str]:
    if source.views:
        yield f"Views of the source that are not moved: {', '.join(source.views)}"
    if source.triggers:
        yield f"Triggers of the source that are not moved: {', '.join(source.triggers)}"
    computed = [
        f"{table.source.name}.{column.source}"
        for table in tables
        for column in table.columns
        if table.source.column(column.source).generated
    ]
    if computed:
        yield f"Columns that SQLite computes and that become ordinary ones: {', '.join(computed)}"
    if triggers := [each.name for each in catalog.others if each.kind == "trigger"]:
        yield f"Triggers of the target that act on the load: {', '.join(triggers)}"


def _renamed(name: str, target: str) -> str:
    """Name what has no place, and how it would be called, where that is another name."""
    return name if name.rpartition(".")[2] == target else f"{name} (would be {target})"
