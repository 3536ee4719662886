#!/usr/bin/env python3
"""Compare every cell of a SQLite file with PostgreSQL, as a profile says that it is moved.

Exit codes: 0 the same, 1 something differs, 2 it could not be told.
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
    from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
    from ansible_collections.contralock.database.plugins.module_utils.worker_threads import WORKERS


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    command_line.add_source(parser)
    command_line.add_profile(parser)
    command_line.add_target(parser)
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="differences to describe (default: 100); all are counted"
    )
    parser.add_argument(
        "--workers", type=int, default=WORKERS, metavar="N", help=f"threads and sessions (default: {WORKERS})"
    )
    return parser.parse_args(arguments)


def compare(given: argparse.Namespace, screen: Screen) -> Answer:
    """Compare."""
    mapping = load_profile(command_line.profile_folder(given.profile)).mapping
    options = Options(secrets.token_bytes(32), given.limit, given.schema, workers=given.workers)
    comparison = compare_file(given.source, given.target or "", mapping, options, screen)
    return Answer(as_document(comparison), as_lines(comparison), comparison.equal)


if __name__ == "__main__":
    sys.exit(command_line.run(compare, parse_arguments(None), name="compare"))
