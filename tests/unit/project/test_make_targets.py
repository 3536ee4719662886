"""`make lint` and `make test` fail when one of their steps fails: each is a stand-in that fails when it is asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
LINT = ("ruff", "yamllint", "mypy", "ansible-lint")
SCRIPTS = ("run_node_tests.py", "run_scenarios.py")
STAND_IN = """#!/bin/sh
name=${0##*/}
echo "$name" >> "$CALLED"
# The slowest of all: nobody may go on without having waited for it.
[ "$name" != mypy ] || sleep 0.3
[ "$name" != "$FAILING" ]
"""


def make(folder: Path, target: str, failing: str) -> tuple[int, str, set[str]]:
    """Run a target of the project's Makefile where all programs are stand-ins; exit code, output, what was called."""
    programs = [folder / ".venv/bin" / name for name in (*LINT, "pytest", "npm")]
    programs += [folder / "molecule/shared" / name for name in SCRIPTS]
    for program in programs:
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(STAND_IN, encoding="utf-8")
        program.chmod(0o755)
    # Every Debian package is there, and so is the virtual environment.
    query = folder / ".venv/bin/dpkg-query"
    query.write_text("#!/bin/sh\necho installed\n", encoding="utf-8")
    query.chmod(0o755)
    for name in ("requirements.txt", ".venv/requirements.txt"):
        (folder / name).touch()
    called = folder / "called"
    called.touch()
    # What a `make` around this one has set is not this one's.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", "-f", str(PROJECT / "Makefile"), target],
        cwd=folder,
        env={**environment, "CALLED": str(called), "FAILING": failing},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, set(called.read_text(encoding="utf-8").split())


def test_everything_is_called_and_passes(tmp_path):
    code, said, called = make(tmp_path, "test", "nothing")
    assert code == 0, said
    assert "everything passed" in said
    assert called == {*LINT, "pytest", *SCRIPTS}


@pytest.mark.parametrize("failing", [*LINT, "pytest", *SCRIPTS])
def test_a_failing_step_fails_the_whole(tmp_path, failing):
    code, said, called = make(tmp_path, "test", failing)
    assert code != 0
    assert "everything passed" not in said
    assert failing in called
    if failing in LINT:
        assert "pytest" not in called


@pytest.mark.parametrize("failing", ["mypy", "ansible-lint"])
def test_what_runs_side_by_side_is_waited_for(tmp_path, failing):
    code, _, called = make(tmp_path, "lint", failing)
    assert code != 0
    assert called == set(LINT)
