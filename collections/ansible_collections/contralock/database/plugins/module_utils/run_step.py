"""One step of a run, done by one module: lock, sign of life, journal and progress around a verb."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from .errors import MigrationError
from .journal import State, write_whole
from .left_over import MARKER, process
from .run_directory import PROGRESS, RunDirectory
from .run_lock import LOCK, Lease, locked, read_lease, renew
from .steps import first_change, step_of, steps_of

#: What a verb calls with a line or with ``{"table", "rows", "of_rows", "seconds_left", "line"}``, each optional.
Progress = Callable[[str | Mapping[str, Any]], None]
#: Takes secrets out of a text, or out of facts.
Clean = Callable[[Any], Any]
#: The end of one module and the beginning of the next overlap for a moment.
LOCK_WAIT_SECONDS = 5.0
SECONDS_BETWEEN_LINES = 0.2


class Interrupted(BaseException):
    """The process was asked to end (SIGTERM): its cleaning up runs, nothing else."""


def _as_given(given: Any) -> Any:  # noqa: ANN401 (a text, or facts of any shape)
    return given


def no_progress(_said: str | Mapping[str, Any]) -> None:
    """Say nothing: the verb does not run within a run."""


def require_lease(run: RunDirectory, token: str) -> Lease | None:
    """Refuse a controller whose run another has taken over; without a token nothing is asked.

    Raises:
        MigrationError: Somebody else opened a run since.
    """
    lease = read_lease(run.root)
    if token and (lease is None or lease.token != token or lease.run != run.id):
        now_with = f"{lease.controller} has opened {lease.run} since" if lease else "it has been closed since"
        raise MigrationError(
            f"this playbook works on the run {run.id} no longer: {now_with}",
            "Stop this playbook; the other one goes on",
        )
    return lease


@dataclass
class ProgressFile:
    """Writes ``progress.json`` of a run: what the step that runs says about itself."""

    run: RunDirectory
    step: str
    clean: Clean = _as_given
    _began: float = field(default_factory=time.monotonic)
    _last: float = 0.0

    def __call__(self, said: str | Mapping[str, Any]) -> None:
        """Say a line or numbers; more than five a second are passed over."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        self.write({"line": said} if isinstance(said, str) else dict(said))

    def write(self, content: dict[str, Any]) -> None:
        """Write at once."""
        own = process(os.getpid())
        content = {
            "step": self.step,
            "pid": os.getpid(),
            "started": own.started if own else 0,
            "seconds": round(time.monotonic() - self._began, 1),
            "line": progress_line(content),
            **{name: value for name, value in content.items() if name != "line"},
        }
        # What stands still on a full disk is the progress, not the work.
        with contextlib.suppress(MigrationError):
            write_whole(self.run.path / PROGRESS, json.dumps(self.clean(content)) + "\n", durable=False)


def progress_line(said: Mapping[str, Any]) -> str:
    """Return numbers as a person reads them: ``users 12,000 of 50,000 rows, 8 s left``."""
    if said.get("line"):
        return str(said["line"])
    parts = [str(said["table"])] if said.get("table") else []
    if said.get("rows") is not None:
        of_rows = said.get("of_rows")
        known = "" if of_rows is None else f"{said['rows']:,} of "
        parts.append(known + counted(said["rows"] if of_rows is None else of_rows, "row"))
    left = f", {spoken_seconds(said['seconds_left'])} left" if said.get("seconds_left") is not None else ""
    return " ".join(parts) + left


def counted(number: int, one: str, more: str = "", width: int = 0) -> str:
    """Return a number with what it counts, as ``1 row``, ``12,000 rows``, ``2 entries``.

    Args:
        number: How many there are.
        one: The word for one of them.
        more: The word for several; by default the same with an s.
        width: For a column of a table: of the number, which stands right; the words are filled up then.
    """
    more = more or f"{one}s"
    return f"{number:>{width},} {one if number == 1 else more:<{len(more) if width else 0}}"


