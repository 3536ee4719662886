"""A private cluster that is reached as one in production is: by TLS that proves who answers, and with a password."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.throwaway_cluster import Cluster, throwaway_cluster

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


@dataclass(frozen=True)
class TlsServer:
    """A server that wants TLS and a password; its certificate is for ``localhost``, and not by the other authority."""

    cluster: Cluster
    port: int
    authority: Path
    other_authority: Path
    passfile: Path
    user: str
    dbname: str

    def conninfo(self, **changes: str) -> str:
        parameters = {
            "host": "localhost",
            "port": str(self.port),
            "dbname": self.dbname,
            "user": self.user,
            "sslrootcert": str(self.authority),
            "passfile": str(self.passfile),
        }
        return make_conninfo(**{**parameters, **changes})


@contextlib.contextmanager
def tls_server(
    folder: Path, password: str, roles: Sequence[str], dbname: str = "postgres", rules: Sequence[str] = ()
) -> Iterator[TlsServer]:
    """Run one for the length of the block.

    Args:
        folder: For certificates, keys and the password file.
        password: That of each role.
        roles: Who may log in; ``conninfo`` is the first one's.
        dbname: The database that ``conninfo`` names; the caller makes it.
        rules: Lines of pg_hba.conf that come before the roles'.
    """
    ca_key, ca = _certificate(folder, "ca")
    other = _certificate(folder, "other")[1]
    signed = ["-CA", str(ca), "-CAkey", str(ca_key), "-addext", "subjectAltName=DNS:localhost"]
    key, file = _certificate(folder, "localhost", *signed)
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on", "password_encryption": "scram-sha-256"}
    access_rules = ["local all postgres trust", *rules, f"hostssl all {','.join(roles)} all scram-sha-256"]
    files = {"server.crt": file.read_text(), "server.key": key.read_text()}
    passfile = folder / "pgpass"
    passfile.touch(mode=0o600)
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:*:*:{escaped}\n")
    with throwaway_cluster(settings, access_rules, files) as cluster:
        with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
            for role in roles:
                query = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                connection.execute(query.format(sql.Identifier(role), sql.Literal(password)))
        yield TlsServer(cluster, port, ca, other, passfile, roles[0], dbname)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _certificate(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    key, file = folder / f"{name}.key", folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", *CURVE, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(file)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return key, file
