"""What a run did, for a machine (``report.json``) and for a person who is tired.

Everything comes from the run's journal: what the steps recorded as facts, and when. Known facts are ``tables`` (a
table's name to ``rows``, ``bytes``, ``seconds``, ``cells``, ``differences``, each optional), ``rows``, ``cells`` and
``differences`` (or ``number``) as sums, ``rules`` (``table``, ``column``, ``rule``, ``count``), ``engine``, ``path``,
``sha256`` and ``bytes`` of the step ``back_up``, ``versions``, ``longest_pause_ms``, ``expected_window_seconds`` and
``disk_bytes``; others stay with their step. What the verbs found in detail comes from their documents
(``run_documents.py``); ``run_page.py`` makes a page of it all.
"""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .journal import Moment, Record, StepStanding, read_records, write_whole
from .run_directory import BACKUP, JOURNAL, REPORT, RunDirectory
from .run_documents import documents_of, uncarried_in
from .run_lock import read_lease
from .run_step import counted, spoken_seconds
from .run_timeline import sign_of, timeline, window
from .steps import (
    CUT_OVER_AGAIN,
    ROLL_BACK_AGAIN,
    SHOW_RUN,
    SPOKEN,
    VALIDATE,
    Step,
    steps_of,
)

Report = dict[str, Any]
WIDTH, LINES_OF_RULES = 110, 5
LINES_OF_A_MESSAGE: Mapping[str, int] = {"What happened": 7, "Takes back": 4}
AFTERWARDS: Mapping[str, str] = {
    "cut_over": VALIDATE,
    "roll_back": CUT_OVER_AGAIN,
    "rehearse": CUT_OVER_AGAIN,
    "benchmark": SHOW_RUN,
}
#: A server that is gone for good must not keep anybody there.
WITHOUT_TARGET = " -e rollback_without_target=true"


def make_report(run: RunDirectory) -> Report:
    """Sum up a run, finished or not. Durations are in seconds, sizes in bytes, times in UTC.

    Raises:
        MigrationError: The journal cannot be read.
    """
    records, found, outcome = run.records(), run.standings(), run.outcome()
    uses, certain = run.application()
    opening = found["open"].facts if "open" in found else {}
    inventory = opening.get("inventory") or ""
    tables = _tables(found)
    lease = read_lease(run.root)
    failure = _failure(records) if outcome != "done" else None
    command = AFTERWARDS[run.verb] if outcome == "done" else run.current().on_failure_next
    next_command = with_inventory(command, inventory)
    return {
        "run": run.id,
        "directory": str(run.path),
        "verb": run.verb,
        "outcome": outcome,
        "under_way": bool(lease and lease.run == run.id and not outcome and lease.seconds_left(Moment.now()) > 0),
        "opened": records[0].moment.time if records else None,
        "last": records[-1].moment.time if records else None,
        "seconds": records[0].moment.seconds_until(records[-1].moment) if records else None,
        "attempts": sum(record.step == "open" and record.state == "done" for record in records),
        "application": {"uses": uses, "certain": certain},
        "users": _users(run),
        "window": window(records),
        "timeline": timeline(records),
        "steps": [_step(step, found.get(step.name)) for step in steps_of(run.verb)],
        "current": run.current().name,
        "failure": failure,
        "takes_back": _taken_back(run, opening),
        "later_rows": _first(found, "later_rows"),
        "without_target": bool(_first(found, "without_target")),
        "tables": tables,
        "totals": _totals(found, tables),
        "rules": _first(found, "rules") or [],
        "backup": _backup(run, found),
        "engine": _first(found, "engine"),
        "versions": _first(found, "versions") or {},
        "measured": {
            name: value
            for name in ("longest_pause_ms", "expected_window_seconds", "disk_bytes")
            if (value := _first(found, name)) is not None
        },
        **documents_of(run),
        "next": next_command,
        "next_without_target": next_command + WITHOUT_TARGET if _target_is_gone(run, failure) else None,
        "way_back": _way_back(run, inventory),
        "look_inside": _look_inside(run, opening) if outcome == "done" else None,
    }


