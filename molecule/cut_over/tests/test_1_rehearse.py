"""The rehearsal leaves both databases as they are, and nothing else behind."""

from __future__ import annotations

import json

import pytest
from journeys import RUNS, journal, latest_run, on_sqlite

REHEARSE = "playbooks/rehearse.yml"


@pytest.fixture(scope="module")
def whole(run_playbook, at_first):
    return run_playbook(REHEARSE)


def test_it_moves_and_compares_everything_and_leaves_nothing(whole, at_first, now, app1):
    assert whole.returncode == 0, whole.message()
    after = now()
    on_sqlite(after, at_first.application["sha256"])
    assert after.target == at_first.target
    report = json.loads(app1.check_output(f"cat {latest_run(app1, 'rehearse')}/report.json"))
    assert report["outcome"] == "done"
    assert report["totals"]["rows"] == 2000
    assert report["totals"]["differences"] == 0
    assert report["measured"]["expected_window_seconds"] > 0
    assert report["measured"]["longest_pause_ms"] <= 250
    assert report["measured"]["disk_bytes"] > 0
    assert not app1.file(f"{latest_run(app1, 'rehearse')}/source.sqlite").exists


def test_a_part_is_smaller_and_complete(run_playbook, at_first, now, app1):
    run = run_playbook(REHEARSE, rehearse_fraction=0.1)
    assert run.returncode == 0, run.message()
    rows = next(
        r["facts"]["rows"] for r in journal(app1, "rehearse") if r["step"] == "compare" and r["state"] == "done"
    )
    assert 12 <= rows < 1500
    on_sqlite(now(), at_first.application["sha256"])


def test_a_part_that_is_none_is_refused(run_playbook):
    run = run_playbook(REHEARSE, rehearse_fraction=1.5)
    assert run.returncode != 0
    assert "rehearse_fraction is 1.5" in run.message()


def test_check_says_what_it_would_do_and_does_not(run_playbook, app1, at_first, now):
    before = app1.check_output(f"ls {RUNS}")
    run = run_playbook(REHEARSE, "--check")
    assert run.returncode == 0, run.message()
    assert app1.check_output(f"ls {RUNS}") == before
    assert now().target == at_first.target
