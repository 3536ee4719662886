"""What the verbs of a run have left in its directory for its report: assessment, comparison, benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import MigrationError
from .run_directory import RunDirectory, runs_in

#: Document to what a report has of it, None for all. The columns of an assessment are its own page's matter.
DOCUMENTS: Mapping[str, tuple[str, ...] | None] = {
    "assessment": (
        "verdict",
        "rows",
        "bytes",
        "misfits",
        "obstacles",
        "findings",
        "rules",
        "unmatched_rules",
        "unjudged",
        "left_behind",
        "mends",
        "notes",
        "estimate",
    ),
    "comparison": (
        "equal",
        "rows",
        "cells",
        "number",
        "tables",
        "differences",
        "later_writes",
        "later_rows",
        "never_carried",
        "catalog_faults",
        "notes",
        "seconds",
    ),
    "benchmark": None,
}


def documents_in(directory: Path) -> dict[str, Any]:
    """Return each document by its name, None where there is none, and ``unreadable``, the files that are no documents.

    A verb that was killed, or a person with an editor, must not keep a run's report from being made.
    """
    found: dict[str, Any] = {"unreadable": []}
    for name, kept in DOCUMENTS.items():
        path = directory / f"{name}.json"
        found[name] = None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            content = None
        if isinstance(content, dict):
            found[name] = content if kept is None else {key: content[key] for key in kept if key in content}
        else:
            found["unreadable"].append(path.name)
    return found


def documents_of(run: RunDirectory) -> dict[str, Any]:
    """Return what the verbs have left, and the latest benchmark of this application beside a cut-over, with its run."""
    found = {**documents_in(run.path), "benchmark_of": None}
    if run.verb != "cut_over" or found["benchmark"] is not None:
        return found
    for other in reversed(runs_in(run.root, "benchmark")):
        try:
            measured = documents_in(other.path)["benchmark"] if other.outcome() == "done" else None
        except MigrationError:  # its journal is damaged, which is its own report's business
            continue
        if measured is not None:
            return {**found, "benchmark": measured, "benchmark_of": other.id}
    return found


def uncarried_in(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the never carried tables of which a way back leaves rows there: ``table``, ``rows``, ``reason``."""
    compared = report["comparison"] or {}
    # A document of an earlier version has none.
    return list(compared.get("never_carried", ())) if report["verb"] == "roll_back" else []
