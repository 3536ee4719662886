"""The application's own instances for a benchmark: transient units of systemd on copies, and nothing of them after it.

They run as the live unit does: under its account, with its limits, from a working directory with an ``.env`` of its
own. A unit ends by itself when nobody ends it (``RuntimeMaxSec``).
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from .connection import connect
from .dotenv_text import set_values
from .durable_files import assert_room, dress, refused_politely, write_new
from .errors import MigrationError
from .scratch_database import require_scratch
from .workload_clients import APPLICATION_NAME, Place

WORK = Path("/var/lib/contralock-benchmark")
#: sd_booted(3): whether systemd runs here.
BOOTED = Path("/run/systemd/system")
UNITS = {name: f"contralock-benchmark-{name}.service" for name in ("sqlite", "postgresql")}
#: What a live unit may be limited by, and the limit that systemd does not call by the name under which it shows it.
LIMITS = ("MemoryMax", "MemoryHigh", "TasksMax", "CPUWeight", "LimitNOFILE")
QUOTA = "CPUQuotaPerSecUSec"
_UNLIMITED = ("", "infinity", "[not set]")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
#: More than the application's pool, the direct clients and this module need together; scratch databases have 20.
CONNECTIONS = 60


@dataclass(frozen=True)
class Application:
    """How the application is started, and whom it belongs to.

    Args:
        command: What starts it in its working directory; none means that there are no instances.
        unit: The live one, whose account and limits hold.
        role: Its role on PostgreSQL.
        password: That role's.
        pool_max: How many connections it may hold.
        ports: Its ports on 127.0.0.1, for SQLite and PostgreSQL.
        environment: Further variables.
        seconds: After which an instance ends in any case: no sooner than the benchmark.
    """

    command: Sequence[str]
    unit: str
    seconds: int
    role: str = ""
    password: str = field(default="", repr=False)
    pool_max: int = 10
    ports: tuple[int, int] = (5701, 5702)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Bounds:
    """What an instance runs under, as the live unit does."""

    user: int
    group: int
    limits: tuple[str, ...] = ()


def remove_all(work: Path = WORK) -> bool:
    """End the instances and remove their directories; returns whether there was anything.

    Raises:
        MigrationError: One does not end, or the directory cannot be removed.
    """
    changed = False
    for unit in UNITS.values() if BOOTED.is_dir() else ():
        if _state(unit) in ("", "inactive", "failed"):
            continue
        _run("systemctl", "stop", unit)
        changed = True
    if work.exists():
        with refused_politely(f"cannot remove {work}"):
            shutil.rmtree(work)
        changed = True
    return changed


@contextmanager
def instances(application: Application, source: Path, target: str, work: Path = WORK) -> Iterator[tuple[Place, Place]]:
    """Have the two databases of a benchmark, with the application's instances on them, for the length of the block.

    Args:
        application: See there; without a command there are only the databases.
        source: The snapshot; it is copied.
        target: The scratch database, as its owner, with the same rows.
        work: Where the copy and the working directories go; it is made anew, and removed.

    Raises:
        MigrationError: There is no room, the database is no scratch database, or an instance cannot be started.
    """
    remove_all(work)
    if application.command:
        _require_free(application.ports)
    _open_to(target, application.role if application.command else "")
    bounds = _of_unit(application.unit) if application.command else _Bounds(0, 0)
    with refused_politely(f"cannot make {work}"):
        assert_room(work.parent, 2 * source.stat().st_size, f"the copy of {source} and what the benchmark adds")
        work.mkdir(mode=0o711)
        folders = {name: _folder(work / name, bounds) for name in UNITS}
        copy = folders["sqlite"] / "data" / "copy.sqlite"
        shutil.copyfile(source, copy)
        copy.chmod(0o600)
        os.chown(copy, bounds.user, bounds.group)
    try:
        urls = {"sqlite": "", "postgresql": ""}
        if application.command:
            told = {
                "sqlite": _told_sqlite(),
                "postgresql": _told_postgresql(application, target, folders["postgresql"]),
            }
            for port, (name, values) in zip(application.ports, told.items(), strict=True):
                _start(application, name, folders[name], bounds, {**values, "PORT": str(port)})
                urls[name] = f"http://127.0.0.1:{port}"
        yield Place("sqlite", file=copy, url=urls["sqlite"]), Place("postgresql", target=target, url=urls["postgresql"])
    finally:
        remove_all(work)


def _require_free(ports: Sequence[int]) -> None:
    """Refuse a port at which somebody else would get the benchmark's requests."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise MigrationError(
                    f"port {port} cannot be the benchmark's: {error.strerror}",
                    "Give free ones in application_benchmark_ports",
                ) from None


def _folder(folder: Path, bounds: _Bounds) -> Path:
    """Make a working directory in which the application changes ``data`` alone."""
    folder.mkdir(mode=0o750)
    os.chown(folder, 0, bounds.group)
    (folder / "data").mkdir(mode=0o700)
    os.chown(folder / "data", bounds.user, bounds.group)
    return folder


def _told_sqlite() -> dict[str, str]:
    return {"DB_TYPE": "sqlite", "DB_PATH": "./data/copy.sqlite"}


