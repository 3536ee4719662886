"""The page of a run in a real browser: on a screen, a phone and paper, in the light and in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_page import render_page
from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report

from tests.browser import Page, browser
from tests.example_runs import (
    benchmark,
    cut_over_that_differed,
    cut_over_that_succeeded,
    write_document,
)

#: By WCAG 2.2, 1.4.3, for text of this size.
CONTRAST = 4.5
LONG = "a_table_whose_name_is_as_long_as_PostgreSQL_takes_it_and_longer_" * 3
#: Yields every text that can be seen, with the contrast of its colour to what lies behind it.
TEXTS = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = parts(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const solid = (colour) => colour && colour !== 'none' && (parts(colour)[3] ?? 1) > 0;
  const behind = (element) => {
    if (element instanceof SVGElement) {
      element.scrollIntoView({block: 'center', inline: 'center'});
      const box = element.getBoundingClientRect();
      for (const other of document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)) {
        const fill = getComputedStyle(other).fill;
        if (other instanceof SVGGeometryElement && solid(fill)) return fill;
      }
    }
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (solid(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    const range = document.createRange();
    range.selectNodeContents(node);
    if (!node.data.trim() || !range.getClientRects().length || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [one, two] = [element instanceof SVGElement ? style.fill : style.color, behind(element)].map(light);
    found.push({text: node.data.trim(), contrast: (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05),
                size: element.getBoundingClientRect().height});
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages with everything on them, with a failure, and with names that are too long."""
    folder = tmp_path_factory.mktemp("pages")
    runs = {
        name: write(_made(folder / name))
        for name, write in (("done", cut_over_that_succeeded), ("differed", cut_over_that_differed))
    }
    runs["long"] = cut_over_that_succeeded(_made(folder / "long"), (LONG, "\u202e" + LONG))
    write_document(runs["done"], "benchmark", benchmark())
    for name, run in runs.items():
        (folder / f"{name}.html").write_text(render_page(make_report(run)))
    return {name: folder / f"{name}.html" for name in runs}


@pytest.fixture(scope="module")
def full(pages: dict[str, Path]) -> str:
    return pages["done"].read_text()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def too_wide(tab: Page) -> float:
    """By how many pixels the page is wider than its window."""
    wider: float = tab.value("document.scrollingElement.scrollWidth - innerWidth")
    return max(0.0, wider)


def texts(tab: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tab.value(TEXTS)
    return found


def unreadable(tab: Page) -> list[dict[str, Any]]:
    """Texts that have too little contrast, or whose letters are too small."""
    return [each for each in texts(tab) if each["contrast"] < CONTRAST or each["size"] < 10]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800, 390])
@pytest.mark.parametrize("name", ["done", "differed", "long"])
def test_it_fits_the_screen_and_can_be_read(tab, pages, name, width, dark):
    tab.requests.clear()
    tab.open(pages[name], width, dark=dark)
    assert too_wide(tab) == 0
    seen = texts(tab)
    assert len(seen) > 60
    assert unreadable(tab) == []
    # One drawing of each is seen, the one for this width.
    drawn = {"done": 3, "differed": 1, "long": 1}[name]
    boxes = tab.value("[...document.querySelectorAll('svg')].map((e) => e.getBoundingClientRect().width)")
    widths = [box for box in boxes if box]
    assert len(widths) == drawn
    assert all(box <= width and box > min(width, 900) * 0.85 for box in widths)
    assert {each["text"] for each in seen} >= {"transfer", "The steps", "Versions and checksums"}
    background = tab.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(", "))) < 200) == dark
    assert tab.requests == [pages[name].as_uri()]
    assert tab.console == []


@pytest.mark.parametrize("name", ["done", "differed", "long"])
def test_it_can_be_printed_whatever_the_screen_prefers(tab, pages, name):
    tab.open(pages[name], 794, dark=True, media="print")
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert too_wide(tab) == 0
    assert unreadable(tab) == []
    boxes = tab.value(
        "[...document.querySelectorAll('table, pre, svg')].map((e) => e.getBoundingClientRect().right - innerWidth)"
    )
    assert max(boxes) <= 0
    # What a screen shows when it is asked for stands on paper.
    assert ("Each measurement: mixed, directly" in {each["text"] for each in texts(tab)}) == (name == "done")
    assert tab.printed().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("notices", "there", "instead"),
    [
        (unreadable, "--soft: #59636e", "--soft: #c9d1d9"),
        (unreadable, "--shade: #fdf0d5", "--shade: #404040"),
        (unreadable, "font: 16px/1.5", "font: 6px/1.5"),
        (too_wide, "</main>", "<pre style='white-space: pre'>" + "long " * 100 + "</pre></main>"),
        (too_wide, ".wide { overflow-x: auto; }", ""),
    ],
)
def test_what_cannot_be_read_is_noticed(tab, tmp_path, full, notices, there, instead):  # noqa: PLR0917 (pytest names them)
    assert there in full
    planted = tmp_path / "page.html"
    planted.write_text(full.replace(there, instead))
    tab.open(planted, 390)
    assert notices(tab)


def test_what_is_asked_of_the_network_is_noticed(tab, full, tmp_path):
    planted = tmp_path / "page.html"
    planted.write_text(full.replace("</main>", '<img alt="" src="http://127.0.0.1:9/a.png"></main>'))
    tab.requests.clear()
    tab.open(planted, 1280)
    assert tab.requests == [planted.as_uri(), "http://127.0.0.1:9/a.png"]
    assert tab.console
