"""Loads everything that the plan names into the target, or leaves the target empty and whole.

The order of things: nothing but the plan's tables may be concerned, and they are empty (or hold what this run loaded);
what stands there is recorded; the source is examined while its prepared copy is written; an engine loads the copy; rows
are counted and the catalog compared. Whatever fails after the record was written takes everything back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from .catalog import difference, snapshot
from .connection import Connection, connect
from .durable_files import assert_room
from .errors import MigrationError
from .findings import RuleCount
from .pgloader import LARGEST_ROW_BYTES, TESTED_VERSIONS, Load, assert_speakable, assert_version, run_pgloader
from .plan import Plan
from .prepared_copy import Prepared, prepare_copy
from .source_file import open_source
from .stunnel import assert_short, endpoint_of, local_socket
from .target_restore import Restored, TargetRecord, clear_earlier, database_oid, restore_target
from .target_state import assert_emptiable, empty_tables, row_counts, target_fingerprint

APPLICATION_NAME = "contralock data_transfer"
#: The load's own sessions; PostgreSQL cuts an application_name after 63 bytes.
LOAD_NAME = "contralock load {}"
#: What the directory of a load begins with.
DIRECTORY = "load-"
ENGINES = ("pgloader",)
TIME_LIMIT_SECONDS = 4 * 3600.0
#: Of the prepared copy to the source: whole numbers and times become text, indexes and free pages stay behind.
ROOM_FACTOR = 1.5

#: Called with ``table``, ``rows``, ``of_rows``, ``seconds_left`` and ``line``.
Progress = Callable[[Mapping[str, Any]], None]

# Rows that are still on their way are in no table's statistics yet.
_ROWS_SO_FAR = """
SELECT coalesce((SELECT sum(n_tup_ins) FROM pg_stat_user_tables
                  WHERE schemaname = %(schema)s AND relname = ANY (%(tables)s)), 0)
     + coalesce((SELECT sum(tuples_processed) FROM pg_stat_progress_copy WHERE datname = current_database()), 0)"""


@dataclass(frozen=True)
class Transfer:
    """What is to be transferred.

    Attributes:
        source: The SQLite file; nobody writes to it.
        target: libpq connection string of the database's owner, without a password.
        plan: What goes where; its catalog is what the target has to be, before and after.
        scratch: Directory that gets a private one for the load's files, which is removed afterwards. Its path is short
            and plain.
        record: File that keeps what stood in the target; it stays, for ``restore_target``.
        label: Distinguishes the load's sessions on the server; letters, digits, ``_`` and ``-``.
        discard_rows: Whether rows in the target may go, whoever loaded or changed them.
        time_limit: Seconds that the engine may take.
        engine: ``pgloader``.
        accepted_versions: Of the engine.
    """

    source: Path
    target: str
    plan: Plan
    scratch: Path
    record: Path
    label: str
    discard_rows: bool = False
    time_limit: float = TIME_LIMIT_SECONDS
    engine: str = "pgloader"
    accepted_versions: tuple[str, ...] = TESTED_VERSIONS

    @property
    def directory(self) -> Path:
        """Where this load's files lie, as long as it lasts."""
        return self.scratch / f"{DIRECTORY}{self.label}"

    def record_of(self, database: int) -> TargetRecord:
        """Return the record of a load that is about to begin."""
        name = LOAD_NAME.format(self.label)
        return TargetRecord(database, self.label, tuple(self.tables), name, self.plan.catalog)

    @property
    def tables(self) -> list[str]:
        """The target's tables."""
        return [table.target for table in self.plan.tables]


@dataclass(frozen=True)
class TableReport:
    """One table: rows, bytes of its values as text, seconds to prepare and to load (None: the engine did not say)."""

    rows: int
    bytes: int
    prepare_seconds: float
    load_seconds: float | None


@dataclass(frozen=True)
class TransferReport:
    """What was loaded, counted and found whole."""

    tables: Mapping[str, TableReport]
    rule_counts: tuple[RuleCount, ...]
    engine: str
    engine_version: str
    prepare_seconds: float
    load_seconds: float
    analyze_seconds: float
    restored_before: Restored | None = field(default=None)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(table.rows for table in self.tables.values())


