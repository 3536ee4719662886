"""Where the application is by the journal, and whether its users are kept out."""

from __future__ import annotations

from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report, where
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step
from ansible_collections.contralock.database.plugins.module_utils.steps import steps_of


def test_where_the_application_is_by_the_journal(runs):
    opened = runs.open()
    run = opened.run
    seen = []
    for step in steps_of("cut_over")[1:-1]:
        record_step(run, "begun", step.name, {}, opened.lease)
        during = run.application()
        record_step(run, "done", step.name, {}, opened.lease)
        seen.append((step.name, during, run.application()))
    sure = {"SQLite": ("SQLite", True), "stopped": ("stopped", True), "PostgreSQL": ("PostgreSQL", True)}
    unsure = ("stopped", False)
    assert seen[0] == ("preflight", sure["SQLite"], sure["SQLite"])
    assert seen[1] == ("keep_out", sure["SQLite"], sure["SQLite"])
    assert seen[2] == ("stop", unsure, sure["stopped"])
    assert {entry[1:] for entry in seen[3:10]} == {(sure["stopped"], sure["stopped"])}
    assert seen[10:] == [
        ("start", unsure, sure["PostgreSQL"]),
        ("prove", sure["PostgreSQL"], sure["PostgreSQL"]),
        ("let_in", sure["PostgreSQL"], sure["PostgreSQL"]),
    ]


def test_whether_users_are_kept_out_by_the_journal(runs):
    forward = runs.open()
    run, command = forward.run, "/opt/app/door open"
    record_step(run, "begun", "preflight", {}, forward.lease)
    record_step(run, "done", "preflight", {"lets_users_in": command}, forward.lease)
    assert run.kept_out() is None
    record_step(run, "begun", "keep_out", {}, forward.lease)
    assert run.kept_out() == (command, False)
    record_step(run, "done", "keep_out", {}, forward.lease)
    assert run.kept_out() == (command, True)
    assert where(make_report(run)).endswith(
        f" Users are kept out; what lets them in, on the application's host: {command}."
    )
    runs.do(forward, *[step.name for step in steps_of("cut_over")[3:-2]])
    # A way back that was refused early has not touched them; one that goes on lets them in at its end.
    back = runs.open("roll_back")
    assert back.run.kept_out() == (command, True)
    runs.do(back, "examine", "keep_out", "stop", "revoke", "recount", "restore", "unfence", "flip", "start", "prove")
    record_step(back.run, "begun", "let_in", {}, back.lease)
    assert back.run.kept_out() == (command, False)
    assert " Users may be kept out; " in where(make_report(back.run))
    record_step(back.run, "done", "let_in", {}, back.lease)
    assert back.run.kept_out() is None
    assert "Users" not in where(make_report(back.run))


def test_users_are_in_where_the_application_has_no_command_that_keeps_them_out(runs):
    opened = runs.open()
    runs.do(opened, up_to="prove")
    assert opened.run.kept_out() is None


def test_users_are_in_when_keeping_them_out_was_taken_back(runs):
    opened = runs.open()
    record_step(opened.run, "done", "preflight", {"lets_users_in": "open"}, opened.lease)
    record_step(opened.run, "begun", "keep_out", {}, opened.lease)
    record_step(opened.run, "taken_back", "", {}, opened.lease)
    assert opened.run.kept_out() is None
    assert not opened.run.changed_anything()
