"""A private PostgreSQL cluster that lives as long as a block of code, and fresh databases in it.

No cluster of the machine is touched: data, socket and log lie in one temporary folder that only the server's own user
(and root) can enter, which is why the socket needs no password. There is no network. A folder that a killed process
has left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from .errors import MigrationError

#: Where Debian's packages keep each version; elsewhere ``initdb`` is found in PATH.
BINARIES = Path("/usr/lib/postgresql")
SUPERUSER = "postgres"
START_SECONDS = 60.0
END_SECONDS = 30.0
PREFIX = "contralock-cluster-"
LOCK = "lock"
#: A folder gets its lock at once; one without it that is older belongs to nobody any more.
WITHOUT_LOCK_SECONDS = 600.0

#: The content is a copy, which costs nothing but time to make again: so nothing waits for a disk.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}
ACCESS_RULES = ("local all all trust",)


@dataclass(frozen=True)
class Database:
    """One database of its own: ``conninfo`` connects as the owner, who is no superuser."""

    name: str
    owner: str
    conninfo: str
    superuser_conninfo: str


@dataclass(frozen=True)
class Cluster:
    """A running server; ``folder`` holds its socket, its data and its log; ``binaries`` its programs."""

    folder: Path
    binaries: Path
    port: int = 5432

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def conninfo(self, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        """Return a libpq connection string; it holds no secret."""
        return make_conninfo(host=str(self.folder), port=self.port, dbname=dbname, user=user)

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """Create a database and its owner, and drop both at the end, whoever is still connected."""
        name = f"private_{secrets.token_hex(6)}"
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


@contextlib.contextmanager
def private_cluster(
    settings: Mapping[str, str] | None = None,
    access_rules: Sequence[str] = ACCESS_RULES,
    files: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Run a private cluster for the length of the block.

    Args:
        settings: Lines of postgresql.conf over ``SETTINGS``; relative file names start in the data folder.
        access_rules: The lines of pg_hba.conf.
        files: Name -> text of further files in the data folder, such as a key; only the server can read them.

    Raises:
        MigrationError: There is no PostgreSQL server on this machine, or it does not start.
    """
    binaries = find_binaries()
    _remove_left_over()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        lock = held.enter_context((folder / LOCK).open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        cluster = Cluster(folder, binaries, int((settings or {}).get("port", 5432)))
        if os.geteuid() == 0:
            user = _server_user()
            os.chown(folder, user.pw_uid, user.pw_gid)
        _create(cluster, {**SETTINGS, **(settings or {})}, access_rules)
        for name, text in (files or {}).items():
            _write_private(cluster.data / name, text)
        held.enter_context(_running(cluster))
        yield cluster


def find_binaries() -> Path:
    """Return the folder with the programs of the highest installed version of PostgreSQL's server.

    Raises:
        MigrationError: There is none.
    """
    found = [folder for folder in BINARIES.glob("*/bin") if (folder / "initdb").exists()]
    if found:
        return max(found, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0))
    if elsewhere := shutil.which("initdb"):
        return Path(elsewhere).resolve().parent
    raise MigrationError(
        f"this machine has no PostgreSQL server: no initdb in {BINARIES}/*/bin or in PATH",
        "Install one (apt-get install postgresql), or name a server with --target",
    )


def _server_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SUPERUSER)
    except KeyError:
        raise MigrationError(
            f"there is no user {SUPERUSER!r}, as whom a server could run that root starts",
            "Install PostgreSQL's package, which makes it, or run as another user than root",
        ) from None


def _unprivileged() -> list[str]:
    """Return setpriv's options that give up root: the server refuses to run as root."""
    if os.geteuid() != 0:
        return []
    user = _server_user()
    return ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]


def _remove_left_over() -> None:
    """Remove the folders of processes that were killed: nobody holds their lock, and their server has ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if not (folder / LOCK).exists():
                # A new one, or what an initdb that outlived its process left when it was swept away.
                if time.time() - folder.stat().st_mtime > WITHOUT_LOCK_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            with (folder / LOCK).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _create(cluster: Cluster, settings: Mapping[str, str], access_rules: Sequence[str]) -> None:
    options = ["--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--auth=trust"]
    initdb = [str(cluster.binaries / "initdb"), "-U", SUPERUSER, "-D", str(cluster.data), *options]
    done = subprocess.run(
        ["setpriv", *_unprivileged(), "--", *initdb], capture_output=True, text=True, cwd="/", check=False
    )
    if done.returncode:
        raise MigrationError(
            f"no private cluster could be made: {' '.join(done.stderr.split())}",
            f"Make room in {tempfile.gettempdir()}, or choose another place with TMPDIR",
        )
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
    """Run the server as a child that gets SIGINT (a fast shutdown) even when this process is killed."""
    server = [str(cluster.binaries / "postgres"), "-D", str(cluster.data)]
    log = cluster.folder / "log"
    # A session of its own: Ctrl-C is for whoever asked, and the server ends after its last client.
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "INT", *_unprivileged(), "--", *server],
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )
    try:
        _wait(cluster, process, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(cluster: Cluster, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(cluster.conninfo(), connect_timeout=5).close()
        except psycopg.OperationalError:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            last = " ".join(log.read_text(errors="replace").splitlines()[-3:])
            raise MigrationError(
                f"the private cluster does not start: {last or 'its log is empty'}",
                f"Make room in {tempfile.gettempdir()} and in memory, or name a server with --target",
            ) from None
        else:
            return
