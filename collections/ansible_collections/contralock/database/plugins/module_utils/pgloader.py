"""pgloader as a subprocess that is not believed.

Version 3.6 ends with exit code 0 after losing rows, and its summary counts what it meant to do. So whatever looks
like a fault is one: an exit code, a line that is not known to be harmless, a reject file, a time limit. What it loaded
and left of the catalog is for the caller to count and compare. Sources: the pgloader manual, "SQLite to Postgres", and
its grammar (src/parsers/command-db-uri.lisp, command-utils.lisp, parse-pgpass.lisp).
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .child_process import child_process, write_private
from .errors import MigrationError
from .load_faults import is_database_error, load_failure, with_row, without_values
from .refused_rows import RefusedRows
from .stunnel import PLAIN_PATH, Endpoint, Tunnel

PROGRAM = "pgloader"
#: As ``pgloader --version`` says: Debian 12's package 3.6.9 calls itself 3.6.7, Debian 13's calls itself 3.6.10.
TESTED_VERSIONS = ("3.6.7", "3.6.10")
#: Why it is ended when it stands still.
STUCK = "it has no session at work on the server any more"
LOOK_SECONDS = 0.1
TICK_SECONDS = 1.0
#: pgloader holds this many rows at once for each of two tables, each character in four bytes and several times over.
#: Its heap is 1 GB; measured: 300 rows of 1 MB, 180 of 3 MB and 18 of 12 MB go through, one of 20 MB does not.
PREFETCH_ROWS = 1000
PREFETCH_BYTES = 8 * 1024 * 1024
LARGE_ROW_BYTES = 1024 * 1024
LARGEST_ROW_BYTES = 12 * 1000 * 1000

#: What the grammar takes as a database's name.
_DBNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$%-]*")
#: Tried with each sign of ASCII; control characters end its messages' lines.
_NO_COLUMN = re.compile(r'["`\\\x00-\x1f]')
_NO_TABLE = re.compile(r"""["`'/\\\x00-\x1f]""")
#: The grammar of its password file reads brackets around these as an IPv6 address, and drops them.
_BRACKETS = re.compile(r"\[[0-9A-Fa-f:]+\]")
_LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT[0-9:.]+Z) (?P<level>[A-Z]+) (?P<text>.*)")
_HARMLESS_LEVELS = frozenset({"LOG", "NOTICE", "INFO", "SQL", "DEBUG", "DATA"})
_HARMLESS_WARNINGS = (
    # The prepared copy declares every column TEXT; PostgreSQL reads the text by its own types.
    re.compile(r"Source column .* is casted to type \"text\" which is not the same as "),
    # It drops each foreign key once from either side.
    re.compile(r"PostgreSQL warning: constraint .* does not exist, skipping"),
)
_ALARMS = ("KABOOM", "Heap exhausted", "unhandled", "debugger invoked", "fatal error", "failed to execute")
#: Part of why pgloader was ended -> what the operator does about it; otherwise what it said until then asks for it.
_MENDS = (("limit", "Raise the limit"), ("server", "See that the server is up and reachable, and run again"))
_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?([0-9.]+)s")


class StuckError(MigrationError):
    """pgloader stood still, and the server did not: its threads wait for one another."""


@dataclass(frozen=True)
class Load:
    """What pgloader is to load.

    Attributes:
        prepared: SQLite file with the target's table and column names, every column declared TEXT.
        tables: The tables in it.
        schema: The target's schema, unquoted.
        application_name: How its sessions show themselves; at most 63 bytes.
        settings: Parameters of the server for its sessions, which it sets in each one before anything else.
        largest_row_bytes: Bytes of the largest row in the file.
        time_limit: Seconds.
        directory: A private directory (0700) for its files; its path is plain.
        rows: Reads which row the server refused.
    """

    prepared: Path
    tables: Sequence[str]
    schema: str
    application_name: str
    settings: Mapping[str, str]
    largest_row_bytes: int
    time_limit: float
    directory: Path
    rows: RefusedRows | None = None


def assert_version(accepted: Sequence[str] = TESTED_VERSIONS) -> str:
    """Return the version that pgloader says it has.

    Raises:
        MigrationError: It is missing, or another one than those that were tried.
    """
    try:
        done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (FileNotFoundError, PermissionError):
        raise MigrationError("pgloader is not installed", "Run the role migration_toolkit on this host") from None
    except subprocess.TimeoutExpired:
        raise MigrationError(
            "pgloader does not say its version within 30 s", "Install the distribution's own"
        ) from None
    found = re.search(r'version "([0-9]+(?:\.[0-9]+)*)', done.stdout)
    version = found[1] if found else "unknown"
    if version not in accepted:
        raise MigrationError(
            f"pgloader is version {version}; the loader was tested with {' and '.join(accepted)}, and pgloader's"
            " behaviour changes between versions",
            "Install the distribution's own; or rehearse with this one and name it as accepted",
        )
    return version


