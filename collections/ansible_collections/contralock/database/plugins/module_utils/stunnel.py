"""A verified way to PostgreSQL for a program that cannot verify by itself.

pgloader checks a server's chain but never its name. So stunnel speaks TLS for it, and offers the server as a Unix
socket in a directory that only this user can enter: no port that others could reach or take before us.
Sources: stunnel(8), "SERVICE-LEVEL OPTIONS"; PostgreSQL manual, "SSL Support" of libpq.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .child_process import child_process, write_private
from .connection import Connection
from .errors import MigrationError

PROGRAM = "stunnel4"
#: The port that a socket's name carries; it is nobody's TCP port.
SOCKET_PORT = 5432
#: sockaddr_un.sun_path has 108 bytes with its end mark (unix(7)).
SOCKET_PATH_BYTES = 107
START_SECONDS = 10.0
#: Of its side to the server, as ``connection.DEFAULTS``: it knows no TCP_USER_TIMEOUT. A load that still sends when
#: the network is dead is ended by who watches it.
KEEPALIVE = {"SO_KEEPALIVE": "1", "TCP_KEEPIDLE": "60", "TCP_KEEPINTVL": "15", "TCP_KEEPCNT": "4"}
#: Version 3.0 of the protocol, as a StartupMessage gives it.
PROTOCOL = 3 << 16
#: What stunnel's configuration and pgloader's connection string take without quoting.
PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._-]+")

#: Part of stunnel's log -> fact and mend; the first that matches counts.
REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        "Subject checks failed",
        "the server's certificate does not carry the name {host!r}",
        "Connect with a host name that the server's certificate carries, or issue a certificate with this name",
    ),
    (
        "certificate verify failed",
        "the server's certificate is not signed by the authority in {authority}, or has expired",
        "Let sslrootcert name the authority that signed the server's certificate, and see that it has not expired",
    ),
    ("Connection refused", "no server answers at {host} port {port}", "Start the server, or correct host and port"),
)


@dataclass(frozen=True)
class Endpoint:
    """The server that a verified connection has reached, and how.

    Attributes:
        host: The name that the certificate was checked against, or the directory of a Unix socket.
        address: The server's IP address; empty for a Unix socket.
        port: TCP port, or the number in the socket's name.
        user: The role.
        dbname: The database.
        authority: File with the certificates of the authorities that are trusted; ``system`` for the system's own.
        password: What libpq found in its places; None without one.
    """

    host: str
    address: str
    port: int
    user: str
    dbname: str
    authority: str
    password: str | None = field(repr=False, default=None)

    @property
    def is_socket(self) -> bool:
        """Whether the server is reached by a Unix socket, so that there is no network to protect it from."""
        return self.host.startswith("/")


def endpoint_of(connection: Connection) -> Endpoint:
    """Describe the server that a connection goes to, so that another program can be sent to the very same one."""
    link = connection.pgconn
    options = {option.keyword.decode(): (option.val or b"").decode() for option in link.info}
    default = Path("~/.postgresql/root.crt").expanduser()
    return Endpoint(
        host=link.host.decode(),
        address=link.hostaddr.decode(),
        port=int(link.port or SOCKET_PORT),
        user=link.user.decode(),
        dbname=link.db.decode(),
        authority=options.get("sslrootcert") or str(default),
        password=link.password.decode() if link.password else None,
    )


@dataclass(frozen=True)
class Tunnel:
    """The server as a local Unix socket: ``directory`` and the number in the socket's name."""

    directory: Path
    port: int


@contextlib.contextmanager
def local_socket(endpoint: Endpoint, directory: Path) -> Iterator[Tunnel]:
    """Offer the server as a Unix socket for the length of the block.

    Args:
        endpoint: The server; when it is reached by a Unix socket already, that one is taken and nothing is started.
        directory: A private directory (0700) for the socket, the configuration and the log.

    Raises:
        MigrationError: stunnel is missing or does not start, or the server is not the one that the certificate is for.
    """
    if endpoint.is_socket:
        yield Tunnel(Path(endpoint.host), endpoint.port)
        return
    path = directory / f".s.PGSQL.{SOCKET_PORT}"
    assert_short(path)
    path.unlink(missing_ok=True)
    configuration, log = directory / "stunnel.conf", directory / "stunnel.log"
    write_private(configuration, configuration_text(endpoint, path))
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    try:
        with child_process([PROGRAM, str(configuration)], environment, log) as process:
            _prove(endpoint, path, process, log)
            yield Tunnel(directory, SOCKET_PORT)
    finally:
        path.unlink(missing_ok=True)


