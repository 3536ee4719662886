"""Threads that work on one database at once, each with a session of its own; the first fault ends all of them.

Beside ``worker_threads.py``, because its jobs beget others (indexes when a table's rows are there), share a time limit,
and wait on the server, where they have to be ended; and whichever fault is first ends all, as the load is taken back
whatever it was. There the tasks are known beforehand, and answer and fault have to be the same however fast each is.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from .connection import Connection, connect
from .errors import MigrationError
from .target_state import end_backends

#: How often the caller hears that the crew is at work.
TICK_SECONDS = 1.0

T = TypeVar("T")


class StoppedError(Exception):
    """A job saw that it is not wanted any more; it is nobody's fault and never leaves the crew."""


class SessionCrew:
    """A number of sessions, and a thread for each.

    Used as a context: on entering the sessions are opened. When the block ends by an exception, jobs that wait are
    forgotten, the sessions of those that run are ended on the server, and the block is left when all of them are gone.

    Args:
        target: libpq connection string of the database's owner.
        application_name: How the sessions show themselves; whoever kills this process ends them by it.
        settings: Parameters of the server for each session.
        workers: How many.
    """

    def __init__(self, target: str, application_name: str, settings: Mapping[str, str], workers: int) -> None:
        self.stopping = threading.Event()
        self._target = target
        self._name = application_name
        self._settings = settings
        self._workers = workers
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._running: dict[Future[Any], Callable[[Any], None]] = {}
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> SessionCrew:
        with contextlib.ExitStack() as opened:
            for _ in range(self._workers):
                connection = opened.enter_context(connect(self._target, self._name))
                for name, value in self._settings.items():
                    connection.execute("SELECT set_config(%s, %s, false)", [name, value])
                self._idle.put(connection)
            self._opened = opened.pop_all()
        self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="session")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.stopping.set()
            # A server that is gone has ended them already.
            with contextlib.suppress(MigrationError, psycopg.Error), connect(self._target, "contralock end") as other:
                end_backends(other, self._name)
        self._executor.shutdown(wait=True, cancel_futures=True)
        with contextlib.suppress(psycopg.Error):
            self._opened.close()

    def submit(self, job: Callable[[Connection], T], done: Callable[[T], None]) -> None:
        """Let a job be done as soon as a session is free; in the order in which they are given.

        Args:
            job: What is done, in another thread; not in a transaction.
            done: Called in the thread that runs ``work`` with what the job returned; it may submit more.
        """
        self._running[self._executor.submit(self._carry_out, job)] = done

    def work(self, tick: Callable[[], None], time_limit: float) -> bool:
        """Wait until everything is done.

        Args:
            tick: Called about every second.
            time_limit: Seconds.

        Returns:
            Whether everything was done within the limit.

        Raises:
            Exception: What a job has raised.
        """
        begun = ticked = time.monotonic()
        while self._running:
            done, _ = wait(self._running, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                self._running.pop(future)(future.result())
            now = time.monotonic()
            if now - begun > time_limit:
                return False
            if now - ticked >= TICK_SECONDS:
                ticked = now
                tick()
        return True

    def _carry_out(self, job: Callable[[Connection], T]) -> T:
        if self.stopping.is_set():
            raise StoppedError
        # There are as many sessions as threads: one is always free here.
        connection = self._idle.get()
        try:
            return job(connection)
        finally:
            self._idle.put(connection)


def doing(statements: Iterable[sql.Composed]) -> Callable[[Connection], None]:
    """Return a job that carries out statements one after the other."""
    given = list(statements)

    def do(connection: Connection) -> None:
        for statement in given:
            connection.execute(statement)

    return do