def unspeakable(schema: str, tables: Mapping[str, Iterable[str]]) -> MigrationError | None:
    """Return the refusal of names that pgloader would misread; None where there is none.

    It writes them into SQL and file names without escaping what stands in them: in SQLite between backticks, and a
    table's in PostgreSQL between single quotes, and into the name of a reject file.

    Args:
        schema: The target's schema.
        tables: Table to its columns.
    """
    wrong = {name for name in (schema, *tables) if _NO_TABLE.search(name)}
    wrong |= {f"{table}.{name}" for table, columns in tables.items() for name in columns if _NO_COLUMN.search(name)}
    if not wrong:
        return None
    return MigrationError(
        f"pgloader cannot spell the target's names {', '.join(map(repr, sorted(wrong)))}",
        "Take the engine arrow, which spells every name; or give them names without quotes, backticks, backslashes and"
        " control characters, and tables none with a slash",
        {"names": sorted(wrong)},
    )


def assert_speakable(endpoint: Endpoint) -> None:
    """Refuse what pgloader's grammar or its driver would misread.

    Args:
        endpoint: The server; its password is not repeated.

    Raises:
        MigrationError: The database's name or the password is such.
    """
    if not _DBNAME.fullmatch(endpoint.dbname):
        raise MigrationError(
            f"pgloader cannot spell the database's name {endpoint.dbname!r}",
            "Give the database a name of letters, digits, _ and -",
        )
    password = endpoint.password or ""
    if not password.isascii() or _BRACKETS.search(password):
        raise MigrationError(
            "pgloader would misread the owner's password: it is not all ASCII, or has hexadecimal digits in brackets",
            "Give the target's owner another password",
        )


def load_text(load: Load, tunnel: Tunnel, dbname: str) -> str:
    """Write the load command.

    The user comes from PGUSER, because the grammar takes few signs in it, and names stay as they are spelled.
    """
    for path in (load.prepared, tunnel.directory):
        if not PLAIN_PATH.fullmatch(str(path)):
            raise MigrationError(
                f"pgloader cannot spell the path {str(path)!r}",
                "Choose a scratch directory of letters, digits and /._-",
            )
    prefetch = max(1, min(PREFETCH_ROWS, PREFETCH_BYTES // max(load.largest_row_bytes, 1)))
    settings = {
        "application_name": load.application_name,
        **load.settings,
        "search_path": f'"{load.schema}"',
        "default_tablespace": "",
        "client_connection_check_interval": "2s",
    }
    # A table takes a reader and a writer: two workers load one table at a time.
    workers = 2 if load.largest_row_bytes > LARGE_ROW_BYTES else 4
    batch = ", batch size = 4MB" if load.largest_row_bytes > LARGE_ROW_BYTES else ""
    spoken = ", ".join(f"{name} to '{value}'" for name, value in settings.items())
    return (
        f"LOAD DATABASE FROM sqlite://{load.prepared}\n"
        f"  INTO postgresql://unix:{tunnel.directory}:{tunnel.port}/{dbname}\n"
        "  WITH data only, quote identifiers, concurrency = 1,"
        f" prefetch rows = {prefetch}, workers = {workers}{batch}\n"
        f"  SET PostgreSQL PARAMETERS {spoken};\n"
    )


def run_pgloader(load: Load, endpoint: Endpoint, tunnel: Tunnel, tick: Callable[[], str]) -> dict[str, float]:
    """Load the prepared copy.

    Args:
        load: What to load.
        endpoint: Whom to log in as.
        tunnel: Where the server is.
        tick: Called about every second while pgloader runs; returns why it is to be ended, otherwise nothing.

    Returns:
        Table -> seconds, as pgloader says; a table may be missing. It is no evidence of anything.

    Raises:
        StuckError: It was ended because of what ``tick`` returned, and that is ``STUCK``.
        MigrationError: Anything that looks like a fault, in pgloader's words but without the rows' values. What it has
            loaded until then stays in the target.
    """
    home = load.directory / "home"
    home.mkdir(mode=0o700)
    command, log, summary = load.directory / "load", load.directory / "pgloader.log", load.directory / "summary.csv"
    output, rejects = load.directory / "pgloader.out", load.directory / "rejects"
    write_private(command, load_text(load, tunnel, endpoint.dbname))
    arguments = ["--root-dir", str(rejects), "--logfile", str(log), "--summary", str(summary), str(command)]
    with _password(endpoint) as descriptor:
        environment = _environment(endpoint, home, descriptor)
        with child_process([PROGRAM, *arguments], environment, output, (descriptor,)) as process:
            trouble = _watch(process, load.time_limit, output, tick)
    lines = [*_lines(output), *_lines(log)]
    faults = list(dict.fromkeys(find_faults(lines, load.rows)))
    if trouble:
        mend = next((mend for word, mend in _MENDS if word in trouble), "")
        failure = load_failure(f"pgloader was ended: {trouble}", faults, mend)
        raise StuckError(failure.fact, failure.mend, failure.details) if trouble == STUCK else failure
    if process.returncode:
        raise load_failure(f"pgloader failed with exit code {process.returncode}", faults)
    if faults:
        raise load_failure("pgloader reported faults, and exit code 0", faults)
    if found := sorted(path.name for path in rejects.rglob("*") if path.is_file() and path.stat().st_size):
        raise load_failure(f"pgloader set rows aside ({', '.join(found)})", faults)
    return read_summary(summary, load.tables)


def _environment(endpoint: Endpoint, home: Path, password: int) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PGPASSFILE": f"/proc/self/fd/{password}",
        "PGUSER": endpoint.user,
    }


@contextlib.contextmanager
def _password(endpoint: Endpoint) -> Iterator[int]:
    """Make a password file in memory (memfd_create(2)): whoever kills us, no disk ever had it."""
    descriptor = os.memfd_create("pgpass")
    try:
        escaped = (endpoint.password or "").replace("\\", "\\\\").replace(":", "\\:")
        os.write(descriptor, f"*:*:*:*:{escaped}\n".encode("ascii") if escaped else b"")
        yield descriptor
    finally:
        os.close(descriptor)


def _watch(process: subprocess.Popen[bytes], time_limit: float, output: Path, tick: Callable[[], str]) -> str:
    """Wait for the end; return why it could not be waited for, otherwise nothing."""
    begun = ticked = time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        if now - begun > time_limit:
            return f"it reached its time limit of {time_limit:g} s"
        if now - ticked >= TICK_SECONDS:
            ticked = now
            # The threads that are left would wait for the one that is gone.
            if any("Heap exhausted" in line for line in _lines(output)):
                return "its memory is exhausted"
            if trouble := tick():
                return trouble
        time.sleep(LOOK_SECONDS)
    return ""


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="backslashreplace").splitlines() if file.exists() else []


