"""The engine ``pgloader``: a prepared copy in PostgreSQL's words, and a subprocess that loads it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from functools import partial

import psycopg

from .connection import Connection, connect, settings_of
from .durable_files import assert_room
from .errors import MigrationError
from .load_mark import set_mark
from .pgloader import (
    LARGEST_ROW_BYTES,
    STUCK,
    Load,
    StuckError,
    assert_speakable,
    assert_version,
    run_pgloader,
    unspeakable,
)
from .plan import Plan
from .prepared_copy import Prepared, prepare_copy
from .refused_rows import RefusedRows
from .source_file import open_source
from .stunnel import assert_short, endpoint_of, local_socket
from .target_restore import TargetRecord, restore_target
from .transfer_order import APPLICATION_NAME, Engine, Loader, Outcome, Pace, Progress, TableReport, Transfer

#: Of the prepared copy to the source: whole numbers and times become text, indexes and free pages stay behind.
ROOM_FACTOR = 1.5

# Rows that are still on their way are in no table's statistics yet.
_SO_FAR = """
SELECT coalesce((SELECT sum(n_tup_ins) FROM pg_stat_user_tables
                  WHERE schemaname = %(schema)s AND relname = ANY (%(tables)s)), 0)
     + coalesce((SELECT sum(tuples_processed) FROM pg_stat_progress_copy WHERE datname = current_database()), 0),
       (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = %(name)s
           AND (state IS DISTINCT FROM 'idle' OR state_change > now() - make_interval(secs => %(patience)s)))"""
#: How long, and in how many looks, pgloader may have no session at work or the server no answer; a session that has
#: done nothing for so long is none. Measured: half a second.
LOST_SECONDS = 30.0
LOST_LOOKS = 5
#: So many times longer before its first session was seen: it reads the copy's schema meanwhile.
FIRST_FACTOR = 4
#: How often it is tried. Its readers and writers share a few threads; where readers have taken all of them, and the
#: queues to their writers are full, nothing goes on. Which thread takes what is a race: seen once in some thousand
#: loads, at the first tables (pgloader 3.6.7, src/load/copy-data.lisp).
TRIES = 3


def _version(order: Transfer) -> str:
    assert_short(order.directory / ".s.PGSQL.5432")
    return assert_version(order.accepted_versions)


def _assert_ready(connection: Connection, order: Transfer) -> None:
    """Refuse names and a password that pgloader cannot spell, and a server that talks before it can be told."""
    if refusal := unspeakable_names(order.plan):
        raise refusal
    found = connection.execute("SELECT reset_val FROM pg_settings WHERE name = 'client_min_messages'").fetchone()
    prescribed = str(found[0]) if found else ""
    if prescribed.startswith(("debug", "log")):
        raise MigrationError(
            f"the server, the database or the role prescribes client_min_messages = {prescribed}, and pgloader takes"
            " each such message for a fault",
            "Take that back (ALTER ROLE or ALTER DATABASE ... RESET client_min_messages), or take the engine arrow",
        )
    assert_speakable(endpoint_of(connection))


def unspeakable_names(plan: Plan) -> MigrationError | None:
    """Return the refusal of a plan's names that pgloader would misread; None where there is none."""
    return unspeakable(
        plan.schema, {table.target: [each.target.name for each in table.columns] for table in plan.tables}
    )


def _prepare(order: Transfer, say: Progress, _holds_rows: bool) -> Loader:
    """Write the prepared copy, unless something of the source does not fit."""
    assert_room(order.scratch, int(order.source.stat().st_size * ROOM_FACTOR), f"the prepared copy of {order.source}")
    pace = Pace(order.source_rows)
    with contextlib.closing(open_source(order.source)) as source:
        prepared = prepare_copy(
            source,
            order.plan,
            order.directory / "prepared.sqlite",
            lambda table, done, _: say(pace.said("prepare", done, table)),
        )
    prepared.assert_rows_up_to(LARGEST_ROW_BYTES, order.engine)
    return partial(_load, order, prepared)


