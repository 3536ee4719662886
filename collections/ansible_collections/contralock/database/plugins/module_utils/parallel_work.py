"""Work that several threads share: Arrow, SQLite and the drivers let others run while they work.

Threads, because modules run inside Ansible's payload, where new processes would not find the library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

Job = TypeVar("Job")
News = TypeVar("News")

#: Threads that work at once, unless the caller knows better.
WORKERS = 2


class _StoppedError(Exception):
    """Another job has failed, or nobody waits any more; raised inside a job, and never leaves this module."""


Work = Callable[[Job, Callable[[News], None]], None]


@dataclass
class _Crew(Generic[Job, News]):
    """What the threads have in common."""

    work: Work[Job, News]
    told: SimpleQueue[tuple[News] | None] = field(default_factory=SimpleQueue)
    stopped: threading.Event = field(default_factory=threading.Event)
    failures: dict[int, BaseException] = field(default_factory=dict)

    def tell(self, news: News) -> None:
        if self.stopped.is_set():
            raise _StoppedError
        self.told.put((news,))

    def run(self, number: int, job: Job) -> None:
        try:
            if not self.stopped.is_set():
                self.work(job, self.tell)
        except _StoppedError:
            pass
        except BaseException as error:
            # It is raised again, in the caller's thread.
            self.failures[number] = error
            self.stopped.set()
        finally:
            self.told.put(None)


def run_parallel(work: Work[Job, News], jobs: Sequence[Job], workers: int = WORKERS) -> Iterator[News]:
    """Do jobs beside one another, in their order, and hand over what they tell.

    The first failure ends the others the next time they tell something. The caller has to exhaust the iterator, or to
    close it, which ends the jobs too.

    Args:
        work: Does one job, in a thread of its own; it calls its second argument with its news.
        jobs: What to do.
        workers: How many at once.

    Yields:
        The news, in the caller's own thread.

    Raises:
        BaseException: What a job raised; of several the one whose job is the first.
    """
    crew = _Crew(work)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for number, job in enumerate(jobs):
                pool.submit(crew.run, number, job)
            running = len(jobs)
            while running:
                news = crew.told.get()
                if news is None:
                    running -= 1
                else:
                    yield news[0]
        finally:
            crew.stopped.set()
    if crew.failures:
        raise crew.failures[min(crew.failures)]
