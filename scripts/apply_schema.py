#!/usr/bin/env python3
"""Apply the schema changes of a profile to PostgreSQL, or take them back.

Exit codes: 0 everything is as wanted, 1 with --check something is pending, 2 refused or failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))

try:
    from ansible_collections.contralock.database.plugins.module_utils.connection import connect
    from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
    from ansible_collections.contralock.database.plugins.module_utils.schema_changes import (
        Report,
        Request,
        ask,
        perform,
    )
    from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes
except ModuleNotFoundError as missing:
    # Exit code 1 would say that changes are pending.
    print(
        f"refused: this Python has no {missing.name}. Use .venv/bin/python, which `make setup` makes.", file=sys.stderr
    )
    sys.exit(2)

PROFILES = ROOT / "files" / "profiles"
EXIT_DONE, EXIT_PENDING, EXIT_REFUSED = 0, 1, 2


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="a name in files/profiles, a profile's folder, or a folder of changes")
    parser.add_argument(
        "--target",
        default="",
        metavar="CONNINFO",
        help="libpq connection string without a password (default: the PG* environment variables)",
    )
    parser.add_argument("--state", choices=("present", "reverted"), default="present")
    parser.add_argument("--to", metavar="NAME", help="with --state reverted: the last change that stays")
    parser.add_argument("--schema", default="public", help="the schema that the changes work in (default: public)")
    parser.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
    parser.add_argument("--diff", action="store_true", help="print the SQL")
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of lines")
    parser.add_argument("--quiet", action="store_true", help="print nothing but refusals")
    parser.add_argument("--allow-data-loss", action="store_true", help="let tables and columns with values go")
    parser.add_argument(
        "--lock-wait", type=int, default=30, metavar="S", help="seconds to wait for locks (default: 30)"
    )
    return parser.parse_args(arguments)


def find_changes(profile: str) -> Path:
    """Return the folder of changes that a profile's name, its folder, or the folder itself stands for."""
    if not profile.strip():
        raise MigrationError("the profile's name is empty", f"Give one of {', '.join(_names())}, or a folder")
    named = PROFILES / profile / "schema"
    folder = named if named.is_dir() else Path(profile)
    return folder / "schema" if (folder / "schema").is_dir() else folder


def _names() -> list[str]:
    return sorted(folder.parent.name for folder in PROFILES.glob("*/schema"))


def say(line: str, end: str = "\n") -> None:
    """Print at once; that nobody reads it any more (`| head`) stops no change."""
    try:
        print(line, end=end, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_report(options: argparse.Namespace, report: Report) -> None:
    """Say what was found; what was done has been said already, line by line."""
    if options.json:
        say(json.dumps({"changed": report.changed, **asdict(report)}, indent=2))
    elif not options.quiet:
        if options.diff and report.diff:
            say(report.diff, end="")
        for name in report.pending:
            say(f"would {'apply' if options.state == 'present' else 'take back'} {name}")
        say(f"version: {report.version or 'none'}{'' if report.changed else ', nothing to do'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    options = parse_arguments(arguments)
    silent = options.json or options.quiet
    try:
        request = Request(
            changes=load_changes(find_changes(options.profile)),
            state=options.state,
            to=options.to,
            schema=options.schema,
            allow_data_loss=options.allow_data_loss,
            lock_wait=options.lock_wait,
        )
        with connect(options.target, "contralock apply_schema") as connection:
            if options.check:
                report = ask(connection, request)
            else:
                report = perform(connection, request, lambda line: None if silent else say(line))
    except MigrationError as error:
        print(f"refused: {error}", file=sys.stderr)
        if options.json:
            say(json.dumps({"error": str(error), "details": error.details}, indent=2))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        print("interrupted: the change that ran was rolled back, the ones before it stay", file=sys.stderr)
        return EXIT_REFUSED
    print_report(options, report)
    return EXIT_PENDING if report.pending else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
