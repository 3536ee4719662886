#!/usr/bin/env python3
"""Measure how many cells a second each conversion reads, renders, compares and carries back (CPU time, one core)."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT)]

# ruff: noqa: E402 (path first)
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells, Value
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for

from tests.unit.conversions.type_table import column

CELLS = 20_000
ROUNDS = 5
LABELS = ("DRAFT", "ACTIVE", "COMPLETED")
SOURCE = random.Random(1)  # noqa: S311 (invented values, no secrets)


def _uuid() -> str:
    return str(UUID(int=SOURCE.getrandbits(128)))


def _document(row: int) -> str:
    content = {
        "id": _uuid(),
        "at": "2024-01-03T09:10:55.791Z",
        "amount": row,
        "ratio": row % 1000 / 1000,
        "tags": ["a", "b"],
        "note": "caf\u00e9" if row % 5 == 0 else "coffee",
    }
    return json.dumps(content, ensure_ascii=False)


def _compact(row: int) -> str:
    """About 100 bytes, as JSON.stringify writes them."""
    note = "caf\u00e9" if row % 5 == 0 else "coffee"
    content = {"id": _uuid(), "amount": row, "ok": row % 2 == 0, "note": note, "tags": ["a", "b"]}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


#: What is measured: the target's type, the declared type, and what makes the value of a row.
CASES: dict[str, tuple[str, str, Callable[[int], Value]]] = {
    "text, 20 characters": ("text", "TEXT", lambda row: f"some text number {row}"),
    "text, 1 kB": ("text", "TEXT", lambda row: f"caf\u00e9 number {row} " * 50),
    "varchar(255)": ("varchar(255)", "VARCHAR(255)", lambda row: f"name {row}"),
    "enum": ("mood", "TEXT", lambda row: LABELS[row % 3]),
    "uuid": ("uuid", "UUID", lambda _: _uuid()),
    "boolean": ("boolean", "TINYINT(1)", lambda row: row % 2),
    "integer": ("integer", "INTEGER", lambda row: row),
    "bigint": ("bigint", "BIGINT", lambda row: row * 10**9),
    "numeric(12,2), whole": ("numeric(12,2)", "DECIMAL(12,2)", lambda row: row),
    "numeric(12,2), both": ("numeric(12,2)", "DECIMAL(12,2)", lambda row: row + 0.25 if row % 3 else row),
    "double precision": ("double precision", "DOUBLE", lambda row: row / 7),
    "real": ("real", "FLOAT", lambda row: row / 10),
    "timestamptz(3)": (
        "timestamptz(3)",
        "DATETIME",
        lambda row: f"2024-01-03 09:10:{row % 60:02}.{row % 1000:03} +00:00",
    ),
    "timestamptz, offsets": ("timestamptz(3)", "DATETIME", lambda row: f"2024-01-03T09:10:{row % 60:02}+05:30"),
    "date": ("date", "DATE", lambda row: f"2024-01-{row % 31 + 1:02}"),
    "time(3)": ("time(3)", "TIME", lambda row: f"09:10:{row % 60:02}.{row % 1000:03}"),
    "text[]": ("text[]", "TEXT", lambda row: f'["tag {row}","b"]'),
    "json, 175 bytes": ("json", "JSON", _document),
    "jsonb, 100 bytes": ("jsonb", "JSON", _compact),
    "jsonb, 175 bytes": ("jsonb", "JSON", _document),
    "jsonb, odd numbers": (
        "jsonb",
        "TEXT",
        lambda row: _document(row).replace('"amount": ', '"price": 1.50, "amount": '),
    ),
    "bytea": ("bytea", "BLOB", lambda row: row.to_bytes(32, "big")),
}


def millions_a_second(work: Callable[[], object]) -> float:
    """Return the best of some rounds."""
    durations = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        durations.append(time.process_time() - begun)
    return CELLS / max(min(durations), 1e-9) / 1e6


def main() -> None:
    """Print a table in Markdown: millions of cells a second."""
    print("| type | forward | render | same | back |\n|---|---|---|---|---|")
    for name, (sql_type, declared_type, value) in CASES.items():
        conversion = conversion_for(column(sql_type), declared_type, LABELS if sql_type == "mood" else None)
        if conversion is None:
            raise SystemExit(f"there is no conversion for {sql_type}")
        cells = Cells.of([value(row) for row in range(CELLS)])
        values, others = conversion.forward(cells), conversion.forward(cells)
        works: tuple[Callable[[], object], ...] = (
            lambda made=conversion, given=cells: made.convert(given),
            lambda made=conversion, given=values: made.render(given),
            lambda made=conversion, given=values, second=others: made.same(given, second),
            lambda made=conversion, given=values: made.back(given),
        )
        rates = (millions_a_second(work) for work in works)
        print(f"| {name} | {' | '.join(f'{rate:.2f}' if rate < 100 else 'over 100' for rate in rates)} |")


if __name__ == "__main__":
    main()
