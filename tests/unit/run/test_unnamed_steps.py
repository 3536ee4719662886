"""Which step a record is about that names none: the one that failed, or all that were taken back."""

from __future__ import annotations

from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step


def test_recording_without_a_name_finds_what_is_meant(runs, refusal):
    opened = runs.open()
    runs.do(opened, up_to="back_up")
    assert record_step(opened.run, "failed", "", {"message": "x"}, opened.lease) == []
    record_step(opened.run, "begun", "transfer", {}, opened.lease)
    assert record_step(opened.run, "failed", "", {"message": "x"}, opened.lease) == ["transfer"]
    assert "is not named" in refusal(record_step, opened.run, "done", "", {}, opened.lease)
    taken = record_step(opened.run, "taken_back", "", {}, opened.lease)
    assert taken == ["transfer", "back_up", "fence", "stop", "keep_out"]
    assert record_step(opened.run, "taken_back", "", {}, opened.lease) == []
    assert not opened.run.changed_anything()
    assert opened.run.current().name == "keep_out"


def test_a_failure_without_a_name_is_that_of_the_step_that_began_last(runs):
    opened = runs.open()
    runs.do(opened, up_to="grant")
    # A controller died in this step, and the next one goes on: it does the earlier steps again.
    record_step(opened.run, "begun", "configure", {}, opened.lease)
    again = runs.open()
    record_step(again.run, "begun", "stop", {}, again.lease)
    assert record_step(again.run, "failed", "", {"message": "x"}, again.lease) == ["stop"]
    # A module has recorded its failure itself: what the dead one had begun has not failed.
    record_step(again.run, "begun", "fence", {}, again.lease)
    record_step(again.run, "failed", "fence", {"message": "It is in use."}, again.lease)
    assert record_step(again.run, "failed", "", {"message": "x"}, again.lease) == []
    assert again.run.standings()["configure"].state == "begun"
    assert make_report(again.run)["failure"]["step"] == "fence"
