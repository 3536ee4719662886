#!/usr/bin/env python3
"""Print where a run of the migration stands, and the next command.

On the application's host, or on a copy of a run's directory. Without a directory: the latest run under --root.

Exit codes: 0 the run is done; 1 it is under way, failed or was taken back; 2 it could not be told.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "collections"))

from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.journal import Moment
from ansible_collections.contralock.database.plugins.module_utils.left_over import of_run
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory, latest, runs_in
from ansible_collections.contralock.database.plugins.module_utils.run_lock import LOCK, read_lease
from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report, render_terminal

EXIT_DONE, EXIT_NOT_DONE, EXIT_UNKNOWN = 0, 1, 2
ROOT = Path("/var/lib/contralock-migration")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN_DIRECTORY")
    parser.add_argument("--root", type=Path, default=ROOT, help=f"directory of all runs (default: {ROOT})")
    parser.add_argument("--list", action="store_true", help="print a line for each run instead")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
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


def list_runs(root: Path) -> str:
    """Return a line for each run, the latest last."""
    return "\n".join(f"{run.id}  {run.outcome() or 'open, at ' + run.current().name}" for run in runs_in(root))


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


def say(text: str) -> None:
    """Print at once; it is no error that nobody reads it any more (`| head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    options = parse_arguments(arguments)
    try:
        run = find_run(options)
        report = make_report(run)
        if options.list:
            say(list_runs(run.root))
        elif options.json:
            say(json.dumps(report, indent=2, ensure_ascii=False))
        else:
            say("\n".join([render_terminal(report), *(who_works(run) if report["outcome"] is None else [])]))
    except MigrationError as error:
        print(f"could not tell: {error}", file=sys.stderr)
        return EXIT_UNKNOWN
    return EXIT_DONE if report["outcome"] == "done" else EXIT_NOT_DONE


if __name__ == "__main__":
    sys.exit(main())
