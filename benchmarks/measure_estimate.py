#!/usr/bin/env python3
"""Measure what an assessment foretells a window from: the RATES at the head of assessment.py.

A source is assessed, backed up, loaded by each engine and compared, as a window does it, on one private cluster. Told
are how long each step takes by each second of the assessment, and what is on disk by each byte of the source. What
does not depend on the source (stop, switch, start) is in the journal of a real window: `scripts/show_run.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT)]

# ruff: noqa: E402 (path first)
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options as Assessing
from ansible_collections.contralock.database.plugins.module_utils.assessment import assess_file
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.sqlite_backup import copy_stopped
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from benchmarks.measure_transfer import NAME, SETTINGS
from tests.integration.profile.contralock_target import PROFILE, UPS, run_change
from tests.throwaway_cluster import Cluster, throwaway_cluster

ENGINES = ("pgloader", "arrow")
#: How often a folder is looked at while something is written into it.
LOOK_SECONDS = 0.2


def plan_of(source: Path, target: str) -> Plan:
    """Return the plan of the source into the target."""
    with closing(open_source(source)) as opened, connect(target, NAME) as connection:
        return make_plan(load_profile(PROFILE).mapping, read_schema(opened), snapshot(connection))


@contextmanager
def largest(folder: Path, found: dict[str, float], name: str) -> Iterator[None]:
    """Note the most bytes that are in a folder during the block."""
    ended = threading.Event()
    found[name] = 0.0

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            # What is looked at may go meanwhile; it is looked at again soon.
            with suppress(FileNotFoundError):
                found[name] = max(found[name], sum(path.stat().st_blocks * 512.0 for path in folder.rglob("*")))

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def measured(source: Path, cluster: Cluster, owner: str, scratch: Path, engine: str) -> dict[str, float]:
    """Do what a window does with one engine; return seconds of each step, and bytes."""
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS fresh WITH (FORCE)")
        connection.execute(f"CREATE DATABASE fresh TEMPLATE model OWNER {owner}")  # type: ignore[arg-type]  # a name of our own
        (empty,) = connection.execute("SELECT pg_database_size('fresh')").fetchone() or (0,)
    target = cluster.conninfo("fresh", owner)
    plan, found = plan_of(source, target), dict[str, float]()
    options = Assessing(scratch, engine=engine, scratch=scratch)
    assessed = assess_file(source, target, load_profile(PROFILE).mapping, options, lambda *_: None)
    assessed.raise_unless_ready()
    found["assess"] = assessed.seconds
    backup = copy_stopped(source, scratch / "backup.sqlite")
    found["back up"] = backup.seconds + backup.check_seconds + backup.hash_seconds
    backup.path.unlink()
    load = scratch / "load"
    load.mkdir()
    begun = time.monotonic()
    with largest(load, found, "files"):
        transfer(Transfer(source, target, plan, load, load / "record", "x", engine=engine))
    found["transfer"] = time.monotonic() - begun
    (load / "record").unlink()
    load.rmdir()
    begun = time.monotonic()
    compared = compare_file(source, target, load_profile(PROFILE).mapping, Options(b"benchmark", scratch=scratch))
    found["compare"] = time.monotonic() - begun
    if not compared.equal:
        raise SystemExit("what was loaded is not the source")
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        (full,) = connection.execute("SELECT pg_database_size('fresh')").fetchone() or (0,)
    found["database"] = float(full - empty)
    return found


def report(runs: dict[str, list[dict[str, float]]], size: int) -> Iterator[str]:
    """Yield lines of Markdown, and the constants."""
    yield "| engine | assess | back up | transfer | compare | load's own files / source | database / source |"
    yield "|---|---|---|---|---|---|---|"
    middle = {
        engine: {name: statistics.median(each[name] for each in found) for name in found[0]}
        for engine, found in runs.items()
    }
    for engine, each in middle.items():
        steps = " | ".join(f"{each[name]:.1f} s" for name in ("assess", "back up", "transfer", "compare"))
        yield f"| {engine} | {steps} | {each['files'] / size:.2f} | {each['database'] / size:.2f} |"
    for engine, each in middle.items():
        ratios = {name: round(each[name] / each["assess"], 2) for name in ("back up", "transfer", "compare")}
        yield f"\n{engine}: seconds by each second of the assessment {ratios};"
        yield f"disk {1 + each['files'] / size:.2f} (the backup is 1 of it), database {each['database'] / size:.2f}"


def main() -> None:
    """Make what is needed, measure in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the source (default: 200000)")
    parser.add_argument("--source", type=Path, help="a source of the form 'deployed' that is there already")
    parser.add_argument("--rounds", type=int, default=1, help="how often each engine is measured (default: 1)")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="which (default: both)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="measure-estimate-", dir="/var/tmp") as folder:
        scratch = Path(folder)
        source = given.source or write_source(Order(scratch / "source.sqlite", given.rows, 1)).order.path
        runs: dict[str, list[dict[str, float]]] = {engine: [] for engine in given.engines}
        with throwaway_cluster(SETTINGS) as cluster, cluster.database() as database:
            with psycopg.connect(database.conninfo, autocommit=True) as connection:
                for up in UPS:
                    run_change(connection, up.read_text())
            with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE model TEMPLATE {database.name} OWNER {database.owner}")  # type: ignore[arg-type]  # a name of our own
            for _ in range(given.rounds):
                for engine in given.engines:
                    runs[engine].append(measured(source, cluster, database.owner, scratch, engine))
                    print(f"{engine}: {runs[engine][-1]}", file=sys.stderr, flush=True)
            with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
                for name in ("fresh", "model"):
                    connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]  # a name of our own
        for line in report(runs, source.stat().st_size):
            print(line)


if __name__ == "__main__":
    main()
