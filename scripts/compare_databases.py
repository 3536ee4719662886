#!/usr/bin/env python3
"""Compare every cell of a SQLite file with PostgreSQL, as a profile says that it is moved.

Exit codes: 0 the same, 1 something differs, 2 it could not be told, 130 interrupted.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence

import command_line
from command_line import Answer, Screen

with command_line.library():
    from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
    from ansible_collections.contralock.database.plugins.module_utils.comparison_report import as_document, as_lines
    from ansible_collections.contralock.database.plugins.module_utils.source_wait import reading_source
    from ansible_collections.contralock.database.plugins.module_utils.worker_threads import WORKERS


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    command_line.add_source(parser)
    command_line.add_profile(parser)
    command_line.add_target(parser)
    parser.add_argument(
        "--limit",
        type=command_line.number_from(0),
        default=100,
        metavar="N",
        help="differences to describe (default: 100); all are counted",
    )
    command_line.add_workers(parser, WORKERS, "threads and sessions")
    return parser.parse_args(arguments)


def compare(given: argparse.Namespace, screen: Screen) -> Answer:
    """Compare."""
    mapping = command_line.mapping_of(given.profile)
    command_line.assert_own_schema(given)
    options = Options(secrets.token_bytes(32), given.limit, given.schema, workers=given.workers)
    with reading_source(given.source, screen, screen.notes.append):
        comparison = compare_file(given.source, given.target or "", mapping, options, screen)
    return Answer(as_document(comparison), as_lines(comparison), comparison.equal)


if __name__ == "__main__":
    sys.exit(command_line.run(compare, parse_arguments(None), name="compare"))