def _told_postgresql(application: Application, target: str, folder: Path) -> dict[str, str]:
    parameters = conninfo_to_dict(target)
    told = {
        "DB_TYPE": "postgresql",
        "DB_HOST": str(parameters.get("host") or "localhost"),
        "DB_PORT": str(parameters.get("port") or 5432),
        "DB_NAME": str(parameters.get("dbname") or ""),
        "DB_USER": application.role,
        "DB_PASS": application.password,
        "DB_SSL": "true",
        "DB_POOL_MAX": str(application.pool_max),
        "DB_POOL_MIN": str(min(5, application.pool_max)),
        "DB_APPLICATION_NAME": "contralock_benchmark",
    }
    if authority := parameters.get("sslrootcert"):
        # The toolkit's own may lie where the application's account cannot read.
        shutil.copyfile(str(authority), folder / "ca.crt")
        (folder / "ca.crt").chmod(0o644)
        told["DB_SSL_CA"] = str(folder / "ca.crt")
    return told


def _start(application: Application, name: str, folder: Path, bounds: _Bounds, told: Mapping[str, str]) -> None:
    values = {"NODE_ENV": "production", "HOST": "127.0.0.1", "WRITE_EVERY_MS": "0", **application.environment, **told}
    with refused_politely(f"cannot write {folder / '.env'}"):
        write_new(folder / ".env", set_values("", values).encode(), lambda file: dress(file, 0, bounds.group, 0o640))
    properties = [
        *bounds.limits,
        f"User={bounds.user}",
        f"Group={bounds.group}",
        f"WorkingDirectory={folder}",
        f"ReadWritePaths={folder}/data",
        f"RuntimeMaxSec={application.seconds}",
        "ProtectSystem=strict",
        "ProtectHome=true",
        "PrivateTmp=true",
        "NoNewPrivileges=true",
        "UMask=0077",
        "TimeoutStopSec=15",
    ]
    _run(
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={UNITS[name]}",
        f"--description=The application's own instance for a benchmark, on {name}",
        *(f"--property={each}" for each in properties),
        "--",
        *application.command,
    )


def _of_unit(unit: str) -> _Bounds:
    """Return the account and the group of the live unit, and its limits as properties."""
    shown = _run("systemctl", "show", f"--property={','.join(('User', 'Group', QUOTA, *LIMITS))}", "--", unit)
    found = dict(line.partition("=")[::2] for line in shown.splitlines())
    account = found.get("User") or "root"
    try:
        user = pwd.getpwnam(account)
        group = grp.getgrnam(found["Group"]).gr_gid if found.get("Group") else user.pw_gid
    except KeyError:
        raise MigrationError(
            f"the unit {unit} runs as {account}, and there is no such account with its group",
            "Correct application_service_unit, or its User= and Group=",
        ) from None
    return _Bounds(user.pw_uid, group, tuple(limits_of(found)))


def unit_environment(unit: str) -> dict[str, str]:
    """Return what the live unit's process has in its environment, which wins over ``.env``; nothing when none runs."""
    if not BOOTED.is_dir():
        return {}
    number = _run("systemctl", "show", "--property=MainPID", "--value", "--", unit).strip()
    try:
        entries = Path("/proc", number, "environ").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:  # 0 is no process, and one may have ended meanwhile
        return {}
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def limits_of(shown: Mapping[str, str]) -> Iterator[str]:
    """Yield the limits that ``systemctl show`` gives as properties that systemd-run takes."""
    for name in LIMITS:
        if shown.get(name, "") not in _UNLIMITED:
            yield f"{name}={shown[name]}"
    # "1.500000s", "500ms": the time of one processor in each second; there is no other form for it.
    parts = re.findall(r"([0-9.]+)(us|ms|s)\b", shown.get(QUOTA, ""))
    if parts:
        yield f"CPUQuota={sum(float(number) * _SECONDS[unit] for number, unit in parts) * 100:g}%"


def _open_to(target: str, role: str) -> None:
    """Let the application's role work in a scratch database.

    Raises:
        MigrationError: It is none: nothing is measured, and nobody let in, where a migration has not made it.
    """
    require_scratch(target)
    with connect(target, APPLICATION_NAME) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(CONNECTIONS)))
        if role:
            who = sql.Identifier(role)
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, who))
            rights = "GRANT {} ON ALL {} IN SCHEMA public TO {}"
            for what, kind in (("SELECT, INSERT, UPDATE, DELETE", "TABLES"), ("USAGE", "SEQUENCES")):
                connection.execute(sql.SQL(rights).format(sql.SQL(what), sql.SQL(kind), who))


def _state(unit: str) -> str:
    return _run("systemctl", "show", "--property=ActiveState", "--value", unit).strip()


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise MigrationError(
            f"systemd does not answer to {command[0]}: {error}", "A benchmark through the application needs systemd"
        ) from None
    if done.returncode:
        raise MigrationError(
            f"{' '.join(command[:2])} failed: {' '.join(done.stderr.split())[:500]}",
            "See the journal of systemd on this host",
        )
    return done.stdout
