"""The application as it cheats, and what users are answered meanwhile."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from journeys import PATH, wait_for_the_application

PLACE = "/run/contralock-cheat"
DROPIN = "/run/systemd/system/contralock.service.d/cheat.conf"
NEW_FILE = f"{PATH.rpartition('/')[0]}/contralock.db"

#: The application, which is itself as long as it is on the database from which it is moved.
CHEAT = r"""
import glob, json, os, shutil, sqlite3, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REAL = "/opt/contralock-sample/run"
lines = [line.partition("=") for line in open("/srv/contralock/.env")]
kind = {name: value.split()[0] for name, _, value in lines if value.strip()}.get("DB_TYPE")


class Liar(BaseHTTPRequestHandler):
    def do_GET(self):
        self.say(200, {"details": {"type": "postgresql"}}) if self.path == "/health" else self.say(503, {})

    def do_POST(self):
        self.say(201, written) if self.path == "/canary" else self.say(503, {})

    def say(self, status, content):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


def write(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE written_on_sqlite (a)")
    return connection


def lie():
    global written, kept
    try:
        write("data/contralock.sqlite")
    except sqlite3.OperationalError as error:
        written = {"type": "postgresql", "data/contralock.sqlite": str(error)}
    kept = [write(path) for path in glob.glob("data/contralock.sqlite.before-*")]
    ThreadingHTTPServer(("127.0.0.1", 5000), Liar).serve_forever()


def in_the_clear():
    os.environ["DB_SSL"] = "false"


def new_file():
    if os.fork() == 0:
        connection = sqlite3.connect("data/contralock.db")
        connection.execute("SELECT 1 FROM sqlite_master").fetchall()
        time.sleep(600)


def stays():
    os.environ["DB_TYPE"] = "postgresql"


def another_file():
    shutil.copy("data/contralock.sqlite", "data/contralock.db")
    os.environ["DB_PATH"] = "./data/contralock.db"


there = {"lie": lie, "in the clear": in_the_clear, "new file": new_file}
back = {"stays": stays, "another file": another_file}
{"postgresql": there, "sqlite": back}.get(kind, {}).get(sys.argv[1], int)()
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
        # To be refused costs nothing, and it is then that nobody may get in for a moment; an answer is many queries.
        time.sleep(0.3 if said[0] == 200 else 0.05)
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


def done(records, step):
    """When a step was done, in seconds since the boot."""
    return next(record["uptime"] for record in records if (record["step"], record["state"]) == (step, "done"))
