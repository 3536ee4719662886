#!/usr/bin/env python3
"""Measure how fast a comparison is and what memory it takes: a sample source, and a private cluster loaded from it.

Prints one line of JSON for each comparison, and a table of medians. Each runs in a process of its own, whose peak
memory is told; the server's processes run beside it on the same machine. Of several numbers of rows the last column
has the memory by that of the first.
"""

from __future__ import annotations

import argparse
import io
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
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT)]

# ruff: noqa: E402 (path first)
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.columnar_reader import read_columns
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.plan import TablePlan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.rules_applied import apply_rules
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, Ticker, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.throwaway_cluster import throwaway_cluster

PROFILE = ROOT / "files" / "profiles" / "contralock"
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "wal_level": "minimal", "max_wal_senders": "0"}
#: NULL is empty without quotation marks, every value has them: as PostgreSQL reads CSV.
WRITTEN = csv.WriteOptions(include_header=False, quoting_style="all_valid")
SHUFFLE = """
CREATE TEMP TABLE shuffled AS SELECT * FROM {table} ORDER BY md5(ctid::text);
TRUNCATE {table};
INSERT INTO {table} SELECT * FROM shuffled;
DROP TABLE shuffled"""
LIFT = """
DO $$ DECLARE k record;
BEGIN
  FOR k IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
            WHERE contype = 'f' AND connamespace = 'public'::regnamespace
  LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.t, k.conname); END LOOP;
END $$"""


def load(path: Path, target: str) -> None:
    """Fill the target from the source, table by table in the source's order."""
    with closing(open_source(path)) as source, connect(target, "benchmark") as connection:
        plan = make_plan(load_profile(PROFILE).mapping, read_schema(source), snapshot(connection))
        for table in plan.tables:
            columns = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in table.columns)
            copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(table.target), columns)
            with connection.cursor() as cursor, cursor.copy(copy) as stream:
                for batch in read_columns(path, table.source.name, table.source_columns):
                    stream.write(as_csv(table, batch))
        connection.execute("VACUUM ANALYZE")


def as_csv(table: TablePlan, batch: list) -> bytes:
    """Write rows of the source as the target reads them."""
    texts = []
    for column, cells in zip(table.columns, batch, strict=True):
        values = column.conversion.forward(apply_rules(column.rules, cells, column.conversion).cells)
        texts.append(column.conversion.render(values).cast(pa.large_string()))
    written = io.BytesIO()
    csv.write_csv(pa.table(texts, [str(number) for number in range(len(texts))]), written, WRITTEN)
    return written.getvalue()


def enlarge(path: Path, cells: int) -> None:
    """Make some cells, evenly spread, a megabyte large."""
    with closing(sqlite3.connect(path)) as connection, connection:
        ((count,),) = connection.execute("SELECT count(*) FROM messages").fetchall()
        chosen = f"SELECT rowid FROM messages WHERE rowid % {max(1, count // cells)} = 0 LIMIT {cells}"
        connection.execute(f"UPDATE messages SET content = hex(randomblob(524288)) WHERE rowid IN ({chosen})")


def compare(path: Path, target: str, workers: int) -> None:
    """Compare, and print what it took."""
    begun, cpu = time.monotonic(), time.process_time()
    found = compare_file(path, target, load_profile(PROFILE).mapping, Options(b"benchmark", workers=workers))
    seconds = time.monotonic() - begun
    print(
        json.dumps(
            {
                "rows": found.rows,
                "equal": found.equal,
                "seconds": round(seconds, 2),
                "rows_per_second": round(found.rows / seconds),
                "cpu_seconds": round(time.process_time() - cpu, 2),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "workers": workers,
                "slowest": {
                    each.table: round(each.seconds, 1)
                    for each in sorted(found.tables, key=lambda table: -table.seconds)[:3]
                },
            }
        ),
        flush=True,
    )


def measure(given: argparse.Namespace, rows: int, folder: Path) -> list[dict[str, float]]:
    """Make both sides, compare them as often as asked, and return the medians for each number of workers."""
    path = given.source or folder / "source.sqlite"
    if not given.source:
        write_source(Order(path, rows, 1, Form.DEPLOYED, False), Ticker(sys.stderr, quiet=True))
        if given.megabyte_cells:
            enlarge(path, given.megabyte_cells)
    with throwaway_cluster(SETTINGS) as cluster, cluster.database() as database:
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            for file in sorted((PROFILE / "schema").glob("*.up.sql")):
                connection.execute(file.read_bytes())
            connection.execute(LIFT)
        load(path, database.conninfo)
        if given.shuffled:
            with psycopg.connect(database.conninfo, autocommit=True) as connection:
                listed = "SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'"
                for (table,) in connection.execute(listed).fetchall():
                    connection.execute(SHUFFLE.format(table=table).encode())
        return [compared(given.rounds, path, database.conninfo, workers) for workers in given.workers]


def compared(rounds: int, path: Path, target: str, workers: int) -> dict[str, float]:
    """Compare in fresh processes; return medians, and of the memory the most."""
    command = [sys.executable, __file__, "--source", str(path), "--target", target, "--workers", str(workers)]
    runs = []
    for _ in range(rounds):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)
        runs.append(json.loads(done.stdout))
        if not runs[-1]["equal"]:
            raise SystemExit("what was loaded is not the source")
    names = ("rows", "workers", "seconds", "cpu_seconds")
    return {name: statistics.median(run[name] for run in runs) for name in names} | {
        "peak_mb": max(run["peak_mb"] for run in runs)
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[200_000], help="rows of the sample source; several, one after the other"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often each is compared (default: 1)")
    parser.add_argument("--source", type=Path, help="a sample source that is there, of the form 'deployed'")
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="one comparison for each (default: 2)")
    parser.add_argument("--shuffled", action="store_true", help="the target's rows lie in an order of their own")
    parser.add_argument("--megabyte-cells", type=int, default=0, help="so many cells of 1 MB each")
    parser.add_argument("--target", help="compare with this database, and nothing else")
    given = parser.parse_args()
    if given.target:
        compare(given.source, given.target, given.workers[0])
        return
    found: list[dict[str, float]] = []
    for rows in given.rows:
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="measure-compare-") as folder:
            found += measure(given, rows, Path(folder))
    print("| rows | workers | wall | rows/s | client's CPU | CPU a row | peak memory | / the first |")
    print("|---|---|---|---|---|---|---|---|")
    for each in found:
        first = next(other for other in found if other["workers"] == each["workers"])
        print(
            f"| {each['rows']:,.0f} | {each['workers']:.0f} | {each['seconds']:.1f} s |"
            f" {each['rows'] / each['seconds']:,.0f} | {each['cpu_seconds']:.1f} s |"
            f" {each['cpu_seconds'] / each['rows'] * 1e6:.1f} µs | {each['peak_mb']:.0f} MB |"
            f" {each['peak_mb'] / first['peak_mb']:.2f} |"
        )


if __name__ == "__main__":
    main()
