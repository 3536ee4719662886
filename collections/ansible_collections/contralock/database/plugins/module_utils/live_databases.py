"""What a benchmark must never touch: the databases and the port that the application itself is told to use."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from .dotenv_text import parse
from .durable_files import refused_politely
from .errors import MigrationError
from .workload_clients import Place

#: What the application takes where its file says nothing (files/application/src/config/settings.js).
DEFAULTS = {
    "DB_PATH": "./data/contralock.sqlite",
    "DB_HOST": "localhost",
    "DB_PORT": "5432",
    "DB_NAME": "contralock",
    "PORT": "5000",
}
MEND = "Measure with copies only: playbooks/benchmark.yml makes them, and removes them again"


@dataclass(frozen=True)
class Live:
    """What an application is told, whichever of the two databases it uses now, and where that stands."""

    told_by: str
    file: Path
    host: str
    port: str
    name: str
    http_port: str


def read_live(env: Path, environment: Mapping[str, str] | None = None) -> Live:
    """Read what the application is told.

    Args:
        env: Its ``.env``; a relative DB_PATH begins in its folder.
        environment: That of its process, where it is known; it wins over the file, as in the application.

    Raises:
        MigrationError: The file cannot be read.
    """
    with refused_politely(f"cannot read {env}"):
        told = {**parse(env.read_text(encoding="utf-8")), **(environment or {})}
    given = {key: told.get(key) or default for key, default in DEFAULTS.items()}
    file = env.parent / given["DB_PATH"]
    told_by = f"{env}, or its unit's environment," if environment else str(env)
    return Live(told_by, file, given["DB_HOST"], given["DB_PORT"], given["DB_NAME"], given["PORT"])


def refuse_live(place: Place, live: Live) -> None:
    """Refuse a place that the live application uses, or may use.

    Raises:
        MigrationError: It is the same file, whatever its name; the same database, by address, port and name; or the
            same port of the same host.
    """
    for what, named in _same(place, live):
        raise MigrationError(f"{what} is the live application's: {live.told_by} names {named}", MEND)


def _same(place: Place, live: Live) -> Iterator[tuple[str, str]]:
    if place.file and _same_file(place.file, live.file):
        yield str(place.file), f"DB_PATH={live.file}"
    if place.target or place.database == "postgresql":
        yield from _same_database(place.target, live)
    if place.url:
        parts = urlsplit(place.url)
        port = str(parts.port or {"http": 80, "https": 443}.get(parts.scheme))
        # The application listens on this host, under whichever of its addresses.
        if port == live.http_port and _is_this_host(parts.hostname or ""):
            yield place.url, f"PORT={live.http_port}"


def _same_file(one: Path, other: Path) -> bool:
    # After a cut-over a directory stands where the file was; a copy that is yet to be made is nobody's.
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return one.resolve() == other.resolve()


def _same_database(target: str, live: Live) -> Iterator[tuple[str, str]]:
    with Place("postgresql", target=target).opened() as session:
        # What libpq has made of the string, of its service file and of PG* variables.
        info = conninfo_to_dict(session.info.dsn)  # type: ignore[union-attr]  # because a place without a file is PostgreSQL's
        name, port = session.info.dbname, str(session.info.port)  # type: ignore[union-attr]  # as above
        host = str(info.get("hostaddr") or info.get("host") or "")
    both_here = _is_this_host(host) and _is_this_host(live.host)
    if (name, port) == (live.name, live.port) and (both_here or _addresses(host) & _addresses(live.host)):
        yield f"the database {name} on {host or 'this host'}", f"DB_NAME={live.name} and DB_HOST={live.host}"


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return {host.lower()}


def _is_this_host(host: str) -> bool:
    """Tell whether a name, an address or a socket's folder leads to this machine."""
    if not host or host.startswith(("/", "@")):
        return True
    with contextlib.suppress(OSError):
        for family, kind, _, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            # The kernel knows its addresses: another one cannot be bound.
            with contextlib.suppress(OSError), socket.socket(family, kind) as probe:
                probe.bind(place)
                return True
    return False
