"""The service: stopped to the last process, started, waited for; what goes wrong is said in words that help."""

from __future__ import annotations

import time

import pytest
from conftest import ENV, answers, main_pid
from journeys import COMMANDS

SERVICE = "application_service"
STOP, START, WAIT, FLIP = f"{SERVICE}/stop", f"{SERVICE}/start", f"{SERVICE}/wait", "application_config/flip"


def names(run):
    return [task.split(" : ")[-1] for _, task in run.changed]


@pytest.mark.parametrize("variables", [{}, COMMANDS], ids=["systemd", "commands"])
def test_stop_and_start_change_what_is_not_so_already(app1, verbs, variables):
    pid = main_pid(app1)
    checked = verbs([STOP, START, WAIT], "--check", **variables)
    assert checked.returncode == 0, checked.message()
    assert names(checked) == ["Say what a check predicts" if variables else "Stop the service"]
    assert main_pid(app1) == pid

    look = {"name": "Look for processes", "ansible.builtin.command": "pgrep --uid contralock", "failed_when": False}
    run = verbs(
        [SERVICE, STOP, STOP, {**look, "changed_when": False}, START, START, WAIT],
        application_service_expected_type="sqlite",
        **variables,
    )
    assert run.returncode == 0, run.message()
    assert names(run) == (
        ["Run the stop command", "Run the start command"] if variables else ["Stop the service", "Start the unit"]
    )
    (found,) = [result for _, task, result in run.results if task == "Look for processes"]
    assert (found["rc"], found["stdout"]) == (1, "")
    assert answers(app1)["details"]["type"] == "sqlite"
    assert main_pid(app1) != pid


@pytest.mark.parametrize(
    "case",
    [
        ("KillSignal=SIGWINCH\nTimeoutStopSec=5\n", "it is deactivating, and there is still {pid} (/usr/bin/node "),
        ("KillMode=process\nExecStartPost=/bin/sh -c 'sleep 300 &'\n", "it is inactive, and there is still "),
    ],
    ids=["the main process", "another process"],
)
def test_what_does_not_stop_is_named_and_does_not_hinder_a_start(app1, refused, drop_in, case):
    settings, left = case
    drop_in(settings)
    pid = main_pid(app1)
    (message,) = refused(([STOP], {"application_service_stop_seconds": 2}), afterwards=[START, WAIT])
    assert "contralock.service did not stop within 2 s" in message
    assert left.format(pid=pid) in message
    assert "(sleep 300)" in message or "(/usr/bin/node " in message
    assert "systemctl kill --signal=SIGKILL contralock.service" in message
    assert main_pid(app1) != pid
    assert answers(app1)["status"] == "healthy"


def test_what_the_health_check_says_wrong_is_named(app1, refused):
    began = time.monotonic()
    messages = refused(
        ([WAIT], {"application_service_expected_type": "postgresql"}),
        (
            [WAIT],
            {"application_service_health_url": "http://127.0.0.1:1/health", "application_service_wait_seconds": 1},
        ),
        ([WAIT], {"application_service_health_url": "http://127.0.0.1:5000/no", "application_service_wait_seconds": 1}),
        ([WAIT], {"application_service_health_type_path": "details.none", "application_service_wait_seconds": 1}),
    )
    assert time.monotonic() - began < 25
    assert (
        "says that the application uses sqlite, and it should use postgresql. See that the application" in messages[0]
    )
    assert "http://127.0.0.1:1/health did not answer ([Errno 111] Connection refused) for 1 s" in messages[1]
    assert "http://127.0.0.1:5000/no answered 404" in messages[2]
    assert "did not say sqlite or postgresql in details.none" in messages[3]


def test_an_application_that_ends_is_not_waited_for_and_the_way_back_is_clean(app1, refused, env_text):
    """There is no PostgreSQL here: after the flip the application ends again and again."""
    keep = {"name": "Keep the file", "ansible.builtin.command": f"cp {ENV} /root/env.flipped"}
    back = {"application_config_type": "sqlite", "application_service_expected_type": "sqlite"}
    (message,) = refused(
        ([STOP, FLIP, START, WAIT], {"application_config_type": "postgresql"}),
        afterwards=[keep, *[(step, back) for step in (STOP, FLIP, START, WAIT)]],
    )
    assert "the application ended instead of answering on http://127.0.0.1:5000/health" in message
    assert "contralock.service has ended 3 times and was started anew each time" in message
    flipped = app1.file("/root/env.flipped").content_string
    assert flipped == env_text.replace("DB_TYPE=sqlite", "DB_TYPE=postgresql") != env_text
    assert app1.file(ENV).content_string == env_text
    assert answers(app1)["details"]["type"] == "sqlite"


