"""No secret is seen in arguments, in Ansible's output at -vvvv, in a journal, a log, a report or a left-over file."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from journeys import ENV, PATH, RUNS

WATCH = r"""
import glob, time
seen = set()
while True:
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            line = open(path, "rb").read()
        except OSError:
            continue
        if line not in seen:
            seen.add(line)
            with open("/root/argv", "ab") as file:
                file.write(line + b"\n")
    time.sleep(0.005)
"""
#: Every text of the sensitive columns that the profile names, of all users.
SENSITIVE = " UNION ".join(
    f"SELECT {column} FROM users WHERE length({column}) > 6"
    for column in ("password", "resetPasswordToken", "emailVerificationToken", "twoFactorSecret", "backupCodes")
)


def arguments_of_the_controller(over, seen):
    while not over.is_set():
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(path.read_bytes())
            except OSError:
                continue
        time.sleep(0.005)


@pytest.fixture(scope="module")
def secrets(app1, secret):
    """Name -> secret: the roles' passwords, the application's own key, and what the sensitive columns hold."""
    program = f"import sqlite3; [print(row[0]) for row in sqlite3.connect({PATH!r}).execute({SENSITIVE!r})]"
    rows = app1.check_output("python3 -c %s", program).splitlines()
    assert len(rows) > 40
    key = app1.check_output(f"sed -n 's/^JWT_SECRET=//p' {ENV}").strip("\"'")
    assert len(key) > 10
    named = {"owner": secret("owner"), "user": secret("user"), "key": key}
    return {**named, **{f"row {number}": row for number, row in enumerate(rows)}}


@pytest.fixture(scope="module")
def watched(run_playbook, app1, db1, secrets):
    """A cut-over and a way back at -vvvv, with eyes on every process of the three machines."""
    for host in (app1, db1):
        host.check_output("rm -f /root/argv; systemd-run --unit=watch python3 -c %s", WATCH)
    over, seen = threading.Event(), set()
    thread = threading.Thread(target=arguments_of_the_controller, args=(over, seen))
    thread.start()
    runs = [run_playbook(f"playbooks/{name}.yml", "-vvvv") for name in ("cut_over", "roll_back")]
    over.set()
    thread.join()
    for host in (app1, db1):
        host.check_output("systemctl stop watch")
    for run in runs:
        assert run.returncode == 0, run.message()
    return {"output": "".join(run.output for run in runs).encode(), "argv of the controller": b"\n".join(seen)}


def places(text, secrets):
    return sorted(name for name, value in secrets.items() if value.encode() in text)


def test_the_watchers_see_arguments(watched, app1):
    assert b"ansible-playbook" in watched["argv of the controller"]
    assert app1.run("grep -c pgloader /root/argv").stdout.strip() != "0"
    assert b"PLAY" in watched["output"] or b"plays" in watched["output"]


@pytest.mark.parametrize("where", ["output", "argv of the controller"])
def test_nothing_on_the_controller(where, watched, secrets):
    assert places(watched[where], secrets) == []


@pytest.mark.parametrize("name", ["app1", "db1"])
def test_nothing_in_the_arguments_of_a_host(name, watched, secrets, host_named):
    assert places(host_named(name).check_output("cat /root/argv | tr '\\0' ' '").encode(), secrets) == []


@pytest.mark.parametrize("name", ["app1", "db1"])
def test_nothing_in_the_logs_of_a_host(name, watched, secrets, host_named):
    command = "journalctl --no-pager --output cat; cat /var/log/postgresql/*.log /var/log/syslog 2>/dev/null || true"
    assert places(host_named(name).check_output(command).encode(), secrets) == []


def test_nothing_in_journals_and_reports_and_temporary_files(watched, secrets, app1):
    command = (
        f"find {RUNS} /tmp /var/tmp /root/.ansible -type f ! -name '*.sqlite' -exec cat {{}} + 2>/dev/null || true"
    )
    assert places(app1.check_output(command).encode(), secrets) == []


def test_what_holds_the_data_is_closed(watched, app1):
    open_files = app1.check_output(f"find {RUNS} -mindepth 1 -perm /077 ! -type l")
    assert open_files == ""
