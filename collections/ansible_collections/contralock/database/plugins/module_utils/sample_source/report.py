"""What the operator sees: progress while it runs, a summary at the end."""

from __future__ import annotations

import json
import time
from typing import TextIO

from .writer import Outcome

_REFRESH = 0.2  # seconds


class Ticker:
    """Shows progress: one line that is redrawn on a terminal, a plain line for each tenth elsewhere.

    Args:
        stream: Where to, usually standard error.
        quiet: Show nothing.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._terminal = stream.isatty()
        self._shown: tuple[str, int] = ("", 0)
        self._next_at = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are written, if that is news."""
        if self._quiet or not total:
            return
        line = f"{what}: {done:,} of {total:,} ({100 * done // total} %)"
        if self._terminal:
            if done == total or time.monotonic() >= self._next_at:
                self._next_at = time.monotonic() + _REFRESH
                self._stream.write(f"\r\x1b[K{line}" + ("\n" if done == total else ""))
                self._stream.flush()
            return
        step = (what, 10 * done // total)
        if step != self._shown and step[1]:
            self._shown = step
            self._stream.write(f"{line}\n")
            self._stream.flush()


def as_json(outcome: Outcome) -> str:
    """Render the outcome for a machine: one JSON object on one line."""
    order = outcome.order
    return json.dumps(
        {
            "path": str(order.path),
            "like": str(order.form),
            "seed": order.seed,
            "rows": sum(outcome.tables.values()),
            "bytes": outcome.bytes,
            "seconds": round(outcome.seconds, 3),
            "tables": outcome.tables,
            "strays": outcome.strays,
        }
    )


def as_text(outcome: Outcome) -> str:
    """Render the outcome for a person."""
    order, rows = outcome.order, sum(outcome.tables.values())
    lines = [
        f"{order.path}: {rows:,} rows, {outcome.bytes / 1e6:,.1f} MB, {outcome.seconds:.1f} s"
        f" (like {order.form}, seed {order.seed})",
        *(f"  {table:<20} {count:>12,}" for table, count in outcome.tables.items()),
        *(f"  {table:<20} {count:>12,}  (beside the twelve)" for table, count in outcome.strays.items()),
    ]
    return "\n".join(lines)
