#!/usr/bin/env python3
"""Measure how long it takes to load a source into PostgreSQL, by each engine and by what one could take instead.

One private cluster, one source, and a fresh database for each load; the ways follow one another in each round, so that
a busy machine is busy for all of them. Every load ends with all keys and indexes in place. Medians are told.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT)]

# ruff: noqa: E402 (path first)
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.deferred_objects import (
    built,
    find_deferred,
    proven,
    put_back,
    referring,
    take_away,
)
from ansible_collections.contralock.database.plugins.module_utils.pgloader import Load, load_text
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.prepared_copy import prepare_copy
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source, quote_identifier
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.stunnel import Tunnel, endpoint_of
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.profile.contralock_target import PROFILE, UPS, run_change
from tests.throwaway_cluster import Cluster, Database, throwaway_cluster

#: As a server of one's own would have them; what the tests switch off for speed is on.
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}
SESSIONS = 2
NAME = "measurement"
COPIED = "server-side binary COPY, keys after, 2 sessions"


@dataclass(frozen=True)
class Place:
    """What a load is given: the source, its prepared copy, files of binary COPY, and a database with the schema."""

    source: Path
    prepared: Path
    files: Path
    conninfo: str
    administrator: str
    data: Path

    def plan(self) -> Plan:
        """Return the plan of the source into the database."""
        with closing(open_source(self.source)) as opened, connect(self.conninfo, NAME) as connection:
            return make_plan(load_profile(PROFILE).mapping, read_schema(opened), snapshot(connection))


def by_engine(place: Place, engine: str) -> dict[str, float]:
    """Load as the role data_transfer does; the CPU seconds are those until the rows are counted."""
    begun = cpu_seconds(place)
    used: list[float] = []

    def note(said: Mapping[str, Any]) -> None:
        if str(said["line"]).startswith("load: counting"):
            used.append(cpu_seconds(place) - begun)

    with tempfile.TemporaryDirectory(prefix="load-", dir="/tmp") as folder:
        scratch = Path(folder)
        order = Transfer(place.source, place.conninfo, place.plan(), scratch, scratch / "record", "x", engine=engine)
        report = transfer(order, note)
    return {
        "prepare": report.prepare_seconds,
        "load": report.load_seconds,
        "verify": report.verify_seconds,
        "analyze": report.analyze_seconds,
        "load_cpu": used[0],
    }


def bare_pgloader(place: Place) -> dict[str, float]:
    """Let pgloader load the prepared copy with the same command, and believe it."""
    tables = [table.target for table in place.plan().tables]
    with tempfile.TemporaryDirectory() as folder, connect(place.conninfo, NAME) as connection:
        endpoint = endpoint_of(connection)
        load = Load(place.prepared, tables, "public", NAME, 100_000, 3600, Path(folder))
        command = Path(folder) / "load"
        command.write_text(load_text(load, Tunnel(Path(endpoint.host), endpoint.port), endpoint.dbname))
        environment = {**os.environ, "PGUSER": endpoint.user, "HOME": folder}
        begun = time.monotonic()
        run = ["pgloader", "--root-dir", folder, str(command)]
        subprocess.run(run, check=True, capture_output=True, env=environment)
        return {"load": time.monotonic() - begun}


def piped(place: Place) -> dict[str, float]:
    """Pipe each table of the prepared copy through the two shells, with keys and indexes in place."""
    begun = time.monotonic()
    for table in place.plan().tables:
        columns = ", ".join(quote_identifier(column.target.name) for column in table.columns)
        name = quote_identifier(table.target)
        write = ["sqlite3", "-csv", str(place.prepared), f"SELECT {columns} FROM {name}"]
        read = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-c", rf"\copy {name} ({columns}) FROM STDIN CSV"]
        with subprocess.Popen(write, stdout=subprocess.PIPE) as writer:
            subprocess.run([*read, place.conninfo], stdin=writer.stdout, check=True)
    return {"load": time.monotonic() - begun}


def row_by_row(place: Place) -> dict[str, float]:
    """Write each row of the prepared copy with psycopg's COPY, with keys and indexes in place."""
    begun = time.monotonic()
    with closing(open_source(place.prepared)) as opened, psycopg.connect(place.conninfo) as connection:
        opened.text_factory = str
        for table in place.plan().tables:
            columns = ", ".join(quote_identifier(column.target.name) for column in table.columns)
            name = quote_identifier(table.target)
            with connection.cursor() as cursor, cursor.copy(f"COPY {name} ({columns}) FROM STDIN") as stream:  # type: ignore[arg-type]  # names from the catalog
                for row in opened.execute(f"SELECT {columns} FROM {name}"):
                    stream.write_row(row)
    return {"load": time.monotonic() - begun}


