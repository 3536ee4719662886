#!/usr/bin/env python3
"""Load every row of a SQLite file into PostgreSQL as a profile says, or leave PostgreSQL as it was.

The target's schema is there already (apply_schema.py), and its tables hold nothing but an earlier load's rows. What
stood in the target is recorded in the directory of --directory before the first row, so that a load which was killed is
taken back by the next one, or by --take-back; not when another load has begun since, whose rows these would be. One
load is at work in a target at a time.

The rows of an earlier load stay until this one is prepared and judged; then they are taken out, and the report says how
many. When the load fails after that, the message says that they are gone.

Exit codes: 0 loaded (or taken back), 2 nothing was loaded, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import command_line
from command_line import Answer, Screen

with command_line.library():
    from ansible_collections.contralock.database.plugins.module_utils.earlier_load import empty
    from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError, notes_of
    from ansible_collections.contralock.database.plugins.module_utils.run_step import counted, spoken_seconds
    from ansible_collections.contralock.database.plugins.module_utils.source_wait import reading_source
    from ansible_collections.contralock.database.plugins.module_utils.target_restore import Restored
    from ansible_collections.contralock.database.plugins.module_utils.transfer import (
        TIME_LIMIT_SECONDS,
        WORKERS,
        TransferReport,
    )
    from ansible_collections.contralock.database.plugins.module_utils.transfer_step import Request, check, load

INTERRUPTED = "nothing was loaded"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    command_line.add_source(parser)
    command_line.add_profile(parser)
    command_line.add_target(parser)
    command_line.add_engine(parser)
    parser.add_argument("--check", action="store_true", help="say what a load would do, and change nothing")
    parser.add_argument("--take-back", action="store_true", help="take back what a load from here has left")
    parser.add_argument(
        "--discard-rows", action="store_true", help="let rows go that others have written or changed there"
    )
    command_line.add_workers(parser, WORKERS, "threads of the engine arrow")
    parser.add_argument(
        "--time-limit",
        type=command_line.seconds,
        default=TIME_LIMIT_SECONDS,
        metavar="S",
        help="seconds that the load may take",
    )
    command_line.add_directory(parser, "for the record of the target and, meanwhile, the load's files")
    return parser.parse_args(arguments)


def transfer(given: argparse.Namespace, screen: Screen) -> Answer:
    """Load, take back, or say what would be done."""
    make_directory(given.directory)
    request = Request(
        target=given.target or "",
        mapping=command_line.mapping_of(given.profile),
        root=given.directory,
        label="by_hand",
        schema=given.schema,
        scratch=given.directory / "scratch",
        discard_rows=given.discard_rows,
        time_limit=given.time_limit,
        engine=given.engine,
        workers=given.workers,
    )
    command_line.assert_own_schema(given)
    if given.take_back:
        with noted("Whether it was taken back shows --take-back --check"):
            restored = empty(request, check_only=given.check)
        done = "would_change" if given.check else "changed"
        document = {done: restored.changed, **asdict(restored)}
        return Answer(document, lines_of_restored(restored, check=given.check), yes=True)
    if given.check:
        with reading_source(given.source, screen, screen.notes.append):
            found = check(request, given.source, screen)
        lines = [f"would load {counted(found.rows, 'row')} with {given.engine}"]
        if found.earlier_rows:
            lines.append(f"would take out {counted(found.earlier_rows, 'row')} that the target holds first")
        return Answer(asdict(found), lines, yes=True)
    with noted("What the target held is still there"), reading_source(given.source, screen, screen.notes.append):
        loaded = load(request, given.source, screen)
    screen.notes.extend(loaded.notes)
    return Answer(asdict(loaded.report), lines_of(loaded.report), yes=True)


def make_directory(directory: Path) -> None:
    """Make the directory of the record where it is not there yet."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MigrationError(
            f"the directory {directory} cannot be made: {error.strerror}", "Give another one with --directory"
        ) from None


@contextlib.contextmanager
def noted(note: str) -> Iterator[None]:
    """Say what is left after an interruption that nobody has said anything about."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if not notes_of(interruption):
            interruption.add_note(note)
        raise


def lines_of(report: TransferReport) -> Iterator[str]:
    """Yield the report of a load for a person."""
    if report.earlier_rows:
        yield f"took out {counted(report.earlier_rows, 'row')} that the target held"
    width = max(map(len, report.tables), default=0)
    for name, table in report.tables.items():
        yield f"{name:<{width}}  {counted(table.rows, 'row', width=11)}  {counted(table.bytes, 'byte', width=15)}"
    for each in report.rule_counts:
        yield f"rule {each.rule} changed {counted(each.count, 'value')} of {each.table}.{each.column}"
    seconds = report.prepare_seconds + report.load_seconds + report.analyze_seconds
    by = f"{report.engine} {report.engine_version}"
    yield f"loaded {counted(report.rows, 'row')} with {by}, in {spoken_seconds(seconds)}"


def lines_of_restored(restored: Restored, *, check: bool) -> Iterator[str]:
    """Yield what was taken back for a person, or what would be."""
    out, back = ("would be taken out", "would put back") if check else ("taken out", "put back")
    yield from (f"{table}: {counted(rows, 'row')} {out}" for table, rows in restored.rows.items())
    yield from (f"{back}: {each}" for each in restored.objects)
    if not restored.changed:
        yield "nothing to take back"


if __name__ == "__main__":
    arguments = parse_arguments(None)
    words = {"name": "transfer", "refused": "refused", "interrupted": INTERRUPTED}
    sys.exit(command_line.run(transfer, arguments, **words))
