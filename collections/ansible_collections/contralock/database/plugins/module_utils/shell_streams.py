"""What a shell's verb says: standard output and standard error, which may be full, closed, or left by their readers.

No work is given up for what cannot be said. Of standard output it is remembered (``take_fault``), as the answer is
meant to be read; standard error is best effort.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_STANDARD = 3
_faults: list[str] = []


def open_streams() -> None:
    """Take the numbers of closed standard streams, so that no database is opened under one and written into."""
    for number in range(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)


def say(text: str, end: str = "\n", *, whole: bool = False) -> None:
    """Print at once on standard output.

    Args:
        text: The text.
        end: What follows it.
        whole: Half of it means nothing. Lines may be read in part (``| head``): that their reader leaves is no fault.
    """
    if sys.stdout is None:
        _faults.append("it is closed")
        return
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        _discard(sys.stdout)
        if whole or not isinstance(error, BrokenPipeError):
            _faults.append(error.strerror or str(error))


def tell(line: str) -> None:
    """Print at once on standard error, if that can be."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def take_fault() -> str:
    """Return why something could not be said since the last call; empty when all was."""
    first = next(iter(_faults), "")
    _faults.clear()
    return first


def settle() -> None:
    """Let nothing be left to write when Python ends: it would exit with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                _discard(stream)


def _discard(stream: TextIO) -> None:
    """Let what is in a stream's buffer, and all that follows, go nowhere."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