def server_side(place: Place, *, deferred: bool) -> dict[str, float]:
    """Let the server read files of binary COPY: with indexes in place by one session, or after the rows by two."""
    begun = time.monotonic()
    plan = place.plan()
    copies = [
        f"COPY {quote_identifier(table.target)} FROM '{place.files}/{table.target}' (FORMAT binary)"
        for table in plan.tables
    ]
    if not deferred:
        with psycopg.connect(place.administrator, autocommit=True) as connection:
            for copy in copies:
                connection.execute(copy)  # type: ignore[arg-type]  # names from the catalog
        return {"load": time.monotonic() - begun}
    with psycopg.connect(place.administrator, autocommit=True) as connection:
        away = find_deferred(connection, plan.catalog, [table.target for table in plan.tables])
        take_away(connection, away)
        sizes = {table.target: (place.files / table.target).stat().st_size for table in plan.tables}
        ordered = sorted(zip(copies, sizes.values(), strict=True), key=lambda each: -each[1])
        at_once(place, [copy for copy, _ in ordered])
        at_once(place, [built(each) for each in sorted(away.indexes, key=lambda index: -sizes[index.table])])
        for key in away.keys:
            connection.execute(put_back(key))
        for reference in away.foreign_keys:
            connection.execute(referring(reference, plan.catalog))
        by_table = away.references_of()
        at_once(place, [[proven(each) for each in by_table[table]] for table in by_table])
    return {"load": time.monotonic() - begun}


def at_once(place: Place, jobs: Iterable[Any]) -> None:
    """Carry statements out by several sessions; a list of them by one session, one after the other."""
    sessions = threading.local()

    def do(job: Any) -> None:  # noqa: ANN401 (a statement or several)
        if not hasattr(sessions, "connection"):
            sessions.connection = psycopg.connect(place.administrator, autocommit=True)
            sessions.connection.execute("SET maintenance_work_mem = '128MB'")
        for statement in job if isinstance(job, list) else [job]:
            sessions.connection.execute(statement)

    with ThreadPoolExecutor(SESSIONS) as executor:
        list(executor.map(do, jobs))


WAYS: dict[str, Callable[[Place], dict[str, float]]] = {
    "pgloader, bare, prepared copy": bare_pgloader,
    "engine pgloader": lambda place: by_engine(place, "pgloader"),
    "engine arrow": lambda place: by_engine(place, "arrow"),
    COPIED: lambda place: server_side(place, deferred=True),
    "server-side binary COPY, keys in place": lambda place: server_side(place, deferred=False),
    "sqlite3 -csv | psql \\copy": piped,
    "psycopg write_row": row_by_row,
}


