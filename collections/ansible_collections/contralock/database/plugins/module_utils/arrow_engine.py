"""The engine ``arrow``: columns from SQLite to binary COPY by several workers, keys and indexes after the rows.

Large tables are cut into parts; the largest table's come first. When all rows of a table are there, its indexes are
built, while others still load; when all indexes are there, the foreign keys are added and proven. So PostgreSQL itself
holds every row against every constraint. What the guard refuses is found again by an examination of the whole source,
which says it in the words of every other verb; what PostgreSQL refuses, too (``refused_load.py``).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable
from functools import partial

import psycopg
import pyarrow as pa

from .arrow_copy import Copied, Part, UnfitError, copy_part
from .columnar_reader import split_rows
from .connection import Connection, connect
from .deferred_objects import Deferred, built, find_deferred, proven, put_back, referring, take_away
from .findings import RuleCount
from .load_faults import load_failure, server_fault
from .plan import Plan
from .refused_load import examine_source
from .refused_rows import RefusedRows
from .rules_applied import rule_name
from .session_crew import SessionCrew, StoppedError, doing
from .source_file import open_source
from .source_watch import written_meanwhile
from .target_restore import TargetRecord
from .transfer_order import APPLICATION_NAME, Engine, Loader, Outcome, Pace, Progress, TableReport, Transfer

#: Of each session. A server that has lost its client shall notice; names in the catalog's words are whole, and an index
#: without a tablespace is the database's own. The sessions build indexes beside one another: with helpers of each the
#: server's CPU time was a fifth longer.
SETTINGS = {
    "search_path": "",
    "default_tablespace": "",
    "client_connection_check_interval": "2s",
    "maintenance_work_mem": "128MB",
    "max_parallel_maintenance_workers": "0",
}


def _version(_order: Transfer) -> str:
    return str(pa.__version__)


def _assert_ready(_connection: Connection, _order: Transfer) -> None:
    """Refuse nothing: this engine spells every name."""


def _prepare(order: Transfer, say: Progress, holds_rows: bool) -> Loader:
    """Examine first where rows would go that are there, which a load that fails could not bring back.

    And where the server would not examine: it never looks at rows for a constraint that is not valid.
    """
    if holds_rows or any(not each.validated for each in order.plan.catalog.constraints):
        examine_source(order, say).raise_unless_ready()
    return partial(_load, order)


def _load(order: Transfer, record: TargetRecord, say: Progress) -> Outcome:
    begun = time.monotonic()
    with contextlib.closing(open_source(order.source)) as source:
        try:
            with connect(order.target, APPLICATION_NAME) as connection:
                deferred = find_deferred(connection, order.plan.catalog, order.tables)
                take_away(connection, deferred)
            with SessionCrew(order.target, record.application_name, SETTINGS, order.workers) as crew:
                loading = _Loading(order, crew, deferred, say)
                loading.run(_parts(source, order.plan))
        except UnfitError:
            examine_source(order, say).raise_unless_ready()
            raise written_meanwhile("loaded") from None
        except psycopg.Error as error:
            rows = RefusedRows(order.plan.catalog, order.plan.sensitive)
            raise load_failure("the server refused the load", [server_fault(error, rows)]) from None
    return loading.outcome(time.monotonic() - begun)


def _parts(source: sqlite3.Connection, plan: Plan) -> list[Part]:
    """Return the parts of all tables, those of the largest table first."""
    tables = sorted(plan.tables, key=lambda table: -table.source.rows)
    return [Part(table, rows) for table in tables for rows in split_rows(source, table.source)]


class _Loading:
    """All jobs of a load, each given to the crew when those before it are done."""

    def __init__(self, order: Transfer, crew: SessionCrew, deferred: Deferred, say: Progress) -> None:
        self._order = order
        self._crew = crew
        self._deferred = deferred
        self._say = say
        self._copied: dict[str, list[Copied]] = {name: [] for name in order.tables}
        self._parts_left = dict.fromkeys(order.tables, 0)
        self._indexes_left = {name: len(deferred.indexes_of(name)) for name in order.tables}
        self._tables_left = len(order.tables)
        self._pace = Pace(order.source_rows)
        self._finishing = _Finishing(len(deferred.indexes) + len(deferred.foreign_keys))
        self._rows = 0
        self._lock = threading.Lock()

    def run(self, parts: Iterable[Part]) -> None:
        """Do everything, or raise what went wrong first."""
        for part in parts:
            self._parts_left[part.table.target] += 1
            self._crew.submit(partial(self._copy, part), self._part_is_there)
        self._tick()
        if not self._crew.work(self._tick, self._order.time_limit):
            limit = self._order.time_limit
            raise load_failure(f"arrow was ended: it reached its time limit of {limit:g} s", [], "Raise the limit")

    def outcome(self, seconds: float) -> Outcome:
        """Return what was loaded."""
        tables = {
            name: TableReport(
                rows=sum(each.rows for each in copied),
                bytes=sum(each.bytes for each in copied),
                prepare_seconds=0.0,
                load_seconds=round(sum(each.seconds for each in copied), 3),
            )
            for name, copied in self._copied.items()
        }
        return Outcome(tables, tuple(self._rule_counts()), 0.0, seconds)

    def _rule_counts(self) -> Iterable[RuleCount]:
        """Yield the sums of all parts, in the plan's order whichever part was first."""
        for table in self._order.plan.tables:
            found = [each for copied in self._copied[table.target] for each in copied.rule_counts]
            for column in table.columns:
                for rule in dict.fromkeys(map(rule_name, column.rules)):
                    place = (column.target.name, rule)
                    if count := sum(each.count for each in found if (each.column, each.rule) == place):
                        yield RuleCount(table.target, *place, count)

    def _copy(self, part: Part, connection: Connection) -> Copied:
        order = self._order
        return copy_part(connection, order.source, order.plan.schema, part, self._count)

    def _count(self, rows: int) -> None:
        if self._crew.stopping.is_set():
            raise StoppedError
        with self._lock:
            self._rows += rows

    def _part_is_there(self, copied: Copied) -> None:
        table = copied.part.table.target
        self._copied[table].append(copied)
        self._parts_left[table] -= 1
        if self._parts_left[table]:
            return
        for index in self._deferred.indexes_of(table):
            self._crew.submit(doing([built(index)]), partial(self._index_is_there, table))
        if not self._indexes_left[table]:
            self._table_is_whole(table)

    def _index_is_there(self, table: str, _: None) -> None:
        self._finishing.count(1)
        self._indexes_left[table] -= 1
        if not self._indexes_left[table]:
            self._table_is_whole(table)

    def _table_is_whole(self, table: str) -> None:
        keys = [put_back(key) for key in self._deferred.keys_of(table)]
        self._crew.submit(doing(keys), self._keys_are_there)

    def _keys_are_there(self, _: None) -> None:
        self._tables_left -= 1
        if not self._tables_left and self._deferred.foreign_keys:
            # One after the other: each takes a lock on two tables, and two of them would wait for one another.
            statements = [referring(each, self._order.plan.catalog) for each in self._deferred.foreign_keys]
            self._crew.submit(doing(statements), self._references_are_there)

    def _references_are_there(self, _: None) -> None:
        for each in self._deferred.references_of().values():
            valid = [proven(reference) for reference in each if reference.validated]
            self._crew.submit(doing(valid), partial(self._references_are_proven, len(each)))

    def _references_are_proven(self, number: int, _: None) -> None:
        self._finishing.count(number)

    def _tick(self) -> None:
        if any(self._parts_left.values()):
            self._say(self._pace.said("load", self._rows))
        else:
            self._say(self._finishing.said())


class _Finishing:
    """How far keys and indexes are, in the words of a progress."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._before = 0
        self._begun: float | None = None

    def count(self, number: int) -> None:
        """Count what is done."""
        self._done += number

    def said(self) -> dict[str, object]:
        """Return what to say; the time left is told by what was done since this was asked first."""
        if self._begun is None:
            self._begun, self._before = time.monotonic(), self._done
        said: dict[str, object] = {"line": f"load: keys and indexes, {self._done:,} of {self._total:,}"}
        if done := self._done - self._before:
            passed = time.monotonic() - self._begun
            said["seconds_left"] = round(passed / done * (self._total - self._done))
        return said


ARROW = Engine(_version, _assert_ready, _prepare)
