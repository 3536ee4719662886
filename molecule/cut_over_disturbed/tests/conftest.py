"""Runs that are disturbed: by an application that cheats, by a kill in the middle of a step."""

from __future__ import annotations

import pytest
from cheats import answers, cheating
from journeys import at_first, before_step, interfering, now

__all__ = ["answers", "at_first", "before_step", "cheating", "now"]


@pytest.fixture
def killed(run_playbook, app1):
    """Run a playbook that dies in the middle of a step, on the controller alone or on the host as well."""

    def run(playbook, step, controller_only=False, **variables):
        only = "controller" if controller_only else ""
        with interfering(step, CONTRALOCK_KILL_HOST=app1.backend.name, CONTRALOCK_KILL_ONLY=only):
            done = run_playbook(playbook, **variables)
        assert done.returncode == -9, f"was not killed at {step}: {done.message()}"

    return run
