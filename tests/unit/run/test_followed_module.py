"""The action plugins and migration_run, by real ansible-playbook runs on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.journal import Moment
from ansible_collections.contralock.database.plugins.module_utils.left_over import process
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory, latest
from ansible_collections.contralock.database.plugins.module_utils.run_lock import read_lease
from ansible_collections.contralock.database.plugins.modules.migration_run import without_password

from tests.playbooks import keep_facts, playing
from tests.unit.run.kills import wait_for

ROOT = Path(__file__).parents[3]
PLUGINS = "ansible_collections.contralock.database.plugins"
COLLECTION = ROOT / "collections" / PLUGINS.replace(".", "/")
SECRET = "s3cret-Pa55word"

# A long verb with a secret, as our modules are written.
MODULE = """#!/usr/bin/python
import os, signal, subprocess, time
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError

def verb(module, progress):
    manner = module.params["manner"]
    if manner == "refuse":
        raise MigrationError("users.id 7 does not fit", "Mend it", {"table": "users"})
    if manner == "crash":
        raise ValueError("words that nobody knows: " + module.params["password"])
    if manner.startswith("die"):
        time.sleep(1)
        # By its number: Ansible gives the two a process group of their own when they may have begun already.
        if manner == "die_with_the_wrapper":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    if manner == "stay":
        progress({"line": "staying"})
        time.sleep(600)
    for rows in range(10, 31, 10):
        numbers = {"table": "users", "rows": rows, "of_rows": 30, "seconds_left": 2}
        progress({**numbers, "password": module.params["password"]})
        time.sleep(0.9 if not module.check_mode else 0)
    return {"changed": False, "rows": rows, "facts": {"rows": rows, "note": module.params["password"]}}

arguments = {"run": {"type": "path"}, "password": {"type": "str", "no_log": True}, "manner": {"type": "str"}}
run_module(arguments, verb, supports_check_mode=True)
"""
ACTION = """
from ansible_collections.contralock.database.plugins.plugin_utils.followed_module import FollowedStep

class ActionModule(FollowedStep):
    pass
"""

# A connection that breaks at the second and the third look, and comes back.
CONNECTION = """
DOCUMENTATION = '''
name: flaky
short_description: breaks
description: breaks
author: tests
extends_documentation_fragment: [connection_pipelining]
'''
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

class Connection(Local):
    looks = 0

    def exec_command(self, cmd, in_data=None, sudoable=True):
        if "/jobs/j" in cmd and "progress.json" in cmd:
            self.looks += 1
            if self.looks in (2, 3):
                raise AnsibleConnectionFailure("broken")
        return super().exec_command(cmd, in_data, sudoable)
"""

OPEN = [
    {
        "contralock.database.migration_run": {"state": "opened", "verb": "cut_over", "root": "{{ root }}"},
        "register": "opened",
    },
    {
        "ansible.builtin.set_fact": {"__migration_run_lease": "{{ opened.lease }}", "directory": "{{ opened.run }}"},
        "when": "opened.run is not none",
    },
]


def step(name: str, manner: str = "succeed", **more: Any) -> dict[str, Any]:
    return {
        "test.run.long_verb": {"run": "{{ directory }}", "step": name, "password": SECRET, "manner": manner, **more},
        "register": f"{name}_{manner}",
    }


class Play:
    """Plays tasks on this machine, with a collection of the test's own beside ours."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.root = root
        plugins = folder / "ansible_collections/test/run/plugins"
        files = {"modules/long_verb": MODULE, "action/long_verb": ACTION, "connection/flaky": CONNECTION}
        for name, content in files.items():
            file = plugins / f"{name}.py"
            file.parent.mkdir(parents=True)
            file.write_text(content)

    def start(self, tasks: list[dict[str, Any]], *options: str) -> subprocess.Popen[str]:
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": f"{self.folder}:{ROOT / 'collections'}",
            "ANSIBLE_ANY_UNPARSED_WARNING": "false",
            # A module that is killed leaves its files behind.
            "TMPDIR": str(self.folder),
        }
        command, settings = playing(self.folder, tasks, *options, environment=environment, root=str(self.root))
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=settings,
            start_new_session=True,
        )

    def __call__(self, tasks: list[dict[str, Any]], *options: str) -> tuple[int, str]:
        running = self.start(tasks, *options)
        output, _ = running.communicate(timeout=120)
        return running.returncode, output


