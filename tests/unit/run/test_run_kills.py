"""SIGKILL at every operation of opening, recording and closing; processes that a dead controller left; two at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.left_over import (
    MARKER,
    end,
    identity,
    is_known_to_be_gone,
    lock_holders,
    marked,
    of_run,
    process,
)
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory, runs_in
from ansible_collections.contralock.database.plugins.module_utils.run_lock import LOCK, locked, read_lease
from ansible_collections.contralock.database.plugins.module_utils.run_opening import close_run
from ansible_collections.contralock.database.plugins.module_utils.run_report import write_report
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step, within_run
from ansible_collections.contralock.database.plugins.module_utils.steps import ROLL_BACK_AGAIN, VERBS, steps_of

from tests.unit.run.conftest import OTHER, Runs
from tests.unit.run.kills import in_a_process, kill, kill_at_each_operation, wait, wait_for
from tests.unit.run.test_run_opening import age

PROJECT = Path(__file__).parents[3]
EVERY_STEP = [(verb, step.name) for verb in VERBS for step in steps_of(verb)[1:-1]]

# What a module is: a verb within a run, with a program that it has started.
MODULE = """
import signal, subprocess, sys, time
from ansible_collections.contralock.database.plugins.module_utils.run_step import within_run
with within_run(sys.argv[1], sys.argv[2]) as around:
    if sys.argv[3] == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    program = subprocess.Popen(["sleep", "600"])
    around.progress("working")
    print(program.pid, flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def module_at_work(run: RunDirectory, step: str, manner: str = "polite") -> Iterator[tuple[int, int]]:
    """A module's process and the one that it started, in a session of their own as under Ansible's async wrapper."""
    command = [sys.executable, "-c", MODULE, str(run.path), step, manner]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "collections")}
    module = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    try:
        assert module.stdout is not None
        yield module.pid, int(module.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(module.pid, signal.SIGKILL)
        module.communicate()


def is_gone(pid: int) -> bool:
    return process(pid) is None


def test_opening_killed_at_every_operation_leaves_no_run_or_a_whole_one(runs, root):
    for _ in kill_at_each_operation(lambda: runs.open(controller=OTHER), root, at_least=10):
        found = runs_in(root, "cut_over")
        assert len(found) <= 1
        for run in found:
            assert run.standings()["open"].state == "done"
        lease = read_lease(root)
        assert lease is None or lease.run == found[0].id
        # The next one waits for the lease, if it came to that, and goes on with the same run.
        opened = runs.open(take_over=lease.run if lease else "")
        assert opened.resumed == bool(found)
        assert [path.name for path in root.glob(".*.new")] == []
        record_step(opened.run, "begun", "preflight", {}, opened.lease)
        close_run(opened.run, opened.lease)
        assert list(root.glob("alive-*")) == []
        for leftover in root.iterdir():
            if leftover.is_dir():
                for file in leftover.iterdir():
                    file.unlink()
                leftover.rmdir()


def test_resuming_killed_at_every_operation_can_be_resumed(runs, root):
    first = runs.open()
    runs.do(first, "preflight", "keep_out", "stop")

    def take_over() -> None:
        runs.open(controller=OTHER, take_over=first.run.id)

    for _ in kill_at_each_operation(take_over, root, at_least=5):
        again = runs.open(take_over=first.run.id)
        assert (again.run, again.resumed) == (first.run, True)
        assert again.run.facts("stop") == {"of": "stop"}
        assert again.run.current().name == "fence"


@pytest.mark.parametrize("state", ["begun", "done", "failed", "taken_back"])
def test_recording_killed_at_every_operation_is_there_or_not(runs, root, state):
    opened = runs.open()
    record_step(opened.run, "begun", "stop", {}, opened.lease)
    for _ in kill_at_each_operation(lambda: record_step(opened.run, state, "stop", {}, opened.lease), root, 3):
        assert opened.run.standings()["stop"].state in ("begun", state)
        lease = read_lease(root)
        assert lease is not None
        assert lease.token == opened.lease
    assert opened.run.standings()["stop"].state == state


def test_closing_killed_at_every_operation_is_finished_by_the_next(runs, root):
    opened = runs.open()
    runs.do(opened, up_to="let_in")

    def close() -> None:
        close_run(opened.run, opened.lease, None, write_report)

    for _ in kill_at_each_operation(close, root, at_least=5):
        assert opened.run.outcome() in (None, "done")
        # A closed run's lease holds nobody up.
        if opened.run.outcome():
            assert runs.open(controller=OTHER).already_done
    assert read_lease(root) is None
    assert (opened.run.path / "report.json").is_file()


@pytest.mark.parametrize("earlier", [False, True], ids=["alone", "after an earlier one there and back"])
def test_closing_a_way_back_killed_at_every_operation_is_gone_on_with(runs, root, earlier, refusal):
    """Between closing the cut-over and closing itself, the way back still knows what it takes back."""
    if earlier:
        runs.finish()
        runs.finish("roll_back")
    forward = runs.open()
    runs.do(forward, up_to="flip")
    opened = runs.open("roll_back")
    back = runs.do(opened, up_to="let_in")
    # Each kill meets the same state: what an earlier one left done would hide the points behind it.
    shutil.copytree(root, kept := root.parent / "kept")
    for _ in kill_at_each_operation(lambda: close_run(back, opened.lease), root, at_least=20):
        assert (forward.run.outcome(), back.outcome()) != (None, "done")
        if back.outcome() is None:
            assert f"Finish it first: {ROLL_BACK_AGAIN}" in refusal(runs.open, "cut_over")
            again = runs.open("roll_back")
            assert (again.run, again.takes_back) == (back, forward.run)
            close_run(back, again.lease)
        assert (forward.run.outcome(), back.outcome()) == ("taken_back", "done")
        shutil.rmtree(root)
        shutil.copytree(kept, root)
    assert (forward.run.outcome(), back.outcome()) == ("taken_back", "done")


def test_a_deed_that_fails_or_does_nothing_is_no_deed_that_was_killed(root):
    """The helper of these tests must not take the end of a failure for the deed's."""
    with pytest.raises(AssertionError, match="the deed failed"):
        list(kill_at_each_operation((root / "missing").read_text, root))
    with pytest.raises(AssertionError, match="0 operations were killed, and 1 were expected"):
        list(kill_at_each_operation(lambda: None, root))


@pytest.mark.parametrize(("verb", "step"), EVERY_STEP)
def test_killed_within_any_step_the_next_run_stands_there(runs, root, verb, step):
    """Each step of the one list is killed; the journal says where, and the lock is free."""
    if verb == "roll_back":
        forward = runs.open("cut_over")
        runs.do(forward, up_to="let_in")
    opened = runs.open(verb)
    names = [one.name for one in steps_of(verb)]
    before = names[names.index(step) - 1]
    if before != "open":
        runs.do(opened, up_to=before)

    def work() -> None:
        with within_run(str(opened.run.path), step, opened.lease):
            time.sleep(600)

    module = in_a_process(work)
    wait_for(lambda: opened.run.current().name == step and step in opened.run.standings())
    kill(module)
    assert opened.run.standings()[step].state == "begun"
    again = runs.open(verb)
    assert (again.run, again.resumed, again.run.current().name) == (opened.run, True, step)
    runs.do(again, step)
    assert again.run.current().name == names[names.index(step) + 1]


def test_a_module_at_work_keeps_the_lock_and_the_next_one_is_refused_by_name(runs, root, monkeypatch, refusal):
    monkeypatch.setattr("ansible_collections.contralock.database.plugins.module_utils.run_step.LOCK_WAIT_SECONDS", 0.2)
    opened = runs.open()
    with module_at_work(opened.run, "transfer") as (module, program):
        assert [one.pid for one in lock_holders(root / LOCK)] == [module]
        said = refusal(record_step, opened.run, "begun", "compare", {}, opened.lease)
        assert f"another verb of the run {opened.run.id} is still at work: python" in said
        assert f"(pid {module}) holds {root}/lock. Wait until it has ended." in said
        assert "is under way" in refusal(runs.open, controller=OTHER)
        assert not is_gone(program)


@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_what_a_dead_controller_left_is_ended_once_its_lease_is(runs, root, monkeypatch, manner):
    monkeypatch.setattr(end, "__defaults__", (0.5,))
    opened = runs.open()
    with module_at_work(opened.run, "transfer", manner) as (module, program):
        name = Path(f"/proc/{module}/comm").read_text().strip()
        age(root, 500)
        again = runs.open(controller=OTHER)
        assert (again.run, again.resumed) == (opened.run, True)
        assert again.ended == (f"{name} (pid {module})", f"sleep (pid {program})")
        assert is_gone(module)
        assert is_gone(program)
        assert lock_holders(root / LOCK) == []
    standing = again.run.standings()["transfer"]
    assert standing.state == ("failed" if manner == "polite" else "begun")
    if manner == "polite":
        assert standing.message == "interrupted: the process was asked to end."


def test_a_program_whose_module_was_killed_is_found_by_its_mark(runs, root):
    opened = runs.open()
    with module_at_work(opened.run, "transfer") as (module, program):
        os.kill(module, signal.SIGKILL)
        wait_for(lambda: is_gone(module))
        assert not is_gone(program)
        assert [one.pid for one in marked(root)] == [program]
        again = runs.open(controller=OTHER, take_over=opened.run.id)
        assert again.ended == (f"sleep (pid {program})",)
        assert is_gone(program)


def test_a_child_that_inherited_the_lock_is_found_although_its_module_was_killed(runs, root, monkeypatch, refusal):
    monkeypatch.setattr("ansible_collections.contralock.database.plugins.module_utils.run_step.LOCK_WAIT_SECONDS", 0.2)
    opened = runs.open()

    def work() -> None:
        with within_run(str(opened.run.path), "transfer", opened.lease):
            os.fork()
            time.sleep(600)

    module = in_a_process(work)
    wait_for(lambda: len(lock_holders(root / LOCK)) == 2)
    kill(module)
    (child,) = lock_holders(root / LOCK)
    said = refusal(record_step, opened.run, "failed", "transfer", {}, opened.lease)
    assert f"(pid {child.pid}) holds {root}/lock" in said
    assert runs.open().ended == (str(child),)
    assert lock_holders(root / LOCK) == []


def test_programs_of_another_root_are_left_alone(runs, root, tmp_path):
    environment = {**os.environ, MARKER: str(tmp_path / "another")}
    with subprocess.Popen(["sleep", "600"], env=environment) as other:
        assert of_run(root, root / LOCK) == []
        runs.open()
        assert other.poll() is None
        other.kill()


def test_this_process_and_its_parents_are_never_ended(root, monkeypatch):
    with locked(root / LOCK, 1, "x"):
        assert [one.pid for one in lock_holders(root / LOCK)] == [os.getpid()]
        # Other tests' servers may be children of this process.
        assert not {one.pid for one in of_run(root, root / LOCK)} & {os.getpid(), os.getppid()}


def test_a_process_whose_number_was_given_away_is_left_alone(root):
    with subprocess.Popen(["sleep", "600"]) as program:
        wait_for(lambda: process(program.pid))
        now = process(program.pid)
        earlier = type(now)(now.pid, now.started - 1, now.parent, now.name)
        assert end([earlier]) == []
        assert program.poll() is None
        assert end([now]) == [now]
        program.wait()


def test_a_process_of_this_machine_is_known_to_be_gone_only_when_it_is():
    with subprocess.Popen(["sleep", "600"]) as program:
        wait_for(lambda: process(program.pid))
        named = identity(program.pid)
        assert not is_known_to_be_gone(named)
        boot, namespace, pid, started = named.split()
        assert is_known_to_be_gone(f"{boot} {namespace} {pid} {int(started) - 1}")
        for elsewhere in (f"x{boot} {namespace} {pid} 1", f"{boot} pid:[1] {pid} 1", "", "x", "x y z"):
            assert not is_known_to_be_gone(elsewhere)
        program.kill()
        program.wait()
        assert is_known_to_be_gone(named)


def test_of_many_that_open_at_once_one_is_let_in(runs, root):
    results = root.parent / "results"
    results.mkdir()

    def open_as(number: int) -> None:
        try:
            opened = Runs(root).open(controller=f"controller {number}")
            (results / f"{number}").write_text(f"opened {opened.run.id}")
        except MigrationError as error:
            (results / f"{number}").write_text(f"refused {error}")

    children = [in_a_process(lambda number=number: open_as(number)) for number in range(8)]
    assert [wait(child) for child in children] == [0] * 8
    said = [path.read_text() for path in sorted(results.iterdir())]
    assert len(said) == 8
    winners = [line for line in said if line.startswith("opened")]
    assert len(winners) == 1
    assert all("is under way" in line for line in said if line not in winners)
    assert len(runs_in(root)) == 1


def test_of_many_that_take_over_at_once_one_token_is_valid(runs, root):
    first = runs.open()
    results = root.parent / "results"
    results.mkdir()

    def take_over(number: int) -> None:
        opened = Runs(root).open(controller=f"controller {number}", take_over=first.run.id)
        (results / f"{number}").write_text(opened.lease)

    children = [in_a_process(lambda number=number: take_over(number)) for number in range(5)]
    assert [wait(child) for child in children] == [0] * 5
    tokens = [path.read_text() for path in results.iterdir()]
    lease = read_lease(root)
    assert lease is not None
    assert len(set(tokens)) == 5
    assert lease.token in tokens
    worked = 0
    for token in tokens:
        with contextlib.suppress(MigrationError):
            record_step(first.run, "begun", "preflight", {}, token)
            worked += 1
    assert worked == 1
    assert [path.name for path in root.glob("alive-*")] == [f"alive-{lease.token}"]


def test_a_step_s_facts_and_failures_are_journalled(runs, refusal):
    opened = runs.open()
    path = str(opened.run.path)
    with within_run(path, "preflight", opened.lease) as around:
        around.facts = {"rows": 3, "path": "secret"}
    assert opened.run.facts("preflight") == {"rows": 3, "path": "secret"}

    def clean(given: Any) -> Any:
        return {key: "***" if value == "secret" else value for key, value in given.items()}

    with within_run(path, "stop", opened.lease, clean) as around:
        around.progress({"line": "secret"})
        assert "secret" not in (opened.run.path / "progress.json").read_text()
        around.facts = {"rows": 3, "path": "secret"}
    assert opened.run.facts("stop") == {"rows": 3, "path": "***"}
    with pytest.raises(ValueError, match="secret"), within_run(path, "fence", opened.lease):
        raise ValueError("secret")
    assert opened.run.standings()["fence"].message == "unexpected ValueError; Ansible's output has its traceback."
    with pytest.raises(TypeError), within_run(path, "fence", opened.lease) as around:
        around.facts = {"not": object()}
    assert opened.run.standings()["fence"].state == "failed"
    assert "secret" not in (opened.run.path / "journal.jsonl").read_text().replace('"path": "secret"', "")
    assert MARKER not in os.environ


def test_progress_is_a_line_or_numbers(runs):
    opened = runs.open()
    with within_run(str(opened.run.path), "transfer", opened.lease) as around:
        around.progress({"table": "users", "rows": 12_000, "of_rows": 50_000, "seconds_left": 8.2})
        said = opened.run.progress()
        assert said["line"] == "users 12,000 of 50,000 rows, 8 s left"
        assert (said["step"], said["pid"], said["rows"]) == ("transfer", os.getpid(), 12_000)
        around.progress("too soon after the last one")
        assert opened.run.progress()["rows"] == 12_000
        time.sleep(0.21)
        around.progress("indexes")
        assert opened.run.progress()["line"] == "indexes"
