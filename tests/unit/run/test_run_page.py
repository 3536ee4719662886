"""The report of a run as a page: what it says, that it is whole HTML, and that it needs nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib
import pytest
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import UncarriedRows
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
    as_document as comparison_document,
)
from ansible_collections.contralock.database.plugins.module_utils.finding_cells import Finding
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory
from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report, render_terminal
from ansible_collections.contralock.database.plugins.module_utils.run_timeline import timeline
from ansible_collections.contralock.database.plugins.module_utils.steps import VERBS, steps_of

from tests.example_runs import (
    SHA256,
    benchmark,
    closed,
    comparison_of,
    cut_over_that_differed,
    cut_over_that_succeeded,
    cut_over_that_was_not_ready,
    facts_of,
    steps_up_to,
    way_back_that_lost_rows,
    write_document,
    write_journal,
)
from tests.unit.run.pages import elements, page_of, parsed, row_of, text_of

SCRIPT = Path(__file__).parents[3] / "scripts/show_run.py"
FINDING = Finding(
    "projects", "budget", "projects.budget", "is no number", "Add a rule", 12, ("id=1", "id=2"), "'a lot'"
)


def test_what_a_cut_over_did_is_all_there(root):
    page = parsed(page_of(cut_over_that_succeeded(root)))
    said = text_of(page)
    assert text_of(elements(page, "h1")[0]) == "CUT-OVER DONE. Every cell was compared, none differs."
    assert "The application is configured for PostgreSQL." in said
    # The window: the steps of two seconds from the third one, keep_out, to the fourteenth, let_in.
    assert "The window was open from 02:00:04 to 02:00:28 UTC, 24 s, " in said
    assert "The assessment had foretold 33 s." in said
    assert row_of(page, "Compare every cell (compare)") == ["Compare every cell (compare)", "done", "02:00:14", "2 s"]
    # 1,000 rows in half a second.
    assert row_of(page, "users") == ["users", "1,000", "5.0 MiB", "0.50", "2,000", "0.25", "20,000", "0"]
    # Three tables in the two seconds that each step takes.
    assert row_of(page, "All") == ["All", "3,000", "15.0 MiB", "2.00", "1,500", "2.00", "60,000", "0"]
    assert row_of(page, "users.email") == ["users.email", "lower", "423", "423"]
    assert "60,000 cells in 3,000 rows were held against PostgreSQL's in 2 s: no difference." in said
    assert row_of(page, "769") == ["769", "contralock_user", "contralock", "TLSv1.3"]
    assert "stands a directory, so that a forgotten process fails" in said
    assert "sessions has the application, what is written through it comes there, and the SQLite file was" in said
    assert "pgloader 3.6.7; PostgreSQL 15.14, SQLite 3.40.1" in said
    assert said.count(f"sha256 {SHA256}") == 2
    commands = [text_of(each) for each in elements(page, "pre")]
    assert commands == [
        "ansible-playbook -i inventory/mine playbooks/validate.yml",
        "ansible-playbook -i inventory/mine playbooks/roll_back.yml",
        "psql 'host=db1.example.com dbname=contralock'",
    ]


def test_a_comparison_that_differed_and_was_taken_back(root):
    page = parsed(page_of(cut_over_that_differed(root)))
    said = text_of(page)
    assert text_of(elements(page, "h1")[0]) == "CUT-OVER FAILED at the step compare: compare every cell."
    assert "The application is configured for SQLite as before: what the run had changed was taken back." in said
    assert "the target does not hold what the source gives: users id=7: first_name is 'Björn'" in said
    assert row_of(page, "Compare every cell (compare)")[1] == "FAILED"
    assert row_of(page, "Stop the application (stop)")[1] == "undone"
    shown = [[text_of(cell) for cell in row] for row in elements(page, "tr")]
    assert ["users", "id=7", "first_name", "'Björn'", "'Bjorn'"] in shown
    assert ["users", "id=8", "missing in PostgreSQL"] in shown
    assert "2 differences" in said
    assert "Nothing is left to take back." in said
    assert "playbooks/roll_back.yml" not in said


def test_what_does_not_fit_is_named_with_its_mend(root):
    said = text_of(parsed(page_of(cut_over_that_was_not_ready(root, FINDING))))
    assert "not ready, 12 values or rows do not fit" in said
    assert "projects.budget to projects.budget: is no number, 12 times. First value: 'a lot'" in said
    assert "At id=1, id=2, ... Mend: Add a rule." in said
    assert "Not judged: trigger public.users.log: it acts on each row." in said
    assert "Left behind: users_backup, 1 row: A copy Left behind: users.nickname, 2,000 values: Nobody reads it" in said


def test_a_way_back_names_what_it_leaves_in_postgresql(root):
    run = way_back_that_lost_rows(root)
    page = parsed(page_of(run))
    said = text_of(page)
    assert "3 rows were given up that had been written in PostgreSQL since the cut-over." in said
    assert "Rows given up3" in said
    assert "have the SQLite file open, and PostgreSQL has no session of it." in said
    assert "In PostgreSQL stay the rows of tables that no move carries:" in said
    assert [text_of(each) for each in elements(page, "li")][:2] == [
        "audit_log, 1,200 rows: The server's own",
        "sessions, 1 row: Users log in again",
    ]
    lines = render_terminal(make_report(run)).splitlines()
    first = lines.index("Stays behind   in PostgreSQL: 1,200 rows of audit_log, which is never carried")
    assert lines[first + 1] == f"{'':15}in PostgreSQL: 1 row of sessions, which is never carried"


def test_a_step_that_had_nothing_to_do_says_so(root):
    run = write_journal(root, steps_up_to("roll_back", "recount", {"recount": {"needed": False}}), "roll_back")
    title = "Count later writes again, now that nobody can write"
    assert row_of(parsed(page_of(run)), f"{title} (recount)")[1] == "not needed"
    lines = render_terminal(make_report(run)).splitlines()
    assert f"  -       recount             2 s  {title}" in lines
    assert "  done    revoke              2 s  Keep the application's role out of PostgreSQL" in lines


@pytest.mark.parametrize(
    ("verb", "uses", "said"),
    [
        ("cut_over", "postgresql", "list of sessions has the application, and the SQLite file was left alone."),
        ("roll_back", "sqlite", "have the SQLite file open; PostgreSQL was not asked."),
    ],
)
def test_a_proof_claims_nothing_that_was_not_looked_at(root, verb, uses, said):
    run = write_journal(root, steps_up_to(verb, "prove", {"prove": {"uses": uses}}), verb)
    assert said in text_of(parsed(page_of(run)))


def test_a_cut_over_leaves_nothing_behind(root):
    run = cut_over_that_succeeded(root)
    found = comparison_document(replace(comparison_of(["users"]), uncarried=(UncarriedRows("log", 1, "ours"),)))
    write_document(run, "comparison", found)
    assert "Stays behind" not in render_terminal(make_report(run))
    assert "that no move carries" not in text_of(parsed(page_of(run)))


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize("state", ["waiting", "begun", "failed", "taken_back", "done"])
def test_every_standing_of_every_verb_is_whole_html(root, verb, state):
    names = [step.name for step in steps_of(verb)[1:]]
    rows = [(1.0, "open", "begun", {}), (0.0, "open", "done", {})]
    for name in names if state != "waiting" else ():
        # One that was taken back or failed without a beginning is what a kill leaves.
        rows += [(1.0, name, "begun", {})] if name != names[2] else []
        rows += [(1.0, name, state, {})] if state != "begun" else []
    parsed(page_of(write_journal(root, rows, verb)))


def test_a_document_with_an_error_is_noticed(root):
    page = page_of(cut_over_that_succeeded(root))
    with pytest.raises(html5lib.html5parser.ParseError):
        parsed(page.replace("</main>", "", 1))


# ---- It needs nothing else, and everybody can read it ---------------------------------------------------------------

FETCHING = {"script", "link", "img", "image", "iframe", "object", "embed", "video", "audio", "source", "base", "form"}


def fetched(page: str) -> list[str]:
    """What a browser would ask somebody for."""
    tree = parsed(page)
    found = [str(each.tag) for each in tree.iter() if str(each.tag).rpartition("}")[2] in FETCHING]
    for each in tree.iter():
        for name, value in each.attrib.items():
            local = str(name).rpartition("}")[2].rpartition(":")[2]
            if local in ("href", "src", "srcset", "data", "action", "background") and not value.startswith("#"):
                found.append(f"{name}={value}")
    return found + re.findall(r"@import[^;]*|url\((?!#)[^)]*\)", page)


@pytest.fixture(scope="module")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with everything that a page can show."""
    run = cut_over_that_succeeded(tmp_path_factory.mktemp("runs"))
    write_document(run, "benchmark", benchmark())
    return run