def write_report(run: RunDirectory) -> Report:
    """Make the report and keep it as ``report.json`` (0600) in the run's directory.

    Raises:
        MigrationError: The journal cannot be read, or the disk is full.
    """
    report = make_report(run)
    write_whole(run.path / REPORT, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return report


def with_inventory(command: str, inventory: Sequence[str] | str) -> str:
    """Return a command with the inventories that the run was begun with."""
    names = [inventory] if isinstance(inventory, str) else inventory
    options = "".join(f"-i {shlex.quote(str(name))} " for name in names if name)
    return command.replace("ansible-playbook ", f"ansible-playbook {options}")


def _look_inside(run: RunDirectory, opening: Mapping[str, Any]) -> str | None:
    """Return the command for a look into the target; a rehearsal and a benchmark have left nothing in it."""
    left = opening.get("target") and run.verb in ("cut_over", "roll_back")
    return f"psql {shlex.quote(str(opening['target']))}" if left else None


def _taken_back(run: RunDirectory, opening: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the cut-over that a way back takes back, and why, when it had failed."""
    other = run.root / str(opening.get("takes_back") or "-")
    if not (other / JOURNAL).is_file():
        return None
    failure = _failure(read_records(other / JOURNAL))
    return {"run": other.name, "failure": failure, "finished": RunDirectory(other).outcome() is not None}


def _users(run: RunDirectory) -> dict[str, Any]:
    """Return whether the application's own command keeps users out, whether that is certain, and what lets them in."""
    out = run.kept_out()
    return {"kept_out": bool(out), "certain": not out or out.certain, "let_in_by": out.lets_in if out else None}


def _step(step: Step, standing: StepStanding | None) -> dict[str, Any]:
    return {
        "name": step.name,
        "title": step.title,
        "state": standing.state if standing else "waiting",
        "seconds": standing.seconds if standing else None,
        "facts": dict(standing.facts) if standing else {},
    }


def _first(found: Mapping[str, StepStanding], name: str) -> Any:  # noqa: ANN401 (a fact of any JSON type)
    for standing in found.values():
        if name in standing.facts:
            return standing.facts[name]
    return None


def _tables(found: Mapping[str, StepStanding]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for step in ("transfer", "compare"):
        tables = found[step].facts.get("tables") if step in found else None
        for name, numbers in tables.items() if isinstance(tables, Mapping) else _named(tables):
            merged.setdefault(name, {}).update(numbers if isinstance(numbers, Mapping) else {"rows": numbers})
    return merged


def _named(tables: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables of a list in which each one names itself."""
    for table in tables if isinstance(tables, list) else ():
        if isinstance(table, Mapping) and "table" in table:
            yield str(table["table"]), {name: value for name, value in table.items() if name != "table"}


def _totals(found: Mapping[str, StepStanding], tables: Mapping[str, Mapping[str, Any]]) -> dict[str, int | None]:
    totals: dict[str, int | None] = {"tables": len(tables) or None}
    for name in ("rows", "cells", "differences"):
        compared = found["compare"].facts if "compare" in found else {}
        given = compared.get(name, compared.get("number") if name == "differences" else None)
        numbers = [table[name] for table in tables.values() if isinstance(table.get(name), int)]
        totals[name] = given if isinstance(given, int) else sum(numbers) if numbers else None
    return totals


def _backup(run: RunDirectory, found: Mapping[str, StepStanding]) -> dict[str, Any]:
    facts = found["back_up"].facts if "back_up" in found else {}
    known = {name: facts[name] for name in ("path", "sha256", "bytes") if name in facts}
    return {"path": str(run.path / BACKUP), **known} if known else {}


def _failure(records: Sequence[Record]) -> dict[str, Any] | None:
    """Return the last failure that no later attempt made good."""
    failure = None
    for record in records:
        if record.state == "failed":
            failure = {"step": record.step, "message": str(record.facts.get("message", "")), "time": record.moment.time}
        elif record.state == "done" and failure and failure["step"] == record.step:
            failure = None
    return failure


def _target_is_gone(run: RunDirectory, failure: Mapping[str, Any] | None) -> bool:
    return run.verb == "roll_back" and "cannot connect to PostgreSQL" in (failure or {}).get("message", "")


def _way_back(run: RunDirectory, inventory: Sequence[str] | str) -> str | None:
    if run.verb != "cut_over" or run.outcome() in ("failed", "taken_back") or not run.changed_anything():
        return None
    return with_inventory(ROLL_BACK_AGAIN, inventory)


# ---- for a person ---------------------------------------------------------------------------------------------------


def render_terminal(report: Mapping[str, Any]) -> str:
    """Return a report as at most 40 lines: what happened, what the application uses, what to type next."""
    lines = [headline(report), ""]
    lines += _field("Run", when(report))
    if report["failure"]:
        lines += _field("What happened", report["failure"]["message"] or "the step ended without a message")
    lines += _field("Application", where_it_is(report))
    for said in where_users_are(report):
        lines += _field("Users", said)
    for label, text in _facts(report):
        lines += _field(label, text)
    lines += ["", *_steps(report["steps"], report["failure"]), ""]
    for label, text in _commands(report):
        lines += _field(label, text)
    return "\n".join(lines)


def headline(report: Mapping[str, Any]) -> str:
    """Return what became of the run, as a sentence."""
    verb, failure = SPOKEN[report["verb"]], report["failure"]
    if report["outcome"] == "done":
        differences = report["totals"]["differences"]
        compared = " Every cell was compared, none differs." if differences == 0 else ""
        return f"{verb.upper()} DONE.{compared}"
    if failure:
        title = next(step["title"] for step in report["steps"] if step["name"] == failure["step"])
        return f"{verb.upper()} FAILED at the step {failure['step']}: {title[0].lower()}{title[1:]}."
    if report["outcome"]:
        return f"{verb.upper()} {'TAKEN BACK' if report['outcome'] == 'taken_back' else 'GIVEN UP'}."
    if report["under_way"]:
        return f"{verb.upper()} UNDER WAY at the step {report['current']}."
    return f"{verb.upper()} NOT FINISHED: it stands at the step {report['current']}, and nobody works on it."


def when(report: Mapping[str, Any]) -> str:
    """Return the run's id and its times."""
    opened, last = str(report["opened"]), str(report["last"])
    took = f", {spoken_seconds(report['seconds'])}" if report["seconds"] else ""
    attempts = f", in {report['attempts']} attempts" if report["attempts"] > 1 else ""
    return f"{report['run']}, {opened[:10]} {_clock(opened)} to {_clock(last)} UTC{took}{attempts}"


def _clock(time: str) -> str:
    return time[11:19]


def where(report: Mapping[str, Any]) -> str:
    """Return where the application is by the journal, as a sentence."""
    return f"The application {where_it_is(report)}." + "".join(f" Users {said}." for said in where_users_are(report))


def where_it_is(report: Mapping[str, Any]) -> str:
    """Return where the application is by the journal, which knows nothing of what runs now; it follows its name."""
    uses, certain = report["application"]["uses"], report["application"]["certain"]
    if not certain:
        return "may be stopped: a step that stops or starts it was not finished"
    if uses in ("unchanged", "stopped"):
        return "was left alone" if uses == "unchanged" else "is stopped"
    how = f"is configured for {uses}"
    if report["outcome"] == "taken_back":
        return f"{how} as before: what the run had changed was taken back"
    if report["window"]:
        return how
    as_found = (report["takes_back"] or {}).get("finished", True)
    unfinished = ", as the unfinished cut-over has left it: the way back changed nothing"
    return how + (" as before: nothing was changed" if as_found else unfinished)


def where_users_are(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield that users are kept out, as what follows their name; nothing when they are not."""
    users = report.get("users") or {}  # A report of an earlier version has none.
    if users.get("kept_out"):
        state = "are kept out" if users["certain"] else "may be kept out"
        yield f"{state}; what lets them in, on the application's host: {users['let_in_by']}"


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    totals, window = report["totals"], report["window"]
    if totals["rows"] is not None:
        cells = f", {counted(totals['cells'], 'cell')} compared" if totals["cells"] is not None else ""
        differing = f", {counted(totals['differences'], 'difference')}" if totals["differences"] is not None else ""
        by = f", by {report['engine']}" if report["engine"] else ""
        what = f"{counted(totals['tables'] or 0, 'table')}, {counted(totals['rows'], 'row')}{by}{cells}{differing}"
        yield "Moved" if report["outcome"] == "done" and report["verb"] == "cut_over" else "Loaded", what
    if report["rules"]:
        yield "Rules applied", _rules(report["rules"])
    if window and window["seconds"] is not None:
        until = "it was proven and they were let in" if report["outcome"] == "done" else "all was taken back"
        yield "Window", f"{spoken_seconds(window['seconds'])} in which users waited, until {until}"
    elif window:
        yield "Window", f"open since {_clock(window['begun'])} UTC"
    yield from _proof(next((step["facts"] for step in report["steps"] if step["name"] == "prove"), {}))
    if report["takes_back"]:
        failure = report["takes_back"]["failure"]
        why = f", which failed at {failure['step']}: {failure['message']}" if failure else ""
        yield "Takes back", f"{report['takes_back']['run']}{why}"
    if report["without_target"]:
        yield "Given up", "whatever was written in PostgreSQL since the cut-over: it could not be reached and counted"
    elif report["later_rows"]:
        rows = counted(report["later_rows"], "row that was", "rows that were")
        yield "Given up", f"{rows} written in PostgreSQL since the cut-over"
    if left := uncarried_in(report):
        yield (
            "Stays behind",
            "\n".join(
                f"in PostgreSQL: {counted(each['rows'], 'row')} of {each['table']}, which is never carried"
                for each in left
            ),
        )
    yield from _measured(report["measured"])
    if report["backup"]:
        yield "Backup", f"{report['backup']['path']}  sha256 {str(report['backup'].get('sha256', 'unknown'))[:16]}…"


def _proof(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the proof saw: the application's sessions in PostgreSQL, or its processes at the SQLite file."""
    seen = facts.get("seen")
    each = [one for one in seen if isinstance(one, Mapping)] if isinstance(seen, list) else []
    if sessions := [one for one in each if "application_name" in one]:
        tls = " and ".join(sorted({str(one.get("tls_version") or "no TLS") for one in sessions}))
        of = " and ".join(sorted({str(one.get("user")) for one in sessions}))
        canary = ", and the canary arrived there" if facts.get("canary") else ""
        yield "Proof", f"PostgreSQL sees {counted(len(sessions), 'session')} of {of}, over {tls}{canary}"
    elif each:
        of = ", ".join(f"{one.get('command')} (pid {one.get('pid')})" for one in each[:3])
        yield "Proof", f"{of} {'has' if len(each) == 1 else 'have'} the SQLite file open"


def _measured(measured: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "expected_window_seconds" in measured:
        yield "To expect", f"a window of {spoken_seconds(measured['expected_window_seconds'])}"
    if "longest_pause_ms" in measured:
        yield "Writers", f"waited {measured['longest_pause_ms']:.0f} ms at the longest"
    if "disk_bytes" in measured:
        yield "Disk", f"{measured['disk_bytes'] / 2**20:,.0f} MiB are needed on the application's host"


def _rules(rules: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"{rule['table']}.{rule['column']}: {rule['rule']} {rule['count']:,} times" for rule in rules]
    if len(lines) > LINES_OF_RULES:
        rest = sum(rule["count"] for rule in rules[LINES_OF_RULES - 1 :])
        lines[LINES_OF_RULES - 1 :] = [f"and {len(lines) - LINES_OF_RULES + 1} more, {rest:,} times in all"]
    return "\n".join(lines)


def _steps(steps: Sequence[Mapping[str, Any]], failure: Mapping[str, Any] | None) -> Iterator[str]:
    waiting = [step["name"] for step in steps if step["state"] == "waiting" and step["name"] != "close"]
    for step in steps:
        # Opening and closing take no time and tell nothing.
        if step["name"] in ("open", "close") or step["state"] == "waiting":
            continue
        took = spoken_seconds(step["seconds"]) if step["seconds"] is not None else ""
        yield f"  {sign_of(step, failure):<6}  {step['name']:<9}  {took:>12}  {step['title']}".rstrip()
    if waiting:
        yield f"  not begun: {', '.join(waiting)}"


def _commands(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Report", str(Path(report["directory"]) / REPORT)
    if report["look_inside"]:
        yield "Look inside", report["look_inside"]
    if report["under_way"]:
        # Whoever asks may be the one whose controller has just died.
        yield "Next", f"wait; playbooks/show_run.yml shows how far it is. Is its controller dead?  {report['next']}"
    elif report["outcome"] == "done":
        yield "Next", report["next"]
    else:
        yield "Next", f"mend that, then  {report['next']}" if report["failure"] else report["next"]
    if report["next_without_target"]:
        yield "Gone for good", report["next_without_target"]
    if report["way_back"]:
        yield "Way back", report["way_back"]


def _field(label: str, text: str) -> list[str]:
    # Commands are copied with the mouse: they stay on one line, however long.
    lines = text.splitlines() or [""]
    if label in LINES_OF_A_MESSAGE:
        lines = [part for line in lines for part in textwrap.wrap(line, WIDTH - 15) or [""]]
        if len(lines) > LINES_OF_A_MESSAGE[label]:
            lines[LINES_OF_A_MESSAGE[label] - 1 :] = ["… (all of it is in the report)"]
    return [f"{label if number == 0 else '':<15}{line}".rstrip() for number, line in enumerate(lines)]
