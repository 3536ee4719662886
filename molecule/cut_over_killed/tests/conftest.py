"""Runs that are killed in the middle of a step."""

from __future__ import annotations

import os

import pytest
from journeys import look


@pytest.fixture(scope="session")
def now(app1, db1):
    """What is there now."""
    return lambda: look(app1, db1)


@pytest.fixture(scope="session")
def at_first(now):
    """What was there before the first test."""
    return now()


@pytest.fixture
def at_step(monkeypatch):
    """Let the runs that begin from now on do something right before a step; or nothing any more."""

    def arrange(step, command):
        plugins = os.environ["MOLECULE_PROJECT_DIRECTORY"] + "/molecule/shared/callback_plugins"
        monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", plugins)
        monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "at_step")
        monkeypatch.setenv("CONTRALOCK_AT_STEP", step)
        monkeypatch.setenv("CONTRALOCK_AT_COMMAND", command)

    return arrange


@pytest.fixture
def killed(run_playbook, app1, monkeypatch):
    """Run a playbook that dies in the middle of a step, on the controller and on the host."""

    def run(playbook, step, **variables):
        monkeypatch.setenv(
            "ANSIBLE_CALLBACK_PLUGINS", os.environ["MOLECULE_PROJECT_DIRECTORY"] + "/molecule/shared/callback_plugins"
        )
        monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "at_step")
        monkeypatch.setenv("CONTRALOCK_AT_STEP", step)
        monkeypatch.setenv("CONTRALOCK_KILL_HOST", app1.backend.name)
        done = run_playbook(playbook, **variables)
        for name in ("ANSIBLE_CALLBACKS_ENABLED", "CONTRALOCK_AT_STEP"):
            monkeypatch.delenv(name)
        assert done.returncode == -9, f"was not killed at {step}: {done.message()}"

    return run
