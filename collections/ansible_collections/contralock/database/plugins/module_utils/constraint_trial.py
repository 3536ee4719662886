"""A target's table made again as a temporary one, so that PostgreSQL itself says what its constraints do to rows.

Of the target nothing is used but the words of its catalog: no lock on its tables, no statistics, no row; and what is
asked of the rows is asked in a part of the transaction that the server keeps from writing. Everything goes with the
transaction, which is rolled back. PostgreSQL manual, CREATE TABLE ("TEMPORARY") and SET TRANSACTION ("READ ONLY").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, TypeVar

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from .binary_copy import form_for
from .catalog import SPELLING, Catalog, Column, Constraint, Index
from .cells import Cells
from .connection import Connection, set_locally, written
from .conversions import conversion_for
from .finding_cells import SHOWN_KEYS
from .plan import ColumnPlan, TablePlan
from .rules_applied import apply_rules

#: The kinds of constraints that no target has: their text is a CHECK that a computed column holds what it has to, or
#: that it holds anything at all.
COMPUTED, FILLED = "computed", "filled"
_SETTINGS: Mapping[str, str] = {**SPELLING, "client_connection_check_interval": "2s"}
#: What PostgreSQL's own quote_ident leaves without quotes, or has put into them.
_NAME = r'(?:"(?:[^"]|"")+"|\w+)'
#: As pg_get_indexdef begins; what follows says all of an index but its name and table.
_INDEX = re.compile(rf"CREATE (?:UNIQUE )?INDEX {_NAME} ON (?:ONLY )?{_NAME}\.{_NAME} (?P<rest>USING .*)", re.DOTALL)
#: SQLSTATEs of what a value does to an expression: class 22, and what a function raises by itself.
_OF_VALUES = re.compile("22...|P0001")

_ASK_INDEX = """
SELECT ARRAY(SELECT pg_get_indexdef(i.indexrelid, place, false)
                    || CASE WHEN i.indcollation[place - 1] IN (0, 'pg_catalog."default"'::regcollation) THEN ''
                       ELSE ' COLLATE ' || i.indcollation[place - 1]::regcollation END
               FROM generate_series(1, i.indnkeyatts) place ORDER BY place),
       pg_get_expr(i.indpred, i.indrelid),
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d
               JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
              WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refobjid = i.indrelid AND d.refobjsubid > 0 ORDER BY 1)
  FROM pg_index i WHERE i.indrelid = %s::regclass"""

# A function that is not immutable may look at other tables, which are empty now and full after the load.
_ASK_CONSTRAINT = """
SELECT pg_get_expr(k.conbin, k.conrelid),
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(attnum, place)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY place),
       ARRAY(SELECT p.oid::regprocedure::text FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid
              WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
                AND d.refclassid = 'pg_proc'::regclass AND p.provolatile <> 'i' ORDER BY 1)
  FROM pg_constraint k WHERE k.conrelid = %s::regclass"""

Kind = TypeVar("Kind")


class UnaskableError(Exception):
    """It cannot be said of the rows whether they break this: why, as a phrase without a full stop."""


@dataclass(frozen=True)
class Question:
    """A constraint or index, as the temporary table knows it.

    Attributes:
        asked: What the target has.
        columns: What it looks at.
        keys: Of an index, its members, each with its collation.
        condition: Of a CHECK, what must not be false; of an index, for which rows it is; empty for all.
    """

    asked: Constraint | Index
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()
    condition: str = ""


@dataclass(frozen=True)
class Broken:
    """Rows that break something: how many, the numbers of the first ten (none where the server does not say).

    ``error`` is set where the server did not say that they break it, but that it cannot compute it.
    """

    count: int
    rows: tuple[int, ...]
    error: psycopg.Error | None = None


@dataclass
class Trial:
    """A table of a target as a temporary one; to be used in a transaction that is rolled back.

    Args:
        connection: To the target, in a transaction.
        table: The plan of the table.
        catalog: Of the target.
        numbered: Whether it has a column more than the target, for the rows' numbers; without it nothing can be asked.
    """

    connection: Connection
    table: TablePlan
    catalog: Catalog
    numbered: bool = True
    _rows: int = 0
    _number: str = "row"
    _columns: Sequence[Column] = field(init=False)

    def __post_init__(self) -> None:
        """Make the table, empty and without any constraint."""
        self._columns = self.catalog.columns_of(self.table.target)
        while self._number in {each.name for each in self._columns}:
            self._number += "_"
        set_locally(self.connection, _SETTINGS)
        number = [sql.SQL("{} bigint").format(sql.Identifier(self._number))] if self.numbered else []
        columns = [*number, *map(self._defined, self._columns)]
        self._do(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(self._name, sql.SQL(", ").join(columns)))

    def question(self, asked: Constraint | Index) -> Question:
        """Let PostgreSQL say what a constraint or index looks at.

        Raises:
            UnaskableError: Its answer would depend on more than the rows, or PostgreSQL cannot make it here.
        """
        if isinstance(asked, Constraint) and asked.kind == "foreign key":
            raise UnaskableError(
                "it refers by arrays, texts in a collation of their own, values of two types or MATCH FULL, or to what"
                " has no place in the plan"
            )
        try:
            with self.connection.transaction(force_rollback=True):
                self._do(self._made(asked))
                query = _ASK_INDEX if isinstance(asked, Index) else _ASK_CONSTRAINT
                ((first, second, third),) = self.connection.execute(query, [self._name.as_string(None)]).fetchall()
        except psycopg.ProgrammingError as error:
            raise UnaskableError(f"PostgreSQL cannot make it alone ({error.diag.message_primary})") from None
        if isinstance(asked, Index):
            found = Question(asked, tuple(third), tuple(first), second or "")
        elif third:
            raise UnaskableError(f"it calls {', '.join(third)}, which may look at more than the row")
        else:
            found = Question(asked, tuple(second), condition=first or "")
        known = {column.target.name for column in self.table.columns} | set(self.table.defaulted)
        computed = {each.name for each in self._columns if each.generated}
        if not found.columns or computed.intersection(found.columns):
            # About the row as a whole, or about what PostgreSQL computes from it.
            found = replace(found, columns=tuple(each.name for each in self._columns if each.name not in computed))
        if unknown := [each for each in found.columns if each not in known or self._counts(each)]:
            raise UnaskableError(f"it looks at {', '.join(unknown)}, which the source does not fill")
        return found

    def fill(self, planned: Sequence[ColumnPlan], batches: Iterable[list[Cells]]) -> None:
        """Put rows into the table; those with misfits are left out.

        Args:
            planned: Columns of the plan.
            batches: Their cells.
        """
        computed = self.table.computed
        filled = (*((self._numbering(),) if self.numbered else ()), *planned)
        form = form_for(filled)
        names = sql.SQL(", ").join(sql.Identifier(each.target.name) for each in filled)
        copy = sql.SQL("COPY {} ({}) FROM STDIN {}").format(self._name, names, sql.SQL(form.options))
        with self.connection.cursor() as cursor, cursor.copy(copy) as stream:
            stream.write(form.head)
            for batch in batches:
                first, self._rows = self._rows, self._rows + batch[0].length
                converted = [_converted(column, cells) for column, cells in zip(planned, batch, strict=True)]
                # What SQLite computes and has no place in the target's type is NULL here, and so another value.
                masks = [mask for column, (_, mask) in zip(planned, converted, strict=True) if column not in computed]
                fits = reduce(pc.and_, masks, pa.repeat(True, batch[0].length))
                numbers = [pa.array(range(first, self._rows), pa.int64())] if self.numbered else []
                stream.write(form.encode([each.filter(fits) for each in (*numbers, *(each for each, _ in converted))]))
            stream.write(form.tail)

    def planned(self, questions: Sequence[Question]) -> tuple[ColumnPlan, ...]:
        """Return the columns of the plan that the questions look at; the first one when they look at none."""
        wanted = {column for question in questions for column in question.columns}
        return tuple(each for each in self.table.columns if each.target.name in wanted) or self.table.columns[:1]

    def broken(self, question: Question) -> Broken | None:
        """Ask which rows break it; None when none does."""
        if isinstance(question.asked, Constraint) and question.asked.kind in ("check", COMPUTED, FILLED):
            return self._answered(question, f"({question.condition}) IS FALSE")
        try:
            with self.connection.transaction(force_rollback=True):
                self._do(self._made(question.asked))
        except (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation) as error:
            # What else than = may make two rows alike there is not asked row by row.
            return (self._repeated(question) if question.keys else None) or Broken(1, (), error)
        except psycopg.errors.ProgramLimitExceeded as error:
            return Broken(1, self._longest(question), error)
        except psycopg.Error as error:
            return self._failing(question, error)
        return None

    def _answered(self, question: Question, condition: str) -> Broken | None:
        number = sql.Identifier(self._number)
        query = sql.SQL("SELECT {}, count(*) OVER () FROM {} WHERE {} ORDER BY 1 LIMIT {}").format(
            number, self._name, written(condition), SHOWN_KEYS
        )
        try:
            return _broken(self._ask(query))
        except psycopg.Error as error:
            return self._failing(question, error)

    def _repeated(self, question: Question) -> Broken | None:
        keys = ", ".join(question.keys)
        nulls_are_equal = "NULLS NOT DISTINCT" in question.asked.text
        conditions = [question.condition] if question.condition else []
        conditions += [] if nulls_are_equal else [f"({each}) IS NOT NULL" for each in question.keys]
        query = sql.SQL(
            "SELECT number, count(*) OVER () FROM (SELECT {} AS number, count(*) OVER (PARTITION BY {}) AS alike"
            " FROM {} WHERE {}) AS found WHERE alike > 1 ORDER BY 1 LIMIT {}"
        ).format(
            sql.Identifier(self._number),
            written(keys),
            self._name,
            written(" AND ".join(f"({each})" for each in conditions) or "true"),
            SHOWN_KEYS,
        )
        return _broken(self._ask(query))

    def _longest(self, question: Question) -> tuple[int, ...]:
        """Return the row with the longest entry of an index."""
        size = " + ".join(f"coalesce(pg_column_size({key}), 0)" for key in question.keys)
        query = sql.SQL("SELECT {} FROM {} ORDER BY {} DESC LIMIT 1").format(
            sql.Identifier(self._number), self._name, written(size)
        )
        return tuple(int(number) for (number,) in self._ask(query))

    def _failing(self, question: Question, error: psycopg.Error) -> Broken:
        """Find the first row for which an expression cannot be computed.

        Raises:
            psycopg.Error: The error is about something else than values.
        """
        if not _OF_VALUES.fullmatch(error.sqlstate or ""):
            raise error
        computed = ", ".join(filter(None, (*question.keys, question.condition)))
        query = sql.SQL("SELECT count(CASE WHEN {} BETWEEN {} AND {} THEN num_nonnulls({}) END) FROM {}")
        low, high = 0, self._rows - 1
        while low < high:
            middle = (low + high) // 2
            number = sql.Identifier(self._number)
            try:
                self._ask(query.format(number, low, middle, written(computed), self._name))
                low = middle + 1
            except psycopg.Error:
                high = middle
        return Broken(1, (low,), error)

    def _ask(self, query: sql.Composed) -> list[tuple[Any, ...]]:
        """Ask, kept from writing by the server: an expression may call a function."""
        with self.connection.transaction(force_rollback=True):
            set_locally(self.connection, {"transaction_read_only": "on"})
            return self.connection.execute(query).fetchall()

    def _do(self, statement: sql.Composed) -> None:
        self.connection.execute(statement)

    @property
    def _name(self) -> sql.Identifier:
        # The target's own name, because an expression may name the row as a whole by it.
        return sql.Identifier("pg_temp", self.table.target)

    def _made(self, asked: Constraint | Index) -> sql.Composed:
        if isinstance(asked, Index):
            unique = sql.SQL("UNIQUE " if asked.unique else "")
            return sql.SQL("CREATE {}INDEX ON {} {}").format(unique, self._name, written(self._rest(asked)))
        return sql.SQL("ALTER TABLE {} ADD {}").format(self._name, written(asked.text))

    def _rest(self, asked: Index) -> str:
        found = _INDEX.fullmatch(asked.text)
        if found is None:
            raise UnaskableError(f"its definition is not understood: {asked.text}")
        return found["rest"]

    def _defined(self, column: Column) -> sql.Composed:
        """Write a column: its type, and what PostgreSQL itself gives to it."""
        parts = [column.type, f"COLLATE {column.collation}" if column.collation else ""]
        if column.generated:
            parts.append(f"GENERATED ALWAYS AS ({column.default}) STORED")
        elif column.default is not None and column.name in self.table.defaulted and not self._counts(column.name):
            parts.append(f"DEFAULT {column.default}")
        return sql.SQL("{} {}").format(sql.Identifier(column.name), written(" ".join(filter(None, parts))))

    def _counts(self, name: str) -> bool:
        """Tell whether a column that the source lacks gets the next number of a sequence, which is not given back."""
        column = next(each for each in self._columns if each.name == name)
        return name in self.table.defaulted and (bool(column.identity) or "nextval(" in (column.default or ""))

    def _numbering(self) -> ColumnPlan:
        column = replace(
            self.table.columns[0].target,
            name=self._number,
            type="bigint",
            type_name="int8",
            type_schema="pg_catalog",
            modifier=-1,
            collation="",
        )
        conversion = conversion_for(column, "INTEGER")
        if conversion is None:
            raise ValueError("bigint has no conversion")
        return ColumnPlan(self._number, column, conversion)


@contextmanager
def trial_of(connection: Connection, table: TablePlan, catalog: Catalog, *, numbered: bool = True) -> Iterator[Trial]:
    """Have a table of a target as a temporary one for the length of the block.

    Args:
        connection: To the target, not in a transaction.
        table: The plan of the table.
        catalog: Of the target.
        numbered: See ``Trial``.

    Raises:
        psycopg.Error: The server refuses: the role may make no temporary table, there is no room.
    """
    with connection.transaction(force_rollback=True):
        yield Trial(connection, table, catalog, numbered)


def _converted(column: ColumnPlan, cells: Cells) -> tuple[pa.Array, pa.BooleanArray]:
    """Return PostgreSQL's values, and which of them came of a cell that fits."""
    ruled = apply_rules(column.rules, cells, column.conversion).cells if column.rules else cells
    converted = column.conversion.convert(ruled)
    fits = pa.repeat(True, cells.length)
    return converted.values, reduce(pc.and_not, (misfit.mask for misfit in converted.misfits), fits)


def _broken(found: Sequence[tuple[Any, ...]]) -> Broken | None:
    return Broken(int(found[0][1]), tuple(int(number) for number, _ in found)) if found else None
