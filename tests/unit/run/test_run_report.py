"""The report, for a machine and for a person, and the script that shows where a run stands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.journal import Moment, Record, append_record
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory
from ansible_collections.contralock.database.plugins.module_utils.run_opening import close_run, leave_run
from ansible_collections.contralock.database.plugins.module_utils.run_page import render_page
from ansible_collections.contralock.database.plugins.module_utils.run_report import (
    make_report,
    render_terminal,
    where,
    with_inventory,
    write_report,
)
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step, spoken_seconds
from ansible_collections.contralock.database.plugins.module_utils.steps import VERBS, steps_of

from tests import example_runs
from tests.example_runs import Row, closed, write_journal

SCRIPT = Path(__file__).parents[3] / "scripts/show_run.py"
TABLES = {f"table_{number}": {"rows": 1000, "bytes": 10_000, "seconds": 0.5} for number in range(12)}
FACTS: dict[str, dict[str, Any]] = {
    "open": {"inventory": ["inventory/my hosts"], "target": "host=db1 dbname=contralock"},
    "back_up": {"path": "/runs/source.sqlite", "sha256": "0123456789abcdef" * 4, "bytes": 10},
    "transfer": {
        "tables": TABLES,
        "engine": "pgloader 3.6.7",
        "rules": [
            {"table": "users", "column": f"c{number}", "rule": "trim", "count": number} for number in range(1, 9)
        ],
    },
    "compare": {"rows": 12_000, "cells": 123_456, "number": 0},
}


def steps_up_to(verb: str, last: str, facts: dict[str, dict[str, Any]] = FACTS) -> list[Row]:
    return example_runs.steps_up_to(verb, last, facts)


@pytest.fixture
def written(root: Path) -> Callable[..., RunDirectory]:
    return partial(write_journal, root)


def test_a_cut_over_that_succeeded(written):
    run = written([*steps_up_to("cut_over", "let_in"), *closed("done")])
    report = write_report(run)
    assert json.loads((run.path / "report.json").read_text()) == report
    assert (run.path / "report.json").stat().st_mode & 0o777 == 0o600
    assert report["totals"] == {"tables": 12, "rows": 12_000, "cells": 123_456, "differences": 0}
    assert report["window"]["seconds"] == 24
    assert report["seconds"] == 28
    assert [step["seconds"] for step in report["steps"]] == [2.0] * 14 + [0.0]
    assert report["application"] == {"uses": "PostgreSQL", "certain": True}
    text = render_terminal(report)
    lines = text.splitlines()
    assert lines[0] == "CUT-OVER DONE. Every cell was compared, none differs."
    assert "Application    is configured for PostgreSQL" in lines
    assert "Moved          12 tables, 12,000 rows, by pgloader 3.6.7, 123,456 cells compared, 0 differences" in lines
    assert "Window         24 s in which users waited, until it was proven and they were let in" in lines
    assert "  done    transfer            2 s  Load every row into PostgreSQL" in lines
    assert "               and 4 more, 26 times in all" in lines
    assert "Next           ansible-playbook -i 'inventory/my hosts' playbooks/validate.yml" in lines
    assert "Way back       ansible-playbook -i 'inventory/my hosts' playbooks/roll_back.yml" in lines
    assert "Look inside    psql 'host=db1 dbname=contralock'" in lines
    assert len(lines) <= 40


def test_a_failure_before_the_flip_that_was_taken_back(written):
    taken = [(1.0, name, "taken_back", {}) for name in ("transfer", "back_up", "fence", "stop", "keep_out")]
    message = "a very long story about users.id 7. " * 60
    rows = [*steps_up_to("cut_over", "back_up"), (0, "transfer", "begun", {})]
    rows += [(3, "transfer", "failed", {"message": message}), *taken, *closed("taken_back")]
    report = make_report(written(rows))
    assert report["failure"]["message"] == message
    lines = render_terminal(report).splitlines()
    assert lines[0] == "CUT-OVER FAILED at the step transfer: load every row into PostgreSQL."
    assert "Application    is configured for SQLite as before: what the run had changed was taken back" in lines
    assert "Window         16 s in which users waited, until all was taken back" in lines
    assert "               … (all of it is in the report)" in lines
    assert "  FAILED  transfer            3 s  Load every row into PostgreSQL" in lines
    assert "  undone  stop                2 s  Stop the application" in lines
    assert "  not begun: compare, grant, configure, flip, start, prove, let_in" in lines
    assert (
        lines[-1] == "Next           mend that, then  ansible-playbook -i 'inventory/my hosts' playbooks/cut_over.yml"
    )
    assert len(lines) <= 40


def test_a_failure_that_a_later_attempt_made_good_is_none(written):
    rows = [
        *steps_up_to("cut_over", "back_up"),
        (1, "transfer", "begun", {}),
        (1, "transfer", "failed", {"message": "no"}),
    ]
    rows += [
        (50, "open", "begun", {}),
        (0, "open", "done", {}),
        *steps_up_to("cut_over", "let_in")[12:],
        *closed("done"),
    ]
    report = make_report(written(rows))
    assert (report["failure"], report["attempts"]) == (None, 2)
    assert report["window"]["seconds"] == 76
    assert ", in 2 attempts" in render_terminal(report)


def test_while_the_run_goes_on_an_earlier_failure_is_told_until_it_is_made_good(runs):
    opened = runs.open()
    record_step(opened.run, "begun", "preflight", {}, opened.lease)
    record_step(opened.run, "failed", "preflight", {"message": "no"}, opened.lease)
    assert make_report(opened.run)["failure"]["message"] == "no"
    runs.do(opened, "preflight")
    assert make_report(opened.run)["failure"] is None
    assert render_terminal(make_report(opened.run)).startswith("CUT-OVER UNDER WAY at the step keep_out.")


def test_after_the_flip_the_message_says_that_the_application_may_be_stopped(written):
    rows = [
        *steps_up_to("cut_over", "flip"),
        (0, "start", "begun", {}),
        (9, "start", "failed", {"message": "no health"}),
    ]
    lines = render_terminal(make_report(written(rows))).splitlines()
    assert lines[0] == "CUT-OVER FAILED at the step start: start the application."
    assert "Application    may be stopped: a step that stops or starts it was not finished" in lines
    assert any(line.startswith("Way back       ansible-playbook") for line in lines)
    assert "Window         open since 02:00:04 UTC" in lines


def test_a_second_window_counts_alone(written):
    first = [*steps_up_to("cut_over", "fence"), (5, "fence", "taken_back", {}), (0, "keep_out", "taken_back", {})]
    rows = [*first, *[(1000.0, "open", "begun", {})], *steps_up_to("cut_over", "let_in"), *closed("done")]
    assert make_report(written(rows))["window"]["seconds"] == 24


def test_a_way_back_says_what_it_takes_back_and_what_is_given_up(runs):
    forward = runs.open()
    runs.do(forward, up_to="back_up")
    record_step(forward.run, "begun", "transfer", {}, forward.lease)
    record_step(forward.run, "failed", "transfer", {"message": "users.id 7 does not fit. " * 50}, forward.lease)
    back = runs.open("roll_back")
    record_step(back.run, "begun", "examine", {}, back.lease)
    record_step(back.run, "done", "examine", {"later_rows": 1234}, back.lease)
    runs.do(back, "keep_out", "stop", "revoke", "recount", "restore", "unfence", "flip", "start", "prove", "let_in")
    close_run(back.run, back.lease, None, write_report)
    lines = render_terminal(make_report(back.run)).splitlines()
    assert lines[0] == "WAY BACK DONE."
    assert "Application    is configured for SQLite" in lines
    assert any(
        line.startswith(f"Takes back     {forward.run.id}, which failed at transfer: users.id 7") for line in lines
    )
    assert "Given up       1,234 rows that were written in PostgreSQL since the cut-over" in lines
    assert lines[-1] == "Next           ansible-playbook playbooks/cut_over.yml"
    assert len(lines) <= 40
    taken = json.loads((forward.run.path / "report.json").read_text())
    assert (taken["outcome"], taken["application"]["uses"]) == ("taken_back", "SQLite")


def test_a_way_back_without_postgresql_says_that_nothing_was_counted(runs):
    runs.finish()
    back = runs.open("roll_back")
    record_step(back.run, "done", "examine", {"later_rows": 0, "without_target": True}, back.lease)
    lines = render_terminal(make_report(back.run)).splitlines()
    said = "whatever was written in PostgreSQL since the cut-over: it could not be reached and counted"
    assert f"Given up       {said}" in lines


def test_where_the_application_is_as_a_sentence(runs):
    opened = runs.open()
    assert where(make_report(opened.run)) == "The application is configured for SQLite as before: nothing was changed."
    runs.do(opened, up_to="stop")
    assert where(make_report(opened.run)) == "The application is stopped."


def test_a_way_back_that_changed_nothing_says_how_the_cut_over_has_left_the_application(runs):
    forward = runs.open()
    runs.do(forward, up_to="start")
    back = runs.open("roll_back")
    record_step(back.run, "failed", "examine", {"message": "cannot connect to PostgreSQL"}, back.lease)
    leave_run(back.run, back.lease)
    left = "as the unfinished cut-over has left it: the way back changed nothing."
    report = make_report(back.run)
    assert report["next"].endswith("roll_back.yml")
    without = f"{report['next']} -e rollback_without_target=true"
    assert f"Gone for good  {without}" in render_terminal(report).splitlines()
    assert f"<p>When PostgreSQL is gone for good:</p>\n<pre><code>{without}</code></pre>" in render_page(report)
    assert where(make_report(back.run)) == f"The application is configured for PostgreSQL, {left}"
    runs.do(runs.open(), "prove", "let_in")
    close_run(forward.run, "")
    assert where(make_report(back.run)).endswith(" is configured for PostgreSQL as before: nothing was changed.")


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (
            [{"user": "contralock_user", "application_name": "contralock", "tls_version": "TLSv1.3"}] * 2,
            "Proof          PostgreSQL sees 2 sessions of contralock_user, over TLSv1.3",
        ),
        (
            [{"user": "u", "application_name": "", "tls_version": None}],
            "Proof          PostgreSQL sees 1 session of u, over no TLS",
        ),
        ([{"pid": 7, "command": "node"}], "Proof          node (pid 7) has the SQLite file open"),
    ],
)
def test_the_proof_says_what_it_saw(written, seen, said):
    rows = [*steps_up_to("cut_over", "let_in", {**FACTS, "prove": {"seen": seen}}), *closed("done")]
    lines = render_terminal(make_report(written(rows))).splitlines()
    assert said in lines
    assert len(lines) <= 40


def test_a_rehearsal_says_what_to_expect(written):
    facts = {
        **FACTS,
        "open": {"target": "host=db1 dbname=contralock"},
        "snapshot": {"longest_pause_ms": 41.7},
        "drop": {"expected_window_seconds": 130, "disk_bytes": 50 * 2**20},
    }
    rows = [*steps_up_to("rehearse", "drop", facts), *closed("done")]
    lines = render_terminal(make_report(written(rows, "rehearse"))).splitlines()
    assert lines[0] == "REHEARSAL DONE. Every cell was compared, none differs."
    # Nothing was moved, and nothing of it is left to be looked at.
    assert [line for line in lines if line.startswith(("Moved", "Look inside"))] == []
    assert "Application    was left alone" in lines
    assert "To expect      a window of 2 min 10 s" in lines
    assert "Writers        waited 42 ms at the longest" in lines
    assert "Disk           50 MiB are needed on the application's host" in lines
    assert lines[-1] == "Next           ansible-playbook playbooks/cut_over.yml"


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_standing_of_every_verb_can_be_shown(written, verb):
    run = written([(0, "open", "begun", {}), (0, "open", "done", {})], verb)
    for step in steps_of(verb)[1:]:
        for state in ("begun", "failed", "taken_back", "begun", "done"):
            append_record(run.path / "journal.jsonl", Record(Moment.now(), step.name, state, {}))  # type: ignore[arg-type]
            lines = render_terminal(make_report(run)).splitlines()
            assert len(lines) <= 40
            assert any(line.startswith("Next ") for line in lines)
            assert any(line.startswith("Application ") for line in lines)


def test_tables_in_a_list_count_as_well(written):
    facts = {
        "transfer": {"tables": [{"table": "users", "rows": 1}]},
        "compare": {"tables": [{"table": "users", "cells": 1}]},
    }
    report = make_report(written(steps_up_to("cut_over", "compare", facts)))
    assert report["tables"] == {"users": {"rows": 1, "cells": 1}}
    assert report["totals"] == {"tables": 1, "rows": 1, "cells": 1, "differences": None}
    assert "1 table, 1 row, 1 cell compared\n" in render_terminal(report)
    assert "<p>1 row in 1 table.</p>" in render_page(report)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (0.44, "0.4 s"), (7.6, "8 s"), (59.9, "1 min 0 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")],
)
def test_durations_are_spoken(seconds, said):
    assert spoken_seconds(seconds) == said


def test_commands_name_the_inventories():
    command = "ansible-playbook playbooks/cut_over.yml"
    assert with_inventory(command, []) == with_inventory(command, "") == command
    assert with_inventory(command, ["a", "b c"]) == "ansible-playbook -i a -i 'b c' playbooks/cut_over.yml"


def show(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_script_shows_where_a_run_stands(runs, root, tmp_path):
    code, _, said = show("--root", root)
    assert (code, said) == (2, f"could not tell: there is no run in {root}. Name a run's directory, or --root.\n")
    opened = runs.open()
    runs.do(opened, up_to="back_up")
    record_step(opened.run, "begun", "transfer", {}, opened.lease)
    code, shown, _ = show("--root", root)
    assert code == 1
    assert shown.startswith("CUT-OVER UNDER WAY at the step transfer.\n")
    assert "Controller     anna@laptop (pid 100); its lease lasts 1" in shown
    record_step(opened.run, "failed", "transfer", {"message": "no"}, opened.lease)
    code, shown, _ = show(opened.run.path)
    assert code == 1
    assert shown.startswith("CUT-OVER FAILED at the step transfer")
    runs.do(opened, "transfer", "compare", "grant", "configure", "flip", "start", "prove", "let_in")
    close_run(opened.run, opened.lease)
    assert show("--root", root)[0] == 0
    assert show("--root", root, "--list")[1] == f"{opened.run.id}  done\n"
    assert json.loads(show(opened.run.path, "--json")[1])["outcome"] == "done"
    assert show(tmp_path)[0] == 2
    with (opened.run.path / "journal.jsonl").open("a") as file:
        file.write("nonsense\n")
    code, _, said = show(opened.run.path)
    assert code == 2
    assert "is no record of a journal" in said