@pytest.fixture(scope="module")
def full(full_run: RunDirectory) -> str:
    """Its page."""
    return page_of(full_run)


def test_nothing_is_fetched(full):
    assert fetched(full) == []
    assert "http" not in full


@pytest.mark.parametrize(
    "planted",
    [
        '<img alt="" src="https://example.invalid/a.png">',
        '<style>@import "a.css";</style>',
        '<p style="background: url(a.png)">a</p>',
        '<svg><use xlink:href="b.svg#a"></use></svg>',
    ],
)
def test_what_would_be_fetched_is_noticed(full, planted):
    assert fetched(full.replace("</main>", f"{planted}</main>"))


def strange(page: Element) -> Iterator[str]:
    """What keeps somebody who does not see the page from reading it."""
    yield from (f"no caption: {text_of(each)[:40]}" for each in elements(page, "table") if each[0].tag != "caption")
    yield from (f"no scope: {text_of(each)}" for each in elements(page, "th") if not each.get("scope"))
    levels = [int(each.tag[1]) for each in page.iter() if re.fullmatch("h[1-6]", str(each.tag))]
    yield from (f"h{one} before h{two}" for one, two in pairwise(levels) if two > one + 1)
    if levels.count(1) != 1:
        yield "not one h1"
    names = [each.get("id") for each in page.iter() if each.get("id")]
    yield from (f"twice: {name}" for name in {name for name in names if names.count(name) > 1})
    for drawing in elements(page, "svg"):
        said = [drawing.find(f".//*[@id='{name}']") for name in drawing.get("aria-labelledby", "").split()]
        if drawing.get("role") != "img" or len(said) != 2 or not all(each is not None and each.text for each in said):
            yield "a drawing without words"


