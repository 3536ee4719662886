"""Runs as their journals and documents tell them, written by the library's own writers at times of the test's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.contralock.database.plugins.module_utils.assessment_report import (
    Assessment,
    Estimate,
    LeftBehind,
)
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import (
    as_document as assessment_document,
)
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
    Comparison,
    Difference,
    Kind,
    TableComparison,
    UncarriedRows,
    as_facts,
)
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
    as_document as comparison_document,
)
from ansible_collections.contralock.database.plugins.module_utils.constraint_judge import Unjudged
from ansible_collections.contralock.database.plugins.module_utils.finding_cells import Finding, RuleCount
from ansible_collections.contralock.database.plugins.module_utils.journal import Moment, Record, append_record
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory
from ansible_collections.contralock.database.plugins.module_utils.steps import steps_of

#: Seconds since the row before, step, state, facts.
Row = tuple[float, str, str, dict[str, Any]]

TABLES = ("users", "projects", "wallet_transactions")
SHA256 = "0123456789abcdef" * 4
RULES = (RuleCount("users", "email", "lower", 423), RuleCount("disputes", "appeal", "empty_text_as_null", 224))


def write_journal(root: Path, rows: Sequence[Row], verb: str = "cut_over") -> RunDirectory:
    """Write a journal that begins at 02:00 on New Year's Day."""
    path = root / f"20260101T020000Z-{verb}-1a2b"
    path.mkdir()
    seconds = 0.0
    for pause, step, state, facts in rows:
        seconds += pause
        wall = f"2026-01-01T02:{int(seconds) // 60:02d}:{int(seconds) % 60:02d}.000Z"
        append_record(path / "journal.jsonl", Record(Moment(wall, seconds, "b"), step, state, facts))  # type: ignore[arg-type]
    return RunDirectory(path)


def steps_up_to(verb: str, last: str, facts: Mapping[str, dict[str, Any]]) -> list[Row]:
    """Return a journal's rows: each step takes two seconds."""
    names = [step.name for step in steps_of(verb)]
    rows: list[Row] = []
    for name in names[: names.index(last) + 1]:
        rows += [(0, name, "begun", {}), (2, name, "done", facts.get(name, {}))]
    return rows


def closed(outcome: str) -> list[Row]:
    """Return the rows of a run's end."""
    return [(0, "close", "begun", {}), (0, "close", "done", {"outcome": outcome})]


def comparison_of(tables: Sequence[str], differences: Sequence[Difference] = ()) -> Comparison:
    """Return what a comparison of tables with 1,000 rows each found."""
    found = [
        TableComparison(name, 1000, 1000, 20_000, sum(each.table == name for each in differences), 0, 0, 0, 0.25)
        for name in tables
    ]
    return Comparison(tuple(found), tuple(differences), seconds=1.5)


def facts_of(tables: Sequence[str] = TABLES) -> dict[str, dict[str, Any]]:
    """Return what the steps of a cut-over record, in the words of the modules."""
    path = "/srv/contralock/data/contralock.sqlite"
    session = {"pid": 769, "user": "contralock_user", "application_name": "contralock", "tls_version": "TLSv1.3"}
    loaded = {"rows": 1000, "bytes": 5 * 2**20, "prepare_seconds": 0.1, "load_seconds": 0.5}
    return {
        "open": {"inventory": ["inventory/mine"], "target": "host=db1.example.com dbname=contralock"},
        "fence": {"path": path, "moved_to": f"{path}.before", "sha256": SHA256, "bytes": 17 * 2**20},
        "back_up": {"path": "/runs/source.sqlite", "sha256": SHA256, "bytes": 17 * 2**20},
        "transfer": {
            "tables": dict.fromkeys(tables, loaded),
            "rules": [vars(rule) for rule in RULES],
            "engine": "pgloader 3.6.7",
            "versions": {"PostgreSQL": "15.14", "SQLite": "3.40.1"},
        },
        "compare": dict(as_facts(comparison_of(tables))),
        "prove": {"uses": "postgresql", "seen": [session, {**session, "pid": 770}], "canary": "its token came"},
    }


def cut_over_that_succeeded(root: Path, tables: Sequence[str] = TABLES) -> RunDirectory:
    """Write a run that did all it had to do, with the documents of its verbs."""
    run = write_journal(root, [*steps_up_to("cut_over", "let_in", facts_of(tables)), *closed("done")])
    seconds = {"transfer": 9.0, "compare": 4.0, "window": 33.0}
    found = Assessment(
        "app.sqlite", 17 * 2**20, dict.fromkeys(tables, 1000), rules=RULES, estimate=Estimate(seconds, 1, 1)
    )
    write_document(run, "assessment", assessment_document(found))
    write_document(run, "comparison", comparison_document(comparison_of(tables)))
    return run


