"""Whatever fails before the switch leaves the application on SQLite, with its file as it was and PostgreSQL empty."""

from __future__ import annotations

import json
import shlex

import pytest
from journeys import PATH, SAMPLE, TABLES, journal, latest_run, on_sqlite, wait_for_the_application

CUT_OVER = "playbooks/cut_over.yml"
CLOSED = f"{PATH.rpartition('/')[0]}/closed"
#: A command that keeps users out, and does not work a second time.
ONCE = ["sh", "-c", f"mkdir /run/closed-once && {SAMPLE} close"]
HOLD = (
    "import sqlite3, time; c = sqlite3.connect('{path}'); c.execute('SELECT 1 FROM users').fetchone(); time.sleep(600)"
)


@pytest.fixture
def nothing_happened(now):
    """After the test everything is as before it."""
    before = now()
    yield
    after = now()
    on_sqlite(after, before.application["sha256"])
    assert after.rows == 0
    assert after.target == before.target
    assert after.application == before.application


def refused(run, *parts):
    assert run.returncode != 0
    for part in parts:
        assert part in run.message(), run.message()


def is_closed(app1):
    """Whether users are kept out."""
    return app1.file(CLOSED).exists


def stopped(run):
    """Whether the run got as far as to stop the application."""
    return any(task.endswith("Stop the service") for _, task in run.changed)


def sql(app1, statement):
    program = f"import sqlite3; c = sqlite3.connect({PATH!r}, timeout=10); c.execute({statement!r}); c.commit()"
    app1.check_output("python3 -c %s", program)


def test_a_second_process_that_holds_the_file_is_named(run_playbook, app1, nothing_happened):
    app1.check_output("systemd-run --unit=second python3 -c %s", HOLD.format(path=PATH))
    try:
        app1.check_output("sleep 1; systemctl is-active second")
        run = run_playbook(CUT_OVER)
        refused(run, "is also in use by process", "python3", "second.service")
        assert not stopped(run)
    finally:
        app1.check_output("systemctl stop second")


def test_a_writer_that_comes_when_the_application_has_stopped_is_named(
    run_playbook, before_step, app1, nothing_happened
):
    start = ["podman", "exec", app1.backend.name, "systemd-run", "--unit=late", "python3", "-c", HOLD.format(path=PATH)]
    try:
        with before_step("fence", shlex.join(start) + "; sleep 1"):
            run = run_playbook(CUT_OVER)
        refused(run, "is still in use by process", "late.service", "taken back", "runs on SQLite", "Next:")
        assert stopped(run)
    finally:
        app1.run("systemctl stop late")


def test_an_assessment_alone_judges_and_changes_nothing(run_playbook, app1, now, tmp_path):
    """Its page and its JSON are the controller's user's alone: they show values."""
    report = tmp_path / "assessment.html"

    def assessed():
        run = run_playbook("playbooks/prepare.yml", "--tags", "assess", source_assessment_report=str(report))
        assert (run.returncode, run.changed) == (0, []), run.message()
        pages = (report, report.with_suffix(".json"))
        assert [each.stat().st_mode & 0o777 for each in pages] == [0o600, 0o600]
        document = json.loads(pages[1].read_text(encoding="utf-8"))
        assert document["verdict"] in report.read_text(encoding="utf-8")
        return document

    before = now()
    fitting = assessed()
    assert (fitting["verdict"], fitting["rows"]) == ("ready with rules", 2000)
    assert now() == before
    sql(app1, "UPDATE projects SET budget = 'much' WHERE _id = (SELECT min(_id) FROM projects)")
    spoilt = now()
    document = assessed()
    assert document["verdict"] == "not ready"
    assert [(each["table"], each["column"], each["shown"]) for each in document["findings"]] == [
        ("projects", "budget", "'much'")
    ]
    assert now() == spoilt
    sql(app1, "UPDATE projects SET budget = 5000 WHERE budget = 'much'")


