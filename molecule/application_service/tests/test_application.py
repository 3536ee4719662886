"""The sample application on a host: closed and opened by its command, and asked with recorded calls."""

from __future__ import annotations

import json

from conftest import answers, main_pid

COMMAND = "/opt/contralock-sample/contralock"
ASK = "import sys, urllib.request as r; print(r.urlopen('http://127.0.0.1:5000' + sys.argv[1], timeout=5).status)"


def command(app1, *words):
    return app1.check_output(" ".join([COMMAND, *words]))


def status(app1, path):
    done = app1.run("python3 -c %s %s 2>&1", ASK, path)
    return done.stdout.strip().splitlines()[-1]


def test_closed_over_a_restart_and_open_without_one(app1):
    assert json.loads(command(app1, "close")) == {"closed": True, "changed": True}
    try:
        file = app1.file("/srv/contralock/data/closed")
        assert (file.user, file.group, file.mode) == ("contralock", "contralock", 0o640)
        assert "503" in status(app1, "/counts")
        app1.check_output("systemctl restart contralock.service")
        assert answers(app1)["details"]["closed"] is True
        assert "503" in status(app1, "/counts")
    finally:
        opened = json.loads(command(app1, "open"))
    assert opened == {"closed": False, "changed": True}
    assert status(app1, "/counts") == "200"


def test_the_command_says_how_the_database_is(app1):
    health = json.loads(command(app1, "health"))
    assert (health["status"], health["details"]["type"]) == ("healthy", "sqlite")


def test_recorded_calls_have_the_same_answers_twice(app1):
    first = command(app1, "replay")
    found = [json.loads(line) for line in first.splitlines()]
    assert len(found) > 30
    assert {each["status"] for each in found} == {200, 400, 404}
    assert command(app1, "replay") == first


def test_what_a_killed_run_installed_is_started_by_the_next(app1, verbs):
    app1.check_output("echo an older version > /opt/contralock-sample/started")
    pid = main_pid(app1)
    run = verbs(["sample_application"])
    assert run.returncode == 0, run.message()
    started = main_pid(app1)
    assert started != pid
    again = verbs(["sample_application"])
    assert (again.returncode, again.changed) == (0, []), again.message()
    assert main_pid(app1) == started
