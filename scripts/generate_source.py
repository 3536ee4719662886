#!/usr/bin/env python3
"""Write a sample ContraLock database: a SQLite file of any size from a seed.

Exit codes: 0 written; 2 refused or failed, 130 interrupted, and then nothing has changed under the given name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import command_line
from command_line import Answer, Screen

with command_line.library():
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


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__, epilog=FORMS)
    parser.add_argument("path", metavar="OUT.sqlite", type=Path)
    parser.add_argument("--rows", type=int, default=50_000, help="over the twelve tables, exactly (default: 50000)")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same file (default: 1)")
    parser.add_argument("--like", choices=[form.value for form in Form], default="deployed", help="default: deployed")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file and its side files")
    return parser.parse_args(arguments)


def generate(given: argparse.Namespace, _screen: Screen) -> Answer:
    """Write the file."""
    order = Order(given.path, given.rows, given.seed, Form(given.like), given.overwrite)
    outcome = write_source(order, Ticker(sys.stderr, quiet=given.quiet))
    return Answer(json.loads(as_json(outcome)), as_text(outcome).splitlines(), yes=True)


if __name__ == "__main__":
    arguments = parse_arguments(None)
    words = {"name": "generate", "refused": "refused", "interrupted": f"{arguments.path} is as it was"}
    sys.exit(command_line.run(generate, arguments, **words))
