"""The list of the rows that the target has beyond a source that stood still: what a way back would lose, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from .comparison_report import Comparison, Difference, Kind, later_writes
from .journal import write_whole

FILE = "later_rows.jsonl"
#: How many differing cells and single rows are kept for the list; a list of more is read by nobody.
KEPT = 250_000
_SAID: Mapping[Kind, str] = {Kind.DIFFERS: "changed", Kind.MISSING: "removed", Kind.EXTRA: "added"}


def write_later_rows(comparison: Comparison, directory: Path) -> Path | None:
    """Write the list into a run's directory, one JSON object a line (0600); remove an earlier one when there is none.

    A line has ``table``, ``key`` and ``what`` (``added``, ``changed`` or ``removed`` in the target), of a changed row
    its ``columns``; the last one has ``more``, when rows are left out. No value is in it but the key's, and of a
    sensitive key its length and a keyed hash.

    Args:
        comparison: With all its differences, up to ``KEPT``.
        directory: The run's.

    Returns:
        The file; None when no row differs.

    Raises:
        MigrationError: The file cannot be written.
    """
    file = directory / FILE
    lines = list(_lines(comparison.differences))
    number = sum(each.rows for each in later_writes(comparison).values())
    if not number:
        file.unlink(missing_ok=True)
        return None
    if number > len(lines):
        lines.append({"more": number - len(lines)})
    write_whole(file, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
    return file


def shortened(comparison: Comparison, limit: int) -> Comparison:
    """Return the comparison with no more differences described than the limit; all stay counted."""
    return replace(comparison, differences=comparison.differences[:limit])


def _lines(differences: tuple[Difference, ...]) -> Iterator[dict[str, object]]:
    # Rows of a table without a key may look the same, and are several all the same.
    for (table, key, kind), group in groupby(differences, lambda each: (each.table, each.key, each.kind)):
        together = list(group)
        line: dict[str, object] = {"table": table, "key": key, "what": _SAID[kind]}
        if kind is Kind.DIFFERS:
            yield {**line, "columns": [each.column for each in together]}
        else:
            yield from (dict(line) for _ in together)