def test_a_value_that_does_not_fit_is_named_before_anything_stops(run_playbook, before_step, app1, now):
    before = now()
    # Another controller has found all well, shut users out and died: it may have been yesterday, so all is asked again.
    with before_step("stop", "kill -KILL -$PPID"):
        assert run_playbook(CUT_OVER).returncode == -9
    run_before = latest_run(app1, "cut_over")
    last = journal(app1, "cut_over")[-1]
    assert (last["step"], last["state"]) == ("keep_out", "begun")
    assert is_closed(app1)
    sql(app1, "UPDATE projects SET budget = 'much' WHERE _id = (SELECT min(_id) FROM projects)")
    spoilt = now()
    run = run_playbook(CUT_OVER)
    refused(run, "projects", "budget", "much", "Nothing was changed for the application: it runs on SQLite as before.")
    assert latest_run(app1, "cut_over") == run_before
    assert not stopped(run)
    # Those who were shut out are in again.
    assert not is_closed(app1)
    on_sqlite(now(), spoilt.application["sha256"])
    sql(app1, "UPDATE projects SET budget = 5000 WHERE budget = 'much'")
    assert now().target == before.target


#: The unit's own directory is the root, and its process goes elsewhere before it begins.
ELSEWHERE = """[Service]
WorkingDirectory=/
ExecStart=
ExecStart=/bin/sh -c 'cd /srv/contralock && exec /opt/contralock-sample/run'
"""


def test_an_application_that_would_not_be_found_again_is_left_alone(run_playbook, app1, nothing_happened):
    dropin = "/run/systemd/system/contralock.service.d/elsewhere.conf"
    app1.check_output(f"mkdir -p $(dirname {dropin}) && printf %%s %s > {dropin}", ELSEWHERE)
    try:
        app1.check_output("systemctl daemon-reload && systemctl restart contralock")
        wait_for_the_application(app1)
        run = run_playbook(CUT_OVER)
    finally:
        app1.check_output(f"rm {dropin}; systemctl daemon-reload && systemctl stop contralock")
    refused(
        run, "works in /srv/contralock, and WorkingDirectory of its unit is /:", "application_config_working_directory"
    )
    # And one that stands still is not said to run.
    try:
        run = run_playbook(CUT_OVER)
    finally:
        app1.check_output("systemctl start contralock")
        wait_for_the_application(app1)
    refused(
        run,
        "does not run on app1, so nobody can see",
        "Nothing was changed for the application: it does not run, as before.",
    )


def test_a_wrong_authority_is_told(run_playbook, app1, nothing_happened):
    app1.check_output(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=other"
        " -keyout /root/other.key -out /root/other.crt 2>&1"
    )
    run = run_playbook(CUT_OVER, migration_toolkit_ca_certificate="/root/other.crt")
    refused(run, "certificate verify failed", "sslrootcert")
    assert not stopped(run)


def test_a_wrong_password_of_the_application_is_told(run_playbook, nothing_happened):
    run = run_playbook(CUT_OVER, application_database_user_password="not-the-one-0815")
    refused(run, "password authentication failed")
    assert "not-the-one-0815" not in run.output.replace('"application_database_user_password": "not-the-one-0815"', "")
    assert not stopped(run)


LOSSY = r"""#!/usr/bin/python3
import os, re, sqlite3, sys
if "--version" not in sys.argv:
    load = next(open(a).read() for a in sys.argv[1:] if os.path.isfile(a))
    copy = sqlite3.connect(re.search(r"sqlite://(/[^\s'\"]+)", load)[1])
    copy.execute("DELETE FROM notifications WHERE rowid = (SELECT min(rowid) FROM notifications)")
    copy.commit()
    copy.close()
os.execv("/usr/bin/pgloader.real", ["pgloader", *sys.argv[1:]])
"""