def spoken_seconds(seconds: float) -> str:
    """Return a duration as a person reads it: ``0.4 s``, ``8 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def readable_bytes(count: int) -> str:
    """Return a size in binary units, as ``1.4 GiB``."""
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    while size >= 1024 and (larger := next(units, "")):
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


@dataclass
class StepRun:
    """What a module does within a run."""

    progress: Progress = no_progress
    facts: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def within_run(path: str, step: str, token: str = "", clean: Clean = _as_given) -> Iterator[StepRun]:
    """Carry out a verb as a step of a run, or as a part of one.

    With a step the journal says begun, then done with the ``facts`` that the body leaves in what it is given, or failed
    with the message. Without one only the progress is written; the caller journals the step around several modules.

    Args:
        path: The run's directory.
        step: The step's name; empty for none.
        token: The lease's token, as opening the run returned it.
        clean: Takes secrets out of texts and facts before they are written.

    Raises:
        MigrationError: Another controller took the run over, or another process works on it.
    """
    run = RunDirectory.at(Path(path))
    if step:
        step_of(run.verb, step)
    refusal = f"another verb of the run {run.id} is still at work"
    with locked(run.root / LOCK, LOCK_WAIT_SECONDS, refusal), _marked(run.root), _ending_on_sigterm():
        lease = require_lease(run, token)
        if lease:
            renew(run.root, lease.token)
        writer = ProgressFile(run, step or run.current().name, clean)
        writer.write({"line": ""})
        around = StepRun(writer)
        with _journalled(run, step, around, clean) if step else contextlib.nullcontext():
            yield around


def record_step(run: RunDirectory, state: State, step: str, facts: Mapping[str, Any], token: str = "") -> list[str]:
    """Record what other tasks than our modules do.

    Args:
        run: The run.
        state: What is recorded.
        step: The step; with ``failed`` empty for the one that began last and has not ended, with ``taken_back`` empty
            for every step that has changed something, the last one first.
        facts: What the journal keeps; of a failure its ``message``.
        token: As for ``within_run``.

    Returns:
        The steps that were recorded; none when nothing failed or nothing was left to take back.

    Raises:
        MigrationError: As ``within_run``, or the step is missing or unknown.
    """
    with locked(run.root / LOCK, LOCK_WAIT_SECONDS, f"another verb of the run {run.id} is still at work"):
        if lease := require_lease(run, token):
            renew(run.root, lease.token)
        names = [step] if step else steps_meant(run, state)
        for name in names:
            run.record(name, state, facts)
    return names


def steps_meant(run: RunDirectory, state: State) -> list[str]:
    """Return the steps that a record without a step's name is about.

    Raises:
        MigrationError: It is about none.
    """
    found = run.standings()
    if state == "failed":
        # The last in the file: a run that goes on after a kill begins earlier steps anew. What the killed controller
        # had begun has not failed now.
        records = run.records()
        opened = [number for number, record in enumerate(records) if (record.step, record.state) == ("open", "done")]
        begun = [record.step for record in records[opened[-1] :] if record.state == "begun"]
        return [name for name in begun if found[name].state == "begun"][-1:]
    if state == "taken_back":
        changing = [one.name for one in steps_of(run.verb)[first_change(run.verb) : -1] if one.name in found]
        return [name for name in reversed(changing) if found[name].state != "taken_back"]
    raise MigrationError(f"the step that is {state} is not named", "Name it with step")


@contextlib.contextmanager
def _journalled(run: RunDirectory, step: str, around: StepRun, clean: Clean) -> Iterator[None]:
    run.record(step, "begun")
    try:
        yield
        facts = json.loads(json.dumps(clean(around.facts)))
    except MigrationError as error:
        run.record(step, "failed", {"message": clean(str(error))})
        raise
    except Interrupted:
        run.record(step, "failed", {"message": "interrupted: the process was asked to end."})
        raise
    except BaseException as error:
        # Its words could be anything, a connection string included: Ansible shows them, the journal does not keep them.
        run.record(
            step, "failed", {"message": f"unexpected {type(error).__name__}; Ansible's output has its traceback."}
        )
        raise
    run.record(step, "done", facts)


@contextlib.contextmanager
def _marked(root: Path) -> Iterator[None]:
    """Let every program that is started from here be known as one of this root's."""
    os.environ[MARKER] = str(root)
    try:
        yield
    finally:
        del os.environ[MARKER]


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    def interrupt(number: int, _frame: FrameType | None) -> None:
        # Once is enough: a second one must not disturb the cleaning up.
        signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
