"""Controllers that cannot say who they are, and one whose run another controller has taken over."""

from __future__ import annotations

import getpass
import os

import pytest
from ansible_collections.contralock.database.plugins.action.migration_run import user_here
from ansible_collections.contralock.database.plugins.module_utils import left_over
from ansible_collections.contralock.database.plugins.module_utils.left_over import identity, is_known_to_be_gone
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step

from tests.playbooks import play, role
from tests.unit.run.conftest import OTHER


def test_where_there_is_no_proc_nobody_has_an_identity_and_nobody_is_known_to_be_gone(tmp_path, monkeypatch):
    named = identity(os.getpid())
    monkeypatch.setattr(left_over, "PROC", tmp_path / "proc")
    assert identity(os.getpid()) == ""
    assert not is_known_to_be_gone(named)
    assert not is_known_to_be_gone("")


@pytest.mark.parametrize("error", [KeyError, OSError], ids=["before Python 3.13", "since then"])
def test_a_user_without_an_account_is_told_by_its_number(monkeypatch, error):
    def refuse():
        raise error("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", refuse)
    assert user_here() == str(os.getuid())


def test_a_controller_whose_run_was_taken_over_does_not_write_the_switch(runs, tmp_path):
    """It stood still between the record of the step and its task, while the other one took the cut-over back."""
    first = runs.open()
    run = runs.do(first, up_to="configure")
    record_step(run, "begun", "flip", {}, first.lease)
    second = runs.open(controller=OTHER, take_over=run.id)
    switch = tmp_path / ".env"
    switch.write_text("DB_TYPE=sqlite\n")
    flip = role(
        "application_config",
        "flip",
        application_config_working_directory=tmp_path,
        application_config_type="postgresql",
        application_config_run=run.path,
    )
    refused = play(tmp_path, [flip], __migration_run_lease=first.lease)
    assert refused.returncode == 2, refused.stdout
    said = " ".join(refused.stdout.split())
    assert f"this playbook works on the run {run.id} no longer: {OTHER} has opened {run.id} since" in said
    assert switch.read_text() == "DB_TYPE=sqlite\n"
    done = play(tmp_path, [flip], __migration_run_lease=second.lease)
    assert done.returncode == 0, done.stdout
    assert switch.read_text() == "DB_TYPE=postgresql\n"
