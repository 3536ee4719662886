"""Which run is opened, what is refused, and what closing leaves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.journal import Moment, write_whole
from ansible_collections.contralock.database.plugins.module_utils.run_directory import (
    RUN_ID,
    RunDirectory,
    latest,
    next_id,
    runs_in,
)
from ansible_collections.contralock.database.plugins.module_utils.run_lock import LEASE, Lease, read_lease, sign_of_life
from ansible_collections.contralock.database.plugins.module_utils.run_opening import (
    Request,
    close_run,
    leave_run,
    predict,
)
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step, within_run
from ansible_collections.contralock.database.plugins.module_utils.steps import VERBS, steps_of

from tests.unit.run.conftest import ME, OTHER


def age(root: Path, seconds: float, boot: str | None = None) -> None:
    """Let the last sign of life lie this far back, or in another boot."""
    lease = read_lease(root)
    assert lease is not None
    now = Moment.now()
    sign_of_life(root, lease.token).write_text(f"{now.uptime - seconds:.2f} 0\n{boot or now.boot}\n")


def test_a_new_run_has_its_directory_journal_and_lease(runs, root):
    opened = runs.open(facts={"inventory": "inventory/demo"})
    assert RUN_ID.fullmatch(opened.run.id)
    assert opened.run.path.stat().st_mode & 0o777 == 0o700
    assert (opened.resumed, opened.already_done, opened.takes_back, opened.ended) == (False, False, None, ())
    assert opened.run.facts("open") == {"inventory": "inventory/demo", "controller": ME, "opening": 1}
    lease = json.loads((root / LEASE).read_text())
    assert (lease["run"], lease["verb"], lease["controller"]) == (opened.run.id, "cut_over", ME)


def test_a_second_controller_is_refused_and_told_who_works_on_what(runs, refusal):
    opened = runs.open()
    runs.do(opened, "preflight")
    record_step(opened.run, "begun", "stop", {}, opened.lease)
    for verb in VERBS:
        said = refusal(runs.open, verb, OTHER)
        assert f"the cut-over {opened.run.id} is under way: {ME} opened it 0 s ago, it is at the step stop" in said
        assert "its lease ends in 1" in said
        assert said.endswith(f"go on at once with -e migration_run_take_over={opened.run.id}.")
        assert refusal(predict, Request(runs.root, verb, OTHER)) == said


def test_the_same_controller_may_open_its_run_again(runs):
    opened = runs.open()
    again = runs.open()
    assert (again.run, again.resumed) == (opened.run, True)


def test_once_the_lease_has_ended_the_run_goes_on_and_the_first_controller_is_refused(runs, root, refusal):
    opened = runs.open()
    runs.do(opened, "preflight", "stop")
    age(root, 119)
    assert "lease ends in 1 s" in refusal(runs.open, controller=OTHER)
    age(root, 121)
    again = runs.open(controller=OTHER)
    assert (again.run, again.resumed) == (opened.run, True)
    assert again.run.facts("stop") == {"of": "stop"}
    said = refusal(runs.do, opened, "fence")
    assert f"works on the run {opened.run.id} no longer: {OTHER} has opened {again.run.id} since" in said
    assert "refused" not in str(refusal(close_run, opened.run, opened.lease))
    runs.do(again, "fence")


@pytest.mark.parametrize("deed", ["record", "module"])
def test_each_call_of_the_controller_renews_its_lease(runs, root, deed):
    opened = runs.open()
    age(root, 100)
    if deed == "record":
        runs.do(opened, "preflight")
    else:
        with within_run(str(opened.run.path), "preflight", opened.lease):
            pass
    lease = read_lease(root)
    assert lease is not None
    assert 115 < lease.seconds_left(Moment.now()) <= 120


def test_take_over_needs_the_run_s_own_id(runs, refusal):
    opened = runs.open()
    assert "is under way" in refusal(runs.open, controller=OTHER, take_over="20260101T000000Z-cut_over-0000")
    assert runs.open(controller=OTHER, take_over=opened.run.id).resumed


@pytest.mark.parametrize(
    ("renewed", "boot", "up", "left"),
    [
        (1000.0, "same", 1100.0, 20.0),
        (1000.0, "same", 1120.0, 0.0),
        # After a restart of the host it ends when the host has been up that long, or earlier by the clock.
        (9000.0, "other", 50.0, 70.0),
        (9000.0, "other", 130.0, 0.0),
    ],
)
@pytest.mark.parametrize("wall", ["2020-01-01T00:00:00.000Z", "2040-01-01T00:00:00.000Z", ""])
def test_a_lease_does_not_depend_on_the_clock(renewed, boot, up, left, wall):
    moment = Moment("2030-01-01T00:00:00.000Z", renewed, boot)
    lease = Lease("run", "cut_over", ME, "abc", 120, moment, moment)
    by_clock_too_old = boot == "other" and wall.startswith("2040")
    assert lease.seconds_left(Moment(wall, up, "same")) == (0.0 if by_clock_too_old else left)


def test_an_unreadable_lease_is_none(runs, root):
    opened = runs.open()
    whole = (root / LEASE).read_bytes()
    for size in range(0, len(whole) - 2, 7):
        (root / LEASE).write_bytes(whole[:size])
        assert read_lease(root) is None
    assert runs.open(controller=OTHER).run == opened.run


def test_a_torn_sign_of_life_counts_from_the_opening(runs, root, refusal):
    opened = runs.open()
    for content in ("", "12", "12 0\n", "x y\nz\n"):
        sign_of_life(root, opened.lease).write_text(content)
        assert "is under way" in refusal(runs.open, controller=OTHER)


def test_after_success_nothing_is_opened_and_nothing_written(runs, root):
    run = runs.finish()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    again = runs.open(controller=OTHER)
    assert (again.run, again.already_done, again.lease) == (run, True, "")
    assert read_lease(root) is None
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != "opening"} == {
        path: when for path, when in before.items() if path.name != "opening"
    }


def test_a_success_that_the_configuration_denies_is_done_again(runs):
    run = runs.finish()
    assert runs.open(application="PostgreSQL").already_done
    assert runs.open(application="SQLite").run != run


def test_back_and_forth(runs):
    forward = runs.finish()
    back = runs.open("roll_back")
    assert (back.takes_back, back.already_done) == (forward, False)
    runs.do(back, up_to="let_in")
    close_run(back.run, back.lease)
    assert runs.open("roll_back").already_done
    second = runs.open("cut_over")
    assert not second.already_done
    assert second.run.id > back.run.id > forward.id
    runs.do(second, up_to="let_in")
    close_run(second.run, second.lease)
    assert runs.open("cut_over").already_done
    assert runs.open("roll_back").takes_back == second.run


def test_a_way_back_takes_back_an_unfinished_cut_over_and_closes_it(runs, refusal):
    forward = runs.open()
    runs.do(forward, up_to="transfer")
    back = runs.open("roll_back")
    assert back.takes_back == forward.run
    runs.do(back, up_to="stop")
    said = refusal(runs.open, "cut_over")
    assert f"the way back {back.run.id} is not finished (it stands at revoke" in said
    assert said.endswith("Finish it first: ansible-playbook playbooks/roll_back.yml.")
    again = runs.open("roll_back")
    assert (again.run, again.takes_back) == (back.run, forward.run)
    runs.do(again, "revoke", "recount", "restore", "unfence", "flip", "start", "prove", "let_in")
    close_run(again.run, again.lease)
    assert (forward.run.outcome(), back.run.outcome()) == ("taken_back", "done")
    assert runs.open("cut_over").run not in (forward.run, None)


def test_there_has_to_be_something_to_take_back(runs, refusal):
    assert "there is nothing to take back" in refusal(runs.open, "roll_back")
    forward = runs.open()
    runs.do(forward, "preflight")
    assert "there is nothing to take back" in refusal(runs.open, "roll_back")
    runs.do(forward, "stop", "fence")
    record_step(forward.run, "taken_back", "", {}, forward.lease)
    close_run(forward.run, forward.lease)
    assert forward.run.outcome() == "taken_back"
    assert "there is nothing to take back" in refusal(runs.open, "roll_back")


def test_a_way_back_that_only_looked_stands_in_nobody_s_way(runs):
    runs.finish()
    back = runs.open("roll_back")
    record_step(back.run, "begun", "examine", {}, back.lease)
    record_step(back.run, "failed", "examine", {"message": "3 rows would be lost."}, back.lease)
    assert runs.open("cut_over").already_done
    assert back.run.outcome() == "failed"


def test_a_rehearsal_waits_for_an_unfinished_cut_over_but_not_the_other_way_round(runs, refusal):
    rehearsal = runs.open("rehearse")
    runs.do(rehearsal, "snapshot", "scratch")
    forward = runs.open("cut_over")
    runs.do(forward, "preflight", "stop")
    assert f"the cut-over {forward.run.id} is not finished" in refusal(runs.open, "rehearse")
    record_step(forward.run, "taken_back", "", {}, forward.lease)
    close_run(forward.run, forward.lease)
    again = runs.open("rehearse")
    assert (again.run, again.resumed) == (rehearsal.run, True)
    runs.do(again, "drop")
    close_run(again.run, again.lease, "failed")
    assert runs.open("rehearse").run != rehearsal.run


@pytest.mark.parametrize("verb", ["rehearse", "benchmark"])
def test_copies_that_were_made_after_a_removal_are_not_forgotten(runs, verb):
    first = runs.open(verb)
    runs.do(first, "snapshot", "scratch", "drop")
    # Killed before its end, gone on with, and killed again.
    again = runs.open(verb)
    record_step(again.run, "begun", "snapshot", {}, again.lease)
    runs.open("cut_over", OTHER, take_over=again.run.id)
    assert (again.run.outcome(), again.run.changed_anything()) == (None, True)


@pytest.mark.parametrize("verb", list(VERBS))
def test_a_run_cannot_be_closed_half_done(runs, refusal, verb):
    if verb == "roll_back":
        runs.finish()
    opened = runs.open(verb)
    for step in steps_of(verb)[1:-1]:
        assert f"the step {step.name} is not" in refusal(close_run, opened.run, opened.lease, "done")
        runs.do(opened, step.name)
        if opened.run.changed_anything():
            assert "what it changed was not taken back" in refusal(close_run, opened.run, opened.lease, "failed")
    assert close_run(opened.run, opened.lease)
    assert not close_run(opened.run, opened.lease)
    assert opened.run.outcome() == "done"
    assert "is closed" in refusal(record_step, opened.run, "begun", "transfer" if verb != "roll_back" else "stop", {})


@pytest.mark.parametrize("verb", ["cut_over", "roll_back"])
def test_a_report_that_cannot_be_written_keeps_no_run_open(runs, root, verb):
    def no_room(run):
        raise MigrationError(
            f"{run.path}/report.json could not be written: No space left on device", "Look at the disk"
        )

    opened = runs.open()
    if verb == "roll_back":
        runs.do(opened, up_to="compare")
        opened = runs.open("roll_back")
    runs.do(opened, up_to="let_in")
    warnings = []
    assert close_run(opened.run, opened.lease, None, no_room, warnings.append)
    assert (opened.run.outcome(), read_lease(root)) == ("done", None)
    assert all("is closed, and its report could not be written: " in line for line in warnings)
    # The way back closes the cut-over that it has taken back, too.
    assert [line.split("-")[1].split()[0] for line in warnings] == {
        "cut_over": ["cut_over"],
        "roll_back": ["cut_over", "roll_back"],
    }[verb]


def test_leaving_gives_the_lease_back_and_closes_what_changed_nothing(runs, root, refusal):
    opened = runs.open()
    record_step(opened.run, "begun", "preflight", {}, opened.lease)
    leave_run(opened.run, opened.lease)
    assert (opened.run.outcome(), read_lease(root)) == ("failed", None)
    opened = runs.open(controller=OTHER)
    runs.do(opened, up_to="stop")
    leave_run(opened.run, opened.lease)
    assert (opened.run.outcome(), read_lease(root)) == (None, None)
    again = runs.open()
    assert (again.run, again.resumed) == (opened.run, True)
    assert "works on the run" in refusal(leave_run, opened.run, opened.lease)


def test_a_way_back_knows_what_the_cut_over_has_done_to_the_application(runs):
    forward = runs.open()
    runs.do(forward, up_to="transfer")
    back = runs.open("roll_back")
    assert back.run.application() == ("stopped", True)
    runs.do(back, up_to="let_in")
    close_run(back.run, back.lease)
    assert back.run.application() == ("SQLite", True)
    assert forward.run.application() == ("SQLite", True)
    assert {one.state for name, one in forward.run.standings().items() if name in ("stop", "transfer")} == {
        "taken_back"
    }
    second = runs.finish()
    assert runs.open("roll_back").run.application() == second.application() == ("PostgreSQL", True)


def test_a_controller_is_the_same_only_with_the_same_process(runs, refusal):
    opened = runs.open(process="boot pid:[1] 7 100")
    assert runs.open(process="boot pid:[1] 7 100").run == opened.run
    assert "is under way" in refusal(runs.open, process="boot pid:[1] 7 200")


def test_unknown_steps_and_verbs_are_refused(runs, refusal):
    opened = runs.open()
    assert "cut_over has no step 'dance'" in refusal(record_step, opened.run, "begun", "dance", {}, opened.lease)
    assert "there is no verb 'dance'" in refusal(runs.open, "dance")
    assert "cut_over has no step 'examine'" in refusal(opened.run.facts, "examine")


@pytest.mark.parametrize("name", ["", "20260101T000000Z-cut_over-12", "x", "20260101T000000Z-cut_over-abcd"])
def test_another_directory_is_no_run(root, refusal, name):
    (root / name).mkdir(exist_ok=True)
    assert "is not the directory of a run" in refusal(RunDirectory.at, root / name)


def test_a_missing_root_is_refused_but_predicted(tmp_path, refusal, runs):
    runs.root = tmp_path / "none"
    assert "is missing, where runs keep their journal" in refusal(runs.open)
    assert predict(Request(runs.root, "cut_over", ME)).run is None


def test_predicting_writes_nothing(runs, root):
    opened = runs.open()
    age(root, 500)
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    assert predict(Request(root, "cut_over", OTHER)).run == opened.run
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_ids_ascend_even_when_the_clock_was_set_back(runs, root):
    future = root / "20990101T000000Z-cut_over-ffff"
    future.mkdir()
    write_whole(future / "journal.jsonl", '{"step": "close", "state": "done", "facts": {"outcome": "taken_back"}}\n')
    opened = runs.open()
    assert opened.run.id.startswith("20990101T000001Z-cut_over-")
    assert latest(root) == opened.run
    assert next_id(root, "rehearse").startswith("20990101T000002Z-rehearse-")


def test_the_latest_run_is_the_one_that_was_opened_last(runs, root):
    cut_over = runs.open()
    runs.do(cut_over, up_to="start")
    way_back = runs.open("roll_back")
    leave_run(way_back.run, way_back.lease)
    assert latest(root) == way_back.run
    again = runs.open()
    assert again.run == cut_over.run
    assert latest(root) == cut_over.run
    assert latest(root, "roll_back") == way_back.run
    runs.do(again, "prove", "let_in")
    assert close_run(again.run, again.lease)
    assert (latest(root), cut_over.run.outcome()) == (cut_over.run, "done")
    assert next_id(root, "rehearse") > way_back.run.id
    rehearsal = runs.open("rehearse")
    assert latest(root) == rehearsal.run


def test_a_damaged_journal_is_the_latest_when_it_was_begun_last(runs, root):
    first = runs.finish()
    damaged = runs.open("rehearse").run
    (damaged.path / "journal.jsonl").write_text("{\n")
    assert latest(root) == damaged
    damaged.path.rename(root / "20200101T000000Z-rehearse-abcd")
    assert latest(root) == first


def test_ids_say_when(root):
    stamp = datetime.strptime(next_id(root, "cut_over")[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 5


def test_a_directory_without_a_journal_is_not_a_run(runs, root):
    (root / "20260101T000000Z-cut_over-abcd").mkdir()
    assert runs_in(root) == []
    assert not runs.open().resumed