def test_a_service_that_was_started_too_often_is_started_all_the_same(app1, verbs, drop_in):
    # Five times in ten seconds is too often; a busy machine does not get so far.
    drop_in("[Unit]\nStartLimitIntervalSec=600\n")
    often = "for i in 1 2 3 4 5 6; do systemctl start contralock.service; systemctl stop contralock.service; done"
    app1.run(often)
    assert app1.run("systemctl start contralock.service").rc != 0
    app1.run("systemctl stop contralock.service")
    app1.check_output("systemctl reset-failed contralock.service")
    app1.run(often)
    run = verbs([START, WAIT])
    assert run.returncode == 0, run.message()
    assert answers(app1)["status"] == "healthy"


def test_a_program_that_does_not_start_is_named(app1, refused, drop_in):
    drop_in("")
    app1.check_output("sed -i 's,^ExecStart=.*,ExecStart=/nowhere/run,' /etc/systemd/system/contralock.service")
    app1.check_output("systemctl stop contralock.service && systemctl daemon-reload")
    try:
        (message,) = refused(([START], {}))
    finally:
        app1.check_output(
            "sed -i 's,^ExecStart=.*,ExecStart=/opt/contralock-sample/run,' /etc/systemd/system/contralock.service"
        )
    assert "contralock.service did not start: it is" in message
    assert "Unable to start service contralock.service" in message
    assert "journalctl --unit contralock.service" in message


def test_preflight_refuses(app1, refused):
    app1.check_output("printf '[Timer]\\nOnCalendar=2099-01-01\\n' > /run/systemd/system/contralock.timer")
    app1.check_output("systemctl daemon-reload && systemctl start contralock.timer")
    try:
        messages = refused(
            ([SERVICE], {}),
            ([SERVICE], {"application_service_unit": "contrabass.service"}),
            ([SERVICE], {"application_service_manager": "docker"}),
            ([SERVICE], {**COMMANDS, "application_service_stop_command": []}),
            ([SERVICE], {**COMMANDS, "application_service_working_directory": ""}),
            ([SERVICE], {"application_service_working_directory": "srv"}),
            ([SERVICE], {"application_service_open_command": []}),
            ([STOP], {**COMMANDS, "application_service_stop_command": ["true"]}),
            (
                [STOP],
                {**COMMANDS, "application_service_stop_command": ["sleep", "9"], "application_service_stop_seconds": 1},
            ),
        )
    finally:
        app1.check_output(
            "systemctl stop contralock.timer; rm /run/systemd/system/contralock.timer; systemctl daemon-reload"
        )
    expected = [
        "contralock.service is started by contralock.timer, also while it has to stand still",
        "The unit contrabass.service is not-found on app1",
        "docker",
        "application_service_stop_command is []",
        "application_service_working_directory is not set",
        "application_service_working_directory is srv. Give the whole path",
        "and there is no application_service_open_command: nobody would let users in again",
        '"true" ended with 0, and "systemctl --quiet is-active contralock.service" says that it runs',
        '"sleep 9" ended with 124 (it took longer than 1 s)',
    ]
    for message, words in zip(messages, expected, strict=True):
        assert words in message
    assert answers(app1)["status"] == "healthy"


#: Ten times what `systemd-analyze security` gives for the unit; without any of its settings but two it is more.
EXPOSURE = 17


def test_the_service_is_shut_in(app1):
    """The unit's sandbox holds: the application can write its data and nothing else of the system."""
    pid = str(main_pid(app1))
    status = dict(line.split(":", 1) for line in app1.check_output("cat /proc/%s/status", pid).splitlines())
    # Seccomp 2 is a filter of system calls (proc(5)).
    told = {name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
    assert told == {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    mounts = app1.check_output("cat /proc/%s/mounts", pid).splitlines()
    options = {line.split()[1]: [line.split()[0], *line.split()[3].split(",")] for line in mounts}
    for path in ("/", "/home", "/root", "/dev"):
        assert "ro" in options[path]
    for path in ("/home", "/root"):
        assert options[path][0] == "tmpfs"
    assert "rw" in options["/srv/contralock/data"]
    namespace = "readlink /proc/%s/ns/mnt"
    assert app1.check_output(namespace, pid) != app1.check_output(namespace, "1")
    analysed = app1.run(f"systemd-analyze security --no-pager --threshold={EXPOSURE} contralock.service")
    assert analysed.rc == 0, analysed.stdout.splitlines()[-1]
