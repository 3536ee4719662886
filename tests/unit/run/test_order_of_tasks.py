"""What has to come before what in the roles that move the application: read from their tasks, without a host.

The journeys in molecule/cut_over show that it works; here a step that is moved, or a guard that is dropped, is seen at
once. The order is that of ``steps.py``, which journal, report and kill tests go by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.contralock.database.plugins.module_utils.steps import steps_of

ROLES = Path(__file__).parents[3] / "roles"
#: Shared by two of them, and read in place.
STEPS_FOR_USERS = ("keep_out.yml", "let_in.yml")
#: What these do stands for itself.
DOOR = ("close.yml", "open.yml")
IMPORTS = ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")
ROLE = "ansible.builtin.import_role"
MODULES = "contralock.database."
#: By the role that plays them, the verb whose steps they are; opening and closing are the role migration_run's.
VERBS = {"cutover": "cut_over", "rollback": "roll_back", "rehearsal": "rehearse"}


def tasks_of(
    role: str, file: str = "main.yml", content: list[dict[str, Any]] | None = None
) -> Iterator[dict[str, Any]]:
    """The tasks of a role in their order, those of its own files in place; what rescues is left out."""
    found = content if content is not None else yaml.safe_load((ROLES / role / "tasks" / file).read_text("utf-8"))
    for task in found:
        imported = next((task[name]["file"] for name in IMPORTS if name in task), None)
        if imported and imported not in DOOR:
            yield from tasks_of(role, imported)
        elif task.get(ROLE, {}).get("tasks_from") in STEPS_FOR_USERS:
            yield from tasks_of(task[ROLE]["name"], task[ROLE]["tasks_from"])
        elif "block" in task:
            yield from tasks_of(role, file, task["block"])
            yield from tasks_of(role, file, task.get("always", []))
        else:
            yield task


def label(task: dict[str, Any]) -> str:
    """A task as it is spoken of below: what it runs, with the words that tell it from others of its kind."""
    if ROLE in task:
        return f"{task[ROLE]['name']}/{task[ROLE].get('tasks_from', 'main.yml')}"
    if IMPORTS[0] in task:
        return f"application_service/{task[IMPORTS[0]]['file']}"
    name = next((name for name in task if name.startswith((MODULES, "ansible.builtin."))), "")
    given = task[name] if isinstance(task.get(name), dict) else {}
    words = [str(given.get(key, "")) for key in ("state", "step", "uses", "that")]
    words += ["begins", str(given["begins"])] if "begins" in given else []
    return " ".join([name.rpartition(".")[2], *filter(None, words)])


def recorded(role: str) -> list[str]:
    """The steps in the order in which the role records that they begin: by a task of its own or a module that does."""
    names = [step.name for step in steps_of(VERBS[role])]
    seen: list[str] = []
    for task in tasks_of(role):
        given = [str(value) for value in yaml_values(task)]
        seen += [name for name in names if name in given and name not in seen]
    return seen


def yaml_values(task: dict[str, Any]) -> Iterator[object]:
    """The values of a task's arguments that name a step."""
    for name, value in task.items():
        if name.startswith(MODULES) and isinstance(value, dict) and value.get("state") != "failed":
            yield value.get("step")
        if name == "vars":
            yield from (one for key, one in value.items() if key.endswith("_step"))


def position(labels: list[str], pattern: str) -> int:
    """Where the first task is whose label fits."""
    found = [number for number, text in enumerate(labels) if re.search(pattern, text)]
    assert found, f"no task is {pattern}"
    return found[0]


@pytest.mark.parametrize("role", VERBS)
def test_steps_are_taken_in_the_order_of_their_list(role):
    assert recorded(role) == [step.name for step in steps_of(VERBS[role])[1:-1]]


