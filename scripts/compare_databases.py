#!/usr/bin/env python3
"""Compare every cell of a SQLite file with PostgreSQL, as a profile says that it is moved.

Exit codes: 0 the same, 1 something differs, 2 it could not be told.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))

try:
    from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
    from ansible_collections.contralock.database.plugins.module_utils.comparison_report import as_document, as_lines
    from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
    from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
    from ansible_collections.contralock.database.plugins.module_utils.run_step import progress_line
except ModuleNotFoundError as missing:
    # Exit code 1 would say that something differs.
    print(
        f"refused: this Python has no {missing.name}. Use .venv/bin/python, which `make setup` makes.", file=sys.stderr
    )
    sys.exit(2)

PROFILES = ROOT / "files" / "profiles"
EXIT_SAME, EXIT_DIFFERS, EXIT_UNKNOWN = 0, 1, 2
SECONDS_BETWEEN_LINES = 2.0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source", type=Path, metavar="FILE.sqlite", help="the SQLite file, which nobody writes meanwhile"
    )
    parser.add_argument("--profile", required=True, metavar="NAME|DIR", help="a name in files/profiles, or a folder")
    parser.add_argument(
        "--target",
        default="",
        metavar="CONNINFO",
        help="libpq connection string without a password (default: the PG* environment variables)",
    )
    parser.add_argument("--schema", default="public", help="the target's schema (default: public)")
    parser.add_argument(
        "--limit", type=int, default=100, metavar="N", help="differences to describe (default: 100); all are counted"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of lines")
    parser.add_argument("--quiet", action="store_true", help="print nothing but refusals; see the exit code")
    return parser.parse_args(arguments)


def find_profile(profile: str) -> Path:
    """Return the folder that a profile's name or path stands for."""
    named = PROFILES / profile
    return named if named.is_dir() else Path(profile)


class Ticker:
    """Says on standard error how far it is, every other second."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, said: str | Mapping[str, Any]) -> None:
        """Say a line or numbers, unless it was said just now."""
        if self._quiet or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES
        print(said if isinstance(said, str) else progress_line(said), file=sys.stderr, flush=True)


def say(line: str) -> None:
    """Print; that nobody reads it any more (`| head`) changes nothing about the exit code."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    given = parse_arguments(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        mapping = load_profile(find_profile(given.profile)).mapping
        options = Options(secrets.token_bytes(32), given.limit, given.schema)
        ticker = Ticker(given.json or given.quiet)
        comparison = compare_file(given.source, given.target, mapping, options, ticker)
    except MigrationError as error:
        print(f"could not tell: {error}", file=sys.stderr)
        if given.json:
            say(json.dumps({"error": str(error), "details": error.details}, indent=2))
        return EXIT_UNKNOWN
    except KeyboardInterrupt:
        print("interrupted: nothing is known, and nothing was written", file=sys.stderr)
        return EXIT_UNKNOWN
    except Exception:
        # Python itself would exit with 1, which says that something differs.
        traceback.print_exc()
        return EXIT_UNKNOWN
    if given.json:
        say(json.dumps(as_document(comparison), indent=2))
    elif not given.quiet:
        for line in as_lines(comparison):
            say(line)
    return EXIT_SAME if comparison.equal else EXIT_DIFFERS


if __name__ == "__main__":
    sys.exit(main())
