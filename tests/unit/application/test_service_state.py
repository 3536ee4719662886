"""A service as systemd and /proc describe it. systemctl is played by a script; the processes are real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.service_state import (
    processes_in,
    read_service,
    wait_until_stopped,
    why_ended,
    working_directory_of,
)

#: As systemd 252 prints them; a property may come several times, or not at all.
RUNNING = """\
MainPID={pid}
Result=success
ExecMainStatus=0
ControlGroup=/system.slice/contralock.service
WorkingDirectory=!/srv/contralock
EnvironmentFiles=/srv/contralock/.env (ignore_errors=no)
EnvironmentFiles=/etc/default/my app (ignore_errors=yes)
TriggeredBy=contralock.timer contralock.socket
LoadState=loaded
ActiveState=active
SubState=running
"""
STOPPED = "MainPID=0\nLoadState=loaded\nActiveState=inactive\nWorkingDirectory=/srv/contralock\nControlGroup=\n"


@pytest.fixture
def systemctl(tmp_path, monkeypatch) -> Callable[[str], None]:
    """Put a systemctl first in PATH that prints a text."""

    def say(text: str, returncode: int = 0) -> None:
        (tmp_path / "said").write_text(text)
        script = tmp_path / "systemctl"
        script.write_text(f"#!/bin/sh\ncat {tmp_path}/said\necho 'not booted' >&2\nexit {returncode}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return say


@pytest.fixture
def process(tmp_path) -> Iterator[subprocess.Popen[bytes]]:
    folder = tmp_path / "work"
    folder.mkdir()
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"DB_TYPE": "sqlite", "SECRET": "not shown"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


def plant(proc: Path, pid: int, cgroup: str, cmdline: bytes) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text(cgroup)
    (folder / "cmdline").write_bytes(cmdline)
    (folder / "comm").write_text("worker\n")


def test_a_running_service(systemctl, process, tmp_path):
    systemctl(RUNNING.format(pid=process.pid))
    state = read_service("contralock.service")
    assert (state.load_state, state.active_state, state.running, state.main_pid) == (
        "loaded",
        "active",
        True,
        process.pid,
    )
    # What it is called with once it stands still: another one, as of a unit that runs `sh -c "cd ... && node"`.
    assert (state.working_directory, state.unit_directory) == (str(tmp_path / "work"), "/srv/contralock")
    assert state.environment_files == ("/srv/contralock/.env", "/etc/default/my app")
    assert state.triggered_by == ("contralock.timer", "contralock.socket")
    assert {"DB_TYPE", "SECRET"} <= set(state.environment)
    assert "not shown" not in repr(state)


def test_one_that_does_not_run(systemctl):
    systemctl(STOPPED)
    state = read_service("contralock.service")
    assert (state.running, state.stopped, state.main_pid) == (False, True, 0)
    assert (state.working_directory, state.environment, state.processes) == ("/srv/contralock", (), ())
    assert wait_until_stopped("contralock.service", "", 1) == state


def test_without_a_directory_systemd_takes_the_root(systemctl):
    systemctl("LoadState=loaded\nActiveState=inactive\n")
    assert read_service("x").working_directory == "/"


def test_a_unit_that_is_not_there_works_nowhere(systemctl):
    systemctl("LoadState=not-found\nActiveState=inactive\n")
    state = read_service("x")
    assert (state.working_directory, state.unit_directory) == ("", "")


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("/usr/bin/node", "/srv/contralock"),
        # Forked, and not yet the application: systemd 252 and 257.
        ("/usr/lib/systemd/systemd", ""),
        ("/usr/lib/systemd/systemd-executor", ""),
        # Ended, or another account's.
        (None, ""),
    ],
)
def test_a_process_that_is_not_the_application_yet_says_nothing(tmp_path, program, found):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cwd").symlink_to("/srv/contralock")
    if program:
        (tmp_path / "7" / "exe").symlink_to(program)
    assert working_directory_of(7, tmp_path) == found
    assert working_directory_of(0, tmp_path) == ""


def test_a_link_to_the_directory_is_the_same_directory(systemctl, process, tmp_path):
    (tmp_path / "current").symlink_to("work")
    systemctl(f"MainPID={process.pid}\nActiveState=active\nWorkingDirectory=!{tmp_path}/current\n")
    state = read_service("x")
    assert state.working_directory == state.unit_directory == str(tmp_path / "work")
    systemctl(f"ActiveState=inactive\nWorkingDirectory={tmp_path}/current\n")
    assert read_service("x").working_directory == str(tmp_path / "work")
    systemctl("ActiveState=inactive\nWorkingDirectory=~\n")
    assert read_service("x").unit_directory == "~"


def test_what_does_not_stop_is_refused(systemctl):
    systemctl("ActiveState=deactivating\n")
    with pytest.raises(MigrationError) as refused:
        wait_until_stopped("contralock.service", "", 0.3)
    assert "contralock.service did not stop within 0.3 s: it is deactivating, and there is still no process" in str(
        refused.value
    )


def test_a_process_that_stays_is_named(systemctl, process):
    """The service is gone by systemd's account, and one of its processes is not."""
    systemctl(STOPPED)
    place = next(
        line.split(":", 2)[2]
        for line in Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
        if line.startswith(("0::", "1:"))
    )
    with pytest.raises(MigrationError) as refused:
        wait_until_stopped("contralock.service", place, 0.3)
    assert process.pid in refused.value.details["processes"]


def test_processes_of_a_group_and_below_it(tmp_path):
    group = "/system.slice/contralock.service"
    plant(tmp_path, 30, f"0::{group}\n", b"node\0server.js\0--password\0x\0")
    plant(tmp_path, 4, f"12:pids:{group}\n1:name=systemd:{group}/child\n", b"")
    plant(tmp_path, 5, "0::/system.slice/contralock.service2\n", b"other\0")
    plant(tmp_path, 6, "0::/system.slice\n", b"other\0")
    plant(tmp_path, 7, f"0::{group}\n", b"/usr/bin/node\0--token=s3cret\0")
    (tmp_path / "8").mkdir()
    (tmp_path / "self").mkdir()
    found = processes_in(group, tmp_path)
    assert [(one.pid, one.command) for one in found] == [(4, "worker"), (7, "/usr/bin/node"), (30, "node server.js")]


def test_why_nobody_should_wait_any_more(systemctl):
    def state(active: str, restarts: int):
        systemctl(f"ActiveState={active}\nNRestarts={restarts}\nResult=exit-code\nExecMainStatus=1\n")
        return read_service("contralock.service")

    before = state("active", 4)
    assert [why_ended(before, state("activating", number)) for number in (4, 5, 6)] == [None, None, None]
    assert why_ended(before, state("activating", 7)) == (
        "contralock.service has ended 3 times and was started anew each time (last: exit-code, exit status 1)"
    )
    assert why_ended(before, state("failed", 4)) == "contralock.service is failed (exit-code, exit status 1)"
    # Somebody started it meanwhile, and the count began again.
    assert why_ended(before, state("active", 0)) is None


def test_refusals(systemctl, tmp_path, monkeypatch):
    systemctl("", returncode=1)
    with pytest.raises(MigrationError, match="systemd says nothing about contralock: not booted"):
        read_service("contralock")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(MigrationError, match="has no systemctl"):
        read_service("contralock")