@pytest.fixture
def play(tmp_path: Path, root: Path) -> Play:
    return Play(tmp_path, root)


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[str]]]:
    """What is still running at the end is ended."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for one in started:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
            one.communicate()


def only_run(root: Path) -> RunDirectory:
    found = latest(root)
    assert found is not None
    return found


def test_every_module_that_can_be_a_step_has_an_action_plugin_that_gives_it_the_lease():
    plugins = ROOT / "collections/ansible_collections/contralock/database/plugins"
    is_step = re.compile(r'(?m)^    (\*\*RUN_ARGUMENTS|"run": )')
    steps = {path.name for path in (plugins / "modules").glob("*.py") if is_step.search(path.read_text())}
    assert {"migration_run.py", "data_integrity.py", "sqlite_fence.py"} <= steps
    assert steps <= {path.name for path in (plugins / "action").glob("*.py")}


def test_a_long_verb_is_followed_and_ends_like_its_module(play, root, tmp_path):
    answers = tmp_path / "answers.json"
    code, output = play(
        [
            *OPEN,
            step("transfer"),
            {**step("compare", "refuse"), "ignore_errors": True},
            {**step("grant", "crash"), "ignore_errors": True},
            {**step("flip"), "no_log": True},
            keep_facts(answers, "transfer_succeed", "compare_refuse", "grant_crash"),
        ],
        "-vvvv",
    )
    assert code == 0, output
    assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in output
    for line in output.splitlines():
        # Of a module that crashes Ansible shows the exception's words: nothing of ours puts a secret into them.
        assert SECRET not in line or "words that nobody knows" in line
    for path in [*root.rglob("*"), *(tmp_path / "tmp").rglob("*")]:
        if path.is_file():
            assert SECRET not in path.read_text(errors="replace"), path
    lines = output.splitlines()
    shown = [line for line in lines if line.startswith(("transfer: ", "flip: "))]
    assert shown[0] in {f"transfer: users {rows} of 30 rows, 2 s left" for rows in (10, 20)}
    assert shown[-1] == "transfer: users 30 of 30 rows, 2 s left"
    assert len(shown) == len(set(shown))
    # The host waits, not the controller: some looks at each of the four, and not one after the other.
    assert 8 <= sum(" EXEC " in line and "progress.json" in line for line in lines) < 25
    said = json.loads(answers.read_text())
    assert (said["transfer_succeed"]["rows"], said["transfer_succeed"]["changed"]) == (30, False)
    assert not {"ansible_job_id", "started", "finished", "results_file"} & said["transfer_succeed"].keys()
    assert said["compare_refuse"]["msg"] == "users.id 7 does not fit. Mend it."
    assert said["compare_refuse"]["details"] == {"table": "users"}
    assert said["grant_crash"]["failed"] is True
    run = only_run(root)
    states = {name: standing.state for name, standing in run.standings().items()}
    assert states == {"open": "done", "transfer": "done", "compare": "failed", "grant": "failed", "flip": "done"}
    assert run.facts("transfer")["rows"] == 30
    assert run.standings()["compare"].message == "users.id 7 does not fit. Mend it."
    assert sorted(path.name for path in run.path.iterdir()) == ["journal.jsonl", "progress.json"]


def test_a_broken_connection_that_comes_back_is_borne_with(play, root, tmp_path):
    answers = tmp_path / "answers.json"
    followed = {**step("transfer"), "vars": {"ansible_connection": "test.run.flaky"}}
    code, output = play([*OPEN, followed, keep_facts(answers, "transfer_succeed")])
    assert code == 0, output
    assert json.loads(answers.read_text())["transfer_succeed"]["rows"] == 30
    assert only_run(root).standings()["transfer"].state == "done"


def test_check_mode_opens_nothing_and_journals_nothing(play, root, runs):
    run = runs.open(lease_seconds=0).run
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    tasks = [*OPEN, step("transfer"), {"ansible.builtin.debug": {"var": "transfer_succeed.rows"}}]
    code, output = play(tasks, "--check")
    assert code == 0, output
    assert '"transfer_succeed.rows": "30"' in output or '"transfer_succeed.rows": 30' in output
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert run.current().name == "preflight"


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("host=db1 dbname=contralock passfile=/etc/pgpass", True),
        ("postgresql://owner@db1/contralock", True),
        (f"host=db1 password={SECRET}", False),
        (f"host=db1 password = '{SECRET}'", False),
        (f"postgresql://owner:{SECRET}@db1/contralock", False),
    ],
)
def test_a_password_in_a_connection_string_does_not_reach_the_journal(target, kept):
    facts = {"target": target, "inventory": []}
    assert without_password(facts) == (facts if kept else {"inventory": []})


@pytest.mark.parametrize("manner", ["die_with_the_wrapper", "die_alone"])
def test_a_module_that_dies_fails_the_task(play, root, manner):
    """Alone as when the kernel has no memory left, with Ansible's wrapper of the job as when somebody kills both."""
    code, output = play([*OPEN, step("transfer", manner)])
    assert code == 2
    assert "Traceback" not in output
    assert "transfer: the module has died on the host without an answer. Run the playbook again." in output
    assert only_run(root).standings()["transfer"].state == "begun"


