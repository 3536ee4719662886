"""A file that nobody writes is examined in parts and threads, and what is found is the same."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils import findings
from ansible_collections.contralock.database.plugins.module_utils.catalog import Catalog
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.findings import (
    ColumnCount,
    Examination,
    Finding,
    SourceExaminer,
    examine,
    examine_file,
)
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_reader import read_table
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.integration.profile.contralock_target import PROFILE

Planned = Callable[..., tuple[sqlite3.Connection, Plan]]
ROWS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO {} SELECT {} FROM n;"
#: Threads, and what of the keys may stay in memory.
WAYS = [(1, 1 << 30), (3, 0), (2, 20_000)]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]} threads, {way[1]} bytes")
def in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Examination]:
    """Examine in parts of a hundred rows."""
    workers, kept_bytes = request.param
    monkeypatch.setattr(findings, "split_rows", partial(findings.split_rows, rows_per_part=100))
    monkeypatch.setattr(findings, "RowExaminer", partial(findings.RowExaminer, kept_bytes=kept_bytes))
    return partial(examine_file, workers=workers)


def untimed(examination: Examination) -> Examination:
    return replace(examination, duration_seconds=0)


BAD_SOURCE = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT);"
    + ROWS.format(1000, "p", "i * 3, iif(i IN (5, 300, 905), 'same', iif(i % 200 = 7, NULL, 'code ' || i))")
    + "CREATE TABLE c (k TEXT PRIMARY KEY, parentId INTEGER, cents, a, b);"
    + ROWS.format(
        1000,
        "c",
        "'key ' || i, iif(i % 90 = 0, i * 3 + 1, i * 3), iif(i % 150 = 0, -i, i), iif(i % 333 = 0, 'x', i),"
        " iif(i < 250, NULL, iif(i % 77 = 0, 1.5, 1))",
    )
    + "UPDATE c SET k = NULL WHERE k IN ('key 450', 'key 990'); UPDATE c SET a = 2, b = 1 WHERE a IN (600, 650, 651);"
)
BAD_TARGET = (
    "CREATE TABLE p (id bigint PRIMARY KEY, code text UNIQUE);"
    "CREATE TABLE c (k text PRIMARY KEY, parent_id int REFERENCES p, cents int CHECK (cents >= 0), a int,"
    " b int NOT NULL, UNIQUE (a, b))"
)


def test_what_is_found_depends_on_the_rows_alone(
    planned: Planned, tmp_path: Path, in_parts: Callable[..., Examination]
) -> None:
    source, plan = planned(BAD_SOURCE, BAD_TARGET, naming="snake_case")
    expected = examine(source, plan)
    found = in_parts(tmp_path / "source.sqlite", plan)
    assert untimed(found) == untimed(expected)
    told = {(finding.target, finding.reason): finding for finding in found.findings}
    assert {key: finding.count for key, finding in told.items()} == {
        ("c.k", "NULL in a column that is NOT NULL"): 2,
        ("c.a", "text in a whole-number column"): 3,
        ("c.b", "NULL in a column that is NOT NULL"): 249,
        ("c.b", "floating-point number in a whole-number column"): 9,
        ("c.cents", "against CHECK ((cents >= 0))"): 6,
        ("p.code", "the same as in another row, where PostgreSQL wants each once"): 3,
        ("c.a, b", "the same as in another row, where PostgreSQL wants each once"): 3,
        ("c.parent_id", "refers to no row of p (id)"): 11,
    }
    orphans = told["c.parent_id", "refers to no row of p (id)"]
    # Rows whose key does not fit are named by their place in the whole table.
    assert orphans.keys == tuple(f"{'row' if number == 450 else 'key'} {number}" for number in range(90, 990, 90))
    assert (orphans.shown, told["p.code", "the same as in another row, where PostgreSQL wants each once"].keys) == (
        "271",
        ("15", "900", "2715"),
    )
    assert told["c.a, b", "the same as in another row, where PostgreSQL wants each once"].shown == "(2, 1)"


def test_the_order_is_that_of_columns_and_rows_whatever_a_batch_has(planned: Planned, tmp_path: Path) -> None:
    source, plan = planned(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, a, b);"
        + ROWS.format(1000, "t", "i, iif(i = 900, 'x', iif(i = 950, 1.5, 1)), iif(i = 3, 'y', 2)"),
        "CREATE TABLE t (k int PRIMARY KEY, a int, b int)",
    )
    expected = [("t.a", "'x'"), ("t.a", "1.5"), ("t.b", "'y'")]
    for examination in (examine(source, plan), examine_file(tmp_path / "source.sqlite", plan)):
        assert [(finding.target, finding.shown) for finding in examination.findings] == expected


@pytest.mark.parametrize("form", [Form.DEPLOYED, Form.FROM_MIGRATIONS])
@pytest.mark.parametrize("in_parts", WAYS[-1:], indirect=True)
def test_samples_give_what_they_give_row_by_row(
    samples: dict[Form, Path], contralock: Catalog, in_parts: Callable[..., Examination], form: Form
) -> None:
    with closing(open_source(samples[form])) as source:
        plan = make_plan(load_profile(PROFILE).mapping, read_schema(source), contralock)
        expected = examine(source, plan)
    assert untimed(in_parts(samples[form], plan)) == untimed(expected)


def test_of_each_column_the_cells_are_counted(planned: Planned, tmp_path: Path) -> None:
    source, plan = planned(
        "CREATE TABLE T (k INTEGER PRIMARY KEY, theText TEXT, n INTEGER, m INTEGER);"
        "INSERT INTO T VALUES (1, '', 1, 1), (2, 'x', NULL, 'bad'), (3, NULL, 2, NULL), (4, 'y', 1.5, NULL)",
        "CREATE TABLE t (k int PRIMARY KEY, the_text text, n int, m int NOT NULL)",
        naming="snake_case",
        tables={"t": {"columns": {"the_text": {"rules": ["empty_text_as_null"]}}}},
    )
    for examination in (examine(source, plan), examine_file(tmp_path / "source.sqlite", plan)):
        assert examination.columns == (
            ColumnCount("T", "k", "t.k", fits=4, nulls=0, misfits=0),
            ColumnCount("T", "theText", "t.the_text", fits=2, nulls=2, misfits=0),
            ColumnCount("T", "n", "t.n", fits=2, nulls=1, misfits=1),
            ColumnCount("T", "m", "t.m", fits=1, nulls=0, misfits=3),
        )


def test_rows_without_a_key_are_named_by_their_place(
    planned: Planned, tmp_path: Path, in_parts: Callable[..., Examination]
) -> None:
    script = (
        f"CREATE TABLE t (v, w); {ROWS.format(1000, 't', 'iif(i = 777, 1.5, 1), i % 999')} CREATE INDEX i ON t (w, v)"
    )
    _, plan = planned(script, "CREATE TABLE t (v int, w int UNIQUE)")
    found = in_parts(tmp_path / "source.sqlite", plan)
    assert [finding.keys for finding in found.findings] == [("row 777",), ("row 1", "row 1000")]


def test_an_empty_key_has_its_place_in_the_whole_table(
    planned: Planned, tmp_path: Path, in_parts: Callable[..., Examination]
) -> None:
    script = f"CREATE TABLE t (k TEXT PRIMARY KEY, v); {ROWS.format(1000, 't', chr(39) + chr(39) + ' || i, 1')}"
    _, plan = planned(
        script + "UPDATE t SET k = '', v = 'x' WHERE k = '777'", "CREATE TABLE t (k text PRIMARY KEY, v int)"
    )
    assert [finding.keys for finding in in_parts(tmp_path / "source.sqlite", plan).findings] == [("row 777",)]


@pytest.mark.parametrize(
    ("values", "type_name", "duplicates"),
    [
        ("(1, 0.0), (2, -1e-400)", "double precision", 2),
        ("(1, 'NULL'), (2, 'NULL')", "text", 2),
        ("(1, 5), (2, 5.0)", "double precision", 2),
        ("(1, '{\"a\":1}'), (2, '{ \"a\": 1}')", "jsonb", 2),
        ("(1, 'a'), (2, 'A')", "text", 0),
    ],
)
def test_values_are_compared_as_postgresql_does(
    planned: Planned, tmp_path: Path, values: str, type_name: str, duplicates: int
) -> None:
    _, plan = planned(
        f"CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES {values}",
        f"CREATE TABLE t (k int PRIMARY KEY, v {type_name} UNIQUE)",
    )
    found = examine_file(tmp_path / "source.sqlite", plan).findings
    assert sum(finding.count for finding in found) == duplicates


def test_a_primary_key_that_is_the_text_null_leads_to_its_row(planned: Planned, tmp_path: Path) -> None:
    _, plan = planned(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER); INSERT INTO t VALUES ('NULL', -1)",
        "CREATE TABLE t (k text PRIMARY KEY, v int CHECK (v > 0))",
    )
    assert [finding.keys for finding in examine_file(tmp_path / "source.sqlite", plan).findings] == [("NULL",)]


def test_progress_comes_in_the_callers_thread_and_reaches_all_rows(
    planned: Planned, tmp_path: Path, in_parts: Callable[..., Examination]
) -> None:
    _, plan = planned(BAD_SOURCE, BAD_TARGET, naming="snake_case")
    seen: list[tuple[str, int, int, int]] = []
    in_parts(tmp_path / "source.sqlite", plan, lambda *step: seen.append((*step, threading.get_ident())))
    assert {ident for *_, ident in seen} == {threading.get_ident()}
    for table in ("p", "c"):
        rows = [row for name, row, total, _ in seen if name == table and total == 1000]
        assert rows == sorted(rows)
        assert rows[-1] == 1000


def test_a_source_that_cannot_be_read_is_an_error(planned: Planned, tmp_path: Path) -> None:
    _, plan = planned(
        f"CREATE TABLE t (v TEXT); {ROWS.format(3000, 't', 'hex(zeroblob(100))')}", "CREATE TABLE t (v text)"
    )
    path = tmp_path / "source.sqlite"
    data = bytearray(path.read_bytes())
    data[40 * 4096 : 41 * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(MigrationError, match=r"table 't' .* is damaged"):
        examine_file(path, plan)


def test_parts_may_be_examined_in_any_order(planned: Planned) -> None:
    source, plan = planned(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 'x'), (3, 1), (4, 'y'), (5, 1)",
        "CREATE TABLE t (k int PRIMARY KEY, v int UNIQUE)",
    )
    (table,) = plan.tables
    batches = list(read_table(source, "t", ["k", "v"], batch_rows=1))
    with closing(SourceExaminer(plan)) as examiner:
        for number in (3, 0, 4, 1, 2):
            part = examiner.part(table, number)
            values: list[Any] = part.add(batches[number])
            assert (part.rows, part.fits, values[1][0].is_valid) == (1, number % 2 == 0, number % 2 == 0)
        found: tuple[Finding, ...] = examiner.finish().findings
    assert [(finding.keys, finding.shown) for finding in found] == [(("2", "4"), "'x'"), (("1", "3", "5"), "1")]
