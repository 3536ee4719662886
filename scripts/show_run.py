#!/usr/bin/env python3
"""Print where a run of the migration stands, and the next command; or write its report as a page.

On the application's host, or on a copy of a run's directory. Without a directory: the latest run under --root.

Exit codes: 0 the run is done, or the list is printed; 1 it is under way, failed or was taken back; 2 it could not be
told; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import command_line
from command_line import Answer, Screen

with command_line.library():
    from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
    from ansible_collections.contralock.database.plugins.module_utils.journal import Moment, write_whole
    from ansible_collections.contralock.database.plugins.module_utils.left_over import of_run
    from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory, latest, runs_in
    from ansible_collections.contralock.database.plugins.module_utils.run_lock import LOCK, read_lease
    from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report, render_terminal

ROOT = Path("/var/lib/contralock-migration")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN_DIRECTORY")
    parser.add_argument("--root", type=Path, default=ROOT, help=f"directory of all runs (default: {ROOT})")
    parser.add_argument("--html", type=command_line.new_file, metavar="FILE", help="write the report as a page, too")
    parser.add_argument(
        "--benchmark",
        type=Path,
        metavar="FILE",
        help="what the page shows instead of the run's own benchmark.json, or the latest one beside it",
    )
    parser.add_argument("--list", action="store_true", help="print a line for each run instead")
    return parser.parse_args(arguments)


def find_run(options: argparse.Namespace) -> RunDirectory:
    """Return the run that is meant.

    Raises:
        MigrationError: There is none.
    """
    if options.run is not None:
        return RunDirectory.at(options.run)
    found = latest(options.root)
    if found is None:
        raise MigrationError(f"there is no run in {options.root}", "Name a run's directory, or --root")
    return found


def listed(run: RunDirectory) -> dict[str, str | None]:
    """Return a run in few words; one whose journal is damaged is listed all the same."""
    try:
        return {"run": run.id, "outcome": run.outcome(), "at": run.current().name}
    except MigrationError as error:
        return {"run": run.id, "outcome": "damaged", "at": None, "error": str(error)}


def line_of(found: dict[str, str | None]) -> str:
    """Return a run of the list as a line."""
    why = f": {found['error']}" if "error" in found else ""
    return f"{found['run']}  {found['outcome'] or 'open, at ' + str(found['at'])}{why}"


def who_works(run: RunDirectory) -> list[str]:
    """Return lines about the controller and the processes of a run that is not closed."""
    lease = read_lease(run.root)
    lines = []
    if lease is not None and lease.run == run.id:
        left = lease.seconds_left(Moment.now())
        lives = f"its lease lasts {left:.0f} s" if left > 0 else "its lease has ended: it counts as dead"
        lines.append(f"Controller     {lease.controller}; {lives}")
    at_work = of_run(run.root, run.root / LOCK)
    if at_work:
        lines.append(f"At work        {', '.join(map(str, at_work))}")
        if line := run.progress().get("line"):
            lines.append(f"Progress       {run.progress().get('step')}: {line}")
    return lines


def write_page(report: dict[str, Any], file: Path, benchmark: Path | None) -> None:
    """Write the report as a page (0600).

    Raises:
        MigrationError: The benchmark cannot be read, or the file cannot be written.
    """
    with command_line.library():  # here, because the hosts' Python shows runs and makes no pages
        from ansible_collections.contralock.database.plugins.module_utils.run_page import (  # noqa: PLC0415 (as above)
            render_page,
        )
    if benchmark is not None:
        try:
            report |= {"benchmark": json.loads(benchmark.read_text(encoding="utf-8")), "benchmark_of": None}
        except (OSError, ValueError) as error:
            raise MigrationError(f"{benchmark} is no benchmark: {error}", "Name a benchmark.json") from error
    write_whole(file.absolute(), render_page(report))


def show(given: argparse.Namespace, _screen: Screen) -> Answer:
    """Show the run, or list all of them."""
    run = find_run(given)
    if given.list:
        runs = [listed(each) for each in runs_in(run.root)]
        return Answer({"runs": runs}, map(line_of, runs), yes=True)
    report = make_report(run)
    if given.html:
        write_page(report, given.html, given.benchmark)
    lines = [*render_terminal(report).split("\n"), *(who_works(run) if report["outcome"] is None else [])]
    return Answer(report, lines, yes=report["outcome"] == "done")


if __name__ == "__main__":
    sys.exit(command_line.run(show, parse_arguments(None), name="show"))
