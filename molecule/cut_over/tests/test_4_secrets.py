"""A cut-over that goes back by itself; no secret of it is in arguments, in output at -vvvv, journals, logs, reports."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import pytest
from journeys import RUNS, on_sqlite, places, secrets_of

#: Notes the arguments of every process. They change once, when a process that was forked becomes a program: whoever is
#: new is looked at often, and the others now and then.
WATCH = r"""
import os, sys, time
seen, looks = set(), {}
with open(sys.argv[1], "ab", buffering=0) as file:
    while True:
        looks = {pid: looks.get(pid, 0) + 1 for pid in os.listdir("/proc") if pid.isdigit()}
        for pid, often in looks.items():
            if often > 40 and often % 40:
                continue
            try:
                line = open(f"/proc/{pid}/cmdline", "rb").read()
            except OSError:
                continue
            if line not in seen:
                seen.add(line)
                file.write(line + b"\n")
        time.sleep(0.005)
"""


@pytest.fixture(scope="module")
def secrets(app1, secret):
    """What nobody may read."""
    return secrets_of(app1, secret)


@pytest.fixture(scope="module")
def watching(app1, db1, secrets, tmp_path_factory):
    """A context in which the arguments of every process of three machines are noted; in it, the controller's file."""
    arguments = tmp_path_factory.mktemp("watch") / "argv"

    @contextmanager
    def watch():
        for host in (app1, db1):
            host.check_output("rm -f /root/argv; systemd-run --unit=watch python3 -c %s /root/argv", WATCH)
        here = subprocess.Popen([sys.executable, "-c", WATCH, arguments])
        try:
            yield arguments
            assert here.poll() is None, "nobody watched the controller"
        finally:
            here.kill()
            here.wait()
            for host in (app1, db1):
                host.check_output("systemctl stop watch")

    return watch


@pytest.fixture(scope="module")
def watched(run_playbook, before_step, watching, now, db1):
    """A cut-over that fails after its switch and goes back by itself, at -vvvv, with eyes on every process."""
    postgres = "runuser -u postgres -- psql -qc 'ALTER ROLE contralock_user CONNECTION LIMIT {}'"
    before = now()
    try:
        # What the way back of the last test could not count may go.
        with watching() as arguments, before_step("start", f"podman exec {db1.backend.name} {postgres.format(0)}"):
            run = run_playbook("playbooks/cut_over.yml", "-vvvv", data_transfer_discard_rows=True)
    finally:
        db1.check_output(postgres.format(30))
    return {
        "run": run,
        "before": before,
        "after": now(),
        "output": run.output.encode(),
        "argv of the controller": arguments.read_bytes(),
    }


def test_an_application_that_does_not_start_goes_back_by_itself(watched):
    run, before, after = watched["run"], watched["before"], watched["after"]
    assert run.returncode != 0
    for part in ("failed and was taken back. What happened: ", "contralock.service", "PostgreSQL is as it was."):
        assert part in run.failures[-1][1], run.message()
    on_sqlite(after, before.application["sha256"])
    assert after.application == before.application
    assert after.rows == 0


@pytest.mark.parametrize(
    ("where", "known"), [("output", b'"plays": '), ("argv of the controller", b"ansible-playbook")]
)
def test_nothing_on_the_controller(where, known, watched, secrets):
    assert places(watched[where], secrets, known) == []


@pytest.mark.parametrize(("name", "known"), [("app1", b"pgloader"), ("db1", b"postgres: ")])
def test_nothing_in_the_arguments_of_a_host(name, known, watched, secrets, host_named):
    assert places(host_named(name).check_output("cat /root/argv | tr '\\0' ' '").encode(), secrets, known) == []


LOGS = {
    "app1": ("journalctl --no-pager --output cat", b"contralock.service"),
    "db1": ("cat /var/log/postgresql/*.log", b'too many connections for role "contralock_user"'),
}


@pytest.mark.parametrize("name", LOGS)
def test_nothing_in_the_logs_of_a_host(name, watched, secrets, host_named):
    command, known = LOGS[name]
    assert places(host_named(name).check_output(command).encode(), secrets, known) == []


@pytest.mark.parametrize("directory", [RUNS, "/tmp", "/var/tmp", "/root"])
def test_nothing_in_journals_and_reports_and_temporary_files(directory, watched, secrets, app1):
    # The file that is put there shows that files are read. The watcher's own list is looked through above.
    app1.check_output(f"echo planted here > {directory}/planted")
    command = f"find {directory} -type f ! -name '*.sqlite' ! -path /root/argv -exec cat {{}} +"
    found = app1.check_output(command).encode()
    app1.check_output(f"rm {directory}/planted")
    assert places(found, secrets, b"planted here") == []


def test_what_holds_the_data_is_closed(watched, app1):
    open_files = app1.check_output(f"find {RUNS} -mindepth 1 -perm /077 ! -type l")
    assert open_files == ""
