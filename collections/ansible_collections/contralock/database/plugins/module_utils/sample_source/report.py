"""What the operator sees: progress while it runs, a summary at the end."""

from __future__ import annotations

import json
import time
from typing import TextIO

from .writer import Outcome

# Seconds between two looks at the same progress: a line that is redrawn, and a line that stays in a log.
_REFRESH, _LOGGED = 0.2, 10.0


class Ticker:
    """Shows progress: a line that is redrawn on a terminal; elsewhere a line every ten seconds, so none of a short run.

    Args:
        stream: Where to, usually standard error.
        quiet: Show nothing.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._terminal = stream.isatty()
        self._next_at = 0.0 if self._terminal else time.monotonic() + _LOGGED

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are written, if that is news."""
        if self._quiet or not total:
            return
        now, ends = time.monotonic(), self._terminal and done == total
        if not ends and now < self._next_at:
            return
        self._next_at = now + (_REFRESH if self._terminal else _LOGGED)
        line = f"{what}: {done:,} of {total:,} ({100 * done // total} %)"
        try:
            self._stream.write(f"\r\x1b[K{line}" + ("\n" if ends else "") if self._terminal else f"{line}\n")
            self._stream.flush()
        except OSError:  # nobody reads it any more (`| head`), or its disk is full: the file is wanted all the same
            self._quiet = True


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
