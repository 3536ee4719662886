"""Many clients at once: some processes with some threads each, started together, counted in the same seconds.

Threads of one Python process share a processor, so there is a process for each processor. What that can drive at the
most is measured against a server that answers at once (``ceiling``).
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkProcess

from .errors import MigrationError
from .workload import Drawing, Moves, Operation, Values, Workload
from .workload_clients import Client, OperationError, Place, clients_of

#: The processes inherit what the module has loaded, which may lie in an archive that only this process knows.
_PROCESSES = multiprocessing.get_context("fork")
Running = list[tuple[ForkProcess, Pipe]]
#: Until all have opened their connections, and until the last operation has ended.
START_SECONDS, END_SECONDS = 60.0, 120.0
SHOWN_WORDS = 3


@dataclass(frozen=True)
class Load:
    """What is to be measured.

    Args:
        place: The database, or the instance on it.
        way: ``application`` or ``direct``.
        workload: The operations.
        mix: Which mix of them.
        clients: How many clients.
        seconds: How long is measured.
        warm_up: How long before that.
        seed: What the operations follow from.
        sessions: How many sessions on PostgreSQL direct clients share.
    """

    place: Place
    way: str
    workload: Workload
    mix: str
    clients: int
    seconds: float
    warm_up: float
    seed: int = 1
    sessions: int = 10


@dataclass
class Tally:
    """What clients have done.

    Args:
        done: How many operations succeeded in the measured seconds.
        latencies: In seconds, of each of them, and of those that were under way when the measured seconds ended.
        errors: Of the same operations, those that failed, by kind.
        words: What failed operations said, and how often.
        moved: Account to the cents that came and went, of everything that was done, the warm-up included.
        uncertain: Movements of which nobody knows whether they were done.
    """

    done: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    uncertain: int = 0

    def add(self, other: Tally) -> None:
        """Take in what others have done."""
        self.done += other.done
        self.latencies += other.latencies
        for own, theirs in ((self.errors, other.errors), (self.words, other.words), (self.moved, other.moved)):
            # update() and not +=, which drops what is below zero.
            own.update(theirs)
        self.uncertain += other.uncertain


def drive(load: Load, picked: Mapping[str, Sequence[str]]) -> Tally:
    """Let the clients work, and return what they have done.

    Raises:
        MigrationError: A process of the clients cannot connect, or has ended by itself.
    """
    number = min(load.clients, os.cpu_count() or 1)
    with _processes(load, picked, number) as running:
        for _, pipe in running:
            _receive(pipe, START_SECONDS)
        begin = time.monotonic() + 0.05
        for _, pipe in running:
            pipe.send(begin)
        tally = Tally()
        for _, pipe in running:
            tally.add(_receive(pipe, load.warm_up + load.seconds + END_SECONDS))
    return tally


@contextlib.contextmanager
def _processes(load: Load, picked: Mapping[str, Sequence[str]], number: int) -> Iterator[Running]:
    running: Running = []
    try:
        for part in range(number):
            ours, theirs = _PROCESSES.Pipe()
            process = _PROCESSES.Process(target=_work, args=(load, picked, part, number, theirs), daemon=True)
            process.start()
            theirs.close()
            running.append((process, ours))
        yield running
    finally:
        for process, pipe in running:
            pipe.close()
            process.join(1)
            if process.is_alive():
                process.kill()
            process.join()


def _receive(pipe: Pipe, seconds: float) -> Tally:
    try:
        if not pipe.poll(seconds):
            raise MigrationError(
                f"the clients of the benchmark have not ended within {seconds:.0f} s",
                "See what the database or the application waits for; the measurement is not counted",
            )
        answer = pipe.recv()
    except (EOFError, ConnectionError):
        raise MigrationError(
            "a process of the benchmark's clients has ended by itself", "See whether the machine has memory enough"
        ) from None
    if isinstance(answer, MigrationError):
        raise answer
    assert isinstance(answer, Tally)  # noqa: S101 (_work sends nothing else)
    return answer


def _work(load: Load, picked: Mapping[str, Sequence[str]], part: int, parts: int, pipe: Pipe) -> None:
    """Be one process of clients: connect, say so, wait for the beginning, work, tell."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    mine = range(part, load.clients, parts)
    sessions = max(1, load.sessions // parts)
    try:
        clients = list(clients_of(load.place, load.way, load.workload, len(mine), sessions))
    except Exception as error:  # because whatever it is, the parent has to hear it
        pipe.send(_told(error))
        return
    pipe.send(Tally())
    try:
        begin = pipe.recv()
    except EOFError:
        return
    tallies = [Tally() for _ in mine]
    threads = [
        threading.Thread(target=_be_a_client, args=(load, _drawing(load, picked, number), client, begin, tally))
        for number, client, tally in zip(mine, clients, tallies, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    whole.words = Counter(dict(whole.words.most_common(SHOWN_WORDS)))
    pipe.send(whole)


def _drawing(load: Load, picked: Mapping[str, Sequence[str]], number: int) -> Drawing:
    # The number of clients is no part of the seed: the first of two does what the only one does.
    return Drawing(load.workload, load.mix, picked, f"{load.seed} {load.mix} {number}")


def _told(error: Exception) -> MigrationError:
    if isinstance(error, MigrationError):
        return error
    return MigrationError(
        f"the benchmark's clients cannot begin: {type(error).__name__}: {error}",
        "See that the database is there and that this user may write it",
    )


def _be_a_client(load: Load, drawing: Drawing, client: Client, begin: float, tally: Tally) -> None:
    counted_from = begin + load.warm_up
    end = counted_from + load.seconds
    time.sleep(max(0.0, begin - time.monotonic()))
    while (started := time.monotonic()) < end:
        operation, values = drawing.next()
        kind = ""
        try:
            client.do(operation, values)
        except OperationError as failed:
            kind = failed.kind
            tally.words[" ".join(str(failed).split())[:200]] += 1
            tally.uncertain += bool(failed.unknown and operation.moves)
        else:
            if operation.moves:
                _note_move(tally, operation.moves, values)
        ended = time.monotonic()
        if ended < counted_from:
            continue
        if kind:
            tally.errors[kind] += 1
        else:
            # What waits longest ends last: without it the percentiles would be better the worse it is.
            tally.latencies.append(ended - started)
            tally.done += ended < end
    client.close()


def _note_move(tally: Tally, moves: Moves, values: Values) -> None:
    tally.moved[values[moves.source]] -= values[moves.amount]
    tally.moved[values[moves.sink]] += values[moves.amount]


class _AtOnce(asyncio.Protocol):
    """Answers whatever comes, at once: one request is one packet here."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 (the protocol's own)
        assert isinstance(self._transport, asyncio.Transport)  # noqa: S101 (a stream's transport is one)
        self._transport.write(self.ANSWER)


def _serve_at_once(pipe: Pipe) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_AtOnce, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def ceiling(clients: int, seconds: float) -> float:
    """Return how many operations a second the driver can do, with a server beside it that answers at once."""
    operation = Operation("nothing", "GET", "/", None, {"sqlite": (), "postgresql": ()})
    workload = Workload({}, {"nothing": operation}, {"nothing": {"nothing": 1}}, "")
    ours, theirs = _PROCESSES.Pipe()
    server = _PROCESSES.Process(target=_serve_at_once, args=(theirs,), daemon=True)
    server.start()
    try:
        if not ours.poll(START_SECONDS):
            raise MigrationError(
                "the benchmark's own server does not start", "See whether the machine has memory enough"
            )
        place = Place("sqlite", url=f"http://127.0.0.1:{ours.recv()}")
        tally = drive(Load(place, "application", workload, "nothing", clients, seconds, seconds / 4), {})
    finally:
        server.kill()
        server.join()
    return tally.done / seconds
