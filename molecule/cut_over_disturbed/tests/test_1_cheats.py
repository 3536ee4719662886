"""Applications that do not do what they say: each is seen and taken back, and no user meets PostgreSQL meanwhile."""

from __future__ import annotations

import json

import pytest
from cheats import NEW_FILE, done
from journeys import PATH, journal, latest_run, on_sqlite

CUT_OVER = "playbooks/cut_over.yml"


@pytest.fixture
def plain_allowed(db1):
    """A server that lets the application in without TLS."""
    hba = "/etc/postgresql/15/main/pg_hba.conf"
    allow = f"cp -p {hba} /root/pg_hba.conf && sed -i '1i host contralock contralock_user all scram-sha-256' {hba}"
    reload = "systemctl reload postgresql@15-main"
    db1.check_output(f"{allow} && {reload}")
    yield
    db1.check_output(f"mv /root/pg_hba.conf {hba} && {reload}")


@pytest.fixture
def held(before_step, app1):
    """A second process that comes when the application has been switched, and reads the old file."""
    hold = f"exec 3< $(ls -d {PATH}.before-*); exec sleep 600"
    with before_step("prove", f"podman exec {app1.backend.name} systemd-run --quiet --unit=holder sh -c '{hold}'"):
        yield
    app1.run("systemctl stop holder")


@pytest.fixture
def cheated(run_playbook, cheating, answers):
    """A cut-over of a cheat, and what users were answered meanwhile."""

    def cut_over(kind):
        with cheating(kind), answers() as said:
            return run_playbook(CUT_OVER, data_transfer_engine="arrow"), said

    return cut_over


def nobody_met_postgresql(said, app1):
    """Users were shut out from before the stop until SQLite was proven, and never met another database than SQLite."""
    assert {database for _, status, database in said if status == 200} == {"sqlite"}
    shut, proven = done(journal(app1, "cut_over"), "keep_out"), done(journal(app1, "roll_back"), "prove")
    assert shut < proven < done(journal(app1, "roll_back"), "let_in")
    during = {status for begun, status, _ in said if shut < begun < proven}
    assert 503 in during
    assert during <= {0, 503}
    assert said[-1][1:] == [200, "sqlite"]


CHEATS = {
    # It writes on into SQLite, for which it looks where the file is now, and its health check is green.
    "lie": (
        "no session of role 'contralock_user' was seen in PostgreSQL",
        "is not in PostgreSQL's migration_canary; the application answered 201",
        '"data/contralock.sqlite": "unable to open database file"}',
        f"{PATH}.before-",
        " is in use by process ",
        "contralock.service",
        " was written: its sha256 is ",
    ),
    "in the clear": ("sessions of role 'contralock_user' have no TLS (pid ",),
    "new file": (
        f"SQLite databases have appeared since the fence was raised: {NEW_FILE}",
        f"contralock.service has SQLite databases open that it had not open before: {NEW_FILE} (process ",
    ),
    "none": (".before-", "is in use by process", "holder.service"),
}


@pytest.mark.parametrize("kind", CHEATS)
def test_a_cheat_is_seen_and_goes_back_by_itself(kind, cheated, app1, now):
    before = now()
    run, said = cheated(kind)
    assert run.returncode != 0
    message = " ".join(run.failures[-1][1].split())
    for part in (
        *CHEATS[kind],
        "failed and was taken back. What happened: Prove that the application uses PostgreSQL: ",
        "The application runs on SQLite, with its file as it was; users were let in when that was proven.",
        "PostgreSQL is as it was.",
    ):
        assert part in message
    nobody_met_postgresql(said, app1)
    # What was written behind the fence is kept beside the file.
    kept = app1.check_output(f"find {PATH.rpartition('/')[0]} -name '*.before-*'").split()
    assert len(kept) == (kind == "lie")
    app1.check_output(f"rm -f {' '.join(kept)}")
    after = now()
    on_sqlite(after, before.application["sha256"])
    assert after.application == before.application
    assert after.target == before.target
    report = json.loads(app1.check_output(f"cat {latest_run(app1, 'cut_over')}/report.json"))
    assert report["failure"]["step"] == "prove"
    assert report["users"]["kept_out"] is False


def test_a_command_that_does_not_keep_users_out_changes_nothing(run_playbook, app1, now):
    before = now()
    run = run_playbook(CUT_OVER, application_service_close_command=["false"])
    assert run.returncode != 0
    assert 'The command "false" ended with 1.' in run.message()
    assert "Nothing was changed for the application: it runs on SQLite as before." in run.message()
    assert journal(app1, "cut_over")[-1]["facts"]["outcome"] == "failed"
    after = now()
    assert (after.application, after.target) == (before.application, before.target)
