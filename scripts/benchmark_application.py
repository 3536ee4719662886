#!/usr/bin/env python3
"""Let the same work be done on SQLite and on PostgreSQL, and say how fast each was and whether all money is there.

It writes into what it measures: give it copies, and instances of the application of their own on them. What --live-env
names is refused, and so is a database of PostgreSQL whose comment does not begin with "Scratch database". Money is
counted in the databases themselves, so that an instance's database is named beside its URL.

Exit codes: 0 measured, and all money is there; 1 money was lost or doubled, or a database completed nothing; 2 nothing
could be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import command_line
import yaml
from command_line import Answer, Screen

with command_line.library():
    from ansible_collections.contralock.database.plugins.module_utils.application_benchmark import (
        CLIENTS,
        SECONDS,
        SESSIONS,
        WAYS,
        Request,
        measure,
    )
    from ansible_collections.contralock.database.plugins.module_utils.benchmark_report import found_right, told
    from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
    from ansible_collections.contralock.database.plugins.module_utils.journal import write_whole
    from ansible_collections.contralock.database.plugins.module_utils.live_databases import read_live
    from ansible_collections.contralock.database.plugins.module_utils.workload import Workload, parse_workload
    from ansible_collections.contralock.database.plugins.module_utils.workload_clients import Place

WORKLOAD = command_line.ROOT / "files" / "application" / "workload.yml"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line.parser_of(__doc__)
    parser.add_argument("--sqlite", type=Path, metavar="FILE", help="a copy of the SQLite file")
    parser.add_argument("--sqlite-url", default="", metavar="URL", help="the application's own instance on it")
    parser.add_argument("--target", metavar="CONNINFO", help="libpq connection string, without a password, of a copy")
    parser.add_argument("--postgresql-url", default="", metavar="URL", help="the application's own instance on it")
    live = parser.add_mutually_exclusive_group(required=True)
    live.add_argument("--live-env", type=Path, metavar="FILE", help=".env of the live application, which is left alone")
    live.add_argument("--no-live-application", action="store_true", help="say that nobody uses what is named here")
    parser.add_argument("--workload", type=Path, default=WORKLOAD, metavar="FILE", help=f"default: {WORKLOAD.name}")
    parser.add_argument(
        "--mix", action="append", default=[], help="one of the workload's mixes, repeatable (default: all)"
    )
    parser.add_argument("--way", action="append", default=[], choices=WAYS, help="default: all that is possible")
    numbers = ",".join(map(str, CLIENTS))
    parser.add_argument("--clients", type=whole_numbers, default=CLIENTS, metavar="N,N", help=f"default: {numbers}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each measurement (default: {SECONDS:g})")
    parser.add_argument(
        "--warm-up", type=float, default=1.0, metavar="SECONDS", help="before it, uncounted (default: 1)"
    )
    parser.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="measure everything N times, tell the median"
    )
    parser.add_argument("--seed", type=int, default=1, help="what the operations follow from (default: 1)")
    parser.add_argument(
        "--sessions", type=int, default=SESSIONS, metavar="N", help=f"that direct clients share (default: {SESSIONS})"
    )
    parser.add_argument("--output", type=command_line.new_file, metavar="FILE", help="write the measurements as JSON")
    parser.add_argument("--html", type=command_line.new_file, metavar="FILE", help="write them as a page with plots")
    return parser.parse_args(arguments)


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read numbers that commas separate."""
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers such as 1,4,16") from None


def read_workload(path: Path) -> Workload:
    """Read a workload's file.

    Raises:
        MigrationError: It cannot be read, or is none.
    """
    try:
        return parse_workload(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise MigrationError(
            f"{path} is no workload: {error}", "Name a file such as files/application/workload.yml"
        ) from None


def places_of(given: argparse.Namespace) -> list[Place]:
    """Return what is to be measured.

    Raises:
        MigrationError: An instance is named without its database, or the file is not there.
    """
    for url, database, option in (
        (given.sqlite_url, given.sqlite, "--sqlite"),
        (given.postgresql_url, given.target, "--target"),
    ):
        if url and database is None:
            raise MigrationError(
                f"{url} is named without its database, in which the money is counted", f"Name that too, with {option}"
            )
    places = []
    if given.sqlite is not None:
        if not given.sqlite.is_file():
            raise MigrationError(f"there is no file {given.sqlite}", "Name a copy of the application's SQLite file")
        places.append(Place("sqlite", file=given.sqlite, url=given.sqlite_url))
    if given.target is not None:
        places.append(Place("postgresql", target=given.target, url=given.postgresql_url))
    return places


def benchmark(given: argparse.Namespace, screen: Screen) -> Answer:
    """Measure."""
    request = Request(
        places=places_of(given),
        workload=read_workload(given.workload),
        live=read_live(given.live_env) if given.live_env else None,
        mixes=given.mix,
        ways=given.way or WAYS,
        clients=given.clients,
        seconds=given.seconds,
        warm_up=given.warm_up,
        seed=given.seed,
        sessions=given.sessions,
        rounds=given.rounds,
    )
    document = measure(request, screen)
    if given.output:
        write_whole(given.output.absolute(), json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if given.html:
        write_page(document, given.html)
    return Answer(document, told(document), yes=found_right(document))


def write_page(document: dict[str, object], file: Path) -> None:
    """Write the page (0600)."""
    with command_line.library():  # here, because the hosts' Python measures and makes no pages
        from ansible_collections.contralock.database.plugins.module_utils.run_page import (  # noqa: PLC0415 (as above)
            render_benchmark,
        )
    write_whole(file.absolute(), render_benchmark(document))


if __name__ == "__main__":
    words = {
        "name": "benchmark",
        "refused": "refused",
        "interrupted": "interrupted: nothing is known of this measurement",
    }
    sys.exit(command_line.run(benchmark, parse_arguments(None), **words))