def _load(order: Transfer, prepared: Prepared, record: TargetRecord, say: Progress) -> Outcome:
    begun = time.monotonic()
    total = sum(prepared.rows.values())
    with contextlib.closing(_Watcher(order, record.application_name, total, say)) as watcher:
        endpoint = endpoint_of(watcher.connection)
        load = Load(
            prepared=prepared.path,
            tables=order.tables,
            schema=order.plan.schema,
            application_name=record.application_name,
            settings=settings_of(watcher.connection),
            largest_row_bytes=prepared.largest_row_bytes,
            time_limit=order.time_limit,
            directory=order.directory,
            rows=RefusedRows(order.plan.catalog, order.plan.sensitive),
        )
        with local_socket(endpoint, order.directory) as tunnel:
            for number in range(1, TRIES + 1):
                directory = order.directory / f"try-{number}"
                directory.mkdir(mode=0o700)
                try:
                    seconds = run_pgloader(replace(load, directory=directory), endpoint, tunnel, watcher.look)
                    break
                except StuckError as error:
                    if number == TRIES:
                        raise
                    say({"line": f"load: {error.fact}; it is taken back, and begun anew"})
                    _begin_anew(order, record)
                    watcher.begin()
    tables = {
        name: TableReport(each.rows, each.bytes, round(each.seconds, 3), seconds.get(name))
        for name, each in prepared.tables.items()
    }
    return Outcome(tables, prepared.rule_counts, prepared.seconds, time.monotonic() - begun)


def _begin_anew(order: Transfer, record: TargetRecord) -> None:
    """Leave the target as it was before the load that got stuck."""
    restore_target(order.target, record)
    with connect(order.target, APPLICATION_NAME) as connection:
        set_mark(connection, record.mark, order.record.parent)


class _Watcher:
    """Says how far the load is, and when it cannot go on, by what the server knows of the tables and the sessions.

    pgloader's threads wait for one another: for ever, when some have lost the server, or have failed at the wrong
    moment (its "COPY INIT ERROR"; another thread's session may stay, idle). So the server is asked whether they still
    have a session at work there. They have one while a table is copied or a key is made, however long that takes, and
    none for moments: between two tables, and, a little longer, before they begin.
    """

    def __init__(self, order: Transfer, application_name: str, total: int, say: Progress) -> None:
        self.connection = connect(order.target, APPLICATION_NAME)
        self._target = order.target
        self._given = {"schema": order.plan.schema, "tables": order.tables, "name": application_name}
        self._total = total
        self._say = say
        self._pace = Pace(total)
        self.begin()

    def begin(self) -> None:
        """Watch a load from its beginning."""
        self._before = self._asked()[0]
        self._most = 0
        self._seen = False
        self._lost = 0
        self._lost_since = 0.0

    def look(self) -> str:
        """Ask and say; return why the load cannot go on, otherwise nothing."""
        trouble = ""
        try:
            if self.connection.closed:
                self.connection = connect(self._target, APPLICATION_NAME)
            rows, sessions = self._asked()
        except (psycopg.Error, MigrationError):
            trouble = "the server does not answer"
        else:
            # Rows of a batch that is written again count twice, and statistics come late: never back, never beyond.
            self._most = min(max(self._most, rows - self._before), self._total)
            self._seen = self._seen or sessions > 0
            if not sessions:
                trouble = STUCK
        self._say(self._pace.said("load", self._most))
        return trouble if self._lasts(trouble) else ""

    def close(self) -> None:
        """End the session."""
        self.connection.close()

    def _lasts(self, trouble: str) -> bool:
        """Tell whether there has been trouble for long: some looks, too, should the whole host have stood still."""
        if not trouble or not self._lost:
            self._lost_since = time.monotonic()
        self._lost = self._lost + 1 if trouble else 0
        patience = LOST_SECONDS if self._seen else LOST_SECONDS * FIRST_FACTOR
        return self._lost >= LOST_LOOKS and time.monotonic() - self._lost_since >= patience

    def _asked(self) -> tuple[int, int]:
        """Return the rows that were written, and pgloader's sessions at work."""
        found = self.connection.execute(_SO_FAR, {**self._given, "patience": LOST_SECONDS}).fetchone()
        return (int(str(found[0])), int(str(found[1]))) if found else (0, 0)


PGLOADER = Engine(_version, _assert_ready, _prepare, ROOM_FACTOR)