def configuration_text(endpoint: Endpoint, path: Path) -> str:
    """Write stunnel's configuration: TLS 1.2 or later, chain and name verified, what libpq calls verify-full."""
    name = "checkIP" if _is_address(endpoint.host) else "checkHost"
    trusted = _trusted(endpoint.authority)
    lines = {
        "client": "yes",
        "protocol": "pgsql",
        "accept": str(path),
        "connect": f"{endpoint.address or endpoint.host}:{endpoint.port}",
        "verifyChain": "yes",
        **trusted,
        name: endpoint.host,
        # libpq sends the name too, but no address (RFC 6066 allows names only); empty switches it off.
        "sni": "" if name == "checkIP" else endpoint.host,
        "sslVersionMin": "TLSv1.2",
        "libwrap": "no",
        # A server's long silence (a constraint that is being checked) is no reason to hang up; the time limit is.
        "TIMEOUTidle": "604800",
    }
    for option, value in lines.items():
        if re.search(r"[\x00-\x1f]", value):
            raise MigrationError(
                f"the target's {option} {value!r} holds a control character", "Correct the connection string"
            )
    settings = {"foreground": "yes", "pid": "", "syslog": "no", "debug": "notice"}
    head = "".join(f"{option} = {value}\n" for option, value in settings.items())
    head += "".join(f"socket = r:{option}={value}\n" for option, value in KEEPALIVE.items())
    return f"{head}[postgresql]\n" + "".join(f"{option} = {value}\n" for option, value in lines.items())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _trusted(authority: str) -> Mapping[str, str]:
    if authority != "system":
        return {"CAfile": authority}
    paths = ssl.get_default_verify_paths()
    return {"CAfile": paths.cafile} if paths.cafile else {"CApath": paths.capath or "/etc/ssl/certs"}


def assert_short(path: Path) -> None:
    """Refuse a socket's path that the kernel or pgloader's grammar does not take.

    Raises:
        MigrationError: It is too long, or has other signs than letters, digits, ``/``, ``.``, ``_`` and ``-``.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES or not PLAIN_PATH.fullmatch(str(path)):
        raise MigrationError(
            f"{path} can be no socket: its path has {len(os.fsencode(path))} bytes (at most {SOCKET_PATH_BYTES}),"
            " or other signs than letters, digits and /._-",
            "Choose a scratch directory with a short and plain path",
        )


def _prove(endpoint: Endpoint, path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Let PostgreSQL answer through the tunnel, so that a refusal is told in stunnel's words before anything is loaded.

    It is asked for a session and not logged in to: libpq takes a server that speaks TLS to stunnel, and none to us, for
    a man in the middle. The messages: PostgreSQL manual, "Message Formats", StartupMessage and AuthenticationOk.
    """
    words = f"user\0{endpoint.user}\0database\0{endpoint.dbname}\0\0".encode()
    answered = b""
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.settimeout(START_SECONDS)
        _connect(client, path, process, log)
        client.sendall(struct.pack("!ii", 8 + len(words), PROTOCOL) + words)
        answered = client.recv(1)
    if answered in (b"R", b"E"):
        return
    text = log.read_text(encoding="utf-8", errors="backslashreplace")
    facts = {"host": endpoint.host, "port": endpoint.port, "authority": endpoint.authority}
    for fragment, fact, mend in REFUSALS:
        if fragment in text:
            raise MigrationError(f"stunnel refused the connection: {fact.format(**facts)}", mend)
    raise MigrationError(f"no connection through stunnel: {_last_words(log)}", "Mend what it says, and run again")


def _connect(client: socket.socket, path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return client.connect(str(path))
        # The name is there a moment before anybody listens.
        except (FileNotFoundError, ConnectionRefusedError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise _does_not_start(log) from None
            time.sleep(0.02)


def _does_not_start(log: Path) -> MigrationError:
    words = _last_words(log)
    if "No such file or directory" in words and PROGRAM in words:
        return MigrationError(f"{PROGRAM} is not installed", "Run the role migration_toolkit on this host")
    return MigrationError(f"stunnel does not start: {words}", "Mend what it says, and run again")


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    told = [re.sub(r"^[0-9. :]+LOG\d\[[^]]*\]: ", "", line) for line in lines if line.strip()]
    # Before it has a log, it marks what is wrong so.
    alarms = [line.removeprefix("[!] ") for line in told if line.startswith("[!]")]
    return "; ".join(alarms[:3] or told[-3:]) or "it said nothing"
