"""There, validated, and back, each three times; forward again; and never back over rows that nobody gave up."""

from __future__ import annotations

import json

import pytest
from journeys import ENV, PATH, journal, latest_run, look, on_postgresql, on_sqlite, write_one

CUT_OVER, ROLL_BACK, VALIDATE = (f"playbooks/{name}.yml" for name in ("cut_over", "roll_back", "validate"))


@pytest.fixture(scope="module")
def first(run_playbook, app1, db1):
    before = look(app1, db1)
    env = app1.check_output(f"cat {ENV}")
    check = run_playbook(CUT_OVER, "--check")
    checked = look(app1, db1)
    run = run_playbook(CUT_OVER)
    return {"before": before, "env": env, "check": check, "checked": checked, "run": run, "after": look(app1, db1)}


def test_a_check_finds_everything_ready_and_changes_nothing(first):
    assert first["check"].returncode == 0, first["check"].message()
    assert first["checked"] == first["before"]
    assert ("app1", "migration_run : Open the run, or go on with the one that was not finished") in first[
        "check"
    ].changed


def test_the_application_is_on_postgresql_with_all_its_rows(first, app1):
    assert first["run"].returncode == 0, first["run"].message()
    on_postgresql(first["after"])
    assert first["after"].rows == 2000
    assert first["after"].target["schema"] == first["before"].target["schema"]
    backup = next(r["facts"] for r in journal(app1, "cut_over") if r["step"] == "back_up" and r["state"] == "done")
    assert backup["sha256"] == first["before"].application["sha256"]
    assert app1.file(f"{latest_run(app1, 'cut_over')}/source.sqlite").mode == 0o600


def test_the_report_tells_it(first, app1):
    report = json.loads(app1.check_output(f"cat {latest_run(app1, 'cut_over')}/report.json"))
    assert report["outcome"] == "done"
    assert report["totals"]["rows"] == 2000
    assert report["totals"]["cells"] > 20000
    assert report["totals"]["differences"] == 0
    assert report["window"]["seconds"] > 0
    assert {rule["rule"] for rule in report["rules"]} >= {"empty_text_as_null"}
    assert len(report["tables"]) == 12


def test_the_configuration_keeps_its_lines_and_gains_its_block(first, app1):
    now = app1.check_output(f"cat {ENV}")
    kept = [line for line in first["env"].splitlines() if line and not line.startswith("DB_TYPE=")]
    assert [line for line in now.splitlines() if line in kept] == kept
    assert "DB_HOST=db1.contralock.test" in now
    assert "DB_SSL=true" in now


def test_two_more_runs_change_nothing(first, run_playbook, now):
    for _ in range(2):
        run = run_playbook(CUT_OVER)
        assert run.returncode == 0, run.message()
        assert run.changed == []
    assert now().target["fingerprint"] == first["after"].target["fingerprint"]


def test_validate_holds_and_changes_nothing(first, run_playbook, now):
    before = now()
    run = run_playbook(VALIDATE)
    assert run.returncode == 0, run.message()
    assert run.changed == []
    after = now()
    assert after.application == before.application
    assert after.target["fingerprint"] == before.target["fingerprint"]


def test_a_rehearsal_is_refused_now(first, run_playbook):
    run = run_playbook("playbooks/rehearse.yml")
    assert run.returncode != 0
    assert "DB_TYPE in /srv/contralock/.env is postgresql" in run.message()


@pytest.fixture(scope="module")
def written(first, app1, db1):
    """Two rows that users write on PostgreSQL."""
    write_one(app1)
    write_one(app1)
    return look(app1, db1)


def test_the_way_back_refuses_to_lose_rows(written, run_playbook, now):
    assert written.rows == 2002
    for wrong in ({}, {"rollback_discard_rows": 1}, {"rollback_discard_rows": 3}):
        run = run_playbook(ROLL_BACK, **wrong)
        assert run.returncode != 0
        assert "notifications: 2 added, 0 changed, 0 removed" in run.message()
        assert "rollback_discard_rows=2" in run.message()
    after = now()
    on_postgresql(after)
    assert after.target["fingerprint"] == written.target["fingerprint"]


def test_a_tampered_backup_is_refused(written, run_playbook, app1, now):
    backup = f"{latest_run(app1, 'cut_over')}/source.sqlite"
    app1.check_output(f"cp -p {backup} /root/kept && printf x | dd of={backup} bs=1 seek=5000 conv=notrunc status=none")
    try:
        run = run_playbook(ROLL_BACK, rollback_discard_rows=2)
        assert run.returncode != 0
        assert "it was changed" in run.message()
        on_postgresql(now())
    finally:
        app1.check_output(f"mv /root/kept {backup}")


def test_back_it_goes_when_the_rows_are_given_up_and_twice_more_nothing(first, written, run_playbook, now):
    run = run_playbook(ROLL_BACK, rollback_discard_rows=2)
    assert run.returncode == 0, run.message()
    after = now()
    on_sqlite(after, first["before"].application["sha256"])
    assert after.application == first["before"].application
    for _ in range(2):
        again = run_playbook(ROLL_BACK)
        assert again.returncode == 0, again.message()
        assert again.changed == []
    on_sqlite(now(), first["before"].application["sha256"])


def test_forward_again_and_back_without_later_writes(first, written, run_playbook, app1, now):
    app1.check_output(f"stat {PATH}")
    forward = run_playbook(CUT_OVER)
    assert forward.returncode == 0, forward.message()
    state = now()
    on_postgresql(state)
    assert state.rows == 2000
    back = run_playbook(ROLL_BACK)
    assert back.returncode == 0, back.message()
    on_sqlite(now(), first["before"].application["sha256"])
