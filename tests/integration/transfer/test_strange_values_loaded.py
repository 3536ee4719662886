"""Every strange value of every type in the first row and from row 20,001 on, through examination and both engines.

What was examined an hour ago is not what the window reads: the values that do not fit are planted after an
examination that found the file ready, and the load finds them, whichever engine loads.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.cells import Value
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan
from ansible_collections.contralock.database.plugins.module_utils.source_reader import BATCH_ROWS
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.transfer.small_targets import examined, planned, small_target
from tests.integration.transfer.transfer_server import Server, Target, both_engines
from tests.unit.conversions.strange_values import TYPES, VALUES, TypeVerdicts

LATE = BATCH_ROWS + 1


@dataclass(frozen=True)
class Case:
    """A value in a type, and where it stands: ``first`` has a column for each, ``late`` a column for each type."""

    verdicts: TypeVerdicts
    value: Value
    told: str
    wide_column: str
    column: str
    row: int


def cases(fit: bool) -> list[Case]:
    found: list[Case] = []
    for number, verdicts in enumerate(TYPES):
        chosen = [(VALUES[name], told) for name, fits, told in verdicts.verdicts() if fits is fit]
        for place, (value, told) in enumerate(chosen):
            found.append(Case(verdicts, value, told, f"w{len(found)}", f"v{number}", LATE + place))
    return found


FITTING, UNFIT = cases(fit=True), cases(fit=False)
KINDS = {"fitting": FITTING, "unfit": UNFIT}
LATE_COLUMNS = {f"v{number}": verdicts.sql_type for number, verdicts in enumerate(TYPES)}
LAST = max(case.row for case in (*FITTING, *UNFIT))


def columns_of(table: str) -> dict[str, str]:
    """Column to its type in PostgreSQL."""
    place, _, kind = table.partition("_")
    return LATE_COLUMNS if place == "late" else {case.wide_column: case.verdicts.sql_type for case in KINDS[kind]}


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
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, needed, {', '.join(columns_of(table))})")
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
    examination = examined(clean, target, {})
    assert examination.findings == ()
    assert examination.rows["late_unfit"] == LAST
    return planned(clean, target, {})


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


@both_engines
def test_what_fits_arrives(order: Transfer) -> None:
    transfer(order)
    ((_, *first),) = printed(order.target, "first_fitting", list(columns_of("first_fitting")), "id")
    found = printed(order.target, "late_fitting", list(LATE_COLUMNS), "id")
    late = {(row[0], name): text for row in found for name, text in zip(LATE_COLUMNS, row[1:], strict=True)}
    assert sum(text is not None for text in late.values()) == len(FITTING)
    for case, text in zip(FITTING, first, strict=True):
        assert text == late[case.row, case.column] == case.told, (case.verdicts.sql_type, str(case.value)[:80])


@both_engines
def test_what_was_planted_after_the_examination_is_refused(order: Transfer, tmp_path: Path) -> None:
    planted = Path(shutil.copy(order.source, tmp_path / "planted.sqlite"))
    plant(planted, "unfit")
    with closing(sqlite3.connect(planted)) as connection, connection:
        connection.execute("UPDATE late_unfit SET needed = NULL WHERE id = ?", [LATE])
    with pytest.raises(MigrationError) as refused:
        transfer(replace(order, source=planted))
    found: Any = refused.value.details["findings"]
    first = {each["column"]: each for each in found if each["table"] == "first_unfit"}
    late = [each for each in found if each["table"] == "late_unfit" and each["column"] != "needed"]
    for case in UNFIT:
        what = (case.verdicts.sql_type, str(case.value)[:80])
        assert case.told in first[case.wide_column]["reason"], what
        assert (first[case.wide_column]["count"], first[case.wide_column]["keys"]) == (1, ("1",)), what
        own = [each for each in late if each["column"] == case.column and case.told in each["reason"]]
        # Ten keys of each kind are told.
        assert any(str(case.row) in each["keys"] or each["count"] > 10 for each in own), what
    assert len(first) == sum(each["count"] for each in late) == len(UNFIT)
    (needed,) = (each for each in found if each["column"] == "needed")
    assert (needed["reason"], needed["keys"]) == ("NULL in a column that is NOT NULL", (str(LATE),))
    with connect(order.target, "test of strange values") as connection:
        for table in TABLES:
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)
