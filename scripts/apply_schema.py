#!/usr/bin/env python3
"""Apply the schema changes of a profile to PostgreSQL, or take them back.

Exit codes: 0 everything is as wanted, 1 with --check something is pending, 2 refused or failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import command_line
from command_line import Answer, Screen

with command_line.library():
    from ansible_collections.contralock.database.plugins.module_utils.connection import connect
    from ansible_collections.contralock.database.plugins.module_utils.schema_changes import (
        Report,
        Request,
        ask,
        perform,
    )
    from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes

INTERRUPTED = "the change that ran was rolled back, the ones before it stay"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    command_line.add_profile(parser)
    command_line.add_target(parser)
    parser.add_argument("--state", choices=("present", "reverted"), default="present")
    parser.add_argument("--to", metavar="NAME", help="with --state reverted: the last change that stays")
    parser.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
    parser.add_argument("--diff", action="store_true", help="print the SQL")
    parser.add_argument("--allow-data-loss", action="store_true", help="let tables and columns with values go")
    parser.add_argument(
        "--lock-wait",
        type=command_line.number_from(0),
        default=30,
        metavar="S",
        help="seconds to wait for locks (default: 30)",
    )
    return parser.parse_args(arguments)


def apply(given: argparse.Namespace, _screen: Screen) -> Answer:
    """Apply the changes, take them back, or say what would be done."""
    request = Request(
        changes=load_changes(command_line.changes_folder(given.profile)),
        state=given.state,
        to=given.to,
        schema=given.schema,
        allow_data_loss=given.allow_data_loss,
        lock_wait=given.lock_wait,
    )
    silent = given.json or given.quiet
    command_line.assert_own_schema(given)
    with connect(given.target or "", "contralock apply_schema") as connection:
        if given.check:
            report = ask(connection, request)
        else:
            # Each change is said when it is there: what comes after it may fail.
            report = perform(connection, request, lambda line: None if silent else command_line.say(line))
    if given.diff and report.diff and not silent:
        command_line.say(report.diff.removesuffix("\n"))
    document = {"changed": report.changed, **asdict(report)}
    return Answer(document, lines_of(given, report), yes=not report.pending)


def lines_of(given: argparse.Namespace, report: Report) -> Iterator[str]:
    """Yield what was found; what was done has been said already, line by line."""
    for name in report.pending:
        yield f"would {'apply' if given.state == 'present' else 'take back'} {name}"
    yield f"version: {report.version or 'none'}{'' if report.changed else ', nothing to do'}"


if __name__ == "__main__":
    words = {"name": "apply", "refused": "refused", "interrupted": INTERRUPTED}
    sys.exit(command_line.run(apply, parse_arguments(None), **words))
