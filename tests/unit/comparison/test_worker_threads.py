"""Tasks on threads: results and failures do not depend on which thread is faster."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.contralock.database.plugins.module_utils.worker_threads import StoppedError, Ticket, run_tasks


def nothing(*_: object) -> None:
    return None


def test_results_come_in_the_order_of_the_tasks():
    def task(number):
        def run(_ticket):
            time.sleep(0.02 if number % 3 == 0 else 0)
            return number

        return run

    assert run_tasks([task(number) for number in range(12)], 3, nothing, nothing) == list(range(12))
    assert run_tasks([], 3, nothing, nothing) == []


def test_what_the_tasks_say_is_heard_in_the_thread_that_waits():
    heard = []

    def hear(what: int) -> None:
        heard.append((what, threading.current_thread() is threading.main_thread()))

    run_tasks([lambda ticket, number=number: ticket.say(number) for number in range(5)], 2, hear, nothing)
    assert sorted(heard) == [(number, True) for number in range(5)]


def test_the_first_of_the_failures_is_raised_even_if_it_comes_last():
    began = threading.Event()

    def slow(ticket: Ticket[object]) -> None:
        began.wait(5)
        time.sleep(0.05)
        ticket.check()
        raise ValueError("the first")

    def quick(_ticket: Ticket[object]) -> None:
        began.set()
        raise ValueError("the second")

    with pytest.raises(ValueError, match="the first"):
        run_tasks([slow, quick], 2, nothing, nothing)


def test_tasks_after_a_failure_stop():
    stopped = []
    failed = threading.Event()

    def fail(_ticket: Ticket[object]) -> None:
        failed.set()
        raise ValueError("planted")

    def go_on(ticket: Ticket[object]) -> None:
        failed.wait(5)
        try:
            for _ in range(1000):
                time.sleep(0.005)
                ticket.check()
        except StoppedError:
            stopped.append(True)
            raise

    with pytest.raises(ValueError, match="planted"):
        run_tasks([fail, go_on, go_on], 2, nothing, nothing)
    assert len(stopped) <= 1
    assert failed.is_set()


def test_whoever_hears_can_end_everything():
    interrupted = threading.Event()

    def task(ticket: Ticket[int]) -> None:
        ticket.say(1)
        interrupted.wait(5)
        ticket.check()

    def hear(_what: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tasks([task, task, task], 2, hear, interrupted.set)
    assert interrupted.is_set()
