#!/usr/bin/env python3
"""Measure how fast a source is examined, and how much memory that takes: rows a second, CPU time and peak RSS.

The source is made anew unless --source names one; the target is a private cluster with the profile contralock.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT)]

# ruff: noqa: E402 (path first)
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options, assess_file
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.columnar_reader import read_columns
from ansible_collections.contralock.database.plugins.module_utils.findings import examine, examine_file
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_reader import read_table
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.integration.profile.contralock_target import PROFILE, UPS, run_change
from tests.throwaway_cluster import throwaway_cluster

#: What can be measured: the reading alone; the examination of what is read, by columns in threads and row by row as of
#: a live file; and all of an assessment, with SQLite's own checks of the file and PostgreSQL's judgement.
WORKS = ("read", "read rows", "examine", "examine rows", "assess")
LARGE_BYTES = 1 << 20


def main() -> None:
    """Make what is needed, run each measurement in a process of its own, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the source (default: 200000)")
    parser.add_argument("--source", type=Path, help="a source of the form 'deployed' that is there already")
    parser.add_argument("--large", type=int, default=0, help="messages that get a text of 1 MB (default: 0)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="threads (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=1, help="how often; medians are told (default: 1)")
    parser.add_argument(
        "--works", nargs="+", choices=WORKS, default=["read", "examine", "assess"], help="what to measure"
    )
    parser.add_argument("--child", nargs=3, metavar=("WORK", "WORKERS", "CONNINFO"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        work, workers, conninfo = given.child
        print(json.dumps(measured(given.source, conninfo, work, int(workers))))
        return
    with tempfile.TemporaryDirectory(prefix="measure-assess-") as folder, throwaway_cluster() as cluster:
        source = given.source or write_source(Order(Path(folder) / "source.sqlite", given.rows, 1)).order.path
        if given.large:
            enlarge(source, given.large)
        with cluster.database() as database:
            with psycopg.connect(database.conninfo, autocommit=True) as connection:
                for up in UPS:
                    run_change(connection, up.read_text())
            print(f"{source.stat().st_size / 1e6:,.0f} MB\n")
            print(
                "| work | threads | rows | seconds | rows/s | CPU seconds | CPU a row | peak RSS |\n"
                "|---|---|---|---|---|---|---|---|"
            )
            for work in given.works:
                for workers in given.workers if "rows" not in work else [1]:
                    print(line(source, work, workers, given.rounds, database.conninfo), flush=True)


def line(source: Path, work: str, workers: int, rounds: int, conninfo: str) -> str:
    """Measure in fresh processes and return a line of the table, with medians."""
    command = [sys.executable, __file__, "--source", str(source), "--child", work, str(workers), conninfo]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(rounds)
    ]
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    rate = found["rows"] / found["seconds"]
    return (
        f"| {work} | {workers} | {found['rows']:,.0f} | {found['seconds']:.2f} | {rate:,.0f} |"
        f" {found['cpu']:.2f} | {found['cpu'] / found['rows'] * 1e6:.1f} µs | {found['rss'] / 1024:,.0f} MB |"
    )


def measured(source: Path, conninfo: str, work: str, workers: int) -> dict[str, float]:
    """Do the work once."""
    mapping = load_profile(PROFILE).mapping
    with psycopg.connect(conninfo) as connection:
        catalog = snapshot(connection)
    with closing(open_source(source)) as opened:
        plan = make_plan(mapping, read_schema(opened), catalog)
    begun, cpu = time.monotonic(), time.process_time()
    rows = assessed(source, conninfo, workers) if work == "assess" else done(work, source, plan, workers)
    return {
        "rows": rows,
        "seconds": time.monotonic() - begun,
        "cpu": time.process_time() - cpu,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def assessed(source: Path, conninfo: str, workers: int) -> int:
    """Assess the source and return the number of rows."""
    with tempfile.TemporaryDirectory(prefix="measure-assess-") as folder:
        options = Options(Path(folder), workers=workers, engine="arrow")
        found = assess_file(source, conninfo, load_profile(PROFILE).mapping, options, lambda *_: None)
    found.raise_unless_ready()
    return sum(found.rows.values())


def done(work: str, source: Path, plan: Plan, workers: int) -> int:
    """Do the work and return the number of rows."""
    if work == "examine":
        examination = examine_file(source, plan, workers=workers)
        examination.raise_unless_ready()
        return sum(examination.rows.values())
    if work == "read":
        read = (read_columns(source, table.source.name, table.source_columns) for table in plan.tables)
        return sum(batch[0].length for batches in read for batch in batches)
    with closing(open_source(source)) as opened:
        if work == "examine rows":
            return sum(examine(opened, plan).rows.values())
        read = (read_table(opened, table.source.name, table.source_columns) for table in plan.tables)
        return sum(batch[0].length for batches in read for batch in batches)


def enlarge(source: Path, rows: int) -> None:
    """Give some messages, spread over the table, a text of 1 MB."""
    with closing(sqlite3.connect(source)) as database, database:
        ((count,),) = database.execute("SELECT max(rowid) FROM messages").fetchall()
        numbers = [(LARGE_BYTES, count * number // rows) for number in range(1, rows + 1)]
        database.executemany("UPDATE messages SET content = hex(zeroblob(? / 2)) WHERE rowid = ?", numbers)


if __name__ == "__main__":
    main()
