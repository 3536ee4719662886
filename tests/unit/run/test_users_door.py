"""Users who are kept out: who lets them in when a run is refused, and a way back that finds them out already.

Parts of the roles, by real ansible-playbook runs on this machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step

from tests.playbooks import PROJECT, keep, play

DOOR = {"keeps_users_out": "close", "lets_users_in": "open"}
#: What the playbook has seen before.
SEEN = {
    "application_config_found": {"type": "sqlite"},
    "application_service_found": {"running": True},
    "migration_run_python": sys.executable,
    "migration_run_pages": "",
    "migration_toolkit_target": "",
    "migration_toolkit_run_directory": "",
}


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """The file that keeps users out while it is there."""
    made = tmp_path / "closed"
    made.touch()
    return made


def included(role: str, tasks_from: str) -> dict[str, Any]:
    return {"ansible.builtin.include_role": {"name": role, "tasks_from": f"{tasks_from}.yml"}}


def refused(folder: Path, opened: Any, **variables: Any) -> str:
    """What a cut-over says that fails before it has stopped the application."""
    steps = {"keep_out": "waiting", "stop": "waiting"}
    block = {"block": [{"ansible.builtin.fail": {"msg": "It does not fit."}}], "rescue": [included("cutover", "leave")]}
    known = {"migration_run_directory": str(opened.run.path), "migration_run_steps": steps, "settled": False}
    done = play(folder, [block], **SEEN, **known, __migration_run_lease=opened.lease, **variables)
    assert done.returncode == 2, done.stdout
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("state", ["begun", "done"])
def test_a_preflight_that_refuses_after_a_kill_lets_users_in_again(runs, closed, tmp_path, state):
    opened = runs.open(facts=DOOR)
    runs.do(opened, "preflight")
    record_step(opened.run, "begun", "keep_out", {}, opened.lease)
    record_step(opened.run, state, "keep_out", {"closed": True}, opened.lease)
    record_step(opened.run, "begun", "preflight", {}, opened.lease)
    said = refused(tmp_path, opened, application_service_open_command=["rm", str(closed)])
    assert "It does not fit. Nothing was changed for the application: it runs on SQLite as before." in said
    assert not closed.exists()
    assert (opened.run.outcome(), opened.run.kept_out()) == ("failed", None)


def test_a_preflight_that_refuses_and_cannot_let_users_in_says_so(runs, closed, tmp_path):
    opened = runs.open(facts=DOOR)
    runs.do(opened, "preflight", "keep_out")
    said = refused(tmp_path, opened, application_service_open_command=["false"])
    for part in (
        'It does not fit. Then: The command "false" ended with 1.',
        "Users may be in, or kept out still; what lets them in, on localhost: false.",
    ):
        assert part in said
    assert (opened.run.outcome(), opened.run.kept_out().certain) == (None, True)


def test_a_first_preflight_that_refuses_leaves_the_door_alone(runs, closed, tmp_path):
    opened = runs.open(facts=DOOR)
    record_step(opened.run, "begun", "preflight", {}, opened.lease)
    said = refused(tmp_path, opened, application_service_open_command=["rm", str(closed)])
    assert "It does not fit. Nothing was changed for the application: it runs on SQLite as before." in said
    assert closed.exists()
    assert opened.run.outcome() == "failed"


@pytest.mark.parametrize(
    ("let_in", "closes"), [((), False), (("begun",), True), (("begun", "failed"), True)], ids=["not", "begun", "failed"]
)
def test_a_way_back_closes_only_a_door_that_may_be_open(runs, tmp_path, let_in, closes):
    forward = runs.open(facts=DOOR)
    runs.do(forward, up_to="prove")
    record_step(forward.run, "done", "keep_out", {"closed": True}, forward.lease)
    for state in let_in:
        record_step(forward.run, state, "let_in", {}, forward.lease)
    back = runs.open("roll_back", facts=DOOR)
    runs.do(back, "examine")
    record_step(back.run, "begun", "keep_out", {}, back.lease)
    asked = tmp_path / "asked"
    read = {"contralock.database.migration_run": {"state": "read", "run": str(forward.run.path)}}
    done = play(
        tmp_path,
        [{**read, "register": "__rollback_cut_over"}, included("rollback", "keep_out")],
        **SEEN,
        migration_run_directory=str(back.run.path),
        __migration_run_lease=back.lease,
        application_service_close_command=["touch", str(asked)],
    )
    assert done.returncode == 0, done.stdout
    assert asked.exists() is closes
    records = [(record.step, record.state, record.facts.get("by")) for record in back.run.records()[-2:]]
    assert records == [("keep_out", "done", None if closes else forward.run.id), ("stop", "begun", None)]


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        (("cut-over", "way back"), "Users are kept out, as before; what lets them in"),
        (("way back",), "Users are let in."),
        ((), "Users were neither kept out nor let in."),
    ],
    ids=["by the cut-over", "by the way back", "by hand, perhaps"],
)
def test_a_refused_way_back_lets_in_whom_it_has_kept_out_itself(runs, closed, tmp_path, closing, expected):
    """``closing`` has a command to keep users out."""
    forward = runs.open(facts=DOOR)
    runs.do(forward, up_to="prove")
    record_step(forward.run, "done", "keep_out", {"closed": "cut-over" in closing}, forward.lease)
    back = runs.open("roll_back", facts=DOOR)
    runs.do(back, "examine", "keep_out")
    read = {"contralock.database.migration_run": {"state": "read", "run": str(forward.run.path)}}
    refusing = {"ansible.builtin.fail": {"msg": "PostgreSQL has 4 rows."}}
    done = play(
        tmp_path,
        [
            {**read, "register": "__rollback_cut_over"},
            {"block": [refusing], "rescue": [included("rollback", "leave")]},
        ],
        **SEEN,
        __rollback_running=False,
        migration_run_directory=str(back.run.path),
        __migration_run_lease=back.lease,
        application_service_close_command=["touch", str(closed)] if "way back" in closing else [],
        application_service_open_command=["rm", str(closed)],
    )
    assert done.returncode == 2, done.stdout
    assert expected in " ".join(done.stdout.split())
    assert closed.exists() is (expected != "Users are let in.")


def test_a_way_back_sends_a_canary_only_where_one_has_come_into_postgresql(tmp_path):
    proof = {"canary_url": "http://127.0.0.1:5000/canary", "health_url": "http://127.0.0.1:5000/health"}
    tasks = [{"ansible.builtin.include_vars": str(PROJECT / "roles/rollback/vars/main.yml")}]
    tasks += [
        {**keep(tmp_path / state, "__rollback_proof"), "vars": {"__rollback_cut_over": {"steps": {"prove": state}}}}
        for state in ("waiting", "begun", "done")
    ]
    done = play(tmp_path, tasks, application_service_proof=proof)
    assert done.returncode == 0, done.stdout
    sent = {state: json.loads((tmp_path / state).read_text()) for state in ("waiting", "begun", "done")}
    assert sent == {"waiting": {**proof, "canary_url": ""}, "begun": {**proof, "canary_url": ""}, "done": proof}
