"""Programs that this process starts and that never outlive it, and files for their eyes only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .durable_files import write_new
from .left_over import MARKER

#: How long a program may take to end after SIGTERM.
PATIENCE_SECONDS = 5.0


def write_private(file: Path, text: str) -> None:
    """Write a new file, 0600 from its first moment on.

    Raises:
        OSError: It exists, or cannot be written.
    """
    write_new(file, text.encode(), durable=False)


@contextlib.contextmanager
def child_process(
    command: Sequence[str], environment: Mapping[str, str], output: Path, descriptors: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the length of the block; it is ended afterwards, its children included.

    The kernel kills the program when the thread that started it dies, be it by SIGKILL (prctl(2), PR_SET_PDEATHSIG;
    ``setpriv`` belongs to util-linux, which every Debian has). It has a process group of its own, an empty standard
    input, and makes files for its owner only.

    Args:
        command: The program and its arguments; everybody on the host can read them.
        environment: All of the program's environment; nothing is inherited, but the mark by which a run knows its own.
        output: File for its standard output and standard error; made anew, 0600.
        descriptors: What it keeps open, besides.

    Raises:
        OSError: It cannot be started, or the file cannot be made.
    """
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            env={**environment, **{name: os.environ[name] for name in (MARKER,) if name in os.environ}},
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=descriptors,
            process_group=0,
            umask=0o077,
        )
    finally:
        os.close(descriptor)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for wanted, seconds in ((signal.SIGTERM, PATIENCE_SECONDS), (signal.SIGKILL, None)):
        # The group may live on when its first process has ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, wanted)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
