"""There, validated, and back, each three times; forward again; and never back over rows that nobody gave up."""

from __future__ import annotations

import json
import shlex

import pytest
from clients import states
from journeys import (
    ENV,
    PATH,
    SAMPLE,
    WRITE,
    answers,
    differing,
    dump_schema,
    journal,
    latest_run,
    look,
    on_postgresql,
    on_sqlite,
    restart,
)

CUT_OVER, ROLL_BACK, VALIDATE = (f"playbooks/{name}.yml" for name in ("cut_over", "roll_back", "validate"))
#: What the recorded calls that write leave, one time: files/application/src/replay/writes.jsonl.
WRITTEN = {
    "users": 2,
    "projects": 1,
    "milestones": 1,
    "transactions": 1,
    "wallets": 3,
    "wallet_transactions": 3,
    "notifications": 1,
}
LOADED = 2000 + sum(WRITTEN.values())
LOWER = f"""import sqlite3
with sqlite3.connect({PATH!r}, timeout=10) as source:
    source.execute("UPDATE users SET email = lower(trim(email))")"""


@pytest.fixture(scope="module")
def first(run_playbook, app1, db1):
    # The deployed table has no column in which a deleted user could be marked.
    app1.check_output(f"{SAMPLE} migrate")
    # What a rule of the profile changes is answered otherwise afterwards: here lower and trim find nothing to do.
    app1.check_output("python3 -c %s", LOWER)
    restart(app1)
    written = answers(app1, "--writes")
    asked = answers(app1)
    before = look(app1, db1)
    env = app1.check_output(f"cat {ENV}")
    check = run_playbook(CUT_OVER, "--check")
    checked = look(app1, db1)
    run = run_playbook(CUT_OVER)
    after = look(app1, db1)
    said = {"written": written, "asked": asked}
    return {"before": before, **said, "env": env, "check": check, "checked": checked, "run": run, "after": after}


def test_a_check_finds_everything_ready_and_changes_nothing(first):
    assert first["check"].returncode == 0, first["check"].message()
    assert first["checked"] == first["before"]
    assert ("app1", "migration_run : Open the run, or go on with the one that was not finished") in first[
        "check"
    ].changed


def test_the_application_is_on_postgresql_with_all_its_rows(first, app1):
    assert first["run"].returncode == 0, first["run"].message()
    on_postgresql(first["after"])
    assert first["after"].rows == LOADED
    assert first["after"].target["schema"] == first["before"].target["schema"]
    backup = next(r["facts"] for r in journal(app1, "cut_over") if r["step"] == "back_up" and r["state"] == "done")
    assert backup["sha256"] == first["before"].application["sha256"]
    assert app1.file(f"{latest_run(app1, 'cut_over')}/source.sqlite").mode == 0o600


def test_the_report_tells_it(first, app1):
    report = json.loads(app1.check_output(f"cat {latest_run(app1, 'cut_over')}/report.json"))
    assert report["outcome"] == "done"
    assert report["totals"]["rows"] == LOADED
    assert report["totals"]["cells"] > 20000
    assert report["totals"]["differences"] == 0
    assert report["window"]["seconds"] > 0
    assert {rule["rule"] for rule in report["rules"]} >= {"empty_text_as_null"}
    assert len(report["tables"]) == 12
    page = app1.file(f"{latest_run(app1, 'cut_over')}/report.html")
    assert (page.user, page.mode) == ("root", 0o600)
    assert "CUT-OVER DONE." in page.content_string
    assert "The page of the run: /" in first["run"].output


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


def test_the_application_answers_as_before(first, app1):
    assert differing(first["asked"], answers(app1)) == []
    assert len(first["asked"].splitlines()) > 300


def test_restarts_leave_the_schema_as_it_is(first, app1, db1, secret):
    schema = dump_schema(db1)
    assert "CREATE TABLE public.wallet_transactions" in schema
    for _ in range(5):
        restart(app1)
    assert dump_schema(db1) == schema
    # Nor could it be otherwise; what else is refused is seen in molecule/application_database.
    table = "CREATE TABLE public.mine (a int)"
    assert states(app1, [table], secret("user"), user="contralock_user") == {table: "42501"}


def test_a_rehearsal_is_refused_now(first, run_playbook):
    run = run_playbook("playbooks/rehearse.yml")
    assert run.returncode != 0
    assert "DB_TYPE in /srv/contralock/.env is postgresql" in run.message()


def rows_of(app1):
    """The rows that the latest way back lists as lost."""
    file = f"{latest_run(app1, 'roll_back')}/later_rows.jsonl"
    return [json.loads(line) for line in app1.check_output(f"cat {file}").splitlines()]


WRITER = f"import time\nwhile True:\n    {WRITE}\n    time.sleep(0.3)"


