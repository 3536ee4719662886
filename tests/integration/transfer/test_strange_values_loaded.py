"""Every strange value of every type in the first row and from row 20,001 on, through examination and both engines.

What was examined an hour ago is not what the window reads: the values that do not fit are planted after an
examination that found the file ready, and the load finds them, whichever engine loads. What an assessment calls ready
compares equal after it, and what it does not is refused in the same words.

The columns that Django, Rails, Prisma and SQLAlchemy wrote have their own values beside (``maker_tables``).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options as Assessed
from ansible_collections.contralock.database.plugins.module_utils.assessment import assess_file
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import Verdict
from ansible_collections.contralock.database.plugins.module_utils.cells import Value
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan
from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding
from ansible_collections.contralock.database.plugins.module_utils.source_reader import BATCH_ROWS
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.transfer.small_targets import mapping, planned, small_target
from tests.integration.transfer.transfer_server import Server, Target, both_engines
from tests.unit.conversions.maker_tables import TABLES as MADE_TABLES
from tests.unit.conversions.strange_values import TYPES, VALUES

LATE = BATCH_ROWS + 1


@dataclass(frozen=True)
class Case:
    """A value in a type, and where it stands: ``first`` has a column for each, ``late`` a column for each type."""

    sql_type: str
    value: Value
    told: object
    wide_column: str
    column: str
    row: int


def chosen(fit: bool) -> Iterator[tuple[str, list[tuple[Value, object]]]]:
    """Type, and its values that fit with what PostgreSQL holds then; or those that do not, with part of the reason."""
    for verdicts in TYPES:
        yield verdicts.sql_type, [(VALUES[name], told) for name, fits, told in verdicts.verdicts() if fits is fit]
    for table in MADE:
        # A real catalog calls a type by its long name.
        misfits = [(value, told.replace(f"than {table.sql_type}", "than")) for value, told in table.misfits]
        yield table.sql_type, list(table.fits if fit else misfits)


def cases(fit: bool) -> list[Case]:
    found: list[Case] = []
    for number, (sql_type, values) in enumerate(chosen(fit)):
        for place, (value, told) in enumerate(values):
            found.append(Case(sql_type, value, told, f"w{len(found)}", f"v{number}", LATE + place))
    return found


#: Who wrote which of the columns; the others are Sequelize's.
MADE = [table for table in MADE_TABLES if table.encoding is not Encoding.SEQUELIZE]
FITTING, UNFIT = cases(fit=True), cases(fit=False)
KINDS = {"fitting": FITTING, "unfit": UNFIT}
SQL_TYPES = [*(verdicts.sql_type for verdicts in TYPES), *(table.sql_type for table in MADE)]
LATE_COLUMNS = {f"v{number}": sql_type for number, sql_type in enumerate(SQL_TYPES)}
MAKERS = {f"v{number}": table.encoding.value for number, table in enumerate(MADE, len(TYPES))}
#: Rails' number in a document is SQLite's doing: a column that is declared JSON makes numbers of texts.
DECLARED = {f"v{number}": "json" for number, table in enumerate(MADE, len(TYPES)) if table.declared_type == "json"}
DOCUMENT = {
    "tables": {
        f"{place}_{kind}": {
            "columns": {
                case.wide_column if place == "first" else case.column: {"written_by": MAKERS[case.column]}
                for case in of_kind
                if case.column in MAKERS
            }
        }
        for kind, of_kind in KINDS.items()
        for place in ("first", "late")
    }
}
LAST = max(case.row for case in (*FITTING, *UNFIT))


def columns_of(table: str) -> dict[str, str]:
    """Column to its type in PostgreSQL."""
    place, _, kind = table.partition("_")
    return LATE_COLUMNS if place == "late" else {case.wide_column: case.sql_type for case in KINDS[kind]}


def declared(table: str) -> Iterator[str]:
    """The columns as SQLite has them: without a type, but where it is told."""
    place, _, kind = table.partition("_")
    of_type = {case.wide_column if place == "first" else case.column: case.column for case in KINDS[kind]}
    for name in columns_of(table):
        yield f"{name} {DECLARED.get(of_type.get(name, name), '')}"


TABLES = [f"{place}_{kind}" for kind in KINDS for place in ("first", "late")]


def plant(path: Path, kind: str) -> None:
    """Put the values of a kind into their places, each row at once."""
    rows: dict[tuple[str, int], dict[str, Value]] = {}
    for case in KINDS[kind]:
        rows.setdefault((f"first_{kind}", 1), {})[case.wide_column] = case.value
        rows.setdefault((f"late_{kind}", case.row), {})[case.column] = case.value
    with closing(sqlite3.connect(path)) as connection, connection:
        for (table, row), values in rows.items():
            # A TEXT that is no UTF-8 cannot be bound; SQLite makes it of bytes.
            told = ", ".join(
                f"{name} = {'CAST(? AS TEXT)' if isinstance(value, bytearray) else '?'}"
                for name, value in values.items()
            )
            given = [bytes(value) if isinstance(value, bytearray) else value for value in values.values()]
            connection.execute(f"UPDATE {table} SET {told} WHERE id = ?", [*given, row])


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in which everything fits: where unfit values will be planted is NULL."""
    path = tmp_path_factory.mktemp("strange") / "clean.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, needed, {', '.join(declared(table))})")
            rows = range(1, 2 if table.startswith("first") else LAST + 1)
            connection.executemany(f"INSERT INTO {table} (id, needed) VALUES (?, 'there')", ((row,) for row in rows))
    plant(path, "fitting")
    return path


