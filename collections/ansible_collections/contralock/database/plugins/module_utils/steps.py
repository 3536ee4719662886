"""The steps of each verb: the one list that playbooks, journal, report and tests read.

A run is a verb carried out once. Its journal names only steps that stand here, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .errors import MigrationError

Application = Literal["SQLite", "PostgreSQL", "stopped", "unchanged"]

CUT_OVER_AGAIN = "ansible-playbook playbooks/cut_over.yml"
ROLL_BACK_AGAIN = "ansible-playbook playbooks/roll_back.yml"
REHEARSE_AGAIN = "ansible-playbook playbooks/rehearse.yml"
BENCHMARK_AGAIN = "ansible-playbook playbooks/benchmark.yml"
VALIDATE = "ansible-playbook playbooks/validate.yml"
SHOW_RUN = "ansible-playbook playbooks/show_run.yml"


@dataclass(frozen=True)
class Step:
    """One step of a verb.

    Args:
        name: As the journal has it.
        title: What the step does, for a person.
        application_after: What the application uses once the step is done; ``unchanged`` when the step leaves it alone.
        before_flip: Whether the application's switch still stands where it stood when the run began.
        on_failure_next: The command to type when the step failed and its cause is mended.
    """

    name: str
    title: str
    application_after: Application
    before_flip: bool
    on_failure_next: str


def _steps(again: str, *rows: tuple[str, str, Application, bool]) -> tuple[Step, ...]:
    return tuple(Step(*row, on_failure_next=again) for row in rows)


CUT_OVER = _steps(
    CUT_OVER_AGAIN,
    ("open", "Open the run", "unchanged", True),
    ("preflight", "Check everything before anything is changed", "unchanged", True),
    ("keep_out", "Keep users out", "unchanged", True),
    ("stop", "Stop the application", "stopped", True),
    ("fence", "Close the SQLite file to every process", "unchanged", True),
    ("back_up", "Back up the SQLite file", "unchanged", True),
    ("transfer", "Load every row into PostgreSQL", "unchanged", True),
    ("compare", "Compare every cell", "unchanged", True),
    ("grant", "Let the application's role connect", "unchanged", True),
    ("configure", "Write the connection into the application's configuration", "unchanged", True),
    ("flip", "Switch the application to PostgreSQL", "unchanged", False),
    ("start", "Start the application", "PostgreSQL", False),
    ("prove", "Prove that the application uses PostgreSQL", "unchanged", False),
    ("let_in", "Let users in", "unchanged", False),
    ("close", "Close the run", "unchanged", False),
)

ROLL_BACK = _steps(
    ROLL_BACK_AGAIN,
    ("open", "Open the run", "unchanged", True),
    ("examine", "Check the backup, and count later writes in PostgreSQL", "unchanged", True),
    ("keep_out", "Keep users out", "unchanged", True),
    ("stop", "Stop the application", "stopped", True),
    ("revoke", "Keep the application's role out of PostgreSQL", "unchanged", True),
    ("recount", "Count later writes again, now that nobody can write", "unchanged", True),
    ("restore", "Put the SQLite file back", "unchanged", True),
    ("unfence", "Open the SQLite file to the application", "unchanged", True),
    ("flip", "Switch the application to SQLite", "unchanged", False),
    ("start", "Start the application", "SQLite", False),
    ("prove", "Prove that the application uses SQLite", "unchanged", False),
    ("let_in", "Let users in", "unchanged", False),
    ("close", "Close the run", "unchanged", False),
)

REHEARSE = _steps(
    REHEARSE_AGAIN,
    ("open", "Open the run", "unchanged", True),
    ("snapshot", "Take a snapshot while the application runs", "unchanged", True),
    ("scratch", "Make the scratch database", "unchanged", True),
    ("transfer", "Load every row into the scratch database", "unchanged", True),
    ("compare", "Compare every cell", "unchanged", True),
    ("drop", "Remove the scratch database", "unchanged", True),
    ("close", "Close the run", "unchanged", True),
)

BENCHMARK = _steps(
    BENCHMARK_AGAIN,
    ("open", "Open the run", "unchanged", True),
    # Of the live file, or after a cut-over of its backup.
    ("snapshot", "Take a copy of the SQLite file", "unchanged", True),
    ("scratch", "Make the scratch database", "unchanged", True),
    ("transfer", "Load every row into the scratch database", "unchanged", True),
    ("compare", "Compare every cell", "unchanged", True),
    ("measure", "Measure both", "unchanged", True),
    ("drop", "Remove the copies", "unchanged", True),
    ("close", "Close the run", "unchanged", True),
)

VERBS: Mapping[str, tuple[Step, ...]] = {
    "cut_over": CUT_OVER,
    "roll_back": ROLL_BACK,
    "rehearse": REHEARSE,
    "benchmark": BENCHMARK,
}

#: What the application uses when a run of the verb begins.
APPLICATION_BEFORE: Mapping[str, Application] = {
    "cut_over": "SQLite",
    "roll_back": "PostgreSQL",
    "rehearse": "unchanged",
    "benchmark": "unchanged",
}

#: What a verb is called in a sentence.
SPOKEN: Mapping[str, str] = {
    "cut_over": "cut-over",
    "roll_back": "way back",
    "rehearse": "rehearsal",
    "benchmark": "benchmark",
}


def steps_of(verb: str) -> tuple[Step, ...]:
    """Return a verb's steps in order.

    Raises:
        MigrationError: There is no such verb.
    """
    if verb not in VERBS:
        raise MigrationError(f"there is no verb {verb!r}", f"Use one of {', '.join(VERBS)}")
    return VERBS[verb]


def step_of(verb: str, name: str) -> Step:
    """Return one step of a verb.

    Raises:
        MigrationError: The verb has no such step.
    """
    for step in steps_of(verb):
        if step.name == name:
            return step
    names = ", ".join(step.name for step in steps_of(verb))
    raise MigrationError(f"{verb} has no step {name!r}", f"Use one of {names}")


def first_change(verb: str) -> int:
    """Return the index of the first step that changes anything outside the run directory.

    Up to there a run can be forgotten: nothing has to be taken back.
    """
    quiet = {"open", "preflight", "examine"}
    return next(index for index, step in enumerate(steps_of(verb)) if step.name not in quiet)
