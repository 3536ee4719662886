#!/usr/bin/env python3
"""Write what a benchmark has measured into docs/benchmark.md and README.md, and draw the README's picture of it.

Reads a benchmark.json, from a file or from standard input (`make figures`), and replaces what stands between the two
marks of each document. Nothing else in them has a figure of a measurement.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT)]

# ruff: noqa: E402 (path first)
from ansible_collections.contralock.database.plugins.module_utils.benchmark_report import groups_of, money_told
from ansible_collections.contralock.database.plugins.module_utils.run_page import render_benchmark

from tests.browser import browser

BEGIN, END = "<!-- measured: benchmarks/tell_benchmark.py writes this -->", "<!-- measured: to here -->"
DOCS, README, PICTURE = "docs/benchmark.md", "README.md", "docs/images/benchmark.png"
#: What of the page is the picture: the plots of this mix, which has something of everything.
SHOWN, WIDTH, LINE = "mixed", 1040, 140
ONLY_PLOTS = """
for (const each of document.querySelectorAll('header, main > :not(h3, figure)')) each.remove();
document.body.style.padding = '0 1rem 1rem';
document.body.getBoundingClientRect().height;
"""
DATABASES = ("SQLite", "PostgreSQL")
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms", "longest_ms")
HEADS = ("clients", *(f"{name}, {what}" for name in DATABASES for what in ("a second", "p50 / p95 / p99 / longest ms")))

Measurement = Mapping[str, Any]


def main() -> int:
    """Write all three."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("file", nargs="?", type=argparse.FileType(), default=sys.stdin, metavar="BENCHMARK.JSON")
    parser.add_argument("--remark", default="", metavar="TEXT", help="what has to be known of this run, as Markdown")
    parser.add_argument("--commit", metavar="NAME", help="at which it was measured (default: this one)")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="of the documents (default: here)")
    given = parser.parse_args()
    document = json.load(given.file)
    found = list(summary(document))
    where = provenance(document, given.commit or head(), given.remark)
    # First what may fail: documents of two measurements would be worse than old ones.
    drawn = picture(document)
    write(given.root / DOCS, [*where, *found, "", *tables(document)])
    write(given.root / README, [*found, *(("", given.remark) if given.remark else ())])
    (given.root / PICTURE).write_bytes(drawn)
    return 0


def write(file: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the marks."""
    before, begin, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{file} has not both marks, {BEGIN} and {END}")
    file.write_text("\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"]), encoding="utf-8")


def provenance(document: Mapping[str, Any], commit: str, remark: str) -> Iterator[str]:
    """Yield where the figures come from."""
    yield textwrap.fill(f"On {str(document['taken'])[:10]}, at commit {commit}: {document['machine']}.", LINE)
    yield textwrap.fill(" ".join([*document.get("notes", ()), money_told(document)[1]]), LINE)
    yield ""
    if remark:
        yield from (remark, "")


def head() -> str:
    """Return the commit of this checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def summary(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each mix and way: who does how many times the work, with how many clients."""
    for group in groups_of(document):
        faster: dict[str, list[tuple[float, int]]] = {name: [] for name in (*reversed(DATABASES), "equal")}
        for one in group["compared"]:
            ours, theirs = one["postgresql"], one["sqlite"]
            who = one["faster"] if not ours or not theirs else one["faster"].split(" ")[0]
            ratio = max(ours, theirs) / (min(ours, theirs) or 1)
            faster.setdefault(who, []).append((ratio, one["clients"]))
        said = []
        for name, found in faster.items():
            if found:
                least, most = (f"{ratio:.1f}" for ratio in (min(found)[0], max(found)[0]))
                times = "" if name not in DATABASES else f" {least if least == most else f'{least} to {most}'} times"
                said.append(f"{name}{times} with {enumerated(found, len(group['compared']))}")
        yield f"- {group['title'].capitalize()}: {'; '.join(said)}."


def enumerated(found: Sequence[tuple[float, int]], of: int) -> str:
    """Return ``1, 2 and 64 clients``, of so many numbers of clients."""
    if len(found) == of > 1:
        return "every number of clients"
    texts = [str(clients) for _, clients in found]
    clients = "client" if texts == ["1"] else "clients"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts) + f" {clients}"


def tables(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table for each mix and way."""
    for group in groups_of(document):
        by_clients: dict[int, dict[str, Measurement]] = {}
        for each in group["measurements"]:
            by_clients.setdefault(each["clients"], {})[each["database"]] = each
        faster = {one["clients"]: one["faster"] for one in group["compared"]}
        yield from (f"### {group['title'].capitalize()}", "", f"| {' | '.join(HEADS)} | faster |")
        yield f"|{'---:|' * len(HEADS)}---|"
        for clients, both in by_clients.items():
            cells = [cell for name in ("sqlite", "postgresql") for cell in cells_of(both[name])]
            yield f"| {clients} | {' | '.join(cells)} | {faster[clients]} |"
        yield ""


def cells_of(measurement: Measurement) -> Iterator[str]:
    """Yield the throughput with what failed, and how long it took: three percentiles and the longest."""
    errors = "".join(f" ({count} {kind})" for kind, count in measurement["errors"].items() if count)
    yield f"{measurement['throughput']:,.0f}{errors}"
    yield " / ".join(f"{measurement[name]:,.1f}" for name in PERCENTILES if name in measurement)


def picture(document: Mapping[str, Any]) -> bytes:
    """Return the plots of one mix, both ways, as the page has them, as a PNG."""
    shown = [each for each in document["measurements"] if each["workload"] == SHOWN]
    with tempfile.TemporaryDirectory() as folder, browser() as tab:
        page = Path(folder) / "page.html"
        page.write_text(render_benchmark({**document, "measurements": shown}), encoding="utf-8")
        tab.open(page, WIDTH)
        height = round(tab.value(ONLY_PLOTS))
        tab("Emulation.setDeviceMetricsOverride", width=WIDTH, height=height, deviceScaleFactor=1, mobile=False)
        return tab.screenshot()


if __name__ == "__main__":
    sys.exit(main())
