#!/usr/bin/env python3
"""Write a sample ContraLock database: a SQLite file of any size from a seed.

Exit codes: 0 written; 2 refused or failed, and then nothing has changed under the given name.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "collections"))

from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sample_source import (
    Form,
    Order,
    Ticker,
    as_json,
    as_text,
    write_source,
)

FORMS = """\
forms (--like):
  deployed         the public application as it stands: camelCase, key _id
  plan             the migration plan's underscored form: Users, first_name, id
  longlived        deployed, after many starts: a stray table users_backup, other indexes
  from_migrations  made by migration files: SequelizeMeta, other defaults, four seeded users with keys like user-1
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse, write, print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=FORMS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", metavar="OUT.sqlite", type=Path)
    parser.add_argument("--rows", type=int, default=50_000, help="over the twelve tables, exactly (default: 50000)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same file (default: 1)")
    parser.add_argument("--like", choices=[form.value for form in Form], default="deployed", help="default: deployed")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file and its side files")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a polite kill removes the temporary file too
    try:
        order = Order(given.path, given.rows, given.seed, Form(given.like), given.overwrite)
        outcome = write_source(order, Ticker(sys.stderr, quiet=given.quiet))
    except MigrationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"error: interrupted; {given.path} is as it was.", file=sys.stderr)
        return 2
    try:
        print(as_json(outcome) if given.json else as_text(outcome), flush=True)
    except BrokenPipeError:  # `| head` has read enough; the file is there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
    return 0


if __name__ == "__main__":
    sys.exit(main())
