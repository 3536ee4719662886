"""Sequences and identities after a load: each stands where the application's next INSERT gets a value of its own.

SQLite numbers the rows of a table after the largest number there, or with AUTOINCREMENT after the largest that there
ever was, which it keeps in ``sqlite_sequence`` (https://www.sqlite.org/autoinc.html). PostgreSQL's sequences know
nothing of rows that came with their numbers. So they are set, for empty tables too, and what they give next is tried by
an INSERT that is rolled back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from .catalog import Catalog, Column
from .connection import Connection, beside_values, set_locally
from .errors import MigrationError
from .finding_cells import Finding
from .plan import ColumnPlan, Plan, TablePlan
from .source_file import explained, quote_identifier, table_of_source
from .target_state import LOCK_WAIT_MILLISECONDS

# An identity's sequence is an internal part of its column; a DEFAULT depends on the sequence that it names.
_SEQUENCES = r"""
WITH taken AS (
    SELECT d.refobjid AS relation, d.refobjsubid AS attribute, d.objid AS sequence
      FROM pg_depend d
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.deptype = 'i' AND d.refobjsubid > 0
    UNION
    SELECT f.adrelid, f.adnum, d.refobjid
      FROM pg_attrdef f
      JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
     WHERE pg_get_expr(f.adbin, f.adrelid) ~ '^nextval\(''([^'']|'''')+''::regclass\)$')
SELECT format('%%I.%%I', sn.nspname, s.relname) AS name, p.seqstart AS start, p.seqincrement AS increment,
       p.seqmin AS minimum, p.seqmax AS maximum, p.seqcycle AS cycles, c.relname AS "table", a.attname AS "column"
  FROM taken t
  JOIN pg_class s ON s.oid = t.sequence AND s.relkind = 'S'
  JOIN pg_namespace sn ON sn.oid = s.relnamespace
  JOIN pg_sequence p ON p.seqrelid = s.oid
  JOIN pg_class c ON c.oid = t.relation AND c.relname = ANY (%(tables)s)
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %(schema)s
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = t.attribute AND NOT a.attisdropped
  JOIN pg_type y ON y.oid = a.atttypid AND y.typname IN ('int2', 'int4', 'int8')
 ORDER BY 1, 7, 8"""


_BITS: Mapping[str, int] = {"int2": 16, "int4": 32, "int8": 64}


@dataclass(frozen=True)
class SequenceValue:
    """A sequence, the columns that take their values from it, and where it stands.

    Attributes:
        name: Its full name, quoted where SQL needs it.
        start: The first value that it gives.
        increment: What is added for each value; below 0 it counts down.
        minimum: The smallest value that it gives.
        maximum: The largest value that it gives.
        cycles: Whether it begins anew at its end.
        columns: Table and column of those that it fills.
        value: What the next value comes after; None where the next one is the first.
    """

    name: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cycles: bool
    columns: tuple[tuple[str, str], ...]
    value: int | None = None

    @property
    def is_exhausted(self) -> bool:
        """Whether there is no value after the present one."""
        following = self.start if self.value is None else self.value + self.increment
        return not (self.cycles or self.minimum <= following <= self.maximum)

    def standing_after(self, numbers: Iterable[int]) -> SequenceValue:
        """Return it as it has to stand when these numbers are used up."""
        last = (max if self.increment > 0 else min)(numbers, default=None)
        used = last is not None and (last >= self.start if self.increment > 0 else last <= self.start)
        return replace(self, value=last if used else None)


def exhausted_sequences(connection: Connection, plan: Plan, source: sqlite3.Connection) -> tuple[Finding, ...]:
    """Find the numbers of a source after which a sequence of the target has no next one; nothing need be loaded.

    Args:
        connection: To the target; nothing is changed there.
        plan: What is going to be loaded.
        source: From ``open_source``.

    Raises:
        MigrationError: The source cannot be read.
    """
    remembered = _remembered(source, plan)
    found = []
    for sequence in _sequences(connection, plan):
        numbers: dict[int, tuple[TablePlan, ColumnPlan, bool]] = {}
        for table, column in _carried(plan, sequence.columns):
            largest = _outermost_of_source(source, sequence, table, column)
            kept = remembered.get((table.target, column.target.name))
            # Where a row has the number as well, the row is what has to change.
            numbers |= {} if kept is None else {kept: (table, column, False)}
            numbers |= {} if largest is None else {largest: (table, column, True)}
        standing = sequence.standing_after(numbers)
        if standing.is_exhausted and standing.value in numbers:
            table, column, in_row = numbers[standing.value]
            place = str(standing.value) if in_row else "sqlite_sequence"
            reason = f"the sequence {standing.name} has no value left after it for the next row"
            found.append(_finding(table, column, place, reason, _mend(standing, table, column, in_row)))
    return tuple(found)


def set_sequences(connection: Connection, plan: Plan, source: sqlite3.Connection) -> tuple[SequenceValue, ...]:
    """Set each sequence that fills a column of the plan's tables after the largest number there is or was.

    Args:
        connection: To the loaded target, as its owner; not in a transaction.
        plan: What was loaded.
        source: From ``open_source``.

    Returns:
        The sequences as they stand now.

    Raises:
        MigrationError: A sequence has no value left for the next row; ``exhausted_sequences`` says it beforehand.
    """
    remembered = _remembered(source, plan)
    found = []
    for sequence in _sequences(connection, plan):
        largest = [_outermost(connection, plan.schema, sequence, *place) for place in sequence.columns]
        kept = [remembered.get(place) for place in sequence.columns]
        standing = sequence.standing_after(number for number in (*largest, *kept) if number is not None)
        if standing.is_exhausted:
            table, column = standing.columns[0]
            raise MigrationError(
                f"the sequence {standing.name} has no value left: {table}.{column} goes up to {standing.value}",
                "Assess the source again: it has changed since",
            )
        _set(connection, standing)
        found.append(standing)
    return tuple(found)


def prove_sequences(connection: Connection, plan: Plan, sequences: Sequence[SequenceValue]) -> None:
    """Insert a row into each of the tables, see that its number is its own, and take it back.

    The other columns and constraints are put out of the way in the same transaction, which is rolled back.

    Args:
        connection: To the loaded target, as its owner; not in a transaction.
        plan: What was loaded.
        sequences: As they were set. They stand there again afterwards: a rollback gives no value back.

    Raises:
        MigrationError: The value is used already, or the server refuses the row.
    """
    for sequence in sequences:
        for table, column in sequence.columns:
            try:
                _prove(connection, plan, sequence, table, column)
            except psycopg.Error as error:
                words = " ".join((error.diag.message_primary or str(error)).split())
                raise MigrationError(
                    f"the next value of {table}.{column} could not be tried: {words}",
                    "Mend that (see the server's log) and run again",
                ) from None
    for sequence in sequences:
        _set(connection, sequence)


@dataclass(frozen=True)
class _Taken:
    """A column and the sequence that fills it; see ``SequenceValue``."""

    name: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cycles: bool
    table: str
    column: str


def _sequences(connection: Connection, plan: Plan) -> Iterator[SequenceValue]:
    given = {"schema": plan.schema, "tables": [table.target for table in plan.tables]}
    with connection.cursor(row_factory=class_row(_Taken)) as cursor:
        rows = cursor.execute(_SEQUENCES, given).fetchall()
    for each in {row.name: row for row in rows}.values():
        columns = tuple((row.table, row.column) for row in rows if row.name == each.name)
        yield SequenceValue(each.name, each.start, each.increment, each.minimum, each.maximum, each.cycles, columns)


def _remembered(source: sqlite3.Connection, plan: Plan) -> Mapping[tuple[str, str], int]:
    """Return target table and column to the largest number that SQLite has ever given there."""
    with explained("the source's sqlite_sequence"):
        there = source.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchone()
        rows = source.execute("SELECT name, seq FROM sqlite_sequence").fetchall() if there[0] else []
    given: dict[bytes, int] = {}
    for name, number in rows:
        # Anybody may write there; what is no whole number is of no account to SQLite either.
        if isinstance(name, bytearray) and isinstance(number, int):
            given[bytes(name)] = max(number, given.get(bytes(name), number))
    found = {}
    for table in plan.tables:
        number = given.get(table.source.name.encode())
        for column in table.columns:
            if number is not None and table.source.key == (column.source,):
                found[table.target, column.target.name] = number
    return found


def _carried(plan: Plan, places: Iterable[tuple[str, str]]) -> Iterator[tuple[TablePlan, ColumnPlan]]:
    wanted = set(places)
    for table in plan.tables:
        for column in table.columns:
            if (table.target, column.target.name) in wanted:
                yield table, column


def _outermost_of_source(
    source: sqlite3.Connection, sequence: SequenceValue, table: TablePlan, column: ColumnPlan
) -> int | None:
    """Return the source's largest number of a column, or the smallest; of an INTEGER PRIMARY KEY at once."""
    name, found = quote_identifier(column.source), quote_identifier(table.source.name)
    query = f"SELECT {'max' if sequence.increment > 0 else 'min'}({name}) FROM {found}"
    with explained(table_of_source(table.source.name)):
        ((number,),) = source.execute(query).fetchall()
        if number is not None and not isinstance(number, int):
            # SQLite has texts behind numbers; what is no whole number, the examination of the values tells.
            ((number,),) = source.execute(f"{query} WHERE typeof({name}) = 'integer'").fetchall()
    return None if number is None else int(number)


def _finding(table: TablePlan, column: ColumnPlan, place: str, reason: str, mend: str) -> Finding:
    target = f"{table.target}.{column.target.name}"
    return Finding(table.source.name, column.source, target, reason, mend, count=1, keys=(place,))


def _mend(sequence: SequenceValue, table: TablePlan, column: ColumnPlan, in_row: bool) -> str:
    """Say what gives a sequence that is used up more room, or takes the number away that used it up."""
    bits = _BITS[column.target.type_name]
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    counts_up = sequence.increment > 0
    if sequence.maximum < most if counts_up else sequence.minimum > least:
        bound = "MAXVALUE" if counts_up else "MINVALUE"
        return (
            f"Let the sequence go as far as its column goes, in the schema"
            f" (ALTER SEQUENCE {sequence.name} AS {column.target.type} NO {bound})"
        )
    if bits < 64:
        return "Make the column bigint in the schema, and its sequence with it (ALTER SEQUENCE ... AS bigint)"
    name = table.source.name
    if in_row:
        return (
            f"Give that row of {name} another number in the source, and whatever refers to it: no number is larger;"
            " or leave the sequence out of the schema when the application gives the numbers"
        )
    return (
        f"Correct what SQLite remembers of {name} (UPDATE sqlite_sequence SET seq = (SELECT max({column.source}) FROM"
        f" {name}) WHERE name = '{name}'): SQLite itself refuses the next row by it"
    )


def _outermost(connection: Connection, schema: str, sequence: SequenceValue, table: str, column: str) -> int | None:
    """Return the largest number of a column, or the smallest where the sequence counts down."""
    query = sql.SQL("SELECT {}({}) FROM {}").format(
        sql.SQL("max" if sequence.increment > 0 else "min"), sql.Identifier(column), sql.Identifier(schema, table)
    )
    found = connection.execute(query).fetchone()
    return None if found is None or found[0] is None else int(str(found[0]))


def _set(connection: Connection, sequence: SequenceValue) -> None:
    is_used = sequence.value is not None
    number = sequence.value if is_used else sequence.start
    connection.execute("SELECT setval(%s::text::regclass, %s::bigint, %s)", [sequence.name, number, is_used])


def _prove(connection: Connection, plan: Plan, sequence: SequenceValue, table: str, column: str) -> None:
    with connection.transaction(force_rollback=True):
        set_locally(connection, {"lock_timeout": f"{LOCK_WAIT_MILLISECONDS}ms", "row_security": "off"})
        if _takes_rows(plan.catalog, table):
            for statement in _out_of_the_way(plan.catalog, table, column):
                connection.execute(statement)
            found = connection.execute(_insert(plan, table, column)).fetchone()
            wanted = 1
        else:
            found = connection.execute("SELECT nextval(%s::text::regclass)", [sequence.name]).fetchone()
            wanted = 0
        number = found[0] if found else None
        count = sql.SQL("SELECT count(*) FROM {} WHERE {} = %s").format(
            beside_values(plan.schema, table), beside_values(column)
        )
        rows = connection.execute(count, [number]).fetchone()
        if number is None or rows != (wanted,):
            raise MigrationError(
                f"{sequence.name} gives {number} next, which {table}.{column} holds already",
                "Run again; when it happens again, keep the message and report it",
            )


def _takes_rows(catalog: Catalog, table: str) -> bool:
    """Tell whether a row without any other value can be put into the table, and nothing else happens then."""
    found = next(each for each in catalog.tables if each.name == table)
    has_rule = any(each.kind == "rule" and each.name.startswith(f"{table}.") for each in catalog.others)
    return found.kind == "table" and "inherits" not in found.details and not has_rule


def _out_of_the_way(catalog: Catalog, table: str, column: str) -> Iterator[sql.Composed]:
    """Yield what lets a row in that has nothing but its number; the number's own uniqueness stays."""
    name = sql.Identifier(catalog.schema, table)
    alter = sql.SQL("ALTER TABLE {} ").format(name)
    spelled = [(column,), (quote_identifier(column),)]
    own = {each.name for each in catalog.indexes if each.table == table and tuple(each.columns) in spelled}
    for constraint in catalog.constraints:
        if constraint.table == table and constraint.name not in own:
            yield alter + sql.SQL("DROP CONSTRAINT IF EXISTS {} CASCADE").format(sql.Identifier(constraint.name))
    for index in catalog.indexes:
        if index.table == table and index.unique and index.name not in own:
            yield sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(catalog.schema, index.name))
    for other in _others(catalog, table, column):
        if other.not_null:
            yield alter + sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(other.name))
    yield alter + sql.SQL("DISABLE TRIGGER USER")


def _others(catalog: Catalog, table: str, column: str) -> list[Column]:
    """Return the columns that get NULL."""
    return [
        each for each in catalog.columns_of(table) if each.name != column and not each.generated and not each.identity
    ]


def _insert(plan: Plan, table: str, column: str) -> sql.Composed:
    others = _others(plan.catalog, table, column)
    return sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
        sql.Identifier(plan.schema, table),
        sql.SQL(", ").join(sql.Identifier(name) for name in [*(each.name for each in others), column]),
        sql.SQL(", ").join([*(sql.SQL("NULL") for _ in others), sql.SQL("DEFAULT")]),
        sql.Identifier(column),
    )
