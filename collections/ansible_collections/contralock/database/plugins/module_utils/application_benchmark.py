"""The same work on SQLite and on PostgreSQL, through the application and directly: how fast, and is all money there.

The operations follow from a seed, so that both databases are asked the same. Money is counted in the database itself,
before and after each measurement: its sum, and each account by what the clients were told that has been moved.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

from .benchmark_report import is_wrong
from .errors import MigrationError
from .live_databases import Live, refuse_live
from .run_step import Progress, no_progress, readable_bytes
from .scratch_database import require_scratch
from .workload import MOST_PICKED, Workload, sql_for
from .workload_clients import Place, balances, wait_for
from .workload_driver import END_SECONDS, START_SECONDS, Load, Tally, ceiling, drive

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
WAYS = ("application", "direct")
SECONDS, SESSIONS, WAKE_SECONDS = 5.0, 10, 5.0
#: For reading all accounts twice, which nothing limits; and before the first measurement.
MONEY_SECONDS, AROUND_SECONDS = 60.0, 600.0
#: A bottleneck begins here: what is measured above this share of the driver's own ceiling measures the driver.
SHARE_OF_CEILING = 0.5
_MEMORY = "MemTotal:"


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Args:
        places: SQLite first, PostgreSQL, or one of them.
        workload: The operations.
        live: What must not be touched; None when there is no live application.
        mixes: Which mixes of operations; none means all.
        ways: ``application`` for the places that have an instance, ``direct``.
        clients: The numbers of clients.
        seconds: How long each measurement lasts.
        warm_up: How long before it the clients work uncounted.
        seed: What the operations follow from.
        sessions: How many sessions on PostgreSQL direct clients share, as an application's pool does.
        pool: How many the measured application's own pool may hold, where that is known.
        rounds: How often everything is measured; of each measurement the one with the median throughput is kept.
    """

    places: Sequence[Place]
    workload: Workload
    live: Live | None = None
    mixes: Sequence[str] = ()
    ways: Sequence[str] = WAYS
    clients: Sequence[int] = CLIENTS
    seconds: float = SECONDS
    warm_up: float = 1.0
    seed: int = 1
    sessions: int = SESSIONS
    pool: int | None = None
    rounds: int = 1


def measure(request: Request, progress: Progress = no_progress) -> dict[str, Any]:
    """Measure everything that is asked for; returns the document of ``files/reports/benchmark.schema.json``.

    Raises:
        MigrationError: A place is the live application's, or a database that is not marked as one to write into, cannot
            be reached, or has not what the workload needs.
    """
    _check(request)
    for place in request.places:
        if request.live:
            refuse_live(place, request.live)
        if place.target:
            require_scratch(place.target)
        if place.url and "application" in request.ways:
            wait_for(place.url)
    _assert_same_accounts(request)
    picked = _picked(request)
    loads = list(_loads(request))
    top = 0.0
    if any(load.way == "application" for load in loads):
        progress({"line": "measuring what the clients can do at the most"})
        top = ceiling(max(request.clients), min(request.seconds, 2.0))
        for place in request.places:
            _wake(request, place, picked)
    measured: list[list[dict[str, Any]]] = [[] for _ in loads]
    total = len(loads) * request.rounds
    # One round after the other: what else the machine does for a while meets one of them only.
    for number in range(total):
        load = loads[number % len(loads)]
        left = (total - number) * (request.seconds + request.warm_up)
        what = f"{load.mix} on {load.place.database}, {load.way}, {load.clients} clients"
        progress({"line": what, "table": what, "rows": number, "of_rows": total, "seconds_left": left})
        measured[number % len(loads)].append(_measured(load, picked))
    return _document(request, [_median(each) for each in measured], top)