def transfer(order: Transfer, progress: Progress | None = None) -> TransferReport:
    """Load everything.

    Args:
        order: What to load. When its record says that an earlier attempt was loading, that one is taken back first.
        progress: Told what is happening.

    Returns:
        What was loaded.

    Raises:
        MigrationError: It was refused before anything was loaded, or it failed and the target is empty and whole again;
            when even that could not be done, the message says so and how to do it later.
    """
    version = assert_possible(order)
    restored = clear_earlier(order.target, order.record, discard=order.discard_rows)
    say = progress or (lambda _: None)
    with _server_errors_told(), _private_directory(order.directory):
        assert_room(
            order.scratch, int(order.source.stat().st_size * ROOM_FACTOR), f"the prepared copy of {order.source}"
        )
        with connect(order.target, APPLICATION_NAME) as connection:
            assert_ready(connection, order)
            if order.discard_rows:
                empty_tables(connection, order.plan.schema, order.tables)
            database = database_oid(connection)
        prepared = _prepare(order, say)
        prepared.assert_rows_up_to(LARGEST_ROW_BYTES, order.engine)
        record = order.record_of(database)
        record.write(order.record)
        try:
            load_seconds, seconds, analyze_seconds = _load(order, record, prepared, say)
        except BaseException as error:
            _take_back(order, record, error)
            raise
    tables = {
        name: TableReport(each.rows, each.bytes, round(each.seconds, 3), seconds.get(name))
        for name, each in prepared.tables.items()
    }
    return TransferReport(
        tables=tables,
        rule_counts=prepared.rule_counts,
        engine=order.engine,
        engine_version=version,
        prepare_seconds=round(prepared.seconds, 3),
        load_seconds=round(load_seconds, 3),
        analyze_seconds=round(analyze_seconds, 3),
        restored_before=restored,
    )


def assert_possible(order: Transfer) -> str:
    """Refuse what needs no server to be refused; return the engine's version.

    Raises:
        MigrationError: The engine is unknown, missing or another version; label or scratch directory cannot be used.
    """
    if order.engine not in ENGINES:
        raise MigrationError(f"there is no engine {order.engine!r}", f"Choose one of {', '.join(ENGINES)}")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,46}", order.label):
        raise MigrationError(f"{order.label!r} is no label for a load", "Use up to 46 letters, digits, _ and -")
    assert_short(order.directory / ".s.PGSQL.5432")
    return assert_version(order.accepted_versions)


def remove_left_over(scratch: Path) -> None:
    """Remove what killed loads have left in a scratch directory: the application's data in clear.

    A load that lives holds a lock on its directory.

    Raises:
        MigrationError: One cannot be removed.
    """
    for directory in sorted(scratch.glob(f"{DIRECTORY}*")):
        with _directory_errors_told(directory), _locked(directory) as ours:
            if ours:
                shutil.rmtree(directory)


@contextlib.contextmanager
def _private_directory(directory: Path) -> Iterator[None]:
    """Have a directory for the length of the block, and the lock that shows that somebody works in it."""
    with _directory_errors_told(directory):
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_left_over(directory.parent)
        directory.mkdir(mode=0o700)
    with _locked(directory):
        try:
            yield
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Lock a directory until the block or this process ends; tell whether it worked."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _directory_errors_told(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MigrationError(
            f"the scratch directory {directory} cannot be made or removed: {error.strerror}",
            "Choose another scratch directory, or mend this one; another load may be at work in it",
        ) from None


@contextlib.contextmanager
def _server_errors_told() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        words = " ".join(str(error).split())
        raise MigrationError(f"the target answered: {words}", "See that the server is up, and run again") from None


def assert_ready(connection: Connection, order: Transfer) -> None:
    """Refuse a target that a load could not begin with.

    Raises:
        MigrationError: Its schema is not what the plan was made from, it holds rows of others, other tables refer to
            it, or the engine cannot spell its names.
    """
    plan = order.plan
    endpoint = endpoint_of(connection)
    names = [plan.schema, *order.tables, *(column.target.name for table in plan.tables for column in table.columns)]
    assert_speakable(endpoint, names)
    if changed := difference(plan.catalog.description, snapshot(connection, plan.schema).description):
        raise MigrationError(
            f"the target's schema has changed since the plan was made: {'; '.join(changed[:5])}",
            "Let nobody change the schema meanwhile, and run again",
        )
    assert_emptiable(connection, plan.schema, order.tables)
    filled = {table: rows for table, rows in row_counts(connection, plan.schema, order.tables).items() if rows}
    if filled and not order.discard_rows:
        shown = ", ".join(f"{table} {rows:,}" for table, rows in list(filled.items())[:5])
        more = f" and {len(filled) - 5} tables more" if len(filled) > 5 else ""
        raise MigrationError(
            f"the target holds rows that this run did not load ({shown}{more})",
            "See whose they are; move them away, or empty the tables when nobody needs them",
            {"rows": filled},
        )


