"""Real processes that are killed for real, at every operation on files that they do."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

OPERATIONS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "fcntl.flock"}


def kill_at_each_operation(deed: Callable[[], object], under: Path, at_least: int = 1) -> Iterator[int]:
    """Do the deed in a process that is killed before its first operation on files, then before its second, ...

    Yields the number after each kill, so that the caller looks at what is left; ends when the deed came to its end.
    A deed that fails is no deed that came to its end, and one without ``at_least`` so many operations was not done.
    """
    number = 1
    while _dies_before(number, deed, under):
        yield number
        number += 1
    assert number > at_least, f"{number - 1} operations were killed, and {at_least} were expected"


def _dies_before(number: int, deed: Callable[[], object], under: Path) -> bool:
    def watched() -> None:
        left = [number]

        def count(event: str, arguments: tuple[object, ...]) -> None:
            is_ours = event in OPERATIONS and (
                event in ("fcntl.flock", "os.truncate") or str(under) in str(arguments[0])
            )
            left[0] -= is_ours
            if is_ours and left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        deed()

    ended = wait(in_a_process(watched))
    assert ended in (0, -signal.SIGKILL), "the deed failed; its traceback is in the output"
    return ended != 0


def in_a_process(deed: Callable[[], object]) -> int:
    """Begin the deed in a process of its own and return its number; it is the caller's to end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            deed()
            status = 0
        except BaseException:
            # Whatever it is, the child must not go on as a test run.
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return child


def wait(pid: int) -> int:
    """Wait for a process; return 0 when its deed is done, 1 when it failed, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.01)
