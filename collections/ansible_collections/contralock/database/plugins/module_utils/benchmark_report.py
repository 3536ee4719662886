"""What a benchmark has measured, as a page shows it: ``files/reports/benchmark.schema.json`` is its form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

from .run_step import counted

Measurement = Mapping[str, Any]


def faults_of(document: object, schema: Path) -> list[str]:
    """Return what is wrong with a document, as sentences without a full stop; nothing for one that can be shown."""
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    found = sorted(validator.iter_errors(document), key=lambda error: error.json_path)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def groups_of(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what belongs together: the measurements of a workload by one way, and what they say."""
    together: dict[tuple[str, str], list[Measurement]] = {}
    for each in document["measurements"]:
        together.setdefault((each["workload"], each["way"]), []).append(each)
    for (workload, way), measurements in together.items():
        measurements.sort(key=lambda each: (each["clients"], each["database"] != "sqlite"))
        through = "through the application" if way == "application" else "directly"
        yield {
            "title": f"{workload}, {through}",
            "measurements": measurements,
            "compared": (compared := list(_compared(measurements))),
            "said": _said(compared),
        }


def found_right(document: Mapping[str, Any]) -> bool:
    """Return whether each database has completed something of each mix, and all money was there afterwards."""
    done: Counter[tuple[str, ...]] = Counter()
    for each in document["measurements"]:
        done[each["database"], each["workload"], each["way"]] += each["operations"]
    return all(done.values()) and money_told(document)[0]


def compared_in(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each group: who is faster with the fewest clients and with the most."""
    yield from (f"{group['title']}: {' '.join(group['said'])}" for group in groups_of(document) if group["said"])


def told(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was measured, as lines for a person."""
    yield document["machine"]
    for group in groups_of(document):
        yield ""
        yield group["title"]
        heads = "".join(f"{head:>10}" for head in ("a second", "p50 ms", "p95 ms", "p99 ms", "longest"))
        yield f"{'clients':>9}  {'database':<11}{heads}  errors"
        for each in group["measurements"]:
            errors = ", ".join(f"{count} {kind}" for kind, count in each["errors"].items() if count)
            times = "".join(
                f"{each[name]:>10,.1f}" for name in ("throughput", "p50_ms", "p95_ms", "p99_ms", "longest_ms")
            )
            yield f"{each['clients']:>9}  {each['database']:<11}{times}  {errors or 'none'}"
            yield from (f"{'':>9}  {words}" for words in each.get("words", ()))
        yield from (f"{one['clients']:>9}  {one['said']}." for one in group["compared"])
    yield ""
    yield from document["notes"]
    yield money_told(document)[1]


def money_told(document: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether all money was there after each measurement, and the same as a sentence."""
    moving = [each for each in document["measurements"] if each.get("money")]
    wrong = [each for each in moving if is_wrong(each["money"])]
    if wrong:
        first = wrong[0]
        amounts = f"{first['money']['before']:,} before, {first['money']['after']:,} after"
        where = f"{first['workload']} on {first['database']} with {counted(first['clients'], 'client')}"
        if first["money"].get("wrong_accounts"):
            amounts += f", {first['money']['wrong_accounts']:,} accounts with another sum than was moved"
        share = f"{len(wrong):,} of {len(moving):,} measurements"
        return False, f"Money was lost or doubled in {share}: {where}, {amounts}."
    if not moving:
        return True, "No measurement moved money."
    number = counted(len(moving), "measurement")
    return True, f"No money was lost or doubled: all of it was there before and after each of {number}."


def is_wrong(money: Mapping[str, int]) -> bool:
    """Return whether money was lost, doubled, or moved to somebody else."""
    return money["before"] != money["after"] or bool(money.get("wrong_accounts"))


def _compared(measurements: Sequence[Measurement]) -> Iterator[dict[str, Any]]:
    """Yield, for each number of clients that both databases were measured with, who did more and by how much."""
    by_clients: dict[int, dict[str, Measurement]] = {}
    for each in measurements:
        by_clients.setdefault(each["clients"], {})[each["database"]] = each
    for clients, each in sorted(by_clients.items()):
        if {"sqlite", "postgresql"} <= each.keys():
            ours, theirs = (each[name]["throughput"] for name in ("postgresql", "sqlite"))
            yield {"clients": clients, "sqlite": theirs, "postgresql": ours, **_ratio(ours, theirs)}


def _said(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for the fewest and for the most clients."""
    ends = [*compared[:1], *compared[1:][-1:]]
    return [f"{each['said']} with {counted(each['clients'], 'client')}." for each in ends]


def _ratio(postgresql: float, sqlite: float) -> dict[str, str]:
    """Return who is faster as a sentence without a full stop (``said``), and as a table has it (``faster``)."""
    if not postgresql or not sqlite:
        without = [name for name, rate in (("PostgreSQL", postgresql), ("SQLite", sqlite)) if not rate]
        nothing = f"{' and '.join(without)} completed nothing"
        return {"said": nothing, "faster": nothing}
    faster, ratio = ("PostgreSQL", postgresql / sqlite) if postgresql >= sqlite else ("SQLite", sqlite / postgresql)
    if ratio < 1.05:
        return {"said": "Both are equally fast", "faster": "equal"}
    return {"said": f"{faster} is {ratio:,.1f} times as fast", "faster": f"{faster} {ratio:,.1f} times"}
