"""What PostgreSQL knows of the application's sessions: each one is judged, and that they work is seen."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import LiteralString, TypeVar

from psycopg.conninfo import conninfo_to_dict

from .connection import Connection, connect
from .errors import MigrationError
from .target_state import SOCKET, Session, sessions_of

POLL_SECONDS = 0.3
APPLICATION_NAME = "contralock application_proof"
LOOK_AT = "Look at the application's log and at what it reads its configuration from"

# Whoever has sent a statement since, or has come since, has another moment or none before.
_ACTIVITY = """
SELECT pid, greatest(backend_start, xact_start, query_start, state_change)::text
  FROM pg_stat_activity
 WHERE usename = %s AND datname = current_database() AND backend_type IS DISTINCT FROM 'parallel worker'"""

# PostgreSQL does not count by whom: that the role's sessions do something is seen apart. None of ours is in these
# tables at that time.
_TABLES = """
SELECT relid::regclass::text, seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del
  FROM pg_stat_user_tables
 WHERE has_any_column_privilege(%s, relid, 'SELECT, INSERT, UPDATE')
 ORDER BY 1"""

Seen = TypeVar("Seen")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Expected:
    """What a session of the application looks like.

    Attributes:
        role: The role that the application logs in with.
        name: Its ``application_name``; empty for any.
        addresses: Where it comes from: addresses, or networks in CIDR form. Empty for this host's own.
    """

    role: str
    name: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origins:
    """Where sessions may come from: by which addresses, and whether by the server's Unix socket."""

    networks: tuple[Network, ...]
    by_socket: bool

    def hold(self, session: Session) -> bool:
        """Return whether the session comes from one of them."""
        if session.client_port == SOCKET or session.client_address is None:
            return self.by_socket
        address = ipaddress.ip_address(session.client_address)
        return any(address in network for network in self.networks)

    def __str__(self) -> str:
        each = [str(one.network_address if one.num_addresses == 1 else one) for one in self.networks]
        return ", ".join([*each, *(["the socket"] if self.by_socket else [])])


def judged_sessions(target: str, expected: Expected, patience: float) -> tuple[list[Session], str]:
    """Judge every session of the application's role.

    Args:
        target: The target, as its owner, who has the rights of the role by membership.
        expected: What they look like.
        patience: Seconds in which the first one may appear.

    Returns:
        The sessions, and where sessions were expected to come from.

    Raises:
        ExceptionGroup: Of MigrationErrors: all that is wrong with them.
        MigrationError: The server cannot be asked, or an address that is expected is none.
    """
    with connect(target, APPLICATION_NAME) as connection:
        origins = _origins(connection, expected.addresses)
        sessions = awaited(lambda: sessions_of(connection, expected.role), patience)
        if not sessions:
            raise MigrationError(
                f"no session of role {expected.role!r} was seen in PostgreSQL for {patience:g} s: the application does"
                " not use it",
                LOOK_AT,
            )
    owner = str(conninfo_to_dict(target).get("user") or "the target's role")
    if faults := list(_faults(sessions, expected, origins, owner)):
        raise ExceptionGroup("sessions", faults)
    return sessions, str(origins)


@dataclass(frozen=True)
class Moved:
    """Whether a session of a role did anything, and the application answered; its tables that were read or written."""

    session: bool
    tables: tuple[str, ...]
    answered: bool


