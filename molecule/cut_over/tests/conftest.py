"""The journey that the tests of this scenario tell, in the order of their files."""

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
def before_step(monkeypatch):
    """Let the next runs do something on this machine right before a step of theirs begins."""

    def arrange(step, command):
        plugins = os.environ["MOLECULE_PROJECT_DIRECTORY"] + "/molecule/shared/callback_plugins"
        monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", plugins)
        monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "at_step")
        monkeypatch.setenv("CONTRALOCK_AT_STEP", step)
        monkeypatch.setenv("CONTRALOCK_AT_COMMAND", command)

    return arrange