def test_everybody_can_read_it(full):
    page = parsed(full)
    assert elements(page, "html")[0].get("lang") == "en"
    # A timeline and two benchmarks, each for wide and narrow pages.
    assert len(elements(page, "svg")) == 6
    assert list(strange(page)) == []


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("<caption>Rows, bytes", "<thead></thead><caption>Rows, bytes"),
        ('scope="col"', ""),
        ("<h3>", "<h5>"),
        ('id="timeline-narrow-title"', 'id="timeline-wide-title"'),
        ('role="img"', ""),
    ],
)
def test_what_somebody_could_not_read_is_noticed(full, there, instead):
    planted = full.replace(there, instead, 1).replace("h3>", "h5>" if instead == "<h5>" else "h3>")
    assert list(strange(html5lib.HTMLParser(namespaceHTMLElements=False).parse(planted)))


def test_the_same_run_gives_the_same_bytes_in_every_process(full_run, full):
    report = make_report(full_run)
    script = (
        "import json, sys; sys.path.insert(0, 'collections');"
        "from ansible_collections.contralock.database.plugins.module_utils.run_page import render_page;"
        "sys.stdout.buffer.write(render_page(json.load(sys.stdin)).encode())"
    )
    again = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(report).encode(),
        capture_output=True,
        check=True,
        cwd=SCRIPT.parents[1],
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert again.stdout.decode() == full