def test_a_killed_controller_leaves_a_module_that_the_next_one_ends(play, root, running, runs, refusal):
    first = play.start([*OPEN, step("transfer", "stay")])
    running.append(first)
    wait_for(lambda: latest(root) and only_run(root).progress().get("line") == "staying", 30)
    run = only_run(root)
    lease, module = read_lease(root), run.progress()["pid"]
    assert lease is not None
    # A poll shows that this controller lives.
    sign = (root / f"alive-{lease.token}").read_text()
    wait_for(lambda: (root / f"alive-{lease.token}").read_text() != sign, 20)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert process(module) is not None

    # From elsewhere nobody can know that it is dead.
    said = refusal(runs.open)
    assert f"the cut-over {run.id} is under way" in said
    assert f"(pid {first.pid})" in said

    code, output = play(OPEN)
    assert code == 0, output
    assert f"(pid {first.pid}), is gone; taking it over" in output
    assert process(module) is None
    assert run.current().name == "transfer"
    assert run.standings()["open"].facts["resumed"] is True


def test_polls_do_not_renew_a_lease_that_was_taken_over(play, root, running, runs):
    first = play.start([*OPEN, step("transfer", "stay")])
    running.append(first)
    wait_for(lambda: latest(root) and only_run(root).progress().get("line") == "staying", 30)
    # A second playbook is refused as long as the first one lives.
    code, output = play(OPEN)
    assert code == 2
    assert f"the cut-over {only_run(root).id} is under way" in " ".join(output.split())
    opened = runs.open(take_over=only_run(root).id)
    now = Moment.now()
    output, _ = first.communicate(timeout=30)
    assert first.returncode == 2
    assert "interrupted: the process was asked to end." in output
    assert [path.name for path in root.glob("alive-*")] == [f"alive-{opened.lease}"]
    lease = read_lease(root)
    assert lease is not None
    assert lease.renewed.uptime <= now.uptime


#: What is over in a moment: journal and lease, one statement on the server, a file of some lines.
QUICK = {"migration_run", "application_access", "env_file"}


def test_whatever_may_take_longer_than_a_lease_is_followed():
    """Reading 40 GB for a checksum takes two minutes, in which nobody else would show that the controller lives."""
    plugins = {path.stem for path in (COLLECTION / "action").glob("*.py")}
    modules = (COLLECTION / "modules").glob("*.py")
    steps = {path.stem for path in modules if re.search('"run": {"type"|RUN_ARGUMENTS', path.read_text())}
    assert steps == plugins
    followed = {name for name in plugins if import_module(f"{PLUGINS}.action.{name}").ActionModule.follows}
    assert followed == plugins - QUICK
