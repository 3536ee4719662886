"""The whole journey to a server without a shell and without a superuser, from a source in the plan's own form.

The application is what the roles take for granted: nothing keeps users out, it takes no canary, and its sessions have
any name. It is stopped and started by commands. Everything is played with all that Ansible can tell.
"""

from __future__ import annotations

import json
import re

import pytest
from journeys import COMMANDS, RUNS, journal, latest_run, look, on_postgresql, on_sqlite, places, secrets_of, write_one

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


@pytest.fixture(scope="module")
def secrets(before, app1, secret):
    """What nobody may read."""
    return secrets_of(app1, secret)


@pytest.fixture(scope="module")
def play(run_playbook, secrets):
    """Run a playbook; none of the secrets is in anything that it says."""

    def run(playbook, **variables):
        done = run_playbook(f"playbooks/{playbook}.yml", "-vvvv", "--diff", **variables)
        assert places(done.output.encode(), secrets, b'"plays": ') == []
        return done

    return run


def test_rehearse_leaves_everything_as_it_is(before, play, app1, db1):
    run = play("rehearse")
    assert run.returncode == 0, run.message()
    assert look(app1, db1) == before


def test_benchmark_measures_copies_and_leaves_everything_as_it_is(before, play, app1, db1):
    # A working directory, the end of one that was killed.
    app1.run_expect([0], "mkdir -p /var/lib/contralock-benchmark/sqlite/data")
    run = play("benchmark", application_benchmark_mixes=["mixed"], **SMALL)
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


def test_what_the_proof_will_ask_has_to_answer_before_the_window(before, play, app1, db1):
    run = play("cut_over", application_service_work_url="http://127.0.0.1:5000/nowhere", **COMMANDS)
    assert run.returncode != 0
    assert "application_service_work_url is http://127.0.0.1:5000/nowhere" in run.message()
    assert "404" in run.message()
    assert look(app1, db1) == before


def test_cut_over_and_validate(before, play, app1, db1):
    run = play("cut_over", **COMMANDS)
    assert run.returncode == 0, run.message()
    facts = {(record["step"], record["state"]): record["facts"] for record in journal(app1, "cut_over")}
    assert facts["keep_out", "done"] == {"closed": False}
    proof = facts["prove", "done"]
    assert re.fullmatch(
        r"sessions of contralock_user worked while http.*/health was asked \(users\)", proof["activity"]
    )
    assert not {"canary", "service"} & set(proof)
    run = play("validate", validation_benchmark="short", **SMALLEST)
    assert run.returncode == 0, run.message()
    # Measured is the backup of the cut-over: there is no other SQLite file any more.
    folder = latest_run(app1, "benchmark")
    measured = json.loads(app1.check_output(f"cat {folder}/report.json"))["benchmark"]["measurements"]
    assert {(each["workload"], each["clients"]) for each in measured} == {("mixed", 1)}
    assert re.search(r"benchmark +mixed, through the application: \w", run.output)
    # The page that is shown in the morning has it, too.
    page = app1.check_output(f"cat {latest_run(app1, 'cut_over')}/report.html")
    assert f"after the cut-over: <code>{folder.rpartition('/')[2]}</code>" in page
    assert app1.run(f"{LEFT} {folder}/source.sqlite*").stdout == ""
    after = look(app1, db1)
    on_postgresql(after)
    assert after.rows == 1500
    assert after.target["schema"] == before.target["schema"]


def test_the_way_back_asks_for_the_row_that_was_written(before, play, app1, db1):
    write_one(app1)
    refused = play("roll_back", **COMMANDS)
    assert refused.returncode != 0
    assert "rollback_discard_rows=1" in refused.message()
    run = play("roll_back", rollback_discard_rows=1, **COMMANDS)
    assert run.returncode == 0, run.message()
    on_sqlite(look(app1, db1), before.application["sha256"])


def test_no_secret_stays_in_what_the_runs_have_noted(secrets, app1):
    """The way back is the last of them; what holds the data itself is closed, and no text."""
    command = f"find {RUNS} -type f ! -name '*.sqlite' -exec cat {{}} +"
    assert places(app1.check_output(command).encode(), secrets, b'"uses": "sqlite"') == []
