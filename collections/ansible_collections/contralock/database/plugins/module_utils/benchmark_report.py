"""What a benchmark has measured, as a page shows it: ``files/reports/benchmark.schema.json`` is its form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

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
        measurements.sort(key=lambda each: (each["clients"], each["database"]))
        through = "through the application" if way == "application" else "directly"
        yield {
            "title": f"{workload}, {through}",
            "measurements": measurements,
            "said": list(_compared(measurements)),
        }


def money_told(document: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether all money was there after each measurement, and the same as a sentence."""
    counted = [each for each in document["measurements"] if each.get("money")]
    wrong = [each for each in counted if each["money"]["before"] != each["money"]["after"]]
    if wrong:
        first = wrong[0]
        amounts = f"{first['money']['before']:,} before, {first['money']['after']:,} after"
        where = f"{first['workload']} on {first['database']} with {first['clients']} clients"
        share = f"{len(wrong):,} of {len(counted):,} measurements"
        return False, f"Money was lost or doubled in {share}: {where}, {amounts}."
    if not counted:
        return True, "No measurement moved money."
    number = f"{len(counted):,} {'measurement' if len(counted) == 1 else 'measurements'}"
    return True, f"No money was lost or doubled: all of it was there before and after each of {number}."


def _compared(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Yield a sentence for the fewest and for the most clients that both databases were measured with."""
    by_clients: dict[int, dict[str, Measurement]] = {}
    for each in measurements:
        by_clients.setdefault(each["clients"], {})[each["database"]] = each
    both = sorted(clients for clients, each in by_clients.items() if {"sqlite", "postgresql"} <= each.keys())
    for clients in dict.fromkeys(both[:1] + both[-1:]):
        ours, theirs = (by_clients[clients][name]["throughput"] for name in ("postgresql", "sqlite"))
        yield f"With {clients:,} {'client' if clients == 1 else 'clients'} {_ratio(ours, theirs)}."


def _ratio(postgresql: float, sqlite: float) -> str:
    if not postgresql or not sqlite:
        without = [name for name, rate in (("PostgreSQL", postgresql), ("SQLite", sqlite)) if not rate]
        return f"{' and '.join(without)} completed nothing"
    faster, ratio = ("PostgreSQL", postgresql / sqlite) if postgresql >= sqlite else ("SQLite", sqlite / postgresql)
    if ratio < 1.05:
        return "both do as many operations a second"
    return f"{faster} does {ratio:,.1f} times the operations a second"
