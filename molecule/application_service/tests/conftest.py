"""What the tests of this scenario share: the roles' verbs, run as a playbook runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

ENV = "/srv/contralock/.env"
DROP_IN = "/run/systemd/system/contralock.service.d"
#: Each `role` or `role/tasks_from`, alone or with variables of its own; or a task.
Steps = list[str | tuple[str, dict[str, Any]] | dict[str, Any]]


def as_tasks(steps: Steps, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps as tasks."""
    tasks = []
    for step in steps:
        if isinstance(step, dict):
            tasks.append(step)
            continue
        name, own = (step, {}) if isinstance(step, str) else step
        role, _, entry = name.partition("/")
        included = {"name": role, "tasks_from": entry or "main"}
        tasks.append({"ansible.builtin.include_role": included, "vars": {**variables, **own}})
    return tasks


@pytest.fixture(scope="session")
def verbs(run_playbook: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run steps one after the other: `verbs(["application_service/stop"], "--check", variable=value)`."""

    def run(steps: Steps, *options: str, **variables: Any) -> Any:
        playbook = tmp_path_factory.mktemp("verbs") / "playbook.yml"
        play = {"name": "Run", "hosts": "application", "become": True, "gather_facts": False}
        playbook.write_text(json.dumps([{**play, "tasks": as_tasks(steps, variables)}]))
        return run_playbook(str(playbook), *options)

    return run


@pytest.fixture(scope="session")
def refused(run_playbook: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Try cases, (steps, variables) each, in one run, and go on with more steps; what was said as each was refused."""

    def run(*cases: tuple[Steps, dict[str, Any]], afterwards: Steps = ()) -> list[str]:
        tasks = [
            {
                "block": [*as_tasks(steps, variables), {"ansible.builtin.fail": {"msg": "was not refused"}}],
                "rescue": [
                    {"name": f"case {number}", "ansible.builtin.debug": {"msg": "{{ ansible_failed_result.msg }}"}}
                ],
            }
            for number, (steps, variables) in enumerate(cases)
        ]
        playbook = tmp_path_factory.mktemp("refused") / "playbook.yml"
        play = {"name": "Try", "hosts": "application", "become": True, "gather_facts": False}
        play["tasks"] = [*tasks, *as_tasks(afterwards, {})]
        playbook.write_text(json.dumps([play]))
        result = run_playbook(str(playbook))
        assert result.returncode == 0, result.message()
        said = {
            name: " ".join(str(details["msg"]).split()) for _, name, details in result.results if name[:5] == "case "
        }
        # A task with a loop says in its items what was wrong.
        items = [
            " ".join(item["msg"] for item in details["results"] if item.get("failed"))
            for _, _, details in result.results
            if details.get("failed") and "results" in details
        ]
        return [
            items.pop(0) if said[f"case {number}"] == "One or more items failed" else said[f"case {number}"]
            for number in range(len(cases))
        ]

    return run


@pytest.fixture
def drop_in(app1: Host) -> Iterator[Callable[[str], None]]:
    """Restart the service with more settings in its unit; in the end it runs without them."""

    def put(settings: str) -> None:
        app1.check_output("mkdir -p %s && printf %s > %s/test.conf", DROP_IN, f"[Service]\n{settings}", DROP_IN)
        app1.check_output("systemctl daemon-reload && systemctl restart contralock.service")

    yield put
    app1.check_output(
        "rm -rf %s && systemctl daemon-reload && systemctl kill --signal=KILL contralock.service || true", DROP_IN
    )
    app1.check_output("systemctl restart contralock.service")


@pytest.fixture
def env_text(app1: Host) -> Iterator[str]:
    """The .env file's text; in the end it stands there again."""
    text = app1.check_output("cat %s; echo .", ENV)[:-1]
    yield text
    app1.check_output("printf %%s %s > %s", text, ENV)


def main_pid(app1: Host) -> int:
    return int(app1.check_output("systemctl show --property=MainPID --value contralock.service"))


def answers(app1: Host) -> dict[str, Any]:
    """What the application says about itself, asked for a few seconds."""
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:5000/health', timeout=5).read().decode())"
    loop = f"for i in $(seq 40); do python3 -c {json.dumps(ask)} 2>/dev/null && exit 0; sleep 0.25; done; exit 1"
    return json.loads(app1.check_output(loop))