def _prepare(order: Transfer, say: Progress) -> Prepared:
    begun = time.monotonic()

    def counted(table: str, done: int, total: int) -> None:
        left = (time.monotonic() - begun) / max(done, 1) * (total - done)
        line = f"prepare: {table}, {done:,} of {total:,} rows"
        say({"table": table, "rows": done, "of_rows": total, "seconds_left": round(left), "line": line})

    with contextlib.closing(open_source(order.source)) as source:
        return prepare_copy(source, order.plan, order.directory / "prepared.sqlite", counted)


def _load(
    order: Transfer, record: TargetRecord, prepared: Prepared, say: Progress
) -> tuple[float, Mapping[str, float], float]:
    """Run the engine, then prove that rows and schema are what they have to be.

    Returns:
        Seconds of the engine, its seconds per table, seconds of ANALYZE.
    """
    begun = time.monotonic()
    load = Load(
        prepared=prepared.path,
        tables=order.tables,
        schema=order.plan.schema,
        application_name=record.application_name,
        largest_row_bytes=prepared.largest_row_bytes,
        time_limit=order.time_limit,
        directory=order.directory,
    )
    with connect(order.target, APPLICATION_NAME) as connection:
        watcher = _Watcher(connection, order, sum(prepared.rows.values()), say)
        endpoint = endpoint_of(connection)
        with local_socket(endpoint, order.directory) as tunnel:
            seconds = run_pgloader(load, endpoint, tunnel, watcher.look)
    load_seconds = time.monotonic() - begun
    # A new connection: the load may have lasted longer than a firewall lets an idle one live.
    with connect(order.target, APPLICATION_NAME) as connection:
        say({"line": "load: counting rows, comparing the catalog"})
        _assert_loaded(connection, order, prepared)
        begun = time.monotonic()
        say({"line": "load: ANALYZE"})
        names = sql.SQL(", ").join(sql.Identifier(order.plan.schema, table) for table in order.tables)
        connection.execute("SET statement_timeout = 0")
        connection.execute(sql.SQL("ANALYZE {}").format(names))
        analyze_seconds = time.monotonic() - begun
        record.loaded(target_fingerprint(connection, order.plan.schema, order.tables)).write(order.record)
    return load_seconds, seconds, analyze_seconds


def _assert_loaded(connection: Connection, order: Transfer, prepared: Prepared) -> None:
    counts = row_counts(connection, order.plan.schema, order.tables)
    if wrong := [table for table in order.tables if counts[table] != prepared.rows[table]]:
        shown = ", ".join(f"{table} {counts[table]:,} of {prepared.rows[table]:,}" for table in wrong[:5])
        raise MigrationError(
            f"{order.engine} ended without a fault, and rows are missing: {shown}",
            "Run again; when it happens again, report it with the engine's version",
            {"loaded": counts, "expected": dict(prepared.rows)},
        )
    found = snapshot(connection, order.plan.schema).description
    if changed := difference(order.plan.catalog.description, found):
        raise MigrationError(
            f"{order.engine} ended without a fault, and has left another schema: {'; '.join(changed[:5])}",
            "Run again; when it happens again, report it with the engine's version",
            {"differences": changed},
        )


def _take_back(order: Transfer, record: TargetRecord, error: BaseException) -> None:
    """Leave the target as it was; when that fails, say it with the error that was there before."""
    try:
        restore_target(order.target, record)
    except MigrationError as second:
        fact = error.fact if isinstance(error, MigrationError) else f"the load was interrupted ({type(error).__name__})"
        details = error.details if isinstance(error, MigrationError) else {}
        raise MigrationError(
            f"{fact}. The target is not empty and whole: {second.fact}", second.mend, details
        ) from None


class _Watcher:
    """Says how far the load is, by what the server knows of the tables."""

    def __init__(self, connection: Connection, order: Transfer, total: int, say: Progress) -> None:
        self._connection = connection
        self._given = {"schema": order.plan.schema, "tables": order.tables}
        self._total = total
        self._say = say
        self._begun = time.monotonic()
        self._before = self._rows()
        self._most = 0

    def look(self) -> None:
        """Ask and say; a server that does not answer is the load's to report."""
        with contextlib.suppress(psycopg.Error):
            # Rows of a batch that is written again count twice, and statistics come late: never back, never beyond.
            self._most = min(max(self._most, self._rows() - self._before), self._total)
        passed = time.monotonic() - self._begun
        said: dict[str, object] = {"rows": self._most, "of_rows": self._total}
        if 0 < self._most < self._total:
            said["seconds_left"] = round(passed / self._most * (self._total - self._most))
        self._say({**said, "line": f"load: {self._most:,} of {self._total:,} rows"})

    def _rows(self) -> int:
        found = self._connection.execute(_ROWS_SO_FAR, self._given).fetchone()
        return int(str(found[0])) if found else 0
