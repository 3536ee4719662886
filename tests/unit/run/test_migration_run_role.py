"""The role migration_run, by real ansible-playbook runs on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_lock import read_lease
from ansible_collections.contralock.database.plugins.module_utils.steps import steps_of

from tests.unit.run.test_followed_module import Play, only_run

STEPS = [step.name for step in steps_of("cut_over")[1:-1]]


def role(tasks_from: str = "main.yml", **variables: Any) -> dict[str, Any]:
    return {"ansible.builtin.import_role": {"name": "migration_run", "tasks_from": tasks_from}, "vars": variables}


def record(state: str, **more: Any) -> dict[str, Any]:
    module = {"state": state, "step": "{{ item }}", "run": "{{ migration_run_directory }}"}
    return {"contralock.database.migration_run": module, **more}


@pytest.fixture
def play(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setenv("ANSIBLE_ROLES_PATH", str(Path(__file__).parents[3] / "roles"))
    return Play(tmp_path, root)


def opening(root: Path) -> dict[str, Any]:
    return role(migration_run_verb="cut_over", migration_run_root=str(root), migration_run_python=sys.executable)


def test_open_do_and_close_then_nothing_is_left_to_do(play, root):
    known = {"migration_run_python": sys.executable}
    doing = [record(state, loop=STEPS) | {"when": "not migration_run_already_done"} for state in ("begun", "done")]
    closing = role("close.yml", **known) | {"when": "not migration_run_already_done"}
    code, output = play([opening(root), *doing, closing])
    assert code == 0, output
    assert "CUT-OVER DONE." in output
    assert "Application    runs on PostgreSQL" in output
    run = only_run(root)
    assert (run.outcome(), read_lease(root)) == ("done", None)
    assert run.facts("open")["inventory"] == ["localhost,"]
    before = (run.path / "journal.jsonl").read_bytes()
    code, output = play([opening(root), *doing, closing])
    assert code == 0, output
    assert f"The run {run.id} has done this already; nothing is left to do." in output
    assert "changed=0 " in output
    assert (run.path / "journal.jsonl").read_bytes() == before


def test_a_rescue_records_what_failed_and_leaves(play, root):
    failing = [record("begun", loop=["preflight"]), {"ansible.builtin.fail": {"msg": "The disk is too small."}}]
    rescue = [role("leave.yml", migration_run_python=sys.executable), {"ansible.builtin.fail": {"msg": "left"}}]
    code, output = play([opening(root), {"block": failing, "rescue": rescue}])
    assert code == 2, output
    run = only_run(root)
    assert run.standings()["preflight"].message == "The disk is too small."
    assert (run.outcome(), read_lease(root)) == ("failed", None)


def test_without_the_toolkit_a_check_goes_on_and_a_run_is_refused(play, root):
    missing = role(migration_run_verb="cut_over", migration_run_root=str(root), migration_run_python="/nowhere/python")
    assert play([missing], "--check")[0] == 0
    code, output = play([missing])
    assert code == 2
    assert "/nowhere/python is missing on localhost. Run playbooks/prepare.yml before this one." in " ".join(
        output.split()
    )
    assert list(root.iterdir()) == []
