"""Where the application is by the journal, and whether its users are kept out."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_directory import runs_in
from ansible_collections.contralock.database.plugins.module_utils.run_opening import (
    Request,
    close_run,
    open_run,
    predict,
)
from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report, where
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step
from ansible_collections.contralock.database.plugins.module_utils.steps import steps_of

from tests.unit.run.conftest import ME


def test_where_the_application_is_by_the_journal(runs):
    opened = runs.open()
    run = opened.run
    stood = []
    for step in steps_of("cut_over")[1:-1]:
        record_step(run, "begun", step.name, {}, opened.lease)
        during = run.application()
        record_step(run, "done", step.name, {}, opened.lease)
        stood.append((step.name, during, run.application()))
    sure = {"SQLite": ("SQLite", True), "stopped": ("stopped", True), "PostgreSQL": ("PostgreSQL", True)}
    unsure = ("stopped", False)
    assert stood[0] == ("preflight", sure["SQLite"], sure["SQLite"])
    assert stood[1] == ("keep_out", sure["SQLite"], sure["SQLite"])
    assert stood[2] == ("stop", unsure, sure["stopped"])
    assert {entry[1:] for entry in stood[3:10]} == {(sure["stopped"], sure["stopped"])}
    assert stood[10:] == [
        ("start", unsure, sure["PostgreSQL"]),
        ("prove", sure["PostgreSQL"], sure["PostgreSQL"]),
        ("let_in", sure["PostgreSQL"], sure["PostgreSQL"]),
    ]


CLOSE, OPEN = "/opt/app/door close", "/opt/app/door open"
#: What the role migration_run tells of an application that has both commands.
DOOR = {"keeps_users_out": CLOSE, "lets_users_in": OPEN}


def seen(run):
    """By which command users are let in, and whether they certainly are out."""
    out = run.kept_out()
    return out and (out.lets_in, out.certain)


def test_whether_users_are_kept_out_by_the_journal(runs):
    forward = runs.open(facts=DOOR)
    run = forward.run
    runs.do(forward, "preflight")
    assert run.kept_out() is None
    record_step(run, "begun", "keep_out", {}, forward.lease)
    assert seen(run) == (OPEN, False)
    record_step(run, "done", "keep_out", {}, forward.lease)
    assert seen(run) == (OPEN, True)
    assert (run.kept_out().run, run.kept_out().by) == (run.id, CLOSE)
    since = run.kept_out().since
    assert since == run.standings()["keep_out"].begun
    assert where(make_report(run)).endswith(
        f" Users are kept out; what lets them in, on the application's host: {OPEN}."
    )
    runs.do(forward, *[step.name for step in steps_of("cut_over")[3:-2]])
    # A way back that was refused early has not touched them; one that goes on lets them in at its end.
    back = runs.open("roll_back", facts={**DOOR, "lets_users_in": "mended"})
    assert seen(back.run) == ("mended", True)
    runs.do(back, "examine", "keep_out", "stop", "revoke", "recount", "restore", "unfence", "flip", "start", "prove")
    # Since the cut-over began to: the way back has found them out.
    assert (seen(back.run), back.run.kept_out().since) == (("mended", True), since)
    record_step(back.run, "begun", "let_in", {}, back.lease)
    assert seen(back.run) == ("mended", False)
    assert " Users may be kept out; " in where(make_report(back.run))
    record_step(back.run, "done", "let_in", {}, back.lease)
    assert back.run.kept_out() is None
    assert "Users" not in where(make_report(back.run))


def test_users_are_in_where_the_application_has_no_command_that_keeps_them_out(runs):
    opened = runs.open(facts={"keeps_users_out": "", "lets_users_in": ""})
    runs.do(opened, up_to="prove")
    assert opened.run.kept_out() is None


def test_users_are_in_when_keeping_them_out_was_taken_back(runs):
    opened = runs.open(facts=DOOR)
    record_step(opened.run, "begun", "keep_out", {}, opened.lease)
    record_step(opened.run, "taken_back", "", {}, opened.lease)
    assert opened.run.kept_out() is None
    assert not opened.run.changed_anything()


WITHOUT = {"keeps_users_out": "", "lets_users_in": ""}


@pytest.mark.parametrize("verb", ["cut_over", "roll_back"])
@pytest.mark.parametrize(("up_to", "state"), [("prove", "are"), ("let_in", "may be")])
def test_users_who_are_kept_out_are_not_forgotten(runs, refusal, verb, up_to, state):
    """A run that goes on without the command that lets them in would say that they are."""
    first = runs.open(facts=DOOR)
    run = runs.do(first, up_to="prove")
    if up_to == "let_in":
        record_step(run, "begun", "let_in", {}, first.lease)
        record_step(run, "failed", "let_in", {"message": "no"}, first.lease)
    since = run.kept_out().since.time[:19].replace("T", " ")
    before = (run.path / "journal.jsonl").read_bytes()
    request = Request(runs.root, verb, ME, facts=WITHOUT)
    for deed in (predict, open_run):
        assert refusal(deed, request) == (
            f"users {state} kept out since {since} UTC, by the command {CLOSE!r}, in the run {run.id}, and there is no"
            " application_service_open_command any more: nothing would let them in. Give it again (it was"
            f" {OPEN!r}). If they shall be let in by hand, do that, and say so with"
            """ -e '{"application_service_open_command": ["true"]}'."""
        )
    assert (run.path / "journal.jsonl").read_bytes() == before
    assert [each.id for each in runs_in(runs.root)] == [run.id]
    again = runs.open(verb, facts={**WITHOUT, "lets_users_in": "true"})
    assert seen(again.run) == ("true", up_to == "prove")
    # And a way back that was begun with it is asked again when it goes on.
    if verb == "roll_back":
        assert "nothing would let them in" in refusal(open_run, request)


def test_an_application_without_commands_is_asked_for_none(runs):
    runs.do(runs.open(facts=WITHOUT), up_to="let_in")
    assert runs.open(facts=WITHOUT).resumed


def test_a_finished_run_needs_no_command(runs):
    run = runs.do(runs.open(facts=DOOR), up_to="let_in")
    close_run(run, "")
    assert runs.open("roll_back", facts=WITHOUT).run
