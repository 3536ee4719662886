"""Matplotlib's figures as SVG that belongs into a page: text stays text, colours are the page's, nothing is fetched.

The same numbers give the same bytes: metadata go, and names depend on nothing but the figure.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

#: Colours that stand for the page's own, which differ in the light, in the dark and on paper: files/reports/style.css.
PAGE, INK, SOFT, LINE, BAD, FIRST, SECOND, SHADE = (f"#0{number}0{number}0{number}" for number in range(1, 9))
_VARIABLES: Mapping[str, str] = {
    PAGE: "var(--page)",
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    BAD: "var(--bad)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    SHADE: "var(--shade)",
}
_SETTINGS: Mapping[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "font.family": "DejaVu Sans",
}
_NAMESPACE = re.compile(r"^\{[^}]*\}")
_REFERENCE = re.compile(r"(?<=url\(#)[\w-]+|(?<=^#)[\w-]+")
_PER_INCH = 72.0


@contextmanager
def figure(width: int, height: int, text: float) -> Iterator[Figure]:
    """Have a figure whose units are the page's pixels, for the length of the block.

    Args:
        width: Of the whole, in pixels.
        height: The same.
        text: The size of its text in pixels.
    """
    with mpl.rc_context({**_SETTINGS, "font.size": text}):
        yield Figure(figsize=(width / _PER_INCH, height / _PER_INCH), dpi=_PER_INCH)


def place(axes: Axes, left: float, top: float, right: float, bottom: float) -> None:
    """Put axes at these distances in pixels from the figure's left, top, left and top."""
    whole = axes.get_figure(root=True)
    assert whole is not None  # noqa: S101 (axes are always in one)
    width, height = (inches * _PER_INCH for inches in whole.get_size_inches())
    axes.set_position((left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height))


def svg_of(drawn: Figure, name: str, title: str, description: str) -> str:
    """Return a figure as an element of a page.

    Args:
        drawn: The figure.
        name: What no other figure of the page is called; letters, digits and dashes.
        title: What it is, for a person who does not see it.
        description: What it shows, as sentences.
    """
    written = io.BytesIO()
    drawn.savefig(written, format="svg", transparent=True)
    root = ElementTree.fromstring(written.getvalue())  # noqa: S314 (matplotlib's own output)
    _simplify(root)
    _rename(root, name)
    for word in ("width", "height", "version"):
        root.attrib.pop(word, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-description"}
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        element.text = text
        root.insert(position, element)
    return ElementTree.tostring(root, encoding="unicode", method="html")


def _simplify(root: ElementTree.Element) -> None:
    """Take out what a page does not need: namespaces, metadata, styles for all of the page, fonts, white space."""
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
        element.attrib = {_NAMESPACE.sub("", key): _colours(value) for key, value in element.attrib.items()}
        if "style" in element.attrib:
            element.attrib["style"] = re.sub(r"font-family:[^;]*;? *", "", element.attrib["style"])
        if element.tag != "text":
            element.text = None
        element.tail = None
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style") or (child.tag == "defs" and not _things_in(child)):
                parent.remove(child)


def _things_in(definitions: ElementTree.Element) -> bool:
    return any(child.tag != "style" for child in definitions)


def _colours(value: str) -> str:
    for colour, variable in _VARIABLES.items():
        value = value.replace(colour, variable)
    return " ".join(value.split())


def _rename(root: ElementTree.Element, name: str) -> None:
    """Keep the names that something refers to, and make them this figure's own."""
    used: dict[str, str] = {}
    for element in root.iter():
        for value in element.attrib.values():
            for found in _REFERENCE.findall(value):
                used.setdefault(found, f"{name}-{len(used)}")
    for element in root.iter():
        own = element.attrib.pop("id", None)
        element.attrib = {
            key: _REFERENCE.sub(lambda match: used[match[0]], value) for key, value in element.attrib.items()
        }
        if own in used:
            element.attrib["id"] = used[own]