#: Role, what comes first, what comes after it.
PAIRS = [
    ("cutover", r"assert application_config_found.type == 'sqlite'", "migration_run begun stop"),
    ("cutover", r"assert application_service_found.running", "migration_run begun stop"),
    ("cutover", r"assert .*application_config_path == __cutover_env_path", "migration_run begun stop"),
    ("cutover", r"assert __cutover_own \| length > 0", "migration_run begun stop"),
    ("cutover", r"assert __cutover_foreign \| length == 0", "migration_run begun stop"),
    ("cutover", "data_transfer/settle.yml", "pg_schema"),
    ("cutover", r"assert __cutover_schema.pending \| length == 0", "source_assessment"),
    ("cutover", "source_assessment", "migration_run begun stop"),
    ("cutover", "application_service/commands$", "migration_run/open.yml"),
    ("rollback", "application_service/commands$", "migration_run/open.yml"),
    ("cutover", "application_access tested", "begins keep_out"),
    ("cutover", r"assert .*application_service_canary_table", "begins keep_out"),
    ("cutover", "canary_info", "begins keep_out"),
    ("cutover", "begins keep_out", "application_service/close.yml"),
    ("rollback", "begins .*keep_out", "application_service/close.yml"),
    # Users are kept out before anything stops, and come in when it is proven.
    ("cutover", "application_service/close.yml", "migration_run done keep_out"),
    ("cutover", "migration_run done keep_out", "migration_run begun stop"),
    ("cutover", "application_service/stop.yml", "source_fence/main.yml"),
    ("cutover", "source_fence/main.yml", "sqlite_backup/main.yml"),
    ("cutover", "sqlite_backup/main.yml", "data_transfer/main.yml"),
    ("cutover", "data_transfer/main.yml", "data_integrity/main.yml"),
    ("cutover", "data_integrity/main.yml", "application_access grant"),
    ("cutover", "application_access grant", "application_config/main.yml"),
    ("cutover", "application_config/main.yml", "application_config/flip.yml"),
    ("cutover", "application_config/flip.yml", "application_service/start.yml"),
    ("cutover", "application_service/start.yml", "application_service/wait.yml"),
    # A lease that ends in between would let another controller begin.
    ("cutover", "application_service/start.yml", "migration_run renewed"),
    ("cutover", "migration_run renewed", "application_service/wait.yml"),
    ("cutover", "application_service/wait.yml", "migration_run done start"),
    ("cutover", "migration_run done start", "application_proof prove postgresql"),
    ("cutover", "application_proof prove postgresql", "migration_run begun let_in"),
    ("cutover", "application_service/open.yml", "migration_run done let_in"),
    ("cutover", "migration_run done let_in", "migration_run/close.yml"),
    ("rollback", "source_restore/test.yml", "migration_run begun stop"),
    ("rollback", "data_integrity_result.later_rows == rollback_discard_rows", "migration_run begun stop"),
    ("rollback", "assert not __rollback_target.answers", "migration_run begun stop"),
    ("rollback", "data_integrity_result.later_rows == rollback_discard_rows", "begins .*keep_out"),
    ("rollback", "application_service/close.yml", "migration_run done keep_out"),
    ("rollback", "migration_run done keep_out", "migration_run begun stop"),
    ("rollback", "application_service/stop.yml", "application_access absent revoke"),
    # Whoever may still connect writes behind a count.
    ("rollback", "application_access absent revoke", "migration_run begun recount"),
    ("rollback", "migration_run done recount", "source_restore/main.yml"),
    ("rollback", "source_restore/main.yml", "application_config/flip.yml"),
    ("rollback", "application_config/flip.yml", "application_service/start.yml"),
    ("rollback", "application_service/start.yml", "application_service/wait.yml"),
    ("rollback", "application_service/start.yml", "migration_run renewed"),
    ("rollback", "migration_run renewed", "application_service/wait.yml"),
    ("rollback", "application_service/wait.yml", "migration_run done start"),
    ("rollback", "migration_run done start", "application_proof prove sqlite"),
    ("rollback", "application_proof prove sqlite", "migration_run begun let_in"),
    ("rollback", "application_service/open.yml", "migration_run done let_in"),
    ("rollback", "migration_run done let_in", "migration_run/close.yml"),
]


@pytest.mark.parametrize(("role", "first", "after"), PAIRS)
def test_the_one_comes_before_the_other(role, first, after):
    labels = [label(task) for task in tasks_of(role)]
    assert position(labels, first) < position(labels, after)


def test_the_count_that_decides_stands_between_the_two_records_of_its_step():
    labels = [label(task) for task in tasks_of("rollback")]
    begun, done = position(labels, "migration_run begun recount"), position(labels, "migration_run done recount")
    between = labels[begun:done]
    assert position(between, "data_integrity/main.yml") < position(between, "later_rows == rollback_discard_rows")


def test_a_server_is_asked_again_when_the_application_has_stopped():
    labels = [label(task) for task in tasks_of("rollback")]
    stopped, restored = position(labels, "migration_run done stop"), position(labels, "source_restore/main.yml")
    position(labels[stopped:restored], "assert not __rollback_target.answers")


