"""Runs in a directory of the test's own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory
from ansible_collections.contralock.database.plugins.module_utils.run_opening import (
    Opened,
    Request,
    close_run,
    open_run,
)
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step
from ansible_collections.contralock.database.plugins.module_utils.steps import steps_of

ME, OTHER = "anna@laptop (pid 100)", "ben@desk (pid 200)"


class Runs:
    """Opens runs under one root and moves them on."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, verb: str = "cut_over", controller: str = ME, **more: Any) -> Opened:
        return open_run(Request(self.root, verb, controller, **more))

    def do(self, opened: Opened, *steps: str, up_to: str = "") -> RunDirectory:
        """Do these steps, or all up to and with one."""
        run = opened.run
        assert run is not None
        names = [step.name for step in steps_of(run.verb)[1:-1]]
        for name in steps or names[: names.index(up_to) + 1]:
            record_step(run, "begun", name, {}, opened.lease)
            record_step(run, "done", name, {"of": name}, opened.lease)
        return run

    def finish(self, verb: str = "cut_over") -> RunDirectory:
        """Do a verb from beginning to end."""
        opened = self.open(verb)
        run = self.do(opened, up_to=steps_of(verb)[-2].name)
        assert close_run(run, opened.lease)
        return run


@pytest.fixture
def root() -> Iterator[Path]:
    """A run root in memory: SIGKILL leaves the same there, and fsync costs nothing."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:  # because it is always there on Linux
        made = Path(directory) / "runs"
        made.mkdir(mode=0o700)
        yield made


@pytest.fixture
def runs(root: Path) -> Runs:
    return Runs(root)


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Returns what a call was refused with."""

    def ask(deed: Callable[..., object], *given: Any, **more: Any) -> str:
        with pytest.raises(MigrationError) as refused:
            deed(*given, **more)
        return str(refused.value)

    return ask
