"""What a transfer is given and what it answers: the words that ``transfer.py`` and its engines share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .connection import Connection
from .findings import RuleCount
from .load_directory import DIRECTORY
from .pgloader import TESTED_VERSIONS
from .plan import Plan
from .run_step import counted, spoken_seconds
from .target_restore import Restored, TargetRecord

APPLICATION_NAME = "contralock data_transfer"
#: The load's own sessions; PostgreSQL cuts an application_name after 63 bytes.
LOAD_NAME = "contralock load {}"
TIME_LIMIT_SECONDS = 4 * 3600.0
WORKERS = 2

#: What goes before it (connections, the first batches) is no measure of a rate.
SURE_SECONDS = 3.0

#: Called with ``table``, ``rows``, ``of_rows``, ``rows_per_second``, ``seconds_left`` and ``line``.
Progress = Callable[[Mapping[str, Any]], None]


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
        given_up: Whether the rows of the load that the record tells of may go, even if they have changed since.
        time_limit: Seconds that the engine may take.
        engine: ``pgloader`` or ``arrow``.
        accepted_versions: Of pgloader.
        workers: Threads of the engine ``arrow``, each with a session of its own.
    """

    source: Path
    target: str
    plan: Plan
    scratch: Path
    record: Path
    label: str
    discard_rows: bool = False
    given_up: bool = False
    time_limit: float = TIME_LIMIT_SECONDS
    engine: str = "pgloader"
    accepted_versions: tuple[str, ...] = TESTED_VERSIONS
    workers: int = WORKERS

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

    @property
    def source_rows(self) -> int:
        """All rows of the source that are carried, as they were counted for the plan."""
        return sum(table.source.rows for table in self.plan.tables)


@dataclass(frozen=True)
class TableReport:
    """One table.

    Attributes:
        rows: Rows read, which are the rows loaded.
        bytes: Bytes of its values, as the engine sends them.
        prepare_seconds: How long its part of the prepared copy took; 0 without one.
        load_seconds: How long its rows took, all workers taken together; None when the engine did not say.
    """

    rows: int
    bytes: int
    prepare_seconds: float
    load_seconds: float | None


@dataclass(frozen=True)
class Outcome:
    """What an engine says that it did; ``transfer`` counts and compares by itself.

    Attributes:
        tables: Target table to its report; all tables of the plan, empty ones included.
        rule_counts: What the profile's rules changed.
        prepare_seconds: How long it took before the first row went to the server.
        load_seconds: How long the load itself took, its keys and indexes included.
    """

    tables: Mapping[str, TableReport]
    rule_counts: tuple[RuleCount, ...]
    prepare_seconds: float
    load_seconds: float


@dataclass(frozen=True)
class TransferReport:
    """What was loaded, counted and found whole.

    Attributes:
        tables: Target table to its report.
        rule_counts: What the profile's rules changed.
        engine: What loaded, and ``engine_version``, what it says of itself.
        prepare_seconds: How long the prepared copy took; 0 without one.
        load_seconds: How long the engine took.
        verify_seconds: How long counting, the catalog's comparison, the sequences and the fingerprints took.
        analyze_seconds: How long ANALYZE took.
        sequences: Sequence to the value that its next one comes after; None where the next one is its first.
        versions: Of the server and of what read and wrote.
        restored_before: What making room took, if an earlier load or rows of others were there.
    """

    tables: Mapping[str, TableReport]
    rule_counts: tuple[RuleCount, ...]
    engine: str
    engine_version: str
    prepare_seconds: float
    load_seconds: float
    analyze_seconds: float
    verify_seconds: float = 0.0
    sequences: Mapping[str, int | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    restored_before: Restored | None = field(default=None)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(table.rows for table in self.tables.values())

    @property
    def earlier_rows(self) -> int:
        """Rows that stood in the target and were taken out."""
        return sum(self.restored_before.rows.values()) if self.restored_before else 0

    @property
    def bytes(self) -> int:
        """Bytes of all values, as the engine sent them."""
        return sum(table.bytes for table in self.tables.values())

    @property
    def rows_per_second(self) -> float:
        """Rows by the seconds that preparing and loading took."""
        return round(self.rows / max(self.prepare_seconds + self.load_seconds, 0.001), 1)


#: Loads, once what stood in the target is recorded.
Loader = Callable[[TargetRecord, Progress], Outcome]


@dataclass(frozen=True)
class Engine:
    """What can load.

    Attributes:
        version: Returns what it says of itself; raises MigrationError when it is missing or was never tried.
        assert_ready: Raises MigrationError for a target or a plan that it cannot load.
        prepare: Does what can be done before the target is touched, and returns what loads. When it is told that the
            target holds rows that would go, it judges the whole source first.
        room_factor: Its own files to the source, in bytes.
    """

    version: Callable[[Transfer], str]
    assert_ready: Callable[[Connection, Transfer], None]
    prepare: Callable[[Transfer, Progress, bool], Loader]
    room_factor: float = 0.0


class Pace:
    """How fast rows go, in the words of a progress; of the time left it says nothing before it can know.

    Args:
        total: How many there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._begun = time.monotonic()

    def said(self, verb: str, rows: int, table: str | None = None) -> dict[str, object]:
        """Return what to say of rows that are done: their number, their rate and the seconds left."""
        passed = time.monotonic() - self._begun
        of_table = f"{table}, " if table else ""
        said: dict[str, object] = {"rows": rows, "of_rows": self._total}
        line = f"{verb}: {of_table}{rows:,} of {counted(self._total, 'row')}"
        if table:
            said["table"] = table
        if rows and passed > 0:
            rate = rows / passed
            line += f", {rate:,.0f} rows/s"
            said["rows_per_second"] = round(rate)
            left = max(self._total - rows, 0) / rate
            if left and passed >= SURE_SECONDS:
                said["seconds_left"] = round(left)
                line += f", {spoken_seconds(left)} left"
        return {**said, "line": line}
