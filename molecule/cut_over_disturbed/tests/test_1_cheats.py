"""Applications that do not do what they say: each is seen and taken back, and no user meets PostgreSQL meanwhile."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from journeys import PATH, journal, latest_run, on_sqlite, wait_for_the_application

CUT_OVER = "playbooks/cut_over.yml"
PLACE = "/run/contralock-cheat"
DROPIN = "/run/systemd/system/contralock.service.d/cheat.conf"
NEW_FILE = f"{PATH.rpartition('/')[0]}/contralock.db"

#: The application, which is itself as long as it is on SQLite.
CHEAT = r"""
import json, os, sqlite3, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REAL = "/opt/contralock-sample/run"
lines = [line.partition("=") for line in open("/srv/contralock/.env")]
kind = {name: value.split()[0] for name, _, value in lines if value.strip()}.get("DB_TYPE")


class Liar(BaseHTTPRequestHandler):
    def do_GET(self):
        self.say(200, {"details": {"type": "postgresql"}}) if self.path == "/health" else self.say(503, {})

    def do_POST(self):
        self.say(201, {"type": "postgresql"}) if self.path == "/canary" else self.say(503, {})

    def say(self, status, content):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


def lie():
    ThreadingHTTPServer(("127.0.0.1", 5000), Liar).serve_forever()


def in_the_clear():
    os.environ["DB_SSL"] = "false"


def new_file():
    if os.fork() == 0:
        connection = sqlite3.connect("data/contralock.db")
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        time.sleep(600)


if kind == "postgresql":
    {"lie": lie, "in the clear": in_the_clear, "new file": new_file, "none": int}[sys.argv[1]]()
os.execv(REAL, [REAL])
"""

#: What a user is answered, each time that it changes: seconds since the boot when he asked, status, database.
ASK = r"""
import json, time, urllib.error, urllib.request
last = None
with open("/run/answers", "w", buffering=1) as file:
    while True:
        begun = float(open("/proc/uptime").read().split()[0])
        try:
            with urllib.request.urlopen("http://127.0.0.1:5000/counts", timeout=5) as answer:
                said = [answer.status, json.load(answer)["type"]]
        except urllib.error.HTTPError as error:
            said = [error.code, None]
        except OSError:
            said = [0, None]
        if said != last:
            print(json.dumps([begun, *said]), file=file)
        last = said
        time.sleep(0.05)
"""


@pytest.fixture
def cheating(app1, request):
    """Let the unit start a program that is not what it seems, where the world lets it."""

    @contextmanager
    def cheat(kind):
        if also := {"in the clear": "plain_allowed", "none": "held"}.get(kind):
            request.getfixturevalue(also)
        unit = f'[Service]\nExecStart=\nExecStart=/usr/bin/python3 {PLACE}/cheat.py "{kind}"\n'
        app1.check_output(f"mkdir -p {PLACE} $(dirname {DROPIN}) && printf %%s %s > {PLACE}/cheat.py", CHEAT)
        app1.check_output(f"printf %%s %s > {DROPIN} && systemctl daemon-reload && systemctl restart contralock", unit)
        try:
            wait_for_the_application(app1)
            yield
        finally:
            app1.check_output(f"rm {DROPIN}; systemctl daemon-reload && systemctl restart contralock")
            app1.check_output(f"rm -f {NEW_FILE}")
            wait_for_the_application(app1)

    return cheat


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
def answers(app1):
    """What users were answered while the context lasted."""

    @contextmanager
    def ask():
        said = []
        app1.check_output("systemd-run --quiet --unit=asker python3 -c %s", ASK)
        try:
            yield said
        finally:
            app1.check_output("systemctl stop asker")
        said += [json.loads(line) for line in app1.check_output("cat /run/answers").splitlines()]

    return ask


@pytest.fixture
def cheated(run_playbook, cheating, answers):
    """A cut-over of a cheat, and what users were answered meanwhile."""

    def cut_over(kind):
        with cheating(kind), answers() as said:
            return run_playbook(CUT_OVER, data_transfer_engine="arrow"), said

    return cut_over


def done(records, step):
    """When a step was done, in seconds since the boot."""
    return next(record["uptime"] for record in records if (record["step"], record["state"]) == (step, "done"))


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
    "lie": (
        "no session of role 'contralock_user' was seen in PostgreSQL",
        "is not in PostgreSQL's migration_canary; the application answered 201",
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