def schema() -> Iterator[str]:
    """SQL that makes a column for each case, or for each type."""
    for verdicts in TYPES:
        if verdicts.labels:
            yield f"CREATE TYPE {verdicts.sql_type} AS ENUM {verdicts.labels}"
    for table in TABLES:
        typed = ", ".join(f"{name} {sql_type}" for name, sql_type in columns_of(table).items())
        yield f"CREATE TABLE {table} (id bigint PRIMARY KEY, needed text NOT NULL, {typed})"


@pytest.fixture(scope="module")
def target(server: Server) -> Iterator[Target]:
    with small_target(server, "; ".join(schema())) as made:
        yield made


@pytest.fixture(scope="module")
def plan(clean: Path, target: Target) -> Plan:
    """The plan of the clean file, which an examination found ready."""
    assessment = assess_file(clean, target.conninfo, mapping(DOCUMENT), Assessed(clean.parent), lambda *_: None)
    assert (assessment.verdict, assessment.findings) == (Verdict.READY, ())
    assert assessment.rows["late_unfit"] == LAST
    return planned(clean, target, DOCUMENT)


@pytest.fixture
def order(clean: Path, plan: Plan, target: Target, scratch: Path, engine: str) -> Iterator[Transfer]:
    """The clean file into the target, which is emptied afterwards."""
    yield Transfer(clean, target.conninfo, plan, scratch, scratch / "record.json", "strange", engine=engine)
    with psycopg.connect(target.administrator, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())


def printed(target: str, table: str, columns: Sequence[str], order_by: str) -> list[Sequence[Any]]:
    """What PostgreSQL prints of the rows that hold something."""
    texts = ", ".join(f"{name}::text" for name in columns)
    query = f"SELECT id, {texts} FROM {table} WHERE coalesce({texts}) IS NOT NULL ORDER BY {order_by}"
    with connect(target, "test of strange values") as connection:
        connection.execute("SET timezone = 'UTC'")
        return connection.execute(query.encode()).fetchall()


def held(target: str, case: Case) -> str | None:
    """What PostgreSQL prints of what the case expects."""
    if isinstance(case.told, str):
        return case.told
    if case.sql_type == "uuid":
        assert isinstance(case.told, bytes)
        return str(UUID(bytes=case.told))
    with psycopg.connect(target, options="-c timezone=UTC") as connection:
        row = connection.execute(f"SELECT %s::{case.sql_type}::text".encode(), [case.told]).fetchone()
    assert row
    return str(row[0])


@both_engines
def test_what_fits_arrives(order: Transfer) -> None:
    transfer(order)
    ((_, *first),) = printed(order.target, "first_fitting", list(columns_of("first_fitting")), "id")
    found = printed(order.target, "late_fitting", list(LATE_COLUMNS), "id")
    late = {(row[0], name): text for row in found for name, text in zip(LATE_COLUMNS, row[1:], strict=True)}
    assert sum(text is not None for text in late.values()) == len(FITTING)
    for case, text in zip(FITTING, first, strict=True):
        assert text == late[case.row, case.column] == held(order.target, case), (case.sql_type, str(case.value)[:80])
    comparison = compare_file(order.source, order.target, mapping(DOCUMENT), Options(b"key"))
    assert comparison.equal, comparison.differences


@both_engines
def test_what_was_planted_after_the_assessment_is_refused(order: Transfer, tmp_path: Path) -> None:
    planted = Path(shutil.copy(order.source, tmp_path / "planted.sqlite"))
    plant(planted, "unfit")
    with closing(sqlite3.connect(planted)) as connection, connection:
        connection.execute("UPDATE late_unfit SET needed = NULL WHERE id = ?", [LATE])
    with pytest.raises(MigrationError) as refused:
        transfer(replace(order, source=planted))
    found: Any = refused.value.details["findings"]
    if order.engine == "arrow":  # read by columns, whatever loads
        told = assess_file(planted, order.target, mapping(DOCUMENT), Assessed(tmp_path), lambda *_: None)
        assert told.verdict is Verdict.NOT_READY
        assert [asdict(each) for each in told.findings] == list(found)
    first = {each["column"]: each for each in found if each["table"] == "first_unfit"}
    late = [each for each in found if each["table"] == "late_unfit" and each["column"] != "needed"]
    for case in UNFIT:
        what = (case.sql_type, str(case.value)[:80])
        assert str(case.told) in first[case.wide_column]["reason"], what
        assert (first[case.wide_column]["count"], first[case.wide_column]["keys"]) == (1, ("1",)), what
        own = [each for each in late if each["column"] == case.column and str(case.told) in each["reason"]]
        # Ten keys of each kind are told, the first ones.
        assert any(
            str(case.row) in each["keys"] or (each["count"] > 10 and case.row > int(each["keys"][9])) for each in own
        ), what
    assert len(first) == sum(each["count"] for each in late) == len(UNFIT)
    (needed,) = (each for each in found if each["column"] == "needed")
    assert (needed["reason"], needed["keys"]) == ("NULL in a column that is NOT NULL", (str(LATE),))
    with connect(order.target, "test of strange values") as connection:
        for table in TABLES:
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)