def find_faults(lines: Sequence[str], rows: RefusedRows | None = None) -> Iterator[str]:
    """Yield what is not known to be harmless, in few words and without the rows' values.

    A server's error goes on in lines of its own (DETAIL, CONTEXT), which hold whole rows, whose values may look like
    anything: they are left out, but for what ``rows`` makes of the first, and so is the part of a message that repeats
    a value (SQLSTATE class 22, after the colon).
    """
    goes_on = False
    for line, following in pairwise([*lines, ""]):
        told = _LINE.fullmatch(line)
        if goes_on and not told:
            continue
        goes_on = is_database_error(line)
        if told:
            harmless = told["level"] in _HARMLESS_LEVELS or (
                told["level"] == "WARNING" and any(known.match(told["text"]) for known in _HARMLESS_WARNINGS)
            )
            if not harmless:
                yield with_row(without_values(f"{told['level']} {told['text']}"), _row(line, following, rows))
        elif goes_on or any(alarm in line for alarm in _ALARMS):
            yield with_row(without_values(line.strip()), _row(line, following, rows))


def _row(line: str, following: str, rows: RefusedRows | None) -> str:
    detail = following.removeprefix("DETAIL:").strip()
    return rows.told(line, detail) if rows and is_database_error(line) and detail != following else ""


def read_summary(file: Path, tables: Sequence[str]) -> dict[str, float]:
    """Read the seconds per table from the summary (CSV with ``;``); what cannot be read is left out."""
    seconds: dict[str, float] = {}
    if not file.exists():
        return seconds
    spelled = {f'"{table}"': table for table in tables}
    with file.open(encoding="utf-8", errors="replace", newline="") as stream:
        for row in csv.reader(stream, delimiter=";", escapechar="\\", doublequote=False):
            told = _DURATION.fullmatch(row[5]) if len(row) == 6 else None
            if told and (table := spelled.get(row[0])):
                hours, minutes, rest = (float(part or 0) for part in told.groups())
                seconds[table] = hours * 3600 + minutes * 60 + rest
    return seconds