def measured(place: Place, way: str) -> dict[str, float]:
    """Load once, in this process; return seconds, and megabytes of this process at its largest."""
    with psycopg.connect(place.administrator, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    begun, used = time.monotonic(), cpu_seconds(place)
    found = WAYS[way](place)
    total = time.monotonic() - begun
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    megabytes = int(peak.split()[1]) / 1024
    return {"load_cpu": cpu_seconds(place) - used, **found, "total": total, "peak_mb": megabytes}


def cpu_seconds(place: Place) -> float:
    """Return the CPU seconds so far of this process, of the programs it has run, and of the server.

    They say what a busy machine's clock does not.
    """
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    leader = str(int((place.data / "postmaster.pid").read_text().split()[0]))
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # proc(5): the parent, then from the 14th field on utime, stime, cutime and cstime.
        if stat.parent.name == leader or fields[1] == leader:
            ticks += sum(map(int, fields[11 : 15 if stat.parent.name == leader else 13]))
    return sum(each.ru_utime + each.ru_stime for each in own) + ticks / os.sysconf("SC_CLK_TCK")


def prepared(cluster: Cluster, database: Database, source: Path, folder: Path) -> Place:
    """Write the prepared copy, load it once, and let the server write its files."""
    files = folder / "files"
    files.mkdir(mode=0o777)
    files.chmod(0o777)
    folder.chmod(0o755)
    there = (source, folder / "prepared.sqlite", files)
    place = Place(*there, database.conninfo, database.superuser_conninfo, cluster.data)
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        for up in UPS:
            run_change(connection, up.read_text())
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE model TEMPLATE {database.name} OWNER {database.owner}")  # type: ignore[arg-type]  # a name of our own
    plan = place.plan()
    with closing(open_source(source)) as opened:
        prepare_copy(opened, plan, place.prepared)
    by_engine(place, "arrow")
    with psycopg.connect(place.administrator, autocommit=True) as connection:
        for table in plan.tables:
            name = quote_identifier(table.target)
            connection.execute(f"COPY {name} TO '{files}/{table.target}' (FORMAT binary)")  # type: ignore[arg-type]  # names from the catalog
    return place


def rounds(given: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Measure each way in turn, as often as asked."""
    source = given.source or write_source(Order(folder / "source.sqlite", given.rows, 1)).order.path
    found: dict[str, list[dict[str, float]]] = {way: [] for way in given.ways}
    with throwaway_cluster(SETTINGS) as cluster, cluster.database() as database:
        place = prepared(cluster, database, source, folder)
        print(f"{source.stat().st_size / 1e6:,.0f} MB", flush=True)
        for _ in range(given.rounds):
            for way in given.ways:
                with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
                    connection.execute("DROP DATABASE IF EXISTS fresh WITH (FORCE)")
                    connection.execute(f"CREATE DATABASE fresh TEMPLATE model OWNER {database.owner}")  # type: ignore[arg-type]  # a name of our own
                fresh = [cluster.conninfo("fresh", database.owner), cluster.conninfo("fresh")]
                paths = [str(path) for path in (source, place.prepared, place.files)]
                command = [sys.executable, __file__, "--child", way, *paths, *fresh, str(cluster.data)]
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                told = json.loads(done.stdout) if not done.returncode else done.stderr.splitlines()[0]
                print(f"{way}: {told}", file=sys.stderr, flush=True)
                if not done.returncode:
                    found[way].append(told)
        with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
            for name in ("fresh", "model"):
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]  # a name of our own
    return found


def table(found: dict[str, list[dict[str, float]]]) -> Iterable[str]:
    """Yield lines of Markdown: medians, and ratios to bare pgloader and to the server's own COPY, by clock and CPU."""
    heads = ["way", "prepare", "load", "verify", "ANALYZE", "/ bare pgloader", "/ server-side", "load, CPU"]
    yield f"| {' | '.join([*heads, '/ bare pgloader', '/ server-side', 'peak RSS'])} |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    bases = [found.get(name, []) for name in ("pgloader, bare, prepared copy", COPIED)]

    def median(runs: list[dict[str, float]], name: str) -> float | None:
        values = [each[name] for each in runs if name in each]
        return statistics.median(values) if values else None

    def seconds(runs: list[dict[str, float]], name: str) -> str:
        value = median(runs, name)
        return "" if value is None else f"{value:.1f} s"

    def ratios(runs: list[dict[str, float]], name: str) -> list[str]:
        own = median(runs, name) or 0.0
        return [f"{own / base:.2f}" if (base := median(each, name)) else "" for each in bases]

    for way, runs in found.items():
        if not runs:
            yield f"| {way} | fails on this source |"
            continue
        parts = [seconds(runs, name) for name in ("prepare", "load", "verify", "analyze")]
        peak = f"{max(each['peak_mb'] for each in runs):.0f} MB"
        cpu = [seconds(runs, "load_cpu"), *ratios(runs, "load_cpu")]
        yield f"| {' | '.join([way, *parts, *ratios(runs, 'load'), *cpu, peak])} |"


def main() -> None:
    """Make what is needed, run each load in a process of its own, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the source (default: 200000)")
    parser.add_argument("--source", type=Path, help="a source of the form 'deployed' that is there already")
    parser.add_argument("--rounds", type=int, default=1, help="how often each way is measured (default: 1)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="what to measure (default: all)")
    parser.add_argument("--child", nargs=7, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        way, source, copy, files, conninfo, administrator, data = given.child
        place = Place(Path(source), Path(copy), Path(files), conninfo, administrator, Path(data))
        print(json.dumps(measured(place, way)))
        return
    with tempfile.TemporaryDirectory(prefix="measure-transfer-", dir="/var/tmp") as folder:
        for line in table(rounds(given, Path(folder))):
            print(line)


if __name__ == "__main__":
    main()
