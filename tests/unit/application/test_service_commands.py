"""The application's own commands: what is refused before a window, and what is said of one that does not end."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.contralock.database.plugins.module_utils.left_over import MARKER, end, of_run

from tests.playbooks import keep, play

KEPT = "ansible_failed_result | contralock.database.failure_text"
STUBBORN = "trap '' TERM; sleep 30"
#: Both commands, and those of a service that systemd does not know.
SERVICE = {
    "application_service_manager": "commands",
    "application_service_working_directory": "/",
    "application_service_status_command": ["true"],
    "application_service_start_command": ["true"],
}


def said_by(folder: Path, cases: list[tuple[str, dict[str, Any]]], *options: str, **variables: Any) -> list[str]:
    """What parts of the role fail with, in one play: starting Ansible is what takes the time."""
    tasks = [
        {
            "block": [
                {
                    "ansible.builtin.include_role": {"name": "application_service", "tasks_from": part},
                    "vars": {**SERVICE, "application_service_stop_command": ["true"], **given},
                }
            ],
            "rescue": [{"ansible.builtin.set_fact": {f"said_{number}": f"{{{{ {KEPT} }}}}"}}],
        }
        for number, (part, given) in enumerate(cases)
    ]
    names = ", ".join(f"said_{number} | default('')" for number in range(len(cases)))
    done = play(folder, [*tasks, keep(folder / "facts", f"[{names}]")], *options, **variables)
    assert done.returncode == 0, done.stdout
    return json.loads((folder / "facts").read_text())


def door(which: str, command: object) -> dict[str, Any]:
    return {f"application_service_{which}_command": command}


def test_commands_that_could_not_be_run_are_refused_by_a_check(tmp_path):
    text = tmp_path / "text"
    text.write_text("no program")
    cases = [
        ({}, ""),
        (
            door("open", "/opt/app open"),
            'application_service_open_command is "/opt/app open". Give the program and its',
        ),
        (door("close", ["sleep", 5]), 'application_service_close_command is ["sleep", 5]. Give'),
        (door("close", ["door", ""]), 'application_service_close_command is ["door", ""]. Give'),
        ({"application_service_stop_seconds": "long"}, "Validation of arguments failed"),
        (
            door("open", ["/nowhere/door", "open"]),
            'application_service_open_command is ["/nowhere/door", "open"], and on localhost there is no program'
            " /nowhere/door that root can run.",
        ),
        (door("close", [str(text)]), f'application_service_close_command is ["{text}"], and on localhost'),
        (door("start", ["no-such-program"]), 'application_service_start_command is ["no-such-program"], and on'),
    ]
    said = said_by(tmp_path, [("commands", given) for given, _ in reversed(cases)], "--check")
    for message, (given, expected) in zip(reversed(said), cases, strict=True):
        assert message.startswith(expected), (given, message)
        assert bool(expected) == bool(message), (given, message)


def test_a_way_back_that_begins_by_itself_is_not_refused_for_a_program_that_has_gone(tmp_path):
    gone = door("open", ["/nowhere/door", "open"])
    refused, *went = said_by(tmp_path, [("commands", gone), ("commands", {}), ("commands", gone)])
    assert "there is no program /nowhere/door" in refused
    assert went == ["", ""]


def test_a_command_that_hangs_is_ended_with_all_that_it_began_and_its_time_is_told(tmp_path):
    child = tmp_path / "child"
    quick = {"__application_service_door_seconds": 1, "__application_service_kill_after": 1}
    hanging = ["sh", "-c", f"sh -c 'echo $$ > {child}; {STUBBORN}' & {STUBBORN}; wait"]
    said = said_by(
        tmp_path,
        [
            ("close", door("close", hanging)),
            ("open", door("open", ["sleep", "30"])),
            ("open", door("open", ["sh", "-c", "kill -KILL $$"])),
            ("close", door("close", ["sh", "-c", "echo no >&2; exit 124"])),
            ("stop", {**door("stop", ["sh", "-c", STUBBORN]), "application_service_stop_seconds": 1}),
        ],
        **quick,
    )
    late = " (it took longer than 1 s)"
    assert f"ended with -9{late}. " in said[0]
    assert not Path(f"/proc/{child.read_text().strip()}").exists()
    assert f'The command "sleep 30" ended with 124{late}. ' in said[1]
    assert late not in said[2]
    assert """"sh -c 'echo no >&2; exit 124'" ended with 124. no Run it by hand on localhost""" in said[3]
    assert f"ended with -9{late}, and " in said[4]


def test_a_command_that_outlives_its_controller_is_found_by_the_next_run_and_what_it_starts_is_not(tmp_path):
    begun, root = tmp_path / "begun", tmp_path / "runs"
    # A program of its own, as an application is that a start command leaves behind.
    closing = [
        "sh",
        "-c",
        f"setsid --fork sh -c 'env > {begun}.new; mv {begun}.new {begun}; exec sleep 31'; exec sleep 60",
    ]
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(said_by, tmp_path, [("close", door("close", closing))], migration_run_root=f"{root}/")
        while not begun.exists():
            assert not going.done(), going.result()
            time.sleep(0.05)
        found = of_run(root, root / "lock")
        assert sorted(one.name for one in found) == ["sleep", "timeout"]
        end(found)
        assert "ended with " in going.result()[0]
    assert MARKER not in begun.read_text()


def test_a_start_that_stays_in_the_foreground_is_ended_and_a_status_that_hangs_is_no_answer(tmp_path):
    hanging = ["sh", "-c", STUBBORN]
    limits = {"__application_service_door_seconds": 1, "__application_service_kill_after": 1}
    idle = {**door("status", ["false"]), "application_service_wait_seconds": 1}
    said = said_by(
        tmp_path,
        [
            ("start", {**idle, **door("start", ["sleep", "30"])}),
            ("start", {**idle, **door("start", ["sh", "-c", "echo no >&2; exit 3"])}),
            ("start", {**idle, **door("start", ["true"])}),
            ("look", door("status", hanging)),
            ("look", door("status", ["sleep", "30"])),
            # It answers once, and hangs when it is asked whether the service has stopped.
            ("stop", door("status", ["sh", "-c", f"mkdir {tmp_path}/asked || {{ {STUBBORN}; }}"])),
        ],
        **limits,
        application_service_stop_seconds=1,
    )
    assert 'did not start: "sleep 30" ended with 124 (it took longer than 1 s). Start it by hand' in " ".join(
        said[0].split()
    )
    assert "ended with 3. no Start it by hand" in " ".join(said[1].split())
    assert said[2] == ""
    assert "Whether the application runs cannot be told" in said[3]
    assert 'cannot be told: "sleep 30" did not end within 1 s. Run it by hand on localhost' in said[4]
    assert "The service did not stop" in said[5]
    assert "did not end. Stop it by hand" in said[5]
