"""The last words of a run when PostgreSQL, or the application, is gone: by real runs of ansible-playbook here."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_directory import latest
from ansible_collections.contralock.database.plugins.module_utils.run_opening import leave_run
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step

from tests.playbooks import PROJECT, play, role

#: Nobody listens there.
GONE = "host=127.0.0.1 port=1 dbname=contralock user=owner connect_timeout=2"
DOOR = {"keeps_users_out": "door close", "lets_users_in": "door open"}


@pytest.fixture
def moved(runs, tmp_path: Path) -> Any:
    """A cut-over that has switched the application and stands at its proof; users are kept out."""
    opened = runs.open(facts=DOOR)
    run = runs.do(opened, up_to="start")
    backup = run.path / "source.sqlite"
    with sqlite3.connect(backup) as connection:
        connection.execute("CREATE TABLE users (id PRIMARY KEY)")
    checksum = hashlib.sha256(backup.read_bytes()).hexdigest()
    record_step(run, "done", "preflight", {"source": str(tmp_path / "live.sqlite")}, opened.lease)
    record_step(run, "done", "back_up", {"path": str(backup), "sha256": checksum}, opened.lease)
    record_step(run, "done", "keep_out", {"closed": True}, opened.lease)
    record_step(run, "begun", "prove", {}, opened.lease)
    leave_run(run, opened.lease)
    (tmp_path / ".env").write_text("DB_TYPE=postgresql\n")
    return opened


def included(role: str, tasks_from: str) -> dict[str, Any]:
    return {"ansible.builtin.include_role": {"name": role, "tasks_from": f"{tasks_from}.yml"}}


def settings(runs: Any, folder: Path) -> dict[str, Any]:
    """What an inventory has for an application that systemd does not know."""
    profile = str(PROJECT / "files" / "profiles" / "contralock")
    return {
        "application_service_manager": "commands",
        "application_service_working_directory": str(folder),
        "application_service_status_command": ["true"],
        "application_service_start_command": ["true"],
        "application_service_stop_command": ["true"],
        "application_service_close_command": ["true"],
        "application_service_open_command": ["sh", "-c", "echo $HOME"],
        "application_database_user_password": "p",
        "migration_run_python": sys.executable,
        "migration_run_pages": "",
        "migration_run_root": str(runs.root),
        "migration_toolkit_run_directory": str(runs.root),
        "migration_toolkit_target": GONE,
        "rollback_profile": profile,
        "cutover_profile": profile,
    }


def failing_proof(moved: Any) -> list[dict[str, Any]]:
    """The end of a cut-over whose proof fails."""
    failing = {"name": "Prove it", "ansible.builtin.fail": {"msg": "The sessions are gone."}}
    known = {"migration_run_directory": str(moved.run.path), "migration_run_id": moved.run.id}
    first = {"ansible.builtin.set_fact": {**known, "__migration_run_lease": ""}}
    return [first, {"block": [failing], "rescue": [included("cutover", "take_back")]}]


def test_a_way_back_that_meets_no_postgresql_says_what_the_switch_has_done_and_how_to_go_without(runs, moved, tmp_path):
    done = play(tmp_path, failing_proof(moved), **settings(runs, tmp_path))
    assert done.returncode == 2, done.stdout
    said = " ".join(done.stdout.split()).rpartition("The cut-over ")[2]
    for part in (
        f"{moved.run.id} failed, and was not taken back. What happened: Prove it: The sessions are gone. Then",
        "Then, on the way back: cannot connect to PostgreSQL",
        "The application is configured for PostgreSQL, as the unfinished cut-over has left it: the way back changed",
        "Users are kept out; what lets them in, on the application's host: sh -c 'echo $HOME'.",
        "PostgreSQL does not answer, and the application can do nothing without it. The way back without it"
        " (-e rollback_without_target=true) loses ",
        "playbooks/roll_back.yml to go back",
        "playbooks/cut_over.yml to go on",
    ):
        assert part in said


def test_the_way_back_of_a_cut_over_goes_to_the_target_of_that_one(runs, moved, tmp_path):
    elsewhere = GONE.replace("port=1", "port=2")
    done = play(tmp_path, failing_proof(moved), **settings(runs, tmp_path), cutover_target=elsewhere)
    assert done.returncode == 2, done.stdout
    said = " ".join(done.stdout.split()).rpartition("Then, on the way back:")[2]
    assert "port 2 failed" in said
    assert latest(runs.root, "roll_back").facts("open")["target"] == elsewhere


def test_a_way_back_to_another_database_than_the_cut_over_s_is_refused(runs, moved, tmp_path):
    opening = {**moved.run.facts("open"), "target": "host=db1 dbname=trial user=owner"}
    record_step(moved.run, "done", "open", opening)
    done = play(tmp_path, [role("rollback")], **settings(runs, tmp_path))
    assert done.returncode == 2, done.stdout
    said = " ".join(done.stdout.split())
    for part in (
        f"The cut-over {moved.run.id} went into the database trial, and rollback_target names contralock.",
        "Give rollback_target (host=db1 dbname=trial user=owner), rollback_role and rollback_profile as that cut-over",
        "Nothing was changed: the application runs as before, configured for PostgreSQL.",
    ):
        assert part in said
    assert latest(runs.root, "roll_back").outcome() == "failed"


def test_a_check_of_a_way_back_that_was_killed_after_its_switch_says_what_was_found(runs, moved, tmp_path):
    opened = runs.open("roll_back", facts=DOOR)
    runs.do(opened, up_to="flip")
    found = {"running": True, "without_target": False, "later_rows": 3}
    record_step(opened.run, "done", "examine", found, opened.lease)
    leave_run(opened.run, opened.lease)
    (tmp_path / ".env").write_text("DB_TYPE=sqlite\n")
    done = play(tmp_path, [role("rollback")], "--check", **settings(runs, tmp_path))
    assert done.returncode == 0, done.stdout
    assert "Rows of PostgreSQL that would be lost: 3." in done.stdout


@pytest.mark.parametrize(
    ("verb", "mover", "uses"), [("cut_over", "cutover", "PostgreSQL"), ("roll_back", "rollback", "SQLite")]
)
def test_a_finished_run_fails_when_its_application_does_not_run_or_does_not_answer(runs, tmp_path, verb, mover, uses):
    runs.finish()
    if verb == "roll_back":
        runs.finish(verb)
    (tmp_path / ".env").write_text(f"DB_TYPE={uses.lower()}\n")
    asked = tmp_path / "asked"
    status = ["sh", "-c", f"test -e {asked} || ! touch {asked}"]
    given = {"application_service_status_command": status, "application_service_start_command": ["sh", "-c", "a b"]}
    silent = {"application_service_health_url": "http://127.0.0.1:1/health", "application_service_wait_seconds": 0}
    twice = [
        {"block": [included(mover, "main")], "rescue": [{"ansible.builtin.debug": {"msg": "then"}}]},
        included("application_service", "look"),
        included("application_service", "still_runs") | {"vars": {"application_service_expected_type": uses.lower()}},
    ]
    done = play(tmp_path, twice, **settings(runs, tmp_path) | given | silent)
    assert done.returncode == 2, done.stdout
    first, _, then = " ".join(done.stdout.split()).rpartition('"msg": "then"')
    assert f"The application was moved to {uses} by an earlier run" in first
    assert "and it does not run on localhost. Look why (its own log), mend that, and start it: sh -c 'a b'" in first
    assert "http://127.0.0.1:1/health did not answer" in then
    assert "nothing to do" not in first + then
    assert "nothing is to be taken" not in first + then
