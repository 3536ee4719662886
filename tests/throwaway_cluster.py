"""A private PostgreSQL cluster that lives as long as the tests, and fresh databases in it.

No cluster of the machine is touched: the data, the socket and the log lie in one temporary folder that only the
server's own user (and root) can enter, which is why the socket needs no password.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

BINARIES = Path("/usr/lib/postgresql")
SUPERUSER = "postgres"
START_SECONDS = 60.0

#: Members of this role have to show a password, so that a test can fail to.
PASSWORD_ROLE = "asks_for_password"
ACCESS_RULES = (f"local all +{PASSWORD_ROLE} scram-sha-256", "local all all trust")

#: A test's cluster has nothing to lose in a power cut, and everything to gain from speed.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}


@dataclass(frozen=True)
class Database:
    """One database of its own: ``conninfo`` connects as the owner, who is no superuser."""

    name: str
    owner: str
    conninfo: str
    superuser_conninfo: str


@dataclass(frozen=True)
class Cluster:
    """A running server; ``folder`` holds its socket, its data and its log."""

    folder: Path
    binaries: Path
    port: int = 5432

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def conninfo(self, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        return make_conninfo(host=str(self.folder), port=self.port, dbname=dbname, user=user)

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """Create a database and its owner, and drop both at the end, whoever is still connected."""
        name = f"test_{secrets.token_hex(6)}"
        owner = f"{name}_owner"
        identifiers = {"name": sql.Identifier(name), "owner": sql.Identifier(owner)}
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            create_role = "CREATE ROLE {owner} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"
            connection.execute(sql.SQL(create_role).format(**identifiers))
            connection.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**identifiers))
        try:
            yield Database(name, owner, self.conninfo(name, owner), self.conninfo(name))
        finally:
            with psycopg.connect(self.conninfo(), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(**identifiers))
                connection.execute(sql.SQL("DROP ROLE {owner}").format(**identifiers))


def find_binaries() -> Path:
    """Return the ``bin`` folder of the highest installed version of PostgreSQL.

    Raises:
        RuntimeError: There is none. The tests fail then: a skipped test proves nothing.
    """
    found = [folder for folder in BINARIES.glob("*/bin") if (folder / "initdb").exists()]
    if not found:
        raise RuntimeError(f"no PostgreSQL server in {BINARIES}/*/bin; install one: apt-get install postgresql")
    return max(found, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0))


@contextlib.contextmanager
def throwaway_cluster(
    settings: Mapping[str, str] | None = None,
    access_rules: Sequence[str] = ACCESS_RULES,
    files: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Run a private cluster for the length of the block.

    Args:
        settings: Lines of postgresql.conf over ``SETTINGS``; relative file names start in the data folder.
        access_rules: The lines of pg_hba.conf.
        files: Name -> text of further files in the data folder, such as a key; only the server can read them.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        cluster = Cluster(folder, find_binaries(), int((settings or {}).get("port", 5432)))
        if os.geteuid() == 0:
            shutil.chown(folder, SUPERUSER, SUPERUSER)
        _create(cluster, {**SETTINGS, **(settings or {})}, access_rules)
        for name, text in (files or {}).items():
            _write_private(cluster.data / name, text)
        with _running(cluster):
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged() -> list[str]:
    """Return the command's prefix that gives up root: the server refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam(SUPERUSER)
    except KeyError:
        raise RuntimeError(f"tests that run as root need a user {SUPERUSER!r} to run the server as") from None
    return ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]


def _create(cluster: Cluster, settings: Mapping[str, str], access_rules: Sequence[str]) -> None:
    options = ["--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--auth=trust"]
    initdb = [str(cluster.binaries / "initdb"), "-U", SUPERUSER, "-D", str(cluster.data), *options]
    command = ["setpriv", *unprivileged(), *initdb] if unprivileged() else initdb
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr}")
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    with (cluster.data / "postgresql.conf").open("a") as file:
        file.writelines([*lines, f"unix_socket_directories = '{cluster.folder}'\n"])
    (cluster.data / "pg_hba.conf").write_text("\n".join(access_rules) + "\n")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def _running(cluster: Cluster) -> Iterator[None]:
    """Run the server as a child that gets SIGINT (a fast shutdown) even when the tests are killed."""
    server = [str(cluster.binaries / "postgres"), "-D", str(cluster.data)]
    log = cluster.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "INT", *unprivileged(), *server], stdout=output, stderr=output, cwd="/"
        )
    try:
        _wait(cluster, process, log)
        with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(PASSWORD_ROLE)))
        yield
    finally:
        process.send_signal(2)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(cluster: Cluster, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(cluster.conninfo(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the test's cluster does not start: {error}\n{log.read_text()}") from error
            time.sleep(0.05)
        else:
            return
