"""How far a verb is, on a shell's standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import printable
from .run_step import progress_line, spoken_seconds
from .shell_streams import tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Between two lines of a progress that is not on a terminal: at first, and at most; each time it is half as long again.
SECONDS_BETWEEN_LINES = 2.0
MOST_SECONDS_BETWEEN_LINES = 60.0


class Screen:
    """Says on standard error how far a verb is: a bar on a terminal, elsewhere a line now and then.

    It is best effort: no verb ends because its progress cannot be shown.
    """

    def __init__(self, verb: str, quiet: bool) -> None:
        self._verb = verb
        self._quiet = quiet
        self._pause = SECONDS_BETWEEN_LINES
        self._next = time.monotonic() + self._pause
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        #: What is said beside the answer.
        self.notes: list[str] = []

    def __enter__(self) -> Screen:
        """Begin; the bar appears with the first number."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        with contextlib.suppress(OSError):
            if self._bar is not None:
                self._bar.stop()

    def __call__(self, said: str | Mapping[str, Any]) -> None:
        """Take what a verb of the library says of its progress: a line, or numbers (see ``run_step.Progress``)."""
        if self._quiet:
            return
        try:
            self._show(said)
        except OSError:
            self._quiet = True

    def _show(self, said: str | Mapping[str, Any]) -> None:
        if sys.stderr.isatty():
            self._draw({"line": said} if isinstance(said, str) else said)
        elif time.monotonic() >= self._next:
            self._pause = min(self._pause * 1.5, MOST_SECONDS_BETWEEN_LINES)
            self._next = time.monotonic() + self._pause
            line = said if isinstance(said, str) else progress_line(said)
            tell(printable(f"{self._verb}: {line.removeprefix(f'{self._verb}: ')}"))

    def counted(self, table: str, rows: int, of_rows: int) -> None:
        """Take progress as three values (see ``source_file.Progress``)."""
        self({"table": table, "rows": rows, "of_rows": of_rows or None})

    def _draw(self, said: Mapping[str, Any]) -> None:
        if self._bar is None:
            self._bar = _new_bar()
            self._task = self._bar.add_task(self._verb, total=None, left="")
            self._bar.start()
        assert self._task is not None  # noqa: S101 (it came with the bar)
        where = said.get("table") or str(said.get("line", "")).partition(",")[0]
        seconds = said.get("seconds_left")
        self._bar.update(
            self._task,
            description=printable(f"{self._verb} {where}".strip()),
            completed=said.get("rows") or 0,
            total=said.get("of_rows"),
            left="" if seconds is None else f"{spoken_seconds(seconds)} left",
        )


def _new_bar() -> Progress:
    from rich.console import Console  # noqa: PLC0415 (a script in a pipe need not load it)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 (as above)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)
