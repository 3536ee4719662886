#!/usr/bin/env python3
"""Draft a profile for any SQLite file: schema changes, mapping, and a page of open questions.

Without --target the draft is tried on a private PostgreSQL cluster of this machine, which is gone afterwards; with it,
in a scratch database beside the target, which is dropped afterwards.

Exit codes: 0 drafted, and everything in the file fits; 1 drafted, and something does not fit yet (README.md says what);
2 nothing was drafted, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import command_line
from command_line import PROFILES, Answer, Screen

with command_line.library():
    from ansible_collections.contralock.database.plugins.module_utils.connection import connect
    from ansible_collections.contralock.database.plugins.module_utils.draft_profile import DraftOrder, draft_profile
    from ansible_collections.contralock.database.plugins.module_utils.draft_profile_makers import PLAIN
    from ansible_collections.contralock.database.plugins.module_utils.draft_profile_pages import (
        assert_free,
        write_profile,
    )
    from ansible_collections.contralock.database.plugins.module_utils.draft_profile_proof import prove
    from ansible_collections.contralock.database.plugins.module_utils.draft_profile_report import as_document, as_lines
    from ansible_collections.contralock.database.plugins.module_utils.draft_profile_trial import (
        APPLICATION_NAME,
        catalog_names,
        quoted_by,
        try_pieces,
    )
    from ansible_collections.contralock.database.plugins.module_utils.naming import NamingRule, snake_case
    from ansible_collections.contralock.database.plugins.module_utils.private_cluster import private_cluster
    from ansible_collections.contralock.database.plugins.module_utils.profile import SCHEMA_FILE
    from ansible_collections.contralock.database.plugins.module_utils.scratch_database import (
        create_scratch,
        drop_scratch,
        scratch_target,
    )
    from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding
    from ansible_collections.contralock.database.plugins.module_utils.source_wait import reading_source


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    command_line.add_source(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="the folder to make (default: files/profiles/<the file's name>)"
    )
    parser.add_argument(
        "--target",
        metavar="CONNINFO",
        help="libpq connection string without a password, of a role that may create databases; '' means the PG* "
        "environment variables (default: a private cluster of this machine)",
    )
    makers = [PLAIN, *(encoding.value for encoding in Encoding)]
    parser.add_argument("--written-by", choices=makers, help="who made the file (default: its habits tell)")
    parser.add_argument(
        "--naming",
        choices=[rule.value for rule in NamingRule],
        default=NamingRule.KEEP.value,
        help="how names come over (default: keep, so that the application finds its own)",
    )
    parser.add_argument(
        "--types",
        choices=("data", "declared"),
        default="data",
        help="whether the data may propose other types than the declared ones (default: data)",
    )
    return parser.parse_args(arguments)


def folder_of(given: argparse.Namespace) -> Path:
    """Return the folder that the draft is written to."""
    if given.output:
        return Path(given.output).absolute()
    name = re.sub(r"[^a-z0-9]+", "_", snake_case(given.source.stem).lower()).strip("_")
    return PROFILES / (name if name[:1].isalpha() else f"profile_{name}")


@contextlib.contextmanager
def trial_database(target: str | None) -> Iterator[str]:
    """Have an empty database for the length of the block; its connection string, as its owner."""
    if target is None:
        with private_cluster() as cluster, cluster.database() as database:
            yield database.conninfo
        return
    name = f"draft_{secrets.token_hex(6)}"
    create_scratch(target, name)
    try:
        yield scratch_target(target, name)
    finally:
        drop_scratch(target, name)


def draft(given: argparse.Namespace, screen: Screen) -> Answer:
    """Draft, try, prove and write."""
    folder = folder_of(given)
    assert_free(folder)
    with (
        reading_source(given.source, screen, screen.notes.append),
        trial_database(given.target) as conninfo,
        connect(conninfo, APPLICATION_NAME) as connection,
    ):
        by_data, reserved = given.types == "data", catalog_names(connection)
        order = DraftOrder(NamingRule(given.naming), given.written_by, by_data, quoted_by(connection), reserved)
        found = draft_profile(given.source, order, screen.counted)
        try_pieces(connection, found)
        proof = prove(connection, given.source, found, PROFILES / SCHEMA_FILE, screen.counted)
        write_profile(folder, found, proof, given.source.name, PROFILES / SCHEMA_FILE)
    return Answer(as_document(folder, found, proof), as_lines(folder, found, proof), proof.ready)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return command_line.run(
        draft,
        parse_arguments(arguments),
        name="draft",
        refused="nothing was drafted",
        interrupted="nothing was written",
    )


if __name__ == "__main__":
    sys.exit(main())