def test_the_way_back_refuses_to_lose_rows_while_users_write(first, run_playbook, app1, now):
    # The same calls have the same answers; and each of their rows is one that would be lost.
    assert differing(first["written"], answers(app1, "--writes")) == []
    app1.check_output("systemd-run --unit=writer python3 -c %s", WRITER)
    try:
        run = run_playbook(ROLL_BACK)
    finally:
        app1.check_output("systemctl stop writer")
    assert run.returncode != 0
    number = len(rows_of(app1))
    notifications = number - sum(WRITTEN.values()) + WRITTEN["notifications"]
    assert notifications >= 1
    assert f"PostgreSQL has {number} rows that differ" in run.message()
    for table, added in {**WRITTEN, "notifications": notifications}.items():
        assert f"{table}: {added} added, 0 changed, 0 removed" in run.message()
    assert f"-e rollback_discard_rows={number}. What would be lost stands in " in run.message()
    assert "stop it first (systemctl stop contralock.service), then the number stands still" in run.message()
    assert "Nothing was changed: the application runs as before, configured for PostgreSQL. Next: " in run.message()
    assert {(row["table"], row["what"]) for row in rows_of(app1)} == {(table, "added") for table in WRITTEN}
    assert len({(row["table"], row["key"]) for row in rows_of(app1)}) == number
    state = now()
    on_postgresql(state)
    # A user writes while it counts: the number was true, and is no longer.
    assert state.rows > LOADED + number


#: Somebody else who works with PostgreSQL: a second worker, a psql.
INSERT = """INSERT INTO notifications
SELECT (jsonb_populate_record(n, jsonb_build_object('id', gen_random_uuid()))).* FROM notifications AS n LIMIT 1"""


@pytest.fixture
def writing_one(db1):
    """The command on this machine with which somebody else writes a row."""
    command = f"runuser -u postgres -- psql -qd contralock -c {shlex.quote(INSERT)}"
    return f"podman exec {db1.backend.name} {command}"


@pytest.fixture
def a_late_row(before_step, writing_one):
    """A row that somebody else writes when the application has stopped, before PostgreSQL is closed."""
    return before_step("revoke", writing_one)


@pytest.fixture
def a_failing_proof(before_step, writing_one, app1):
    """A process holds the old file when it is to be proven that nobody does, and somebody else has written a row.

    Users are kept out and write none.
    """
    hold = f"exec 3< $(ls -d {PATH}.before-*); exec sleep 600"
    start = f"podman exec {app1.backend.name} systemd-run --quiet --unit=holder sh -c {shlex.quote(hold)}"
    return before_step("prove", f"{start}; {writing_one}")


def test_a_row_that_comes_between_the_stop_and_the_count_is_not_lost(first, run_playbook, a_late_row, app1, now):
    before = now()
    given = before.rows - LOADED
    with a_late_row:
        run = run_playbook(ROLL_BACK, rollback_discard_rows=given)
    assert run.returncode != 0
    assert f"PostgreSQL has {given + 1} rows that differ" in run.message()
    assert "What was stopped was started again: the application runs on PostgreSQL." in run.message()
    after = now()
    on_postgresql(after)
    assert after.rows == before.rows + 1
    assert after.application == before.application
    # Nothing is left to go on with.
    report = json.loads(app1.check_output(f"cat {latest_run(app1, 'cut_over')}/report.json"))
    assert report["outcome"] == "done"
    assert journal(app1, "roll_back")[-1]["facts"]["outcome"] == "failed"


def test_a_tampered_backup_is_refused(first, run_playbook, app1, now):
    backup = f"{latest_run(app1, 'cut_over')}/source.sqlite"
    app1.check_output(f"cp -p {backup} /root/kept && printf x | dd of={backup} bs=1 seek=5000 conv=notrunc status=none")
    try:
        run = run_playbook(ROLL_BACK, rollback_discard_rows=now().rows - LOADED)
        assert run.returncode != 0
        assert "it was changed" in run.message()
        on_postgresql(now())
    finally:
        app1.check_output(f"mv /root/kept {backup}")


def test_back_it_goes_when_the_rows_are_given_up_and_twice_more_nothing(first, run_playbook, app1, now):
    # As the refusal says: with the application stopped, the number stands still.
    app1.check_output("systemctl stop contralock.service")
    number = now().rows - LOADED
    wrong = run_playbook(ROLL_BACK, rollback_discard_rows=number + 1)
    assert wrong.returncode != 0
    assert f"rollback_discard_rows={number}." in wrong.message()
    assert "stop it first" not in wrong.message()
    assert now().application["active"] == "inactive"
    run = run_playbook(ROLL_BACK, rollback_discard_rows=number)
    assert run.returncode == 0, run.message()
    after = now()
    on_sqlite(after, first["before"].application["sha256"])
    assert after.application == first["before"].application
    assert differing(first["asked"], answers(app1)) == []
    # Given up, and kept until the next load all the same.
    assert after.rows == LOADED + number
    for _ in range(2):
        again = run_playbook(ROLL_BACK)
        assert again.returncode == 0, again.message()
        assert again.changed == []
    on_sqlite(now(), first["before"].application["sha256"])


