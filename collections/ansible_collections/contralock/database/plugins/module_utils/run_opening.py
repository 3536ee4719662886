"""Opening and closing a run: which run it is, who may, and what a dead controller left."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import MigrationError
from .journal import Moment, Record, append_record
from .left_over import end, of_run
from .run_directory import JOURNAL, Outcome, RunDirectory, create_run, latest, runs_in
from .run_lock import GATE, LEASE_SECONDS, LOCK, Lease, end_lease, locked, read_lease, write_lease
from .run_step import require_lease, steps_meant
from .steps import SPOKEN, Application, steps_of

#: Opening ends left-over processes, which may take this long.
GATE_SECONDS = 45.0
LOCK_SECONDS = 2.0


@dataclass(frozen=True)
class Request:
    """What is to be opened.

    Args:
        root: The directory of all runs; it has to exist.
        verb: One of ``steps.VERBS``.
        controller: Who opens it, as a person reads it.
        process: The controller's process as its own machine knows it (``left_over.identity``); empty when unknown.
        take_over: The id of a living run whose controller is known to be dead; empty for none.
        lease_seconds: How long this controller counts as living without a sign.
        application: What the application's configuration says that it uses, when the caller has looked.
        facts: Further facts for the journal, such as the inventory. With ``lets_users_in``, which is empty for an
            application without such a command, and ``keeps_users_out`` the journal knows of users who are kept out.
    """

    root: Path
    verb: str
    controller: str
    take_over: str = ""
    lease_seconds: int = LEASE_SECONDS
    application: Application | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    process: str = ""

    def is_of(self, lease: Lease) -> bool:
        """Return whether the lease is this controller's own."""
        mine, theirs = (self.controller, self.process), (lease.controller, lease.process)
        return mine == theirs


@dataclass(frozen=True)
class Decision:
    """What opening would do.

    Args:
        run: The run to go on with or that was done already; None for a new one.
        already_done: Whether there is nothing to do.
        takes_back: The cut-over that a way back takes back.
        forget: Unfinished runs that changed nothing and are closed on the way.
    """

    run: RunDirectory | None = None
    already_done: bool = False
    takes_back: RunDirectory | None = None
    forget: tuple[RunDirectory, ...] = ()


@dataclass(frozen=True)
class Opened:
    """What opening did."""

    run: RunDirectory | None
    lease: str
    resumed: bool
    already_done: bool
    takes_back: RunDirectory | None
    ended: tuple[str, ...] = ()


def decide(request: Request) -> Decision:
    """Find out what opening would do, from the journals alone.

    Raises:
        MigrationError: Another run has to be finished first, there is nothing to take back, or users are kept out and
            nothing would let them in.
    """
    decision = _decide(request)
    if not decision.already_done and request.facts.get("lets_users_in") == "":
        _refuse_to_forget_users(decision.run or decision.takes_back)
    return decision


def _refuse_to_forget_users(going_on: RunDirectory | None) -> None:
    if (out := going_on.kept_out() if going_on else None) is None:
        return
    state = "are" if out.certain else "may be"
    since = f" since {out.since.time[:19].replace('T', ' ')} UTC" if out.since else ""
    by = f" by the command {out.by!r}" if out.by else " by hand"
    raise MigrationError(
        f"users {state} kept out{since},{by}, in the run {out.run}, and there is no application_service_open_command"
        " any more: nothing would let them in",
        f"Give it again (it was {out.lets_in!r}). If they shall be let in by hand, do that, and say so with"
        """ -e '{"application_service_open_command": ["true"]}'""",
    )


def _decide(request: Request) -> Decision:
    steps_of(request.verb)
    unfinished = [run for run in runs_in(request.root) if run.outcome() is None]
    mine = [run for run in unfinished if run.verb == request.verb]
    others = [run for run in unfinished if run.verb != request.verb]
    # A run that changed nothing, or whose changes were taken back, is closed on the way; but what a way back takes back
    # is closed by that one, and as taken back.
    begun_for = mine[-1].facts("open").get("takes_back", "") if mine else ""
    forget = tuple(run for run in others if not run.changed_anything() and run.id != begun_for)
    in_the_way = [run for run in others if run.changed_anything() and run.verb not in _TAKES[request.verb]]
    if in_the_way:
        raise _unfinished(in_the_way[-1], request.verb)
    if request.verb == "roll_back":
        return _decide_way_back(request, mine, forget)
    if mine:
        return Decision(mine[-1], forget=forget)
    if request.verb == "cut_over" and (done := _where_it_ended(request, "cut_over", "PostgreSQL")):
        return Decision(done, already_done=True, forget=forget)
    return Decision(forget=forget)