def test_what_is_proven_is_not_taken_back():
    """The block that is taken back ends with the proof."""
    (window,) = yaml.safe_load((ROLES / "cutover/tasks/window.yml").read_text("utf-8"))
    taken_back = [label(task) for task in tasks_of("cutover", "window.yml", window["block"])]
    assert taken_back[-1].startswith("application_proof")
    assert [rescue["ansible.builtin.import_tasks"]["file"] for rescue in window["rescue"]] == ["take_back.yml"]


def test_once_users_may_be_in_nothing_goes_back_by_itself():
    """The proof is not repeated then, either: what it finds would be taken back."""
    main = yaml.safe_load((ROLES / "cutover/tasks/main.yml").read_text("utf-8"))
    (cut_over,) = [task["block"] for task in main if task["name"] == "Cut over"]
    (window,) = [task for task in cut_over if task.get(IMPORTS[0], {}).get("file") == "window.yml"]
    assert window["when"].endswith("__cutover_steps.let_in == 'waiting'")
    assert "window.yml" not in str(yaml.safe_load((ROLES / "cutover/tasks/finish.yml").read_text("utf-8")))
    assert not [text for text in map(label, tasks_of("cutover", "finish.yml")) if "proof" in text or "rollback" in text]


@pytest.mark.parametrize("role", ["cutover", "rollback", "validation"])
def test_every_proof_is_told_all_of_the_application(role):
    """A shell that somebody left open on the file is not the application; nor is whoever else uses its role."""
    (proof,) = [
        task[f"{MODULES}application_proof"] for task in tasks_of(role) if label(task).startswith("application_proof")
    ]
    # Where it says nothing the way back leaves the canary out, and nothing else (test_users_door.py).
    said = {"rollback": "{{ __rollback_proof }}"}.get(role, "{{ application_service_proof }}")
    assert proof["application"] == said
    assert "preflight.databases" in proof["known_databases"]
    told = yaml.safe_load((ROLES / "application_service/vars/main.yml").read_text("utf-8"))["application_service_proof"]
    assert told["unit"] == "{{ application_service_unit if __application_service_systemd else '' }}"


def test_a_cut_over_that_is_refused_lets_users_in_before_it_leaves():
    labels = [label(task) for task in tasks_of("cutover", "leave.yml")]
    opened, taken_back = position(labels, "application_service/open.yml"), position(labels, "migration_run taken_back")
    assert opened < taken_back < position(labels, "migration_run left")


def test_a_finished_cut_over_removes_what_a_rehearsal_left():
    """At its very end, whatever was done before: a server that is gone must not keep the application waiting."""
    assert [label(task) for task in tasks_of("cutover")][-1] == "rehearsal/left_over.yml"


def test_a_way_back_that_is_refused_gives_back_before_it_leaves():
    """Connect first, because an application that starts without it fails."""
    labels = [label(task) for task in tasks_of("rollback", "leave.yml")]
    connect, start = position(labels, "^application_access$"), position(labels, "application_service/start.yml")
    alive, opened = position(labels, "migration_run renewed"), position(labels, "application_service/open.yml")
    taken_back, left = position(labels, "migration_run taken_back"), position(labels, "migration_run left")
    assert connect < start < alive < opened < taken_back < left


def test_the_way_back_of_a_cut_over_goes_where_that_one_has_been():
    (back,) = [task for task in tasks_of("cutover", "take_back.yml") if task.get(ROLE, {}).get("name") == "rollback"]
    assert back["vars"] == {f"rollback_{name}": f"{{{{ cutover_{name} }}}}" for name in ("profile", "target", "role")}


@pytest.mark.parametrize(("role", "writes"), [("cutover", 2), ("rollback", 1)])
def test_what_writes_the_configuration_is_held_against_the_lease(role, writes):
    """A controller that was superseded would switch behind the way back of the other one."""
    parts = [task for task in tasks_of(role) if task.get(ROLE, {}).get("name") == "application_config"]
    writing = [task for task in parts if task[ROLE].get("tasks_from") in (None, "flip.yml")]
    runs = [task["vars"]["application_config_run"] for task in writing]
    assert runs == ["{{ migration_run_directory }}"] * writes


@pytest.mark.parametrize("pattern", ["no such task", "application_access absent grant"])
def test_a_task_that_is_gone_is_noticed(pattern):
    with pytest.raises(AssertionError, match="no task is"):
        position([label(task) for task in tasks_of("cutover")], pattern)
