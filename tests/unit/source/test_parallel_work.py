"""Jobs are shared out to threads; news and failures arrive in the caller's."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from ansible_collections.contralock.database.plugins.module_utils.parallel_work import run_parallel

Tell = Callable[[int], None]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_is_done_and_its_news_arrive(workers: int) -> None:
    def work(job: int, tell: Tell) -> None:
        for step in range(3):
            tell(job * 10 + step)

    news = list(run_parallel(work, range(20), workers))
    assert sorted(news) == [job * 10 + step for job in range(20) for step in range(3)]


def test_no_job_is_no_news() -> None:
    assert list(run_parallel(lambda job, tell: tell(job), [])) == []


def test_jobs_run_beside_one_another_and_news_arrive_in_the_callers_thread() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def work(job: int, tell: Callable[[threading.Thread], None]) -> None:
        meeting.wait()
        tell(threading.current_thread())

    threads = set(run_parallel(work, [1, 2], 2))
    assert len(threads) == 2
    assert threading.current_thread() not in threads


def test_a_failure_ends_the_others_and_is_raised() -> None:
    failed = threading.Event()

    def work(job: int, tell: Tell) -> None:
        if job == 1:
            failed.set()
            raise ValueError("job 1")
        failed.wait(10)
        for _ in range(10**9):
            tell(job)

    with pytest.raises(ValueError, match="job 1"):
        list(run_parallel(work, [0, 1, 2, 3], 2))


def test_of_several_failures_the_first_jobs_is_raised() -> None:
    meeting = threading.Barrier(2, timeout=10)

    def work(job: int, tell: Tell) -> None:
        meeting.wait()
        raise ValueError(f"job {job}")

    for _ in range(20):
        with pytest.raises(ValueError, match="job 0"):
            list(run_parallel(work, [0, 1], 2))


def test_who_stops_listening_stops_the_work() -> None:
    def work(job: int, tell: Tell) -> None:
        for _ in range(10**9):
            tell(job)

    news = run_parallel(work, [1, 2, 3], 2)
    assert next(news) in (1, 2)
    news.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