def _assert_same_accounts(request: Request) -> None:
    """Refuse databases with other rows: what is done to one could not be done to the other."""
    accounts = {place.database: balances(place, request.workload).keys() for place in request.places}
    if len(accounts) > 1 and len(set(map(frozenset, accounts.values()))) > 1:
        held = ", ".join(f"{len(keys)} accounts in {database}" for database, keys in accounts.items())
        raise MigrationError(
            f"the databases that are to be compared do not hold the same rows: {held}",
            "Load the very copy that is measured into the scratch database (transfer_data.py --discard-rows)",
        )


def most_seconds(measurements: int, seconds: float, warm_up: float) -> int:
    """Return within how many seconds that many measurements have ended, or have failed for being too slow."""
    return ceil(AROUND_SECONDS + measurements * (START_SECONDS + warm_up + seconds + END_SECONDS + MONEY_SECONDS))


def _wake(request: Request, place: Place, picked: Mapping[str, Sequence[str]]) -> None:
    """Let an instance that has just started make its connections and compile itself; nothing of it is counted."""
    if place.url:
        first = [*request.mixes, *request.workload.mixes][0]
        seconds = min(WAKE_SECONDS, 3 * (request.seconds + request.warm_up))
        drive(
            Load(place, "application", request.workload, first, max(request.clients), 0.05, seconds, request.seed),
            picked,
        )


