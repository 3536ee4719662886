"""The page of a run, parsed, and what can be read on it."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import html5lib
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory
from ansible_collections.contralock.database.plugins.module_utils.run_page import render_page
from ansible_collections.contralock.database.plugins.module_utils.run_report import make_report


def page_of(run: RunDirectory) -> str:
    return render_page(make_report(run))


def parsed(page: str) -> Element:
    """Parse as strictly as HTML itself has it."""
    tree: Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    return tree


def text_of(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def elements(page: Element, name: str) -> list[Element]:
    return [each for each in page.iter() if each.tag.rpartition("}")[2] == name]


def row_of(page: Element, first: str) -> list[str]:
    """The cells of the row that begins with these words."""
    rows = [[text_of(cell) for cell in row] for row in elements(page, "tr")]
    (found,) = [row for row in rows if row[0] == first]
    return found
