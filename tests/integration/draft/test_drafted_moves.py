"""What was drafted for databases in the style of six makers is applied, loaded and compared, with no edit by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.plan import make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.draft.conftest import Drafted
from tests.integration.draft.makers import MAKERS, ROWS
from tests.throwaway_cluster import Database

#: Maker and engine: pgloader costs a second and a half each time, so that it loads what is strangest.
MOVES = [(maker, "arrow") for maker in MAKERS] + [("sequelize", "pgloader"), ("django", "pgloader")]


def move(made: Drafted, database: Database, engine: str, scratch: Path) -> int:
    """Apply, load and compare by the profile's folder alone; return the rows that were loaded."""
    profile = load_profile(made.folder)
    with connect(database.conninfo, "test of the draft") as connection:
        perform(connection, Request(load_changes(made.folder / "schema")))
        with closing(open_source(made.source)) as source:
            plan = make_plan(profile.mapping, read_schema(source), snapshot(connection))
    order = Transfer(
        made.source, database.conninfo, plan, scratch / "load", scratch / "before.json", "draft", engine=engine
    )
    report = transfer(order)
    comparison = compare_file(made.source, database.conninfo, profile.mapping, Options(b"key"))
    assert comparison.equal, comparison.differences
    return report.rows


@pytest.mark.parametrize(("maker", "engine"), MOVES)
def test_a_draft_moves_every_cell(
    drafted: Callable[[str], Drafted], database: Database, scratch: Path, maker: str, engine: str
) -> None:
    made = drafted(maker)
    assert (made.proof.ready, made.proof.problem, made.proof.findings) == (True, "", ())
    rows = move(made, database, engine, scratch)
    assert rows == made.proof.rows >= 2 * ROWS


def test_the_next_number_is_free_after_the_move(
    drafted: Callable[[str], Drafted], database: Database, scratch: Path
) -> None:
    move(drafted("sequelize"), database, "arrow", scratch)
    with psycopg.connect(database.conninfo) as connection:
        insert = 'INSERT INTO posts (title, "createdAt", "updatedAt") VALUES (%s, now(), now()) RETURNING id, likes'
        # 90 is what SQLite had given out last, though the highest that is left is 40.
        assert connection.execute(insert, ["new"]).fetchone() == (91, 0)


def test_what_was_drafted_for_plain_tables_works_on(
    drafted: Callable[[str], Drafted], database: Database, scratch: Path
) -> None:
    move(drafted("plain"), database, "arrow", scratch)
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        new = "INSERT INTO person (name) VALUES (%s) RETURNING id, is_admin, \"order\", created > '2025-01-01'"
        assert connection.execute(new, ["new"]).fetchone() == (ROWS + 1, False, "none", True)
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(new, ["NAME 3"])
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO line (price, amount) VALUES (-1, 1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("UPDATE person SET is_admin = true, boss = 1")
        computed = connection.execute("SELECT count(*) FROM line WHERE total = price * amount").fetchone()
        assert computed == (ROWS,)