@pytest.fixture
def unproven(first, run_playbook, a_failing_proof, app1):
    try:
        with a_failing_proof:
            return run_playbook(CUT_OVER, data_transfer_engine="arrow")
    finally:
        app1.run("systemctl stop holder")


def test_forward_again_a_proof_that_fails_is_told_and_gone_on_from(unproven, run_playbook, app1, now):
    """The way back that a failed proof begins would lose a row: so both are told, and nothing is lost.

    With the other engine this time, whose load is judged like pgloader's.
    """
    run = unproven
    assert run.returncode != 0
    loaded = next(r for r in journal(app1, "cut_over") if (r["step"], r["state"]) == ("transfer", "done"))
    assert loaded["facts"]["engine"].startswith("arrow ")
    message = run.failures[-1][1]
    for part in (
        "failed, and was not taken back. What happened: ",
        "is in use by process",
        "Then, on the way back: PostgreSQL has 1 row that differs from the backup",
        "The application is configured for PostgreSQL, as the unfinished cut-over has left it",
        f"Users are kept out; what lets them in, on the application's host: {SAMPLE} open.",
        "playbooks/roll_back.yml to go back, or ansible-playbook -i ",
        "playbooks/cut_over.yml to go on",
    ):
        assert part in " ".join(message.split()), message
    on_postgresql(now())
    assert app1.run("python3 -c %s", WRITE).rc != 0
    check = run_playbook(CUT_OVER, "--check")
    assert check.returncode == 0, check.message()
    assert "was cut short at the step prove. What the window needs was NOT asked" in check.output
    # Nobody says that they are in as long as nothing lets them in.
    none = run_playbook(CUT_OVER, application_service_close_command=[], application_service_open_command=[])
    assert none.returncode != 0
    assert "users are kept out since 20" in none.message()
    assert f"by the command '{SAMPLE} close', in the run " in none.message()
    assert "there is no application_service_open_command any more" in none.message()
    assert none.changed == []
    # With a command that lets nobody in it is proven all the same, and when that is mended nothing is proven again.
    shut = run_playbook(CUT_OVER, application_service_open_command=["false"])
    assert shut.returncode != 0
    for part in (
        "The application runs on PostgreSQL, and that is proven: nothing goes back by itself any more.",
        "Users may be in, or kept out still; what lets them in, on app1: false.",
        'The command "false" ended with 1.',
    ):
        assert part in " ".join(shut.failures[-1][1].split()), shut.failures[-1][1]
    # A report that cannot be written takes nothing back, either.
    begun = latest_run(app1, "cut_over")
    app1.check_output(f"mkdir {begun}/report.json")
    forward = run_playbook(CUT_OVER)
    assert forward.returncode == 0, forward.message()
    assert "its report could not be written" in forward.output
    app1.check_output(f"rmdir {begun}/report.json")
    assert latest_run(app1, "cut_over") == begun
    records = journal(app1, "cut_over")
    assert records[-1]["facts"]["outcome"] == "done"
    assert [record["state"] for record in records if record["step"] == "prove"] == ["begun", "failed", "begun", "done"]
    assert [record["state"] for record in records if record["step"] == "let_in"] == ["begun", "failed", "begun", "done"]
    on_postgresql(now())
    assert now().rows == LOADED + 1
    # The canary is gone again, and the door is open.
    assert app1.check_output(f"test -e {PATH.rpartition('/')[0]}/closed || echo open") == "open"


def test_back_without_a_postgresql_that_is_gone(first, run_playbook, app1, db1, now):
    on_postgresql(now())
    early = run_playbook(ROLL_BACK, rollback_without_target=True)
    assert early.returncode != 0
    assert "rollback_without_target is true, and PostgreSQL answers" in early.message()
    on_postgresql(now())
    db1.check_output("systemctl stop postgresql@15-main")
    try:
        begun = run_playbook(ROLL_BACK, rollback_without_target=True, application_service_open_command=["false"])
    finally:
        db1.check_output("systemctl start postgresql@15-main")
    assert begun.returncode != 0
    assert (journal(app1, "roll_back")[-1]["step"], journal(app1, "roll_back")[-1]["state"]) == ("let_in", "failed")
    # It has switched: that the server answers again keeps nobody out.
    back = run_playbook(ROLL_BACK)
    assert back.returncode == 0, back.message()
    after = now()
    assert after.application == first["before"].application
    # What nobody could count is not thrown away by the next load, unless somebody says so.
    assert after.rows == LOADED + 1
    refused = run_playbook(CUT_OVER, "--check")
    assert refused.returncode != 0
    assert "rows have changed in the target since they were loaded (notifications)" in refused.message()