def test_a_loader_that_drops_rows_and_says_nothing_is_not_believed(run_playbook, app1, nothing_happened):
    app1.check_output("mv /usr/bin/pgloader /usr/bin/pgloader.real && printf %%s %s > /usr/bin/pgloader", LOSSY)
    app1.check_output("chmod 0755 /usr/bin/pgloader")
    try:
        run = run_playbook(CUT_OVER)
    finally:
        app1.check_output("mv /usr/bin/pgloader.real /usr/bin/pgloader")
    refused(run, "notifications", "taken back", "runs on SQLite")
    assert stopped(run)


def test_a_cell_that_changes_between_load_and_comparison_is_found(run_playbook, before_step, app1, db1, now):
    before = now()
    postgres = "runuser -u postgres -- psql -Atqd contralock -c %s"
    change = "UPDATE users SET first_name = first_name || ' ' WHERE id = (SELECT min(id::text)::uuid FROM users)"
    with before_step("compare", f"podman exec {db1.backend.name} {postgres % shlex.quote(change)}"):
        run = run_playbook(CUT_OVER, application_service_close_command=ONCE)
    refused(run, "users", "first_name", "taken back", "runs on SQLite", "PostgreSQL was not left as it was")
    on_sqlite(now(), before.application["sha256"])
    assert journal(app1, "roll_back")[-1]["facts"]["outcome"] == "done"
    assert not is_closed(app1)
    # Somebody's change is not thrown away unasked, by the next run either.
    again = run_playbook(CUT_OVER)
    refused(again, "rows have changed in the target since they were loaded (users)", "discard_rows")
    assert not stopped(again)
    assert now().rows == 2000
    db1.check_output(postgres, f"TRUNCATE {', '.join(TABLES)}")
    assert now().target == before.target


def test_a_full_target_is_told_and_made_whole_when_there_is_room(run_playbook, db1, now):
    before = now()
    postgres = "runuser -u postgres -- psql -Atqd postgres -c %s"
    size = int(db1.check_output(postgres, "SELECT pg_database_size('contralock')"))
    db1.check_output(f"mkdir -p /mnt/small && mount -t tmpfs -o size={size + 1_500_000} tmpfs /mnt/small")
    db1.check_output("chown postgres: /mnt/small")
    db1.check_output(postgres, "CREATE TABLESPACE small LOCATION '/mnt/small'")
    try:
        db1.check_output(postgres, "ALTER DATABASE contralock SET TABLESPACE small")
        run = run_playbook(CUT_OVER)
    finally:
        db1.check_output(postgres, "ALTER DATABASE contralock SET TABLESPACE pg_default")
        db1.check_output(postgres, "DROP TABLESPACE small")
        db1.check_output("umount /mnt/small")
    refused(run, "No space left on device", "taken back", "runs on SQLite")
    on_sqlite(now(), before.application["sha256"])
    # TRUNCATE needs room as well. With room again, the next run makes the target whole before it looks at it.
    check = run_playbook(CUT_OVER, "--check")
    assert check.returncode == 0, check.message()
    assert "An unfinished load has left its part in PostgreSQL" in check.output
    again = run_playbook(CUT_OVER, application_database_user_password="wrong-one")
    refused(again, "password authentication failed", "What an unfinished load had left in PostgreSQL was taken back.")
    after = now()
    assert after.target == before.target
    assert after.application == before.application


def test_a_server_that_goes_away_keeps_nobody_waiting(run_playbook, before_step, db1, now):
    before = now()
    try:
        with before_step("compare", f"podman exec {db1.backend.name} systemctl stop postgresql@15-main"):
            run = run_playbook(CUT_OVER)
    finally:
        db1.check_output("systemctl start postgresql@15-main")
    refused(run, "Connection refused", "taken back", "runs on SQLite", "PostgreSQL was not left as it was")
    on_sqlite(now(), before.application["sha256"])
    assert now().rows == 2000
    # A refusal has changed nothing, in PostgreSQL neither: the rows go with the next load, in the next file.
    left = now().target
    refused(run_playbook(CUT_OVER, application_config_host=""), "application_config_host is not set. Give the name")
    assert now().target == left
