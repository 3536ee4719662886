"""The report of a run as one page that needs nothing else: what an operator shows the next morning.

It is made on the controller, from the report that the host gave (``run_report.make_report``). The hosts have neither
the template engine nor the plotting library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from .benchmark_report import faults_of, groups_of, money_told
from .run_documents import uncarried_in
from .run_report import headline, when, where
from .run_step import counted, readable_bytes, spoken_seconds
from .run_timeline import NOT_NEEDED, sign_of

TEMPLATES = Path(__file__).resolve().parents[6] / "files" / "reports"
TEMPLATE, BENCHMARK_TEMPLATE, BENCHMARK_SCHEMA = "run.html.j2", "benchmark.html.j2", "benchmark.schema.json"
#: What HTML may not hold or would not show: controls, surrogates, characters that are none.
_UNSHOWN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_QUIET = ("open", "close")
#: What a file with a checksum is, by the step that has recorded it.
FILES: Mapping[str, str] = {
    "fence": "The SQLite file as the application left it, moved aside",
    "back_up": "The backup of it",
    "restore": "The SQLite file as it was put back",
    "snapshot": "The copy of the SQLite file that was worked on",
}
#: What the step ``prove`` says in tables and sentences of its own.
_TOLD_OF_PROOF = ("uses", "seen")

Report = Mapping[str, Any]


def render_page(report: Report) -> str:
    """Return the page.

    Args:
        report: Of ``run_report.make_report``, or read from a ``report.json``.
    """
    shown = _showable(report)
    return _engine().get_template(TEMPLATE).render(report=shown, **_derived(shown))


def render_benchmark(document: Mapping[str, Any]) -> str:
    """Return a page of a benchmark alone, which belongs to no run.

    Args:
        document: Of ``application_benchmark.measure``.
    """
    return _engine().get_template(BENCHMARK_TEMPLATE).render(benchmark=_benchmark(_showable(document)))


def _engine() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    engine = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters |= {"spoken": spoken_seconds, "size": readable_bytes, "number": "{:,}".format, "counted": counted}
    return engine


def _showable(value: Any) -> Any:  # noqa: ANN401 (JSON of any type)
    """Return a document in which every text can be shown: a bell becomes ``[U+0007]``."""
    if isinstance(value, str):
        return _UNSHOWN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)
    if isinstance(value, Mapping):
        return {_showable(name): _showable(each) for name, each in value.items()}
    return [_showable(each) for each in value] if isinstance(value, list) else value


def _derived(report: Report) -> dict[str, Any]:
    steps = {step["name"]: step for step in report["steps"]}
    return {
        "headline": headline(report),
        "tone": _tone(report),
        "when": when(report),
        "where": where(report),
        "uncarried": uncarried_in(report),
        "steps": list(_steps(report)),
        "timeline": _timeline(report),
        "tables": list(_tables(report)),
        "all_tables": _all_tables(report),
        "rules": list(_rules(report)),
        "proof": _proof(steps),
        "checksums": list(_checksums(report)),
        "benchmark": _benchmark(report.get("benchmark")),
        "benchmark_of": report.get("benchmark_of"),
    }


def _tone(report: Report) -> str:
    if report["outcome"] == "done":
        return "good"
    return "bad" if report["failure"] else "open"


def _steps(report: Report) -> Iterator[dict[str, Any]]:
    begun = {entry["step"]: entry for entry in report["timeline"]}
    for step in report["steps"]:
        if step["name"] in _QUIET:
            continue
        known, sign = begun.get(step["name"], {}), sign_of(step, report["failure"])
        sign = "not needed" if sign == NOT_NEEDED else sign
        yield {**step, "sign": sign, "begun": known.get("begun"), "seconds": known.get("seconds", step["seconds"])}


def _timeline(report: Report) -> dict[str, Any] | None:
    """Return the plots of the last attempt, and which one that was; None when no step of it has a length."""
    last = max((entry["attempt"] for entry in report["timeline"]), default=0)
    drawn = [
        entry
        for entry in report["timeline"]
        if entry["attempt"] == last and entry["step"] not in _QUIET and entry["seconds"] is not None
    ]
    # One bar says no more than the table of steps does; and drawing costs a second, which a refused run need not wait.
    if len(drawn) < 2:
        return None
    from .run_plots import timeline_plots  # noqa: PLC0415 (half of that second is the plotting library's import)

    start = next(entry["offset"] for entry in report["timeline"] if entry["attempt"] == last)
    return {"plots": timeline_plots(drawn, start, report["window"]), "attempt": last}


def _tables(report: Report) -> Iterator[dict[str, Any]]:
    known = ("rows", "bytes", "cells", "differences", "load_seconds", "compare_seconds")
    for name, numbers in report["tables"].items():
        table = {"name": name, **{key: numbers.get(key) for key in known}}
        seconds = table["load_seconds"]
        table["rate"] = round(table["rows"] / seconds) if table["rows"] and seconds else None
        yield table


def _all_tables(report: Report) -> dict[str, Any]:
    """Return the sums over the tables; several are worked on at once, so that the time is that of the steps."""
    totals, tables = report["totals"], report["tables"].values()
    took = {step["name"]: step["seconds"] for step in report["steps"]}
    sizes = [table["bytes"] for table in tables if table.get("bytes") is not None]
    load, rows = took.get("transfer"), totals["rows"]
    return {
        "rows": rows,
        "bytes": sum(sizes) if sizes else None,
        "cells": totals["cells"],
        "differences": totals["differences"],
        "load_seconds": load,
        "compare_seconds": took.get("compare"),
        "rate": round(rows / load) if rows and load else None,
    }


def _rules(report: Report) -> Iterator[dict[str, Any]]:
    """Yield each rule with the number that was foretold and the number that the load changed."""
    foretold = {_of_rule(rule): rule["count"] for rule in (report["assessment"] or {}).get("rules", [])}
    applied = {_of_rule(rule): rule["count"] for rule in report["rules"]}
    for key in dict.fromkeys([*foretold, *applied]):
        column, rule = key
        yield {"column": column, "rule": rule, "foretold": foretold.get(key), "applied": applied.get(key)}


def _of_rule(rule: Mapping[str, Any]) -> tuple[str, str]:
    return f"{rule['table']}.{rule['column']}", str(rule["rule"])


def _proof(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the proof saw; None when nothing was proven."""
    proven = steps.get("prove")
    if proven is None or proven["state"] != "done":
        return None
    facts = proven["facts"]
    seen = [one for one in facts.get("seen") or [] if isinstance(one, Mapping)]
    columns = list(dict.fromkeys(key for one in seen for key in one))
    plain = {name: value for name, value in facts.items() if name not in _TOLD_OF_PROOF}
    fence = steps.get("fence", {}).get("facts") or {}
    return {"uses": facts.get("uses"), "seen": seen, "columns": columns, "more": plain, "fence": fence}


def _checksums(report: Report) -> Iterator[dict[str, Any]]:
    """Yield every file whose checksum a step has recorded."""
    for step in report["steps"]:
        facts = step["facts"]
        if facts.get("sha256"):
            file = facts.get("path") if step["name"] == "back_up" else facts.get("moved_to") or facts.get("path")
            what = FILES.get(step["name"], step["title"])
            yield {"what": what, "file": file, "bytes": facts.get("bytes"), "sha256": facts["sha256"]}


def _benchmark(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if document is None:
        return None
    if faults := faults_of(document, TEMPLATES / BENCHMARK_SCHEMA):
        return {"faults": faults, "groups": []}
    groups = []
    for number, group in enumerate(groups_of(document)):
        from .run_plots import benchmark_plots  # noqa: PLC0415 (as above)

        plots = benchmark_plots(group["measurements"], f"benchmark-{number}", group["title"])
        groups.append({**group, "plots": plots})
    no_loss, money = money_told(document)
    known = {name: document.get(name) for name in ("taken", "machine", "notes")}
    return {**known, "faults": [], "groups": groups, "no_loss": no_loss, "money": money}
