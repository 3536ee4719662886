"""A run's directory: what a run of a verb leaves on the host, and where it stands.

``<root>/<run id>/`` (0700) holds the journal, the backup, the reports. The id is ``YYYYMMDDTHHMMSSZ-<verb>-`` and four
hexadecimal digits; ids are given in ascending order even when the clock was set back. A run may be gone on with after a
later one has ended, so that each opening has a number: the latest run is the one that was opened last.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from .durable_files import sync_directory
from .errors import MigrationError
from .journal import Moment, Record, State, StepStanding, append_record, read_records, standings
from .steps import APPLICATION_BEFORE, Application, Step, first_change, step_of, steps_of

JOURNAL, PROGRESS, REPORT, BACKUP = "journal.jsonl", "progress.json", "report.json", "source.sqlite"
STAMP = "%Y%m%dT%H%M%SZ"
RUN_ID = re.compile(r"(\d{8}T\d{6}Z)-([a-z_]+)-([0-9a-f]{4})")
Outcome = Literal["done", "failed", "taken_back"]


@dataclass(frozen=True)
class KeptOut:
    """Users who are kept out.

    Args:
        run: The run that keeps them out.
        since: When it began to.
        by: The command; empty for somebody who does it by hand.
        lets_in: The command that lets them in.
        certain: Whether they certainly are: not when a step that keeps them out or lets them in was begun and its end
            is not recorded.
    """

    run: str
    since: Moment | None
    by: str
    lets_in: str
    certain: bool


@dataclass(frozen=True)
class RunDirectory:
    """A run's directory. Reading needs no lock; only ``record`` does (``run_lock.locked``)."""

    path: Path

    @staticmethod
    def at(path: Path) -> RunDirectory:
        """Return the run in this directory.

        Raises:
            MigrationError: The name is no run id, or there is no journal in it.
        """
        path = path.absolute()
        if not RUN_ID.fullmatch(path.name) or not (path / JOURNAL).is_file():
            raise MigrationError(
                f"{path} is not the directory of a run", "Name <root>/<run id>, with its journal.jsonl"
            )
        return RunDirectory(path)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def root(self) -> Path:
        """The directory of all runs."""
        return self.path.parent

    @property
    def verb(self) -> str:
        """What the run does; it stands in the id."""
        matched = RUN_ID.fullmatch(self.id)
        return matched[2] if matched else ""

    def records(self) -> list[Record]:
        """Return the journal's records in order."""
        return read_records(self.path / JOURNAL)

    def standings(self) -> dict[str, StepStanding]:
        """Return where each step stands that has been begun, in the verb's order."""
        found = standings(self.records())
        return {step.name: found[step.name] for step in steps_of(self.verb) if step.name in found}

    def facts(self, step: str) -> Mapping[str, Any]:
        """Return what a step recorded when it was last done (it may have begun again since); empty when it never was.

        Raises:
            MigrationError: The verb has no such step.
        """
        standing = self.standings().get(step_of(self.verb, step).name)
        return standing.facts if standing else {}

    def record(self, step: str, state: State, facts: Mapping[str, Any] | None = None) -> None:
        """Append to the journal. The caller holds the lock.

        Raises:
            MigrationError: The verb has no such step, the run is closed, or the disk is full.
        """
        step_of(self.verb, step)
        if self.outcome() is not None:
            raise MigrationError(f"the run {self.id} is closed", "Open a new one")
        append_record(self.path / JOURNAL, Record(Moment.now(), step, state, dict(facts or {})))

    def opening(self) -> int:
        """Return the number of its last opening, which counts those of all runs; 0 for a run of an earlier version."""
        return int(self.facts("open").get("opening", 0))

    def outcome(self) -> Outcome | None:
        """Return how the run ended; None while it is open."""
        closing = self.standings().get("close")
        if closing is None or closing.state != "done":
            return None
        outcome: Outcome = closing.facts.get("outcome", "done")
        return outcome

    def current(self) -> Step:
        """Return the step that runs or failed, otherwise the next one to do."""
        found = self.standings()
        waiting = [step for step in steps_of(self.verb) if step.name in found and found[step.name].state != "done"]
        unfinished = [step for step in waiting if found[step.name].state in ("begun", "failed")]
        if unfinished:
            return unfinished[-1]
        undone = [step for step in steps_of(self.verb) if step.name not in found or step in waiting]
        return undone[0] if undone else steps_of(self.verb)[-1]

    def changed_anything(self) -> bool:
        """Return whether a step that changes something was begun and not taken back."""
        changing = {step.name for step in steps_of(self.verb)[first_change(self.verb) : -1]}
        records = [record for record in self.records() if record.step in changing]
        if records and (records[-1].step, records[-1].state) == ("drop", "done"):
            return False  # a rehearsal whose copies are gone, and that has made none since
        return any(standing.state != "taken_back" for standing in standings(records).values())

    def application(self) -> tuple[Application, bool]:
        """Return what the application uses by the journal, and whether that is certain.

        It is not when a step that stops or starts it was begun and its end is not recorded.
        """
        found = self.standings()
        uses, certain = APPLICATION_BEFORE[self.verb], True
        if self.outcome() == "taken_back":
            return uses, certain
        taken_back = found["open"].facts.get("takes_back") if "open" in found else None
        if taken_back and (self.root / str(taken_back) / JOURNAL).is_file():
            # What an unfinished cut-over has done to it.
            uses, certain = RunDirectory(self.root / str(taken_back)).application()
        for step in steps_of(self.verb):
            standing = found.get(step.name)
            # A stop that was taken back leaves the application where it was.
            if standing is None or standing.state == "taken_back" or step.application_after == "unchanged":
                continue
            uses, certain = (step.application_after, True) if standing.state == "done" else ("stopped", False)
        return uses, certain

    def kept_out(self) -> KeptOut | None:
        """Return how users are kept out; None when they are in.

        The commands are those that the run was last opened with.
        """
        if self.outcome() in ("done", "taken_back"):
            return None
        found = self.standings()
        opened = found["open"].facts if "open" in found else {}
        command, taken_back = str(opened.get("lets_users_in") or ""), str(opened.get("takes_back") or "")
        out = None
        if taken_back and (self.root / taken_back / JOURNAL).is_file():
            out = RunDirectory(self.root / taken_back).kept_out()
        closing, opening = found.get("keep_out"), found.get("let_in")
        if out and command:
            out = replace(out, lets_in=command)
        elif closing and closing.state != "taken_back" and command:
            by = str(opened.get("keeps_users_out") or "")
            out = KeptOut(self.id, closing.begun or closing.ended, by, command, closing.state == "done")
        if opening and opening.state == "done":
            return None
        return replace(out, certain=False) if out and opening else out

    def progress(self) -> Mapping[str, Any]:
        """Return what the running step last said about itself; empty when nothing did."""
        try:
            content = json.loads((self.path / PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def runs_in(root: Path, *verbs: str) -> list[RunDirectory]:
    """Return the runs under a root, of these verbs or of all, in the order in which they were begun."""
    try:
        names = sorted(entry.name for entry in root.iterdir())
    except OSError:
        return []
    found = [RunDirectory(root.absolute() / name) for name in names if RUN_ID.fullmatch(name)]
    return [run for run in found if (not verbs or run.verb in verbs) and (run.path / JOURNAL).is_file()]


def latest(root: Path, *verbs: str) -> RunDirectory | None:
    """Return the run that was opened last, of these verbs or of all.

    One whose journal is damaged counts as opened when it was begun.
    """
    found, number = None, 0
    for run in runs_in(root, *verbs):
        try:
            opening = run.opening()
        except MigrationError:
            opening = number
        if opening >= number:
            found, number = run, opening
    return found


def create_run(root: Path, verb: str, facts: Mapping[str, Any]) -> RunDirectory:
    """Make a run's directory with the first record of its journal, or nothing. The caller holds the lock.

    Raises:
        MigrationError: There is no such verb, or the root cannot be written.
    """
    steps_of(verb)
    try:
        # A killed one never became a run.
        for partial in root.glob(".*.new"):
            shutil.rmtree(partial)
        new_id = next_id(root, verb)
        partial = root / f".{new_id}.new"
        partial.mkdir(mode=0o700)
        for state in ("begun", "done"):
            append_record(partial / JOURNAL, Record(Moment.now(), "open", state, dict(facts)))
        partial.rename(root / new_id)
        sync_directory(root)
    except OSError as error:
        raise MigrationError(
            f"no run can be opened in {root}: {error.strerror}", "Run playbooks/prepare.yml, and look at the disk"
        ) from error
    return RunDirectory(root / new_id)


def next_id(root: Path, verb: str) -> str:
    """Return an id that sorts behind all there are."""
    now = datetime.now(UTC)
    if begun := runs_in(root):
        stamp = datetime.strptime(begun[-1].id.partition("-")[0], STAMP).replace(tzinfo=UTC)
        now = max(now, stamp + timedelta(seconds=1))
    return f"{now.strftime(STAMP)}-{verb}-{secrets.token_hex(2)}"
