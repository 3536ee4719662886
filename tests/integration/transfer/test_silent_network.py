"""A network that drops packets and says nothing: a load ends in our words, and does not wait for the kernel."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

import pytest
from ansible_collections.contralock.database.plugins.module_utils import arrow_copy
from ansible_collections.contralock.database.plugins.module_utils.cells import Cells
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, session_parameters
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.target_restore import TargetRecord, restore_target
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from psycopg.conninfo import make_conninfo

from tests.integration.transfer.transfer_server import Server, assert_empty_and_whole

LIMIT_SECONDS = 2.0
#: So little that what a COPY sends does not fit: the kernel of a dead host takes nothing, this one's would.
RECEIVE_BYTES = 2048


@dataclass
class Way:
    """A way to the server on a port of its own, which can fall silent: nothing is forwarded, closed or refused."""

    port: int
    silent: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def way(server: Server) -> Iterator[Way]:
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        made = Way(listener.getsockname()[1])
        ended = threading.Event()
        thread = threading.Thread(target=forward, args=(listener, server.port, made, ended, sockets))
        thread.start()
        yield made
        ended.set()
        thread.join()


def forward(
    listener: socket.socket, port: int, way: Way, ended: threading.Event, sockets: contextlib.ExitStack
) -> None:
    """Carry bytes both ways between whoever comes and the server, until there is silence; nobody gets in then."""
    partners: dict[socket.socket, socket.socket] = {}
    while not way.silent.is_set() and not ended.is_set():
        ready, _, _ = select.select([listener, *partners], [], [], 0.05)
        for each in ready:
            if each is listener:
                pair = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
                for one, other in (pair, pair[::-1]):
                    partners[one] = other
                    sockets.enter_context(one)
            elif not forwarded(each, partners[each]):
                del partners[each]
    listener.close()
    ended.wait()


def forwarded(one: socket.socket, other: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        if content := one.recv(1 << 16):
            other.sendall(content)
            return True
        other.shutdown(socket.SHUT_WR)
    return False


def test_a_load_ends_in_our_words(
    order: Transfer, owner: Connection, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = str(round(LIMIT_SECONDS * 1000))
    target = make_conninfo(order.target, port=str(way.port), tcp_user_timeout=limit)
    order = replace(order, target=target, engine="arrow")
    read = arrow_copy.read_columns
    since: list[float] = []

    def then_silent(*given: object, **named: object) -> Generator[list[Cells], None, None]:
        for batch in read(*given, **named):  # type: ignore[arg-type]  # because it hands over what it is given
            since.append(time.monotonic())
            way.silent.set()
            yield batch

    monkeypatch.setattr(arrow_copy, "read_columns", then_silent)
    with pytest.raises(MigrationError, match=r"^the server refused the load: no connection: ") as told:
        transfer(order)
    assert LIMIT_SECONDS < time.monotonic() - since[0] < 5 * LIMIT_SECONDS
    assert "The target is not empty and whole: cannot connect to PostgreSQL" in told.value.fact
    record = TargetRecord.read(order.record)
    assert record
    restore_target(make_conninfo(order.target, port=str(owner.info.port)), record)
    assert_empty_and_whole(order, owner)


def test_every_session_has_a_limit_that_the_operator_may_change() -> None:
    assert session_parameters("host=db", "test")["tcp_user_timeout"] == "120000"
    assert session_parameters("host=db tcp_user_timeout=9000", "test")["tcp_user_timeout"] == "9000"
