"""Real processes that are killed for real, at every operation on files that they do."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

OPERATIONS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "fcntl.flock"}


def kill_at_each_operation(deed: Callable[[], object], under: Path) -> Iterator[int]:
    """Do the deed in a process that is killed before its first operation on files, then before its second, ...

    Yields the number after each kill, so that the caller looks at what is left; ends when the deed came to its end.
    """
    number = 1
    while _dies_before(number, deed, under):
        yield number
        number += 1


def _dies_before(number: int, deed: Callable[[], object], under: Path) -> bool:
    child = os.fork()
    if child == 0:
        left = [number]

        def count(event: str, arguments: tuple[object, ...]) -> None:
            is_ours = event in OPERATIONS and (
                event in ("fcntl.flock", "os.truncate") or str(under) in str(arguments[0])
            )
            left[0] -= is_ours
            if is_ours and left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            deed()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def in_a_process(deed: Callable[[], object]) -> int:
    """Begin the deed in a process of its own and return its number; it is the caller's to end."""
    child = os.fork()
    if child == 0:
        try:
            deed()
        finally:
            os._exit(0)
    return child


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.01)