# ---- The benchmark ---------------------------------------------------------------------------------------------------


def test_the_benchmark_says_in_numbers_what_it_draws(full):
    page = parsed(full)
    said = text_of(page)
    assert "Mixed, through the application" in said
    assert "Mixed, directly" in said
    assert "SQLite is 1.3 times as fast with 1 client." in said
    assert "PostgreSQL is 3.1 times as fast with 64 clients." in said
    assert "No money was lost or doubled: all of it was there before and after each of 12 measurements." in said
    rows = [[text_of(cell) for cell in row] for row in elements(page, "tr")]
    assert ["64", "SQLite", "9,400", "940.0", "34.0", "136.2", "272.3", "24", "0", "0"] in rows
    assert ["8", "950.0", "2,100.0", "PostgreSQL 2.2 times"] in rows
    for each in benchmark()["measurements"]:
        assert sum(row[0] == str(each["clients"]) and row[3] == f"{each['throughput']:,.1f}" for row in rows) == 2
    drawn = [text_of(each) for each in elements(page, "desc")]
    assert sum("SQLite with 64 clients: 940 operations a second, 95th percentile 136.2 ms." in each for each in drawn)


# ---- Where it comes from ---------------------------------------------------------------------------------------------


def test_each_attempt_has_its_place_in_time(root):
    rows = steps_up_to("cut_over", "stop", {})
    rows += [(1, "fence", "begun", {}), (3, "fence", "failed", {"message": "no"}), (0, "fence", "taken_back", {})]
    # Killed in the middle of the next attempt.
    rows += [(100, "open", "begun", {}), (0, "open", "done", {}), (0, "fence", "begun", {})]
    rows += [(50, "open", "begun", {}), (0, "open", "done", {}), (1, "fence", "begun", {}), (2, "fence", "done", {})]
    found = timeline(write_journal(root, rows).records())
    fences = [(one["attempt"], one["offset"], one["state"], one["seconds"]) for one in found if one["step"] == "fence"]
    assert fences == [(1, 9.0, "failed", 3.0), (2, 112.0, "begun", None), (3, 163.0, "done", 2.0)]


def test_a_run_that_went_on_shows_its_last_attempt(root):
    rows = [*steps_up_to("cut_over", "back_up", facts_of()), (2, "transfer", "begun", {})]
    rows += [(500, "open", "begun", {}), (0, "open", "done", facts_of()["open"])]
    rows += [*steps_up_to("cut_over", "let_in", facts_of())[4:], *closed("done")]
    page = parsed(page_of(write_journal(root, rows)))
    assert "The last of 2 attempts" in text_of(page)
    drawn = [text_of(each) for each in elements(page, "desc")]
    assert drawn[0].startswith(
        "Steps in order with their length: keep_out 2 s; stop 2 s; fence 2 s; back_up 2 s; transfer 2 s;"
    )


@pytest.mark.parametrize("content", ["{", "[]", '"words"', "\xff"])
def test_a_document_that_cannot_be_read_keeps_no_page_from_being_made(root, content):
    run = cut_over_that_succeeded(root)
    (run.path / "comparison.json").write_bytes(content.encode("latin-1"))
    said = text_of(parsed(page_of(run)))
    assert "Not readable there: comparison.json." in said
    assert "The comparison" not in said


def test_the_script_writes_the_page_of_a_copy(full_run, tmp_path, full):
    page, other = tmp_path / "page.html", tmp_path / "benchmark.json"

    def show(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, SCRIPT, full_run.path, "--quiet", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert show("--html", page).returncode == 0
    assert page.read_text() == full
    assert page.stat().st_mode & 0o777 == 0o600
    other.write_text(json.dumps({**benchmark(), "machine": "another machine"}))
    assert show("--html", page, "--benchmark", other).returncode == 0
    assert "another machine" in page.read_text()
    other.write_text("{")
    refused = show("--html", page, "--benchmark", other)
    assert refused.returncode == 2
    assert "is no benchmark" in refused.stderr
