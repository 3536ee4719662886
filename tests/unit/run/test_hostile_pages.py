"""The page of a run whose names and words were chosen to break it: they stay text."""

from __future__ import annotations

import pytest

from tests.example_runs import (
    benchmark,
    closed,
    cut_over_that_differed,
    cut_over_that_succeeded,
    facts_of,
    steps_up_to,
    write_document,
    write_journal,
)
from tests.unit.run.pages import elements, page_of, parsed, text_of

#: Names that a database may have, and what a page shows of them.
HOSTILE = {
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "\"onload='x'&amp;": "\"onload='x'&amp;",
    "{{ 7 * 7 }}{% raw %}": "{{ 7 * 7 }}{% raw %}",
    "$a$": "$a$",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd": "\u202eright to left \u05e9\u05dc\u05d5\u05dd",
    "bell\x07 nul\0 \x9f": "bell[U+0007] nul[U+0000] [U+009F]",
    "long" * 500: "long" * 500,
    "\U0001f9fe 表": "\U0001f9fe 表",
}


@pytest.mark.parametrize(("name", "shown"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_names_are_names(root, name, shown):
    run = cut_over_that_succeeded(root, (name,))
    write_document(run, "benchmark", {"measurements": [{**benchmark()["measurements"][0], "workload": name}]})
    page = parsed(page_of(run))
    assert shown in {"".join(cell.itertext()) for cell in elements(page, "td")}
    assert not [each for each in page.iter() if str(each.tag) in ("script", "raw")]
    assert not [each for each in page.iter() for attribute in each.attrib if attribute.startswith("on")]


def test_whatever_else_a_proof_says_is_shown(root):
    facts = facts_of()
    facts["prove"] |= {"canary": {"written": True, "token": "<b>1</b>"}, "schema_version": "0008"}
    run = write_journal(root, [*steps_up_to("cut_over", "let_in", facts), *closed("done")])
    said = [text_of(each) for each in elements(parsed(page_of(run)), "li")]
    assert 'canary: {"token": "\\u003cb\\u003e1\\u003c/b\\u003e", "written": true}' in said
    assert "schema version: 0008" in said


def test_a_failure_in_the_words_of_an_attacker_stays_text(root):
    words = "</div></main><script>alert(1)</script><!--"
    differed = page_of(cut_over_that_differed(root, words))
    page = parsed(differed)
    assert f"{words} id=7: first_name" in text_of(page)
    assert "<script" not in differed
