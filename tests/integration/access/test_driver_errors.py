"""What a driver raises unexpectedly is told as a sentence, in the answer and in the journal, without values."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import psycopg
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.driver_errors import driver_errors_told
from ansible_collections.contralock.database.plugins.module_utils.edge import TARGET_ARGUMENT, run_module
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.run_opening import Request, open_run

from tests.integration.source_file_care.module_calls import call

SECRET = "anna@example.org"
#: What is asked of the server, what is said, and the mend.
ANSWERS = [
    (
        "SELECT * FROM dropped",
        'the target answered: Database error 42P01: relation "dropped" does not exist.',
        "prepare",
    ),
    ("SELECT missing FROM t", 'Database error 42703: column "missing" does not exist.', "who has changed the schema"),
    (f"INSERT INTO t VALUES ('{SECRET}'), ('{SECRET}')", "Database error 23505: duplicate key value violates", "Mend"),
    (f"SELECT '{SECRET}'::int", "Database error 22P02: invalid input syntax for type integer.", "Mend the values"),
    ("SELECT pg_terminate_backend(pg_backend_pid())", "Database error 57P01: terminating connection", "server is up"),
    ("CREATE DATABASE x", "Database error 42501: permission denied to create database", "own the tables"),
]


@pytest.fixture
def table(database):
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a text PRIMARY KEY)")
    return database.conninfo


@pytest.mark.parametrize(("query", "said", "mend"), ANSWERS, ids=[said[-30:] for _, said, _ in ANSWERS])
def test_answers_of_the_server(table, query, said, mend):
    with pytest.raises(MigrationError) as told, driver_errors_told("x"), connect(table, "test") as connection:
        connection.execute(query)
    assert said in str(told.value)
    assert mend in told.value.mend
    assert SECRET not in f"{told.value} {told.value.details}"


def test_errors_of_sqlite_name_the_file(tmp_path):
    path, expected = tmp_path / "app.sqlite", r"app\.sqlite cannot be read: no such table: t"
    with pytest.raises(MigrationError, match=expected), driver_errors_told(str(path)):
        sqlite3.connect(path).execute("SELECT * FROM t")


@pytest.mark.parametrize("error", [KeyError("x"), MigrationError("a fact", "a mend")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, driver_errors_told("x"):
        raise error
    assert raised.value is error


def test_a_module_s_answer_and_its_journal_have_the_sentence(table, tmp_path, capsys):
    opened = open_run(Request(tmp_path, "rehearse", "a test"))
    assert opened.run is not None

    def verb(module):
        with connect(module.params["target"], "test") as connection:
            connection.execute("SELECT * FROM dropped")
        return {}

    given = {"target": table, "run": str(opened.run.path), "step": "scratch", "lease": opened.lease}
    with patch_module_args(given), pytest.raises(SystemExit):
        run_module({**TARGET_ARGUMENT, "run": {"type": "path"}}, verb)
    expected = 'the target answered: Database error 42P01: relation "dropped" does not exist.'
    assert json.loads(capsys.readouterr().out)["msg"].startswith(expected)
    assert opened.run.standings()["scratch"].message.startswith(expected)


def test_a_damaged_copy_is_told_by_the_module_that_cuts_it(tmp_path: Path):
    path = tmp_path / "snapshot.sqlite"
    path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    answer = call("sqlite_subset", path=path, fraction=0.5)
    assert answer.failed
    assert str(answer["msg"]).startswith(f"{path} ")
    assert "Traceback" not in str(answer.facts)
