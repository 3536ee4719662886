"""Threads that share a list of tasks. Results come in the tasks' order; of several failures it is always the first.

What reads and judges works so: what it says may not depend on which thread was faster. ``session_crew.py`` loads.

Threads and not processes: what is slow here (Arrow, ADBC, SQLite) works outside of Python's lock, and a module of
Ansible can neither be forked nor imported again by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock
from typing import Generic, TypeVar

Said = TypeVar("Said")
Result = TypeVar("Result")

#: Threads that work at once, unless the caller knows better.
WORKERS = 2


class StoppedError(Exception):
    """A task before this one has failed, or all are to end; never leaves ``run_tasks``."""


@dataclass(frozen=True)
class Ticket(Generic[Said]):
    """What a task is called with.

    Attributes:
        check: Raises ``StoppedError`` when the task is no longer wanted: call it often.
        say: Takes what the thread that waits for the tasks is to hear.
    """

    check: Callable[[], None]
    say: Callable[[Said], None]


Task = Callable[[Ticket[Said]], Result]


def run_tasks(
    tasks: Sequence[Task[Said, Result]], workers: int, hear: Callable[[Said], None], interrupt: Callable[[], None]
) -> list[Result]:
    """Run all tasks, begun in their order, several at a time.

    Args:
        tasks: Functions of a ``Ticket``.
        workers: How many run at a time.
        hear: Is called, in this thread, with what the tasks say.
        interrupt: Ends what the tasks may be waiting for; called when this thread is asked to end (SIGTERM, Ctrl-C).

    Returns:
        The results in the order of the tasks.

    Raises:
        Exception: What the first of the tasks that failed raised; the tasks after it are not waited for.
    """
    failures = _Failures()
    said: SimpleQueue[Said | _Done] = SimpleQueue()
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_run, task, number, failures, said) for number, task in enumerate(tasks)]
        try:
            left = len(futures)
            while left:
                what = said.get()
                if isinstance(what, _Done):
                    left -= 1
                else:
                    hear(what)
        except BaseException:
            failures.note(-1)
            interrupt()
            raise
    errors = (future.exception() for future in futures)
    first = next((error for error in errors if error is not None and not isinstance(error, StoppedError)), None)
    if first is not None:
        raise first
    return [future.result() for future in futures]


class _Done:
    """Said at the end of every task."""


class _Failures:
    """Knows the first of the tasks that failed."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._lock = Lock()

    def note(self, number: int) -> None:
        with self._lock:
            self._first = number if self._first is None else min(self._first, number)

    def check(self, number: int) -> None:
        if self._first is not None and self._first < number:
            raise StoppedError


def _run(task: Task[Said, Result], number: int, failures: _Failures, said: SimpleQueue[Said | _Done]) -> Result:
    try:
        failures.check(number)
        return task(Ticket(lambda: failures.check(number), said.put))
    except BaseException:
        failures.note(number)
        raise
    finally:
        said.put(_Done())
