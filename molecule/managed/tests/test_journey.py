"""The whole journey to a server without a shell and without a superuser, from a source in the plan's own form."""

from __future__ import annotations

import json
import re

import pytest
from journeys import latest_run, look, on_postgresql, on_sqlite, write_one

#: What a benchmark makes on the application's host; everything of it has to be gone afterwards.
LEFT = "ls -d /var/lib/contralock-benchmark; systemctl list-units --all --plain --no-legend 'contralock-benchmark*'; ls"

SMALL = {
    "application_benchmark_clients": [1, 2],
    "application_benchmark_seconds": 1.0,
    "application_benchmark_warm_up": 0.3,
}
SMALLEST = {
    "application_benchmark_clients": [1],
    "application_benchmark_seconds": 0.5,
    "application_benchmark_warm_up": 0.1,
}


@pytest.fixture(scope="module")
def before(run_playbook, app1, db1):
    run = run_playbook("molecule/shared/place_application.yml")
    assert run.returncode == 0, run.message()
    return look(app1, db1)


def test_rehearse_leaves_everything_as_it_is(before, run_playbook, app1, db1):
    run = run_playbook("playbooks/rehearse.yml")
    assert run.returncode == 0, run.message()
    assert look(app1, db1) == before


def test_benchmark_measures_copies_and_leaves_everything_as_it_is(before, run_playbook, app1, db1):
    # A working directory, the end of one that was killed.
    app1.run_expect([0], "mkdir -p /var/lib/contralock-benchmark/sqlite/data")
    run = run_playbook("playbooks/benchmark.yml", application_benchmark_mixes=["mixed"], **SMALL)
    assert run.returncode == 0, run.message()
    assert look(app1, db1) == before
    folder = latest_run(app1, "benchmark")
    assert app1.run(f"{LEFT} {folder}/source.sqlite*").stdout == ""
    report = json.loads(app1.check_output(f"cat {folder}/report.json"))
    assert (report["outcome"], report["totals"]["differences"]) == ("done", 0)
    measured = report["benchmark"]["measurements"]
    assert sorted((each["database"], each["way"], each["clients"]) for each in measured) == sorted(
        (database, way, clients)
        for database in ("sqlite", "postgresql")
        for way in ("application", "direct")
        for clients in (1, 2)
    )
    for each in measured:
        assert each["operations"] > 0
        assert sum(each["errors"].values()) == 0, each
        assert each["money"]["before"] == each["money"]["after"]
        assert (each["money"]["wrong_accounts"], each["money"]["uncertain"]) == (0, 0)
    # The instances were the application, and not the live one: that has seen none of it, and they were not held back.
    assert report["benchmark"]["ceiling"]["throughput"] > max(
        each["throughput"] for each in measured if each["way"] == "application"
    )
    secrets = app1.check_output(f"cat {folder}/benchmark.json {folder}/journal.jsonl")
    assert "DB_PASS" not in secrets


def test_cut_over_and_validate(before, run_playbook, app1, db1):
    run = run_playbook("playbooks/cut_over.yml")
    assert run.returncode == 0, run.message()
    run = run_playbook("playbooks/validate.yml", validation_benchmark="short", **SMALLEST)
    assert run.returncode == 0, run.message()
    # Measured is the backup of the cut-over: there is no other SQLite file any more.
    folder = latest_run(app1, "benchmark")
    measured = json.loads(app1.check_output(f"cat {folder}/report.json"))["benchmark"]["measurements"]
    assert {(each["workload"], each["clients"]) for each in measured} == {("mixed", 1)}
    assert re.search(r"benchmark +mixed, through the application: \w", run.output)
    assert app1.run(f"{LEFT} {folder}/source.sqlite*").stdout == ""
    after = look(app1, db1)
    on_postgresql(after)
    assert after.rows == 1500
    assert after.target["schema"] == before.target["schema"]


def test_the_way_back_asks_for_the_row_that_was_written(before, run_playbook, app1, db1):
    write_one(app1)
    refused = run_playbook("playbooks/roll_back.yml")
    assert refused.returncode != 0
    assert "rollback_discard_rows=1" in refused.message()
    run = run_playbook("playbooks/roll_back.yml", rollback_discard_rows=1)
    assert run.returncode == 0, run.message()
    on_sqlite(look(app1, db1), before.application["sha256"])
