"""The role database_schema on prepared hosts: a pending change, a failing one, an edited one, and the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import PREPARE, PROFILE

PROFILES = Path(__file__).parents[3] / "files/profiles"
ADDED = "0009_nicknames"


@pytest.fixture
def profile(tmp_path, journey) -> Path:
    """A copy of the profile that a test may add to."""
    assert journey.third.returncode == 0, journey.third.message()
    shutil.copy(PROFILES / "mapping.schema.json", tmp_path)
    return Path(shutil.copytree(PROFILES / PROFILE, tmp_path / PROFILE))


def add(profile: Path, up: str, down: str = "ALTER TABLE users DROP COLUMN nickname;\n") -> None:
    (profile / f"schema/{ADDED}.up.sql").write_text(up, encoding="utf-8")
    (profile / f"schema/{ADDED}.down.sql").write_text(down, encoding="utf-8")


@pytest.fixture
def schema(run_playbook):
    """Run the role alone with a profile."""

    def run(profile: Path, *options: str, **extra_vars):
        return run_playbook(PREPARE, "--tags", "schema", *options, database_schema_profile=str(profile), **extra_vars)

    return run


def state(run) -> dict:
    return next(result for _, task, result in run.results if task == "database_schema : Bring the schema to its state")


NICKNAME = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'nickname'"
RECORDS = "SELECT count(*) FROM contralock_migration.schema_changes"


def test_a_pending_change_is_listed_shown_applied_and_taken_back(profile, schema, psql):
    add(profile, "ALTER TABLE users ADD COLUMN nickname text;\n")

    check = schema(profile, "--check", "--diff")
    assert check.returncode == 0, check.message()
    assert state(check)["pending"] == [ADDED]
    assert "ALTER TABLE users ADD COLUMN nickname text" in str(state(check)["diff"])
    assert psql(NICKNAME) == "0"

    run = schema(profile)
    assert run.returncode == 0, run.message()
    assert state(run)["applied"] == [ADDED]
    assert psql(NICKNAME) == "1"
    assert schema(profile).changed == []

    back = schema(profile, database_schema_state="reverted", database_schema_to="0008_migration_canary")
    assert back.returncode == 0, back.message()
    assert state(back)["reverted"] == [ADDED]
    assert psql(NICKNAME) == "0"
    assert psql(RECORDS) == "8"


def test_a_failing_change_leaves_nothing_and_says_where(profile, schema, psql):
    add(profile, "ALTER TABLE users ADD COLUMN nickname text;\nALTER TABLE nobody ADD COLUMN x text;\n")
    run = schema(profile)
    assert run.returncode != 0
    assert ADDED in run.message()
    assert "nobody" in run.message()
    assert psql(NICKNAME) == "0"
    assert psql(RECORDS) == "8"


def test_an_edited_change_is_refused(profile, schema, psql):
    file = profile / "schema/0002_users.up.sql"
    file.write_text(file.read_text(encoding="utf-8") + "-- harmless?\n", encoding="utf-8")
    run = schema(profile)
    assert run.returncode != 0
    assert "0002_users" in run.message()
    assert psql(RECORDS) == "8"


def test_a_profile_that_is_not_there_is_named(schema, tmp_path, journey):
    assert journey.third.returncode == 0
    run = schema(tmp_path / "nowhere")
    assert run.returncode != 0
    assert "nowhere" in run.message()
