"""The figures of a run's page: the timeline, and what the benchmark measured. Each for a wide page and for a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from .run_step import spoken_seconds
from .svg_plots import BAD, FIRST, INK, LINE, PAGE, SECOND, SHADE, SOFT, figure, place, svg_of

#: Page to its width in pixels and the size of its text there.
PAGES: Mapping[str, tuple[int, float]] = {"wide": (920, 13.0), "narrow": (358, 12.0)}
BAR, ROW = 0.62, 24
COLOURS: Mapping[str, str] = {"done": FIRST, "failed": BAD, "taken_back": SOFT, "begun": SECOND}
#: Database to its colour, its marker and its dashes, so that nobody has to see colours.
LINES: Mapping[str, tuple[str, str, str]] = {"sqlite": (SECOND, "s", "--"), "postgresql": (FIRST, "o", "-")}
SPOKEN: Mapping[str, str] = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

Entry = Mapping[str, Any]


def timeline_plots(entries: Sequence[Entry], start: float, window: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the steps of an attempt as bars over the time, for each page.

    Args:
        entries: Of ``run_timeline.timeline``, those with a length; at least one.
        start: When the attempt began, as their ``offset`` counts.
        window: Of ``run_timeline.window``.
    """
    end = max(entry["offset"] + entry["seconds"] for entry in entries)
    shade: tuple[float, float] | None = None
    if window and window["seconds"] is not None:
        shade = (max(window["offset"], start), window["offset"] + window["seconds"])
        end = max(end, shade[1])
    told = "; ".join(f"{entry['step']} {spoken_seconds(entry['seconds'])}" for entry in entries)
    description = f"Steps in order with their length: {told}."
    if window and window["seconds"] is not None:
        description += f" Users waited {spoken_seconds(window['seconds'])}."
    drawn = {}
    for page, (width, text) in PAGES.items():
        height = ROW * len(entries) + 70
        with figure(width, height, text) as whole:
            axes = whole.subplots()
            place(axes, 82, 28, width - 12, height - 42)
            _bars(axes, entries, start, max(end - start, 0.1))
            if shade:
                _shade(axes, shade[0] - start, shade[1] - start, window or {})
            drawn[page] = svg_of(whole, f"timeline-{page}", "Timeline of the run", description)
    return drawn


def _bars(axes: Axes, entries: Sequence[Entry], start: float, length: float) -> None:
    axes.set_xlim(0, length * 1.02)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.set_yticks(range(len(entries)), labels=[str(entry["step"]) for entry in entries], color=INK)
    axes.tick_params(length=0)
    axes.grid(visible=True, axis="x", linewidth=0.6)
    axes.set_xlabel("seconds since the run was opened")
    for row, entry in enumerate(entries):
        begun, lasted = entry["offset"] - start, entry["seconds"]
        shown = max(lasted, length / 250)
        axes.barh(row, shown, BAR, left=begun, color=COLOURS.get(entry["state"], SOFT))
        # Behind the bar where there is room, before it where there is some, and otherwise in it.
        behind, inside = begun + shown < length * 0.75, begun < length * 0.3
        axes.annotate(
            _label(entry),
            (begun + shown if behind or inside else begun, row),
            xytext=(5 if behind else -5, 0),
            textcoords="offset pixels",
            ha="left" if behind else "right",
            va="center",
            color=PAGE if inside and not behind else INK,
        )


def _label(entry: Entry) -> str:
    said = {"failed": ", failed", "taken_back": ", undone"}.get(str(entry["state"]), "")
    return f"{spoken_seconds(entry['seconds'])}{said}"


def _shade(axes: Axes, begun: float, ended: float, window: Mapping[str, Any]) -> None:
    axes.axvspan(begun, ended, color=SHADE, linewidth=0, zorder=0)
    axes.annotate(
        f"users wait: {spoken_seconds(window['seconds'])}",
        ((begun + ended) / 2, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 8),
        textcoords="offset pixels",
        ha="center",
        color=INK,
    )


def benchmark_plots(measurements: Sequence[Entry], name: str, title: str) -> dict[str, str]:
    """Return throughput and 95th percentile by clients, both databases in each, for each page.

    Args:
        measurements: Of one workload and one way; at least one.
        name: What no other figure of the page is called.
        title: What was measured.
    """
    parts = [("throughput", "operations a second", "linear"), ("p95_ms", "95th percentile, milliseconds", "log")]
    drawn = {}
    for page, (width, text) in PAGES.items():
        side_by_side = page == "wide"
        height = 300 if side_by_side else 560
        with figure(width, height, text) as whole:
            for number, (key, label, scale) in enumerate(parts):
                axes = whole.add_subplot(1, 2, number + 1)
                if side_by_side:
                    place(axes, 56 + number * width / 2, 40, (number + 1) * width / 2 - 14, height - 44)
                else:
                    place(axes, 56, 40 + number * 280, width - 12, 236 + number * 280)
                _lines(axes, measurements, key, scale)
                axes.set_title(label, loc="left", fontsize=text, color=INK)
                if number == 0:
                    axes.legend(frameon=False, loc="best", labelcolor=INK)
            drawn[page] = svg_of(whole, f"{name}-{page}", title, _said(measurements))
    return drawn


def _lines(axes: Axes, measurements: Sequence[Entry], key: str, scale: str) -> None:
    clients = sorted({entry["clients"] for entry in measurements})
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator([float(number) for number in clients]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.set_xlabel("clients")
    axes.grid(visible=True, linewidth=0.6, color=LINE)
    axes.tick_params(length=0)
    for database, (colour, marker, dashes) in LINES.items():
        points = sorted((each["clients"], each[key]) for each in measurements if each["database"] == database)
        if points:
            # What is 0 has no place on a logarithmic scale, and must not be drawn below it.
            (line,) = axes.plot(*zip(*points, strict=True), dashes, color=colour, marker=marker, clip_on=scale == "log")
            line.set_label(SPOKEN[database])
    if scale == "log" and any(each[key] for each in measurements):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def _said(measurements: Sequence[Entry]) -> str:
    return " ".join(
        f"{SPOKEN[each['database']]} with {each['clients']} clients: {each['throughput']:,.0f} operations a second, "
        f"95th percentile {each['p95_ms']:,.1f} ms."
        for each in measurements
    )
