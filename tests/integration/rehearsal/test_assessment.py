"""The source of a running application is examined from a snapshot, of which nothing is left."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options, assess_running
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, write_source

PROFILE = Path(__file__).parents[3] / "files" / "profiles" / "contralock"
MAPPING = load_profile(PROFILE).mapping


@pytest.fixture
def target(database):
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        for up in sorted(PROFILE.glob("schema/*.up.sql")):
            connection.execute(up.read_text())
    return database.conninfo


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "data" / "contralock.sqlite"
    path.parent.mkdir()
    write_source(Order(path, rows=600))
    return path


def assess(source, target, tmp_path):
    return assess_running(source, target, MAPPING, Options(tmp_path), lambda *_: None)


def test_a_source_that_fits_is_counted_while_it_is_open(source, target, tmp_path):
    before = source.read_bytes()
    with sqlite3.connect(source) as application:
        application.execute("SELECT count(*) FROM users").fetchone()
        facts = assess(source, target, tmp_path).facts()
    assert facts["rows"] == 600
    assert facts["tables"]["users"] > 0
    assert {rule["rule"] for rule in facts["rules"]} >= {"empty_text_as_null"}
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_does_not_fit_is_named_and_nothing_is_left(source, target, tmp_path):
    with sqlite3.connect(source) as application:
        key = application.execute("SELECT _id FROM projects LIMIT 1").fetchone()[0]
        application.execute("UPDATE projects SET budget = 'much' WHERE _id = ?", [key])
    application.close()
    with pytest.raises(MigrationError) as refusal:
        assess(source, target, tmp_path)
    for part in ("projects", "budget", key, "much"):
        assert part in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
