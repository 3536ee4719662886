"""Real SIGKILLs before and after every call that changes a file, in a forked process.

The functions of ``os`` (and the library's one system call beside them) are wrapped in the child alone: what runs is the
verb itself, up to the kill.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.contralock.database.plugins.module_utils import durable_files

from tests.integration.source_file_care.source_files import in_child

CHANGING = [
    (os, name)
    for name in ("open", "write", "fsync", "mkdir", "rmdir", "rename", "unlink", "fchown", "fchmod", "setxattr")
]
CHANGING += [(io, "open"), (durable_files, "_rename")]


def count_calls(deed: Callable[[], object], swappable: bool = True) -> int:
    """How many calls there are to be killed at."""
    reading, writing = os.pipe()

    def counted() -> None:
        calls = _wrap(lambda _number, _when: None, swappable)
        deed()
        os.write(writing, bytes([calls[0]]))

    assert in_child(counted) == 0
    os.close(writing)
    (count,) = os.read(reading, 1)
    os.close(reading)
    return count


def kill_at(deed: Callable[[], object], number: int, when: str, swappable: bool = True) -> None:
    """Carry out a deed in a child that is killed before or after the call of this number."""

    def killed() -> None:
        def kill(current: int, now: str) -> None:
            if (current, now) == (number, when):
                os.kill(os.getpid(), signal.SIGKILL)

        _wrap(kill, swappable)
        deed()

    assert in_child(killed) == -signal.SIGKILL, f"was not killed {when} call {number}"


def unswappable(deed: Callable[[], object]) -> None:
    """Carry out a deed as on a filesystem that cannot swap two names, and see it succeed."""

    def without() -> None:
        _wrap(lambda _number, _when: None, swappable=False)
        deed()

    assert in_child(without) == 0


def _wrap(hook: Callable[[int, str], None], swappable: bool) -> list[int]:
    calls = [0]
    if not swappable:
        own = durable_files._rename
        durable_files._rename = lambda left, right, flag: flag != 2 and own(left, right, flag)

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            number = calls[0]
            hook(number, "before")
            try:
                return function(*arguments, **options)
            finally:
                hook(number, "after")

        return call

    for module, name in CHANGING:
        setattr(module, name, wrapped(getattr(module, name)))
    return calls


def tree(directory: Path) -> dict[str, bytes | None]:
    """All names in a directory -> their bytes; None for a directory."""
    return {path.name: None if path.is_dir() else path.read_bytes() for path in directory.iterdir()}
