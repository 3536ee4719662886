"""Every step of every verb is killed in its middle; the next run goes on, or takes back.

The runs form one chain: a run that goes on after the kill at one step is killed at the next one.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.contralock.database.plugins.module_utils.steps import CUT_OVER, REHEARSE, ROLL_BACK
from journeys import journal, latest_run, on_postgresql, on_sqlite

PLAYBOOKS = {
    "cut_over": "playbooks/cut_over.yml",
    "roll_back": "playbooks/roll_back.yml",
    "rehearse": "playbooks/rehearse.yml",
}
# Opening and closing write journal, lease and, of a way back, the other run: tests/unit/run kills each operation of it.
OWN = {"open", "close"}


def steps(verb):
    return [step.name for step in verb if step.name not in OWN]


class Chain:
    """Kills of one verb, one after the other, in the same run."""

    def __init__(self, verb, killed, run_playbook, app1):
        self.verb, self.killed, self.run_playbook, self.app1 = verb, killed, run_playbook, app1
        self.previous = ""

    def kill_at(self, step, controller_only=False):
        more = {"migration_run_take_over": self.previous} if self.previous else {}
        self.killed(PLAYBOOKS[self.verb], step, controller_only, **more)
        if controller_only:
            # In brackets, because the shell that asks has the pattern among its arguments.
            assert self.app1.run("pgrep --full '[A]nsiballZ_data_transfer'").rc == 0, "the module ended, too"
        run = latest_run(self.app1, self.verb)
        if f"-{self.verb}-" in self.previous:
            assert run.endswith(self.previous), "a new run was begun"
        self.previous = run.rpartition("/")[2]
        # What takes a tenth of a second may be done before it is seen to have begun.
        records = journal(self.app1, self.verb)
        opened = max(number for number, record in enumerate(records) if record["step"] == "open")
        assert (step, "begun") in [(record["step"], record["state"]) for record in records[opened:]], records[-1]

    def finish(self, verb=""):
        return self.run_playbook(PLAYBOOKS[verb or self.verb], migration_run_take_over=self.previous)


@pytest.fixture
def chain(killed, run_playbook, app1):
    return lambda verb: Chain(verb, killed, run_playbook, app1)


def test_rehearse_goes_on_after_a_kill_at_each_step(chain, at_first, now):
    rehearsal = chain("rehearse")
    for step in steps(REHEARSE):
        rehearsal.kill_at(step)
    done = rehearsal.finish()
    assert done.returncode == 0, done.message()
    on_sqlite(now(), at_first.application["sha256"])
    assert now().target == at_first.target


#: Only a cut-over that did not get to its switch is taken back by moving the file back.
ONLY_BEFORE_THE_SWITCH = "unfence"


@pytest.mark.parametrize("step", ["fence", "transfer", "configure"])
def test_a_killed_cut_over_is_taken_back(step, chain, at_first, now):
    cut_over = chain("cut_over")
    # Of a load only the controller dies: module and pgloader work on, and the way back meets them.
    cut_over.kill_at(step, controller_only=step == "transfer")
    done = cut_over.finish("roll_back")
    assert done.returncode == 0, done.message()
    on_sqlite(now(), at_first.application["sha256"])
    assert now().target == at_first.target


def test_taking_back_goes_on_after_a_kill(chain, at_first, now):
    cut_over, roll_back = chain("cut_over"), chain("roll_back")
    cut_over.kill_at("compare")
    roll_back.previous = cut_over.previous
    roll_back.kill_at(ONLY_BEFORE_THE_SWITCH)
    done = roll_back.finish()
    assert done.returncode == 0, done.message()
    on_sqlite(now(), at_first.application["sha256"])
    assert now().target == at_first.target


def test_cut_over_goes_on_after_a_kill_at_each_step(chain, at_first, now):
    cut_over = chain("cut_over")
    for step in steps(CUT_OVER):
        cut_over.kill_at(step)
    done = cut_over.finish()
    assert done.returncode == 0, done.message()
    on_postgresql(now())
    assert now().rows == 2000
    assert now().target["schema"] == at_first.target["schema"]


def test_roll_back_goes_on_after_a_kill_at_each_step(chain, at_first, now):
    roll_back = chain("roll_back")
    for step in steps(ROLL_BACK):
        if step != ONLY_BEFORE_THE_SWITCH:
            roll_back.kill_at(step)
    done = roll_back.finish()
    assert done.returncode == 0, done.message()
    on_sqlite(now(), at_first.application["sha256"])


def test_a_second_controller_is_kept_out_and_told_who_is_first(run_playbook, app1, before_step, now, tmp_path):
    def checked():
        """Whether a new run has got past its preflight."""
        records = journal(app1, "cut_over") if latest_run(app1, "cut_over") != before else []
        return any((record["step"], record["state"]) == ("preflight", "done") for record in records)

    before = latest_run(app1, "cut_over")
    go_on = tmp_path / "go_on"
    with ThreadPoolExecutor() as pool:
        with before_step("stop", f"timeout 300 sh -c 'until [ -e {go_on} ]; do sleep 0.2; done'"):
            first = pool.submit(run_playbook, PLAYBOOKS["cut_over"])
            while not checked():
                assert not first.done(), first.result().message()
                time.sleep(0.5)
        second = run_playbook(PLAYBOOKS["cut_over"])
        go_on.touch()
        run = latest_run(app1, "cut_over").rpartition("/")[2]
        assert second.returncode != 0
        for part in ("is under way", run, f"migration_run_take_over={run}"):
            assert part in second.message(), second.message()
        assert first.result().returncode == 0, first.result().message()
    on_postgresql(now())