def _median(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the round with the median throughput; but one in which money is wrong goes before all others."""
    wrong = [each for each in rounds if each["money"] and is_wrong(each["money"])]
    return (wrong or sorted(rounds, key=lambda each: float(each["throughput"])))[0 if wrong else len(rounds) // 2]


def _check(request: Request) -> None:
    unknown = [mix for mix in request.mixes if mix not in request.workload.mixes]
    if unknown:
        raise MigrationError(
            f"the workload has no mix {unknown[0]!r}", f"Give one of {', '.join(request.workload.mixes)}"
        )
    if not request.clients or min(request.clients) < 1 or request.seconds <= 0 or request.rounds < 1:
        raise MigrationError(
            f"nothing can be measured with {', '.join(map(str, request.clients)) or 'no'} clients for "
            f"{request.seconds:g} s in {request.rounds} rounds",
            "Give numbers of clients of at least 1, such as 1,4,16, and seconds above 0",
        )
    if not any(True for _ in _loads(request)):
        raise MigrationError(
            "there is nothing to measure: no database, or none with an instance of the application",
            "Name a SQLite file, a target, or both, and the instances' URLs",
        )


def _loads(request: Request) -> Iterator[Load]:
    """Yield the measurements in their order: both databases one after the other, with all else the same."""
    for way in request.ways:
        for mix in request.mixes or request.workload.mixes:
            for clients in request.clients:
                for place in request.places:
                    if way == "direct" or place.url:
                        yield Load(
                            place,
                            way,
                            request.workload,
                            mix,
                            clients,
                            request.seconds,
                            request.warm_up,
                            request.seed,
                            request.sessions,
                        )


def _picked(request: Request) -> dict[str, list[str]]:
    """Return what values are drawn from: the same for both databases, as the first one has it."""
    place = request.places[0]
    names = place.names()
    found: dict[str, list[str]] = {}
    for value, query in request.workload.picks.items():
        with place.opened() as session:
            rows = session.execute(sql_for(query, names, place.database), {})
            found[value] = [str(row[0]) for row in rows.fetchmany(MOST_PICKED)]
    for value, how in request.workload.values.items():
        few = len(found.get(value, ())) < (2 if "other_than" in how else 1)
        if "pick" in how and few:
            raise MigrationError(
                f"the {place.database} database has {len(found[value])} rows from which the benchmark could draw "
                f"{value!r}",
                "Measure with a larger copy, or with a workload that fits this one",
            )
    return found


def _measured(load: Load, picked: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    money = load.workload.moves_money(load.mix)
    before = balances(load.place, load.workload) if money else {}
    tally = drive(load, picked)
    after = balances(load.place, load.workload) if money else {}
    measured = {
        "database": load.place.database,
        "way": load.way,
        "workload": load.mix,
        "clients": load.clients,
        "seconds": load.seconds,
        "operations": tally.done,
        "throughput": round(tally.done / load.seconds, 2),
        **_percentiles(tally.latencies),
        "errors": {kind: tally.errors[kind] for kind in ("busy", "locked", "other")},
        "money": _money(before, after, tally) if money else None,
    }
    return {**measured, "words": list(tally.words)} if tally.words else measured


def _percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """Return percentiles in milliseconds: the smallest value that this share of all is not above."""
    ordered = sorted(latencies)
    found = {
        f"p{share}_ms": round(ordered[ceil(len(ordered) * share / 100) - 1] * 1000, 3) if ordered else 0.0
        for share in (50, 95, 99)
    }
    # Where one client gets everything and the others wait, the percentiles are its own.
    return {**found, "longest_ms": round(ordered[-1] * 1000, 3) if ordered else 0.0}


def _money(before: Mapping[str, int], after: Mapping[str, int], tally: Tally) -> dict[str, int]:
    """Return the sums, and how many accounts do not hold what was moved into and out of them."""
    wrong = 0
    # Of a movement whose fate is unknown only the sum is certain.
    if not tally.uncertain:
        expected = {account: amount + tally.moved[account] for account, amount in before.items()}
        wrong = sum(expected.get(account) != after.get(account) for account in expected.keys() | after.keys())
    return {
        "before": sum(before.values()),
        "after": sum(after.values()),
        "wrong_accounts": wrong,
        "uncertain": tally.uncertain,
    }


def _document(request: Request, measurements: list[dict[str, Any]], top: float) -> dict[str, Any]:
    document: dict[str, Any] = {
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(request.places),
        "notes": list(_notes(request, measurements, top)),
        "seed": request.seed,
        "measurements": measurements,
    }
    if top:
        document["ceiling"] = {"clients": max(request.clients), "throughput": round(top, 1)}
    return document


def _notes(request: Request, measurements: Sequence[Mapping[str, Any]], top: float) -> Iterator[str]:
    yield (
        f"Each measurement lasted {request.seconds:g} s after {request.warm_up:g} s of warming up; the operations "
        f"follow from the seed {request.seed} and are the same on both databases."
    )
    if request.rounds > 1:
        yield f"Everything was measured {request.rounds} times, and each line is its round with the median throughput."
    if "direct" in request.ways:
        yield (
            f"Direct clients are Python's own drivers: one connection each on SQLite, at most {request.sessions} that "
            "they share on PostgreSQL."
        )
    if request.pool is not None:
        yield f"The application's own pool holds up to {request.pool} connections to PostgreSQL."
    highest = max((each["throughput"] for each in measurements if each["way"] == "application"), default=0.0)
    if not top:
        return
    yield (
        f"The clients themselves can do {top:,.0f} operations a second with a server that answers at once, on the same "
        f"cores; the most that was measured through the application is {highest:,.0f}."
    )
    if highest > top * SHARE_OF_CEILING:
        yield "That is near: the highest numbers tell of the clients as much as of the databases."


def machine(places: Sequence[Place]) -> str:
    """Return what it was measured on, for a person."""
    parts = [f"{os.cpu_count()} cores{_processor()}", *_memory(), f"Linux {platform.release()}"]
    for place in places:
        if place.file:
            with place.opened() as session:
                ((mode,),) = session.execute("PRAGMA journal_mode").fetchall()
            parts.append(f"SQLite {sqlite3.sqlite_version} (journal_mode {mode})")
        else:
            with place.opened() as session:
                ((version,),) = session.execute("SHOW server_version").fetchall()
            parts.append(f"PostgreSQL {str(version).split()[0]}")
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return f" ({line.partition(':')[2].strip()})"
    return ""


def _memory() -> list[str]:
    found = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith(_MEMORY)]
    return [f"{readable_bytes(int(kilobytes) * 1024)} of memory" for kilobytes in found]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
