"""A benchmark on the page of its run: where it stands, and what cannot be shown or is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.benchmark_report import money_told

from tests.example_runs import (
    benchmark,
    closed,
    cut_over_that_succeeded,
    steps_up_to,
    write_document,
    write_journal,
)
from tests.unit.run.pages import elements, page_of, parsed, text_of


def test_a_benchmarks_own_page_begins_with_what_it_has_measured(root):
    run = write_journal(root, [*steps_up_to("benchmark", "drop", {}), *closed("done")], "benchmark")
    write_document(run, "benchmark", benchmark())
    heads = [text_of(each) for each in elements(parsed(page_of(run)), "h2")]
    assert heads == ["What to do next", "The benchmark", "The steps", "Versions and checksums"]


def test_money_that_is_lost_is_told(root):
    document = benchmark()
    document["measurements"][5]["money"]["after"] -= 100
    assert not money_told(document)[0]
    run = cut_over_that_succeeded(root)
    write_document(run, "benchmark", document)
    said = text_of(parsed(page_of(run)))
    told = "mixed on postgresql with 64 clients, 1,234,500 before, 1,234,400 after."
    assert f"Money was lost or doubled in 1 of 12 measurements: {told}" in said


def benchmark_run(root, begun, outcome="done", document=None):
    run = write_journal(root, [*steps_up_to("benchmark", "drop", {}), *closed(outcome)], "benchmark")
    if document is not None:
        write_document(run, "benchmark", document)
    run.path.rename(root / f"{begun}-benchmark-1a2b")


def test_a_cut_over_shows_the_latest_benchmark_beside_it(root):
    run = cut_over_that_succeeded(root)
    said = text_of(parsed(page_of(run)))
    assert "None lies beside this run." in said

    measured = benchmark()
    benchmark_run(root, "20251231T020000Z", document=measured)
    said = text_of(parsed(page_of(run)))
    assert "measured this on copies, before the cut-over: 20251231T020000Z-benchmark-1a2b" in said

    # What was measured last, and is whole: one that failed, left nothing or is damaged is passed by.
    benchmark_run(root, "20260101T030000Z", document={**measured, "machine": "the later one"})
    benchmark_run(root, "20260101T040000Z", "failed", {**measured, "machine": "the failed one"})
    benchmark_run(root, "20260101T050000Z")
    (root / "20260101T060000Z-benchmark-1a2b").mkdir()
    (root / "20260101T060000Z-benchmark-1a2b/journal.jsonl").write_text("{}\n{}\n")
    page = parsed(page_of(run))
    assert "on copies, after the cut-over: 20260101T030000Z-benchmark-1a2b" in text_of(page)
    assert "the later one" in text_of(page)
    assert len(elements(page, "svg")) > 2

    # A way back has nothing to do with it.
    way_back = write_journal(root, [*steps_up_to("roll_back", "prove", {}), *closed("done")], "roll_back")
    assert "The benchmark" not in text_of(parsed(page_of(way_back)))

    # Its own comes first.
    write_document(run, "benchmark", {**measured, "machine": "its own"})
    said = text_of(parsed(page_of(run)))
    assert "its own" in said
    assert "A run of its own measured this" not in said


def spoiled() -> Iterator[tuple[str, Any]]:
    document = benchmark()
    for name in document["measurements"][0]:
        without = deepcopy(document)
        del without["measurements"][0][name]
        if name != "money":
            yield f"'{name}' is a required property", without
    for name, value in (("database", "mysql"), ("way", "by hand"), ("clients", 0), ("seconds", 0), ("p95_ms", "1")):
        other = deepcopy(document)
        other["measurements"][0][name] = value
        yield f"$.measurements[0].{name}: ", other
    yield "'measurements' is a required property", {}
    yield "$.measurements: [] should be non-empty", {"measurements": []}


@pytest.mark.parametrize(("told", "document"), list(spoiled()))
def test_a_benchmark_of_another_form_is_told_and_not_drawn(root, told, document):
    run = cut_over_that_succeeded(root)
    write_document(run, "benchmark", document)
    page = parsed(page_of(run))
    assert told in text_of(page)
    assert len(elements(page, "svg")) == 2


@pytest.mark.parametrize(
    ("databases", "told"),
    [
        (("sqlite",), "SQLite completed nothing with 64 clients."),
        (("sqlite", "postgresql"), "PostgreSQL and SQLite completed nothing with 64 clients."),
    ],
)
def test_a_database_that_completed_nothing_is_shown(root, databases, told):
    document = benchmark()
    nothing = {"operations": 0, "throughput": 0, "p50_ms": 0, "p95_ms": 0, "p99_ms": 0, "money": None}
    for each in document["measurements"]:
        if each["database"] in databases:
            each.update(nothing)
    run = cut_over_that_succeeded(root)
    write_document(run, "benchmark", document)
    assert told in text_of(parsed(page_of(run)))
