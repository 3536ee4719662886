#!/usr/bin/env python3
"""Tell whether a SQLite file can be moved to PostgreSQL as a profile says, and what stands in the way.

Every value is read and converted as the transfer will. Without --target the profile's schema is made in a private
PostgreSQL cluster of this machine, which is gone afterwards; with it, the target's schema is asked. Nothing is changed.

Exit codes: 0 ready, 1 not ready, 2 it could not be told, 130 interrupted. What only the load can tell is named beside
"ready".
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import command_line
from command_line import Answer, Screen

with command_line.library():
    import jinja2
    from ansible_collections.contralock.database.plugins.module_utils.assessment import Options, assess_file
    from ansible_collections.contralock.database.plugins.module_utils.assessment_report import (
        Verdict,
        as_document,
        as_lines,
    )
    from ansible_collections.contralock.database.plugins.module_utils.connection import connect
    from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
    from ansible_collections.contralock.database.plugins.module_utils.journal import write_whole
    from ansible_collections.contralock.database.plugins.module_utils.private_cluster import private_cluster
    from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
    from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes
    from ansible_collections.contralock.database.plugins.module_utils.source_wait import reading_source
    from ansible_collections.contralock.database.plugins.module_utils.worker_threads import WORKERS

TEMPLATES = command_line.ROOT / "files" / "reports"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    command_line.add_source(parser)
    command_line.add_profile(parser)
    command_line.add_target(parser, without="a private cluster with the profile's schema")
    parser.add_argument("--html", type=command_line.new_file, metavar="FILE", help="write the answer as a page, too")
    command_line.add_engine(parser)
    command_line.add_directory(parser, "of transfer_data.py, whose record tells which rows of the target are its own")
    command_line.add_workers(parser, WORKERS, "threads")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def target_of(given: argparse.Namespace) -> Iterator[str]:
    """Have a target with the profile's schema for the length of the block."""
    if given.target is not None:
        command_line.assert_own_schema(given)
        yield given.target
        return
    changes = load_changes(command_line.profile_folder(given.profile) / "schema")
    with private_cluster() as cluster, cluster.database() as database:
        with connect(database.conninfo, "contralock assess_source") as connection:
            try:
                perform(connection, Request(changes=changes, schema=given.schema), lambda _: None)
            except MigrationError as error:
                # What it says beside its cause is what stays of this run: here nothing stays.
                raise (error.__cause__ if isinstance(error.__cause__, MigrationError) else error) from None
        yield database.conninfo


def assess(given: argparse.Namespace, screen: Screen) -> Answer:
    """Assess."""
    mapping = command_line.mapping_of(given.profile)
    notes: list[str] = []
    with (
        reading_source(given.source, screen, notes.append),
        target_of(given) as target,
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
    ):
        options = Options(
            given.directory,
            schema=given.schema,
            workers=given.workers,
            engine=given.engine,
            scratch=Path(folder),
            spoken={"discard_rows": "transfer_data.py --discard-rows"},
        )
        found = assess_file(given.source, target, mapping, options, screen.counted)
    found = replace(found, notes=(*found.notes, *notes))
    document = as_document(found)
    if given.html:
        loader = jinja2.FileSystemLoader(TEMPLATES)
        template = jinja2.Environment(loader=loader, autoescape=True).get_template("assessment.html.j2")
        write_whole(given.html.absolute(), template.render(assessment=document))
    if given.quiet:
        # An exit code alone would hide it.
        for each in found.unjudged:
            command_line.tell(f"not judged: {each}")
    return Answer(document, as_lines(found), found.verdict is not Verdict.NOT_READY)


if __name__ == "__main__":
    sys.exit(command_line.run(assess, parse_arguments(None), name="assess"))
