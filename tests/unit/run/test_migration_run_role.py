"""The role migration_run, by real ansible-playbook runs on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_lock import read_lease
from ansible_collections.contralock.database.plugins.module_utils.steps import steps_of

from tests.unit.run.test_followed_module import Play, only_run

PROJECT = Path(__file__).parents[3]
# What follows the first steps of a run, in one process: Ansible takes half a second for each.
REST = """
import sys
from pathlib import Path
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step
run = RunDirectory.at(Path(sys.argv[1]))
for state in ("begun", "done"):
    for step in sys.argv[3:]:
        record_step(run, state, step, {}, sys.argv[2])
"""
STEPS = [step.name for step in steps_of("cut_over")[1:-1]]


def role(tasks_from: str = "main.yml", **variables: Any) -> dict[str, Any]:
    return {"ansible.builtin.import_role": {"name": "migration_run", "tasks_from": tasks_from}, "vars": variables}


def record(state: str, **more: Any) -> dict[str, Any]:
    module = {"state": state, "step": "{{ item }}", "run": "{{ migration_run_directory }}"}
    return {"contralock.database.migration_run": module, **more}


@pytest.fixture
def play(tmp_path: Path, root: Path) -> Play:
    return Play(tmp_path, root)


def opening(root: Path) -> dict[str, Any]:
    known = {"migration_run_root": str(root), "migration_run_python": sys.executable}
    door = {"keeps_users_out": "door close", "lets_users_in": "door open"}
    return role(migration_run_verb="cut_over", migration_run_door=door, **known)


def test_open_do_and_close_then_nothing_is_left_to_do(play, root, tmp_path):
    known = {"migration_run_python": sys.executable}
    doing = [record(state, loop=[step]) for step in STEPS[:2] for state in ("begun", "done")]
    del doing[2]
    doing[1]["contralock.database.migration_run"]["begins"] = STEPS[1]
    arguments = [sys.executable, "-c", REST, "{{ migration_run_directory }}", "{{ __migration_run_lease }}", *STEPS[2:]]
    rest = {"argv": arguments, "expand_argument_vars": False}
    doing.append({"ansible.builtin.command": rest, "environment": {"PYTHONPATH": str(PROJECT / "collections")}})
    doing = [task | {"when": "not migration_run_already_done"} for task in doing]
    closing = role("close.yml", **known) | {"when": "not migration_run_already_done"}
    code, output = play([opening(root), *doing, closing])
    assert code == 0, output
    assert "CUT-OVER DONE." in output
    assert "Application    is configured for PostgreSQL" in output
    run = only_run(root)
    assert (run.outcome(), read_lease(root)) == ("done", None)
    # Without an inventory's directory: beside the playbook.
    page = tmp_path / "reports" / f"{run.id}.html"
    assert f"The page of the run: {page}" in output
    assert "CUT-OVER DONE." in page.read_text()
    assert (run.path / "report.html").read_bytes() == page.read_bytes()
    assert [each.stat().st_mode & 0o777 for each in (page, run.path / "report.html")] == [0o600, 0o600]
    assert run.facts("open")["inventory"] == ["localhost,"]
    assert [run.facts("open")[name] for name in ("keeps_users_out", "lets_users_in")] == ["door close", "door open"]
    assert [(each.step, each.state) for each in run.records()][2:6] == [
        ("preflight", "begun"),
        ("preflight", "done"),
        ("keep_out", "begun"),
        ("keep_out", "done"),
    ]
    before = (run.path / "journal.jsonl").read_bytes()
    code, output = play([opening(root), *doing, closing])
    assert code == 0, output
    assert f"The run {run.id} has done this already; nothing is left to do." in output
    assert "changed=0 " in output
    assert (run.path / "journal.jsonl").read_bytes() == before


def test_a_rescue_records_what_failed_and_leaves(play, root, tmp_path):
    failing = [record("begun", loop=["preflight"]), {"ansible.builtin.fail": {"msg": "The disk is too small."}}]
    rescue = [role("leave.yml", migration_run_python=sys.executable), {"ansible.builtin.fail": {"msg": "left"}}]
    code, output = play([opening(root), {"block": failing, "rescue": rescue}])
    assert code == 2, output
    run = only_run(root)
    assert run.standings()["preflight"].message == "The disk is too small."
    assert (run.outcome(), read_lease(root)) == ("failed", None)
    assert "The disk is too small." in (tmp_path / "reports" / f"{run.id}.html").read_text()


def test_the_page_of_what_a_way_back_closes_is_written_too(play, root, runs, tmp_path):
    forward = runs.open()
    runs.do(forward, up_to="back_up")
    back = runs.open("roll_back")
    runs.do(back, up_to="let_in")
    module = {"state": "closed", "run": str(back.run.path), "pages": str(tmp_path / "pages"), "lease": back.lease}
    code, output = play([{"contralock.database.migration_run": module}])
    assert code == 0, output
    assert "WAY BACK DONE." in (tmp_path / "pages" / f"{back.run.id}.html").read_text()
    assert "CUT-OVER TAKEN BACK." in (tmp_path / "pages" / f"{forward.run.id}.html").read_text()
    assert (forward.run.path / "report.html").is_file()


def plant(fault: str, run: Path, pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "no folder":
        pages.write_text("a file")
    elif fault == "no library":
        (pages.parent / "library").mkdir()
        (pages.parent / "library" / "matplotlib.py").write_text("raise ImportError('no plotting library')\n")
        monkeypatch.setenv("PYTHONPATH", str(pages.parent / "library"))
    else:
        # A folder of the page's name in a folder in its place.
        (run / "report.html" / f"{run.name}.html").mkdir(parents=True)


@pytest.mark.parametrize("fault", ["no folder", "no library", "no place on the host"])
def test_what_goes_wrong_with_a_page_is_told_and_changes_nothing_else(play, root, runs, monkeypatch, fault):
    opened = runs.open()
    runs.do(opened, up_to="let_in")
    pages = play.folder / "pages"
    plant(fault, opened.run.path, pages, monkeypatch)
    module = {"state": "closed", "run": str(opened.run.path), "pages": str(pages), "lease": opened.lease}
    said = {"ansible.builtin.assert": {"that": ["closed is changed", "closed.outcome == 'done'", "closed.pages == []"]}}
    code, output = play([{"contralock.database.migration_run": module, "register": "closed"}, said])
    assert code == 0, output
    assert f"the page of {opened.run.id} could not be written: " in " ".join(output.split())
    assert (only_run(root).outcome(), read_lease(root)) == ("done", None)
    assert (opened.run.path / "report.json").is_file()


def test_without_the_toolkit_a_check_goes_on_and_a_run_is_refused(play, root):
    missing = role(migration_run_verb="cut_over", migration_run_root=str(root), migration_run_python="/nowhere/python")
    assert play([missing], "--check")[0] == 0
    code, output = play([missing])
    assert code == 2
    assert "/nowhere/python is missing on localhost. Run playbooks/prepare.yml before this one." in " ".join(
        output.split()
    )
    assert list(root.iterdir()) == []