def seen_moving(target: str, role: str, ask: Callable[[], bool], patience: float) -> Moved:
    """See what the role's sessions do when the application is asked.

    That a session sent something is no work: a pool tries its connections with ``SELECT 1``. So PostgreSQL's counters
    of the role's tables have to move too, which a session reports when it is idle, at most once a second: it is asked
    again and again. (https://www.postgresql.org/docs/current/monitoring-stats.html) What a session did in the seconds
    before may be reported meanwhile, too: that is the role's work as well, though not the answer's.

    Args:
        target: As for ``judged_sessions``.
        role: The application's role.
        ask: Asks the application for what it needs its database for, and tells whether it answered as it should; called
            again until it did and tables moved.
        patience: Seconds in which that may be.
    """
    with connect(target, APPLICATION_NAME) as connection:

        def seen(query: LiteralString) -> set[tuple[object, ...]]:
            return set(connection.execute(query, [role]).fetchall())

        sessions, tables = seen(_ACTIVITY), seen(_TABLES)
        deadline = time.monotonic() + patience
        while True:
            answered = ask()
            used = sorted(str(name) for name, _ in seen(_TABLES) - tables)
            moved = Moved(bool(seen(_ACTIVITY) - sessions), tuple(used), answered)
            if (moved.session and moved.tables and answered) or time.monotonic() > deadline:
                return moved
            time.sleep(POLL_SECONDS)


def awaited(look: Callable[[], list[Seen]], patience: float) -> list[Seen]:
    """Look until there is something, or for so many seconds."""
    deadline = time.monotonic() + patience
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return found


def _faults(sessions: Sequence[Session], expected: Expected, origins: Origins, owner: str) -> Iterator[MigrationError]:
    role = expected.role
    if hidden := [one for one in sessions if one.is_hidden]:
        yield MigrationError(
            f"PostgreSQL does not show {owner} whether {len(hidden)} of {len(sessions)} sessions of role {role!r} use"
            " TLS",
            f"Run GRANT {role} TO {owner} as an administrator of the server, from PostgreSQL 16 on WITH INHERIT TRUE",
        )
    # On a socket there is no network to protect.
    if plain := [one for one in sessions if one.is_plain]:
        yield MigrationError(
            f"{len(plain)} of {len(sessions)} sessions of role {role!r} have no TLS ({_list(plain)})",
            "Let the application's driver verify the server's certificate, and allow hostssl alone in pg_hba.conf",
        )
    if foreign := [one for one in sessions if not one.is_hidden and not origins.hold(one)]:
        yield MigrationError(
            f"{len(foreign)} of {len(sessions)} sessions of role {role!r} come from elsewhere than {origins}"
            f" ({_list(foreign)})",
            "Find out who else logs in with the application's role, and end that. Where the application comes from"
            " another address, such as a pooler's, name it in application_service_addresses",
        )
    if others := [one for one in sessions if expected.name and one.application_name != expected.name]:
        yield MigrationError(
            f"{len(others)} of {len(sessions)} sessions of role {role!r} are not called {expected.name!r}"
            f" ({_list(others)})",
            "Find out who else logs in with the application's role, and end that. Where the application calls its"
            " sessions so, correct application_service_session_name",
        )


def _list(sessions: Sequence[Session]) -> str:
    return ", ".join(
        f"pid {one.pid} from {one.client_address or 'the socket'}, {one.application_name!r}" for one in sessions
    )


def _origins(connection: Connection, given: Sequence[str]) -> Origins:
    """Find out where the application on this host comes from, as PostgreSQL sees it."""
    found = connection.execute("SELECT host(inet_client_addr()), host(inet_server_addr())").fetchone()
    own, server = found if found else (None, None)
    addresses = list(given) or [one for one in (own, *_sources(connection)) if one]
    networks: list[Network] = []
    for address in addresses:
        try:
            networks.append(ipaddress.ip_network(address))
        except ValueError as error:
            raise MigrationError(
                f"{address!r} in application_service_addresses is no address ({error})",
                "Give addresses, or networks such as 192.0.2.0/24",
            ) from None
    return Origins(tuple(dict.fromkeys(networks)), by_socket=own is None or own == server)


def _sources(connection: Connection) -> Iterator[str]:
    """Yield the addresses from which this host reaches the server: one for IPv4 and one for IPv6, where it has both."""
    host, port = connection.info.host, connection.info.port
    if not host or host.startswith(("/", "@")):
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError:
        return
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                # Nothing is sent: a datagram's connect only chooses the way.
                probe.connect(address)
                yield str(probe.getsockname()[0]).partition("%")[0]
            except OSError:
                continue
