"""A network that drops packets and says nothing: a session ends, and does not wait for the kernel."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.connection import connect, session_parameters
from psycopg.conninfo import make_conninfo

from tests.integration.transfer.transfer_server import Server, Target

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
    # Should the limit not work, nobody waits for ever.
    ended.wait(10 * LIMIT_SECONDS)
    sockets.close()


def forwarded(one: socket.socket, other: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        if content := one.recv(1 << 16):
            other.sendall(content)
            return True
        other.shutdown(socket.SHUT_WR)
    return False


def test_a_copy_into_silence_ends(target: Target, way: Way) -> None:
    # One session that goes on sending: whoever waits for an answer is answered here, by the kernel to each keepalive.
    limit = str(round(LIMIT_SECONDS * 1000))
    began = 0.0
    with pytest.raises(psycopg.OperationalError, match="sending copy data failed"), contextlib.ExitStack() as stack:
        conninfo = make_conninfo(target.conninfo, port=str(way.port), tcp_user_timeout=limit)
        connection = stack.enter_context(connect(conninfo, "test"))
        connection.execute("CREATE TEMP TABLE taken (a text)")
        copy = stack.enter_context(connection.cursor().copy("COPY taken FROM STDIN"))
        way.silent.set()
        began = time.monotonic()
        while time.monotonic() - began < 10 * LIMIT_SECONDS:
            copy.write(b"x" * 50_000 + b"\n")
    assert LIMIT_SECONDS < time.monotonic() - began < 5 * LIMIT_SECONDS


def test_every_session_has_a_limit_that_the_operator_may_change() -> None:
    assert session_parameters("host=db", "test")["tcp_user_timeout"] == "120000"
    assert session_parameters("host=db tcp_user_timeout=9000", "test")["tcp_user_timeout"] == "9000"