def cut_over_that_differed(root: Path, table: str = "users") -> RunDirectory:
    """Write a run whose comparison found two differences, and that was taken back."""
    differences = [
        Difference(table, "id=7", "first_name", Kind.DIFFERS, "'Björn'", "'Bjorn'"),
        Difference(table, "id=8", None, Kind.MISSING),
    ]
    rows = [*steps_up_to("cut_over", "transfer", facts_of()), (0, "compare", "begun", {})]
    message = f"the target does not hold what the source gives: {differences[0]}; {differences[1]}."
    rows += [(2, "compare", "failed", {"message": message})]
    rows += [(1, name, "taken_back", {}) for name in ("compare", "transfer", "back_up", "fence", "stop")]
    run = write_journal(root, [*rows, *closed("taken_back")])
    write_document(run, "comparison", comparison_document(comparison_of(TABLES, differences)))
    return run


def cut_over_that_was_not_ready(root: Path, finding: Finding) -> RunDirectory:
    """Write a run whose preflight found a value that does not fit."""
    rows = [*steps_up_to("cut_over", "open", facts_of()), (0, "preflight", "begun", {})]
    run = write_journal(root, [*rows, (3, "preflight", "failed", {"message": str(finding)}), *closed("failed")])
    behind = (LeftBehind("users_backup", None, 1, "A copy"), LeftBehind("users", "nickname", 2000, "Nobody reads it"))
    unjudged = (Unjudged("trigger public.users.log", "it acts on each row"),)
    found = Assessment(
        "app.sqlite", 17 * 2**20, {"users": 1000}, findings=(finding,), unjudged=unjudged, left_behind=behind
    )
    write_document(run, "assessment", assessment_document(found))
    return run


def way_back_that_lost_rows(root: Path) -> RunDirectory:
    """Write a run that took a finished cut-over back, three rows were given up for it, and some were never carried."""
    forward = cut_over_that_succeeded(root)
    extra = [Difference("projects", f"id={number}", None, Kind.EXTRA) for number in (7, 8, 9)]
    projects = TableComparison("projects", 1000, 1003, 20_000, 0, 0, 0, 3, 0.25)
    left = (UncarriedRows("audit_log", 1200, "The server's own"), UncarriedRows("sessions", 1, "Users log in again"))
    users = comparison_of(["users"]).tables
    found = Comparison((*users, projects), tuple(extra), seconds=1.5, uncarried=left)
    facts = {
        "open": {"inventory": ["inventory/mine"], "takes_back": forward.id},
        "examine": {"later_rows": 3},
        "recount": {"later_rows": 3},
        "restore": {"path": "/srv/contralock/data/contralock.sqlite", "sha256": SHA256, "bytes": 17 * 2**20},
        "prove": {
            "uses": "sqlite",
            "seen": [{"pid": 912, "command": "node", "files": ["contralock.sqlite"]}],
            "PostgreSQL": "no",
        },
    }
    run = write_journal(root, [*steps_up_to("roll_back", "let_in", facts), *closed("done")], "roll_back")
    write_document(run, "comparison", comparison_document(found))
    return run


def benchmark() -> dict[str, Any]:
    """Return a benchmark in which SQLite is faster alone and PostgreSQL with company."""
    rates = {"sqlite": (900.0, 950.0, 940.0), "postgresql": (700.0, 2100.0, 2900.0)}
    measurements = [
        {
            "database": database,
            "way": way,
            "workload": "mixed",
            "clients": clients,
            "seconds": 10.0,
            "operations": int(10 * rate),
            "throughput": rate,
            "p50_ms": 500 * clients / rate,
            "p95_ms": 2000 * clients / rate,
            "p99_ms": 4000 * clients / rate,
            "errors": {"busy": 24 if database == "sqlite" and clients == 64 else 0, "locked": 0, "other": 0},
            "money": {"before": 1_234_500, "after": 1_234_500},
        }
        for way in ("application", "direct")
        for database, by_clients in rates.items()
        for clients, rate in zip((1, 8, 64), by_clients, strict=True)
    ]
    return {"taken": "2026-01-01T03:00:00Z", "machine": "2 cores", "measurements": measurements}


def write_document(run: RunDirectory, name: str, document: Mapping[str, Any]) -> None:
    """Write a document of a run as its verb does."""
    (run.path / f"{name}.json").write_text(json.dumps(document))