#: Which unfinished runs of another verb do not stand in a verb's way: a way back takes back a cut-over, and nothing
#: waits for the remains of a rehearsal or of a benchmark.
_TAKES: Mapping[str, tuple[str, ...]] = {
    "cut_over": ("rehearse", "benchmark"),
    "roll_back": ("cut_over", "rehearse", "benchmark"),
    "rehearse": ("benchmark",),
    "benchmark": ("rehearse",),
}


def _unfinished(run: RunDirectory, wanted: str) -> MigrationError:
    step = run.current()
    return MigrationError(
        f"the {SPOKEN[run.verb]} {run.id} is not finished (it stands at {step.name}: {step.title.lower()}), "
        f"so no {SPOKEN[wanted]} can begin",
        f"Finish it first: {step.on_failure_next}",
    )


def _decide_way_back(request: Request, mine: list[RunDirectory], forget: tuple[RunDirectory, ...]) -> Decision:
    cut_overs = [run for run in runs_in(request.root, "cut_over") if run.changed_anything()]
    takes_back = cut_overs[-1] if cut_overs else None
    if mine:
        # What it was begun for, however that one stands by now: the end of a way back closes it first, and a kill there
        # leaves this one open.
        begun_for = mine[-1].facts("open").get("takes_back", "")
        named = next((run for run in runs_in(request.root, "cut_over") if run.id == begun_for), takes_back)
        return Decision(mine[-1], takes_back=named, forget=forget)
    is_open = takes_back is not None and takes_back.outcome() is None
    done = None if is_open else _where_it_ended(request, "roll_back", "SQLite")
    if done:
        return Decision(done, already_done=True, takes_back=takes_back, forget=forget)
    if takes_back is None or takes_back.outcome() == "taken_back":
        raise MigrationError(
            f"there is nothing to take back: no cut-over in {request.root} has moved the application",
            "Look at the runs with playbooks/show_run.yml",
        )
    return Decision(takes_back=takes_back, forget=forget)


def _where_it_ended(request: Request, verb: str, application: Application) -> RunDirectory | None:
    """Return the run of this verb that left the application where it is now, if there is one."""
    moved = [run for run in runs_in(request.root, "cut_over", "roll_back") if run.outcome() == "done"]
    if not moved or moved[-1].verb != verb:
        return None
    return moved[-1] if request.application in (None, application) else None


def refuse_living(request: Request) -> None:
    """Refuse to open while another controller's lease lasts.

    Raises:
        MigrationError: It does; with the run, who opened it, since when, its step, how long it lasts and what to do.
    """
    lease = read_lease(request.root)
    if lease is None or request.is_of(lease) or lease.run == request.take_over:
        return
    left = lease.seconds_left(Moment.now())
    run = RunDirectory(request.root.absolute() / lease.run)
    if left <= 0 or not (run.path / JOURNAL).is_file() or run.outcome() is not None:
        return
    step = run.current()
    since = lease.opened.seconds_until(Moment.now())
    raise MigrationError(
        f"the {SPOKEN[lease.verb]} {lease.run} is under way: {lease.controller} opened it {since:.0f} s ago, it is at "
        f"the step {step.name}, and without a further sign of life its lease ends in {left:.0f} s",
        f"Wait. If you know that controller to be dead, go on at once with -e migration_run_take_over={lease.run}",
        {
            "run": lease.run,
            "verb": lease.verb,
            "controller": lease.controller,
            "process": lease.process,
            "seconds_left": round(left, 1),
        },
    )


def predict(request: Request) -> Decision:
    """Say what opening would do, and change nothing.

    Raises:
        MigrationError: As ``open_run``.
    """
    if not request.root.is_dir():
        return Decision()
    refuse_living(request)
    return decide(request)


def open_run(request: Request, say: Callable[[str], None] = lambda _line: None) -> Opened:
    """Open a run: go on with an unfinished one, or begin a new one, or find that nothing is to be done.

    Raises:
        MigrationError: Another controller lives, another run comes first, or there is nothing to take back.
    """
    root = request.root.absolute()
    if not root.is_dir():
        raise MigrationError(f"{root} is missing, where runs keep their journal", "Run playbooks/prepare.yml first")
    with locked(root / GATE, GATE_SECONDS, "another run is being opened"):
        refuse_living(request)
        ended = end(of_run(root, root / LOCK))
        for one in ended:
            say(f"ended {one}, which a controller that is gone had left")
        with locked(root / LOCK, LOCK_SECONDS, "a verb of an earlier run is still at work"):
            return _open_locked(request, root, tuple(map(str, ended)))


