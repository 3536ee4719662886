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
        on_failure_next: The command to type when the step failed and its cause is mended.
    """

    name: str
    title: str
    application_after: Application
    on_failure_next: str


def _steps(again: str, *rows: tuple[str, str, Application]) -> tuple[Step, ...]:
    return tuple(Step(*row, on_failure_next=again) for row in rows)


CUT_OVER = _steps(
    CUT_OVER_AGAIN,
    ("open", "Open the run", "unchanged"),
    ("preflight", "Check everything before anything is changed", "unchanged"),
    ("keep_out", "Keep users out", "unchanged"),
    ("stop", "Stop the application", "stopped"),
    ("fence", "Close the SQLite file to every process", "unchanged"),
    ("back_up", "Back up the SQLite file", "unchanged"),
    ("transfer", "Load every row into PostgreSQL", "unchanged"),
    ("compare", "Compare every cell", "unchanged"),
    ("grant", "Let the application's role connect", "unchanged"),
    ("configure", "Write the connection into the application's configuration", "unchanged"),
    ("flip", "Switch the application to PostgreSQL", "unchanged"),
    ("start", "Start the application", "PostgreSQL"),
    ("prove", "Prove that the application uses PostgreSQL", "unchanged"),
    ("let_in", "Let users in", "unchanged"),
    ("close", "Close the run", "unchanged"),
)

ROLL_BACK = _steps(
    ROLL_BACK_AGAIN,
    ("open", "Open the run", "unchanged"),
    ("examine", "Check the backup, and count later writes in PostgreSQL", "unchanged"),
    ("keep_out", "Keep users out", "unchanged"),
    ("stop", "Stop the application", "stopped"),
    ("revoke", "Keep the application's role out of PostgreSQL", "unchanged"),
    ("recount", "Count later writes again, now that nobody can write", "unchanged"),
    ("restore", "Put the SQLite file back", "unchanged"),
    ("unfence", "Open the SQLite file to the application", "unchanged"),
    ("flip", "Switch the application to SQLite", "unchanged"),
    ("start", "Start the application", "SQLite"),
    ("prove", "Prove that the application uses SQLite", "unchanged"),
    ("let_in", "Let users in", "unchanged"),
    ("close", "Close the run", "unchanged"),
)

REHEARSE = _steps(
    REHEARSE_AGAIN,
    ("open", "Open the run", "unchanged"),
    ("snapshot", "Take a snapshot while the application runs", "unchanged"),
    ("scratch", "Make the scratch database", "unchanged"),
    ("transfer", "Load every row into the scratch database", "unchanged"),
    ("compare", "Compare every cell", "unchanged"),
    ("drop", "Remove the scratch database", "unchanged"),
    ("close", "Close the run", "unchanged"),
)

BENCHMARK = _steps(
    BENCHMARK_AGAIN,
    ("open", "Open the run", "unchanged"),
    # Of the live file, or after a cut-over of its backup.
    ("snapshot", "Take a copy of the SQLite file", "unchanged"),
    ("scratch", "Make the scratch database", "unchanged"),
    ("transfer", "Load every row into the scratch database", "unchanged"),
    ("compare", "Compare every cell", "unchanged"),
    ("measure", "Measure both", "unchanged"),
    ("drop", "Remove the copies", "unchanged"),
    ("close", "Close the run", "unchanged"),
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
