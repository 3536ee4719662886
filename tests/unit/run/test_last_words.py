"""The last words of a run when PostgreSQL, or the application, is gone: by real runs of ansible-playbook here."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_opening import leave_run
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step

from tests.playbooks import PROJECT, play

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


def test_a_way_back_that_meets_no_postgresql_says_what_the_switch_has_done_and_how_to_go_without(runs, moved, tmp_path):
    failing = {"name": "Prove it", "ansible.builtin.fail": {"msg": "The sessions are gone."}}
    known = {"migration_run_directory": str(moved.run.path), "migration_run_id": moved.run.id}
    first = {"ansible.builtin.set_fact": {**known, "__migration_run_lease": ""}}
    done = play(
        tmp_path,
        [first, {"block": [failing], "rescue": [included("cutover", "take_back")]}],
        **settings(runs, tmp_path),
    )
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


@pytest.mark.parametrize(
    ("verb", "role", "uses"), [("cut_over", "cutover", "PostgreSQL"), ("roll_back", "rollback", "SQLite")]
)
def test_a_finished_run_fails_when_its_application_does_not_run_or_does_not_answer(runs, tmp_path, verb, role, uses):
    runs.finish()
    if verb == "roll_back":
        runs.finish(verb)
    (tmp_path / ".env").write_text(f"DB_TYPE={uses.lower()}\n")
    asked = tmp_path / "asked"
    status = ["sh", "-c", f"test -e {asked} || ! touch {asked}"]
    given = {"application_service_status_command": status, "application_service_start_command": ["sh", "-c", "a b"]}
    silent = {"application_service_health_url": "http://127.0.0.1:1/health", "application_service_wait_seconds": 0}
    twice = [
        {"block": [included(role, "main")], "rescue": [{"ansible.builtin.debug": {"msg": "then"}}]},
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