def _open_locked(request: Request, root: Path, ended: tuple[str, ...]) -> Opened:
    decision = decide(request)
    for run in decision.forget:
        _close(run, "failed")
    before = latest(root)
    number = before.opening() + 1 if before else 1
    facts = {**request.facts, "controller": request.controller, "opening": number}
    if decision.takes_back:
        facts["takes_back"] = decision.takes_back.id
    if decision.already_done:
        return Opened(decision.run, "", False, True, decision.takes_back, ended)
    if decision.run:
        run = decision.run
        run.record("open", "begun", {"controller": request.controller, "ended": list(ended)})
        run.record("open", "done", {**facts, "resumed": True})
    else:
        run = create_run(root, request.verb, facts)
    now = Moment.now()
    token = secrets.token_hex(8)
    seconds = request.lease_seconds
    lease = Lease(run.id, request.verb, request.controller, token, seconds, now, now, request.process)
    write_lease(root, lease)
    return Opened(run, token, decision.run is not None, False, decision.takes_back, ended)


def close_run(
    run: RunDirectory,
    token: str,
    outcome: Outcome | None = None,
    report: Callable[[RunDirectory], object] = lambda _run: None,
    warn: Callable[[str], object] = lambda _line: None,
) -> bool:
    """Close a run and give its lease back. Returns whether it was open.

    A report that cannot be written keeps no run open: it can be made again from the journal.

    Args:
        run: The run.
        token: The lease's token; empty when nobody's is asked.
        outcome: How it ended; found out from the journal when it is not given.
        report: Called once the run is closed, before its lease is given back; closing again calls it again.
        warn: Told why there is no report.

    Raises:
        MigrationError: A step is not done, or another controller took the run over.
    """
    with locked(run.root / LOCK, LOCK_SECONDS, f"a verb of the run {run.id} is still at work"):
        was_open = run.outcome() is None
        if was_open:
            require_lease(run, token)
            ended_as = outcome or _outcome(run)
            _refuse_half_closed(run, ended_as)
            if run.verb == "roll_back" and ended_as == "done":
                for taken_back in _close_taken_back(run):
                    _try_to(report, taken_back, warn)
            _close(run, ended_as)
        _try_to(report, run, warn)
        lease = read_lease(run.root)
        if lease is not None and lease.run == run.id:
            end_lease(run.root)
        return was_open


def _outcome(run: RunDirectory) -> Outcome:
    found = run.standings()
    if all(step.name in found and found[step.name].state == "done" for step in steps_of(run.verb)[:-1]):
        return "done"
    return "taken_back" if any(one.state == "taken_back" for one in found.values()) else "failed"


def _refuse_half_closed(run: RunDirectory, outcome: Outcome) -> None:
    found = run.standings()
    undone = [step for step in steps_of(run.verb)[:-1] if step.name not in found or found[step.name].state != "done"]
    if outcome == "done" and undone:
        raise MigrationError(f"{run.id} cannot be closed as done: the step {undone[0].name} is not", "Finish it first")
    if outcome != "done" and run.changed_anything():
        raise MigrationError(
            f"{run.id} cannot be closed as {outcome}: what it changed was not taken back",
            f"Go on: {run.current().on_failure_next}",
        )


def _try_to(report: Callable[[RunDirectory], object], run: RunDirectory, warn: Callable[[str], object]) -> None:
    try:
        report(run)
    except MigrationError as error:
        warn(f"{run.id} is closed, and its report could not be written: {error}")


def _close_taken_back(way_back: RunDirectory) -> list[RunDirectory]:
    """Close the cut-over that a way back has taken back, when it was never finished."""
    unfinished = [run for run in runs_in(way_back.root, "cut_over") if run.outcome() is None]
    for run in unfinished:
        for name in steps_meant(run, "taken_back"):
            run.record(name, "taken_back", {"by": way_back.id})
        _close(run, "taken_back", by=way_back.id)
    return unfinished


def leave_run(run: RunDirectory, token: str) -> None:
    """Give a run's lease back and leave the run as it stands; one that changed nothing is closed as failed.

    Raises:
        MigrationError: Another controller took the run over.
    """
    with locked(run.root / LOCK, LOCK_SECONDS, f"a verb of the run {run.id} is still at work"):
        lease = require_lease(run, token)
        if run.outcome() is None and not run.changed_anything():
            _close(run, "failed")
        if lease is not None and lease.run == run.id:
            end_lease(run.root)


def _close(run: RunDirectory, outcome: Outcome, **facts: str) -> None:
    # Directly, because a run that is closed by another one has steps that stand as they were left.
    for state in ("begun", "done"):
        content = {"outcome": outcome, **facts} if state == "done" else {}
        append_record(run.path / JOURNAL, Record(Moment.now(), "close", state, content))
