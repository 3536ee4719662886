"""The target as it stood before a load: kept in a file, and brought back after whatever happened.

A load goes into the final tables, and pgloader drops their foreign keys for the time being. So what stood there before
is written down before the first row, and anybody who has that file can end the load's sessions, empty the tables and
put keys, indexes and constraints back, even when the process that loaded was killed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from .catalog import SPELLING, Catalog, Column, Constraint, EnumType, Index, OtherObject, Table, difference, snapshot
from .connection import Connection, connect, set_locally, written
from .deferred_objects import FOREIGN_KEY, added, built, dropped, dropped_index, key_added
from .errors import MigrationError
from .journal import write_whole
from .load_mark import ANEW, clear_mark, is_marked
from .run_step import counted
from .stunnel import endpoint_of
from .target_state import (
    LOCK_WAIT_MILLISECONDS,
    assert_writable,
    empty_tables,
    end_backends,
    lock_tables,
    row_counts,
    target_fingerprint,
)

APPLICATION_NAME = "contralock restore_target"
LOADING, LOADED = "loading", "loaded"

#: What a Catalog consists of, by its field.
_KINDS: Mapping[str, type[Any]] = {
    "tables": Table,
    "columns": Column,
    "constraints": Constraint,
    "indexes": Index,
    "enums": EnumType,
    "others": OtherObject,
}
# Only who may write can lose rows: a monitoring role that is always there is no reason to refuse.
_OTHER_SESSIONS = """
SELECT DISTINCT a.usename::text
  FROM pg_stat_activity a
  JOIN pg_namespace n ON n.nspname = %(schema)s
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = ANY (%(tables)s)
 WHERE a.datname = current_database() AND a.usename <> current_user
   AND has_table_privilege(a.usesysid, c.oid, 'INSERT, UPDATE, DELETE')
   AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = a.usesysid)
 ORDER BY 1"""


@dataclass(frozen=True)
class TargetRecord:
    """What a load found, and whose rows the target holds since.

    Attributes:
        database: The database's OID: one that was dropped and made again is another one.
        label: Who loads; the run's id, where there is a run.
        tables: The tables that are loaded.
        application_name: How the load's sessions show themselves.
        catalog: The schema before the load.
        mark: What the load leaves in the target until it has ended; see ``load_mark.py``.
        state: ``loading``, or ``loaded`` once counted and compared.
        fingerprints: Table to fingerprint right after the load; empty before.
    """

    database: int
    label: str
    tables: tuple[str, ...]
    application_name: str
    catalog: Catalog = field(repr=False)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = LOADING
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What ``read`` reads."""
        return json.dumps({"version": 1, **asdict(self)}) + "\n"

    def write(self, file: Path) -> None:
        """Write it whole or not at all, and through to the disk.

        Raises:
            MigrationError: It cannot be written.
        """
        write_whole(file, self.text)

    @classmethod
    def read(cls, file: Path) -> TargetRecord | None:
        """Return what was written; None when nothing was.

        Raises:
            MigrationError: The file is no such record.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            catalog = content["catalog"]
            kinds = {name: tuple(kind(**each) for each in catalog[name]) for name, kind in _KINDS.items()}
            return cls(
                database=int(content["database"]),
                label=content["label"],
                tables=tuple(content["tables"]),
                application_name=content["application_name"],
                catalog=Catalog(schema=catalog["schema"], owner=catalog["owner"], **kinds),
                mark=content.get("mark", ""),
                state=content["state"],
                fingerprints=content["fingerprints"],
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise MigrationError(
                f"{file} is no record of a target ({type(error).__name__})",
                "See that the target is empty and its schema whole (apply_schema.py), then remove the file",
            ) from None

    def loaded(self, fingerprints: Mapping[str, str]) -> TargetRecord:
        """Return the record of the finished load."""
        return replace(self, state=LOADED, fingerprints=dict(fingerprints))


@dataclass(frozen=True)
class Restored:
    """What bringing the target back took.

    Attributes:
        sessions: How many of the load's sessions were still there.
        rows: Table to the rows that were taken out; tables without any are left out.
        objects: What was put back or taken away of the schema, as ``catalog.difference`` words it.
    """

    sessions: int
    rows: Mapping[str, int]
    objects: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return bool(self.sessions or self.rows or self.objects)


def together(*parts: Restored | None) -> Restored | None:
    """Return several as one; None where there is none."""
    there = [each for each in parts if each]
    rows: dict[str, int] = {}
    for table, number in chain.from_iterable(each.rows.items() for each in there):
        rows[table] = rows.get(table, 0) + number
    objects = tuple(chain.from_iterable(each.objects for each in there))
    return Restored(sum(each.sessions for each in there), rows, objects) if there else None


def database_oid(connection: Connection) -> int:
    """Return what tells this database from one of the same name that was dropped before."""
    found = connection.execute("SELECT oid::bigint FROM pg_database WHERE datname = current_database()").fetchone()
    return int(str(found[0])) if found else 0


def record_file(connection: Connection, directory: Path) -> Path:
    """Return where the record of this target is kept: one for each target, whatever run loads it."""
    endpoint = endpoint_of(connection)
    named = f"{endpoint.host}\0{endpoint.port}\0{endpoint.dbname}"
    return directory / f"target-{hashlib.sha256(named.encode()).hexdigest()[:16]}.json"


def standing_record(connection: Connection, file: Path) -> TargetRecord | None:
    """Return the record of a load, unless it is about a database that was dropped since.

    Nor that of a load which never ended, unless the target has its mark: it has put no row there, it was taken back, or
    another one has begun since, whose rows are not ours.

    Raises:
        MigrationError: See ``TargetRecord.read``.
    """
    record = TargetRecord.read(file)
    if record is None or record.database != database_oid(connection):
        return None
    return record if record.state == LOADED or is_marked(connection, record.mark) else None


def own_mark(connection: Connection, file: Path) -> str:
    """Return the mark of the load that the record tells of; empty where there is none that counts."""
    record = standing_record(connection, file)
    return record.mark if record else ""


def clear_earlier(target: str, file: Path, *, discard: bool = False, unfinished: bool = False) -> Restored | None:
    """Take back what an earlier load has left, if its record is there; the record goes then.

    Args:
        target: libpq connection string of the owner.
        file: The record.
        discard: See ``restore_target``.
        unfinished: Only a load that never ended; the rows of one that did stay, with their record.

    Returns:
        What it took; None when there was no record that counts (``standing_record``).

    Raises:
        MigrationError: See ``restore_target`` and ``TargetRecord.read``.
    """
    if TargetRecord.read(file) is None:
        return None
    with connect(target, APPLICATION_NAME) as connection:
        record = standing_record(connection, file)
    if record and unfinished and record.state == LOADED:
        return None
    restored = restore_target(target, record, discard=discard) if record else None
    file.unlink()
    return restored


def restore_target(target: str, record: TargetRecord, *, discard: bool = False) -> Restored:
    """Leave the target empty and whole, as it was before the load. Done twice, the second time changes nothing.

    After a finished load the schema was whole; what others have made of it since is theirs, and stays. So does all that
    is there when the mark of an unfinished one is not.

    Args:
        target: libpq connection string of the owner.
        record: What stood there before.
        discard: Empty the tables even when the load was finished and rows have changed since, or others are connected.

    Raises:
        MigrationError: The rows are not the load's alone, a session holds a table, the schema is not what it was and
            cannot be made so, or the server does not answer.
    """
    with connect(target, APPLICATION_NAME) as connection:
        try:
            if record.state != LOADED and not is_marked(connection, record.mark):
                if rows := _rows(connection, record):
                    raise rows_of_others(rows)
                return Restored(0, {}, ())
            sessions = end_backends(connection, record.application_name)
            rows = _rows(connection, record)
            if record.state == LOADED:
                if rows:
                    assert_writable(connection)
                    _empty_loaded(connection, record, discard=discard)
                objects: tuple[str, ...] = ()
            else:
                # The rows of half a load are no reason to keep a database from being written, they may be its cause.
                connection.execute("SET default_transaction_read_only TO off")
                objects = _restore(connection, record, empty=bool(rows))
            clear_mark(connection, record.mark)
            return Restored(sessions, rows, objects)
        except psycopg.Error as error:
            words = " ".join(str(error).split())
            # Class 42: something is missing that was there.
            gone = (error.sqlstate or "").startswith("42")
            raise MigrationError(
                f"the target could not be emptied and made whole: {words}",
                f"Put back by hand what is missing; or {ANEW}"
                if gone
                else "Run again when the server is up; until then the target may hold a part of the rows",
            ) from None


def rows_of_others(rows: Mapping[str, int]) -> MigrationError:
    """Return the refusal of rows that no load of ours has put there; table to their number."""
    shown = ", ".join(f"{table} {number:,}" for table, number in list(rows.items())[:5])
    more = f" and {counted(len(rows) - 5, 'table')} more" if len(rows) > 5 else ""
    return MigrationError(
        f"the target holds rows that this run did not load ({shown}{more})",
        "See whose they are; move them away, or empty the tables when nobody needs them",
        {"rows": dict(rows)},
    )


def _rows(connection: Connection, record: TargetRecord) -> dict[str, int]:
    there = {table.name for table in snapshot(connection, record.catalog.schema).tables}
    counts = row_counts(connection, record.catalog.schema, [table for table in record.tables if table in there])
    return {table: rows for table, rows in counts.items() if rows}


def assert_untouched(connection: Connection, record: TargetRecord) -> None:
    """Refuse when the rows are not the load's alone any more, or others are connected that may write.

    Raises:
        MigrationError: Names the tables, or the roles.
    """
    given = {"schema": record.catalog.schema, "tables": list(record.tables)}
    others = [str(role) for (role,) in connection.execute(_OTHER_SESSIONS, given)]
    now = target_fingerprint(connection, record.catalog.schema, record.tables)
    changed = [table for table in record.tables if now[table] != record.fingerprints.get(table)]
    if changed:
        raise MigrationError(
            f"rows have changed in the target since they were loaded ({', '.join(changed)}): they would be lost",
            "Look at these rows first; when they may go, say so with discard_rows",
        )
    if others:
        raise MigrationError(
            f"other roles are connected to the target ({', '.join(others)}): what they write now would be lost",
            "Stop the application and end these sessions; when their rows may go, say so with discard_rows",
        )


def _empty_loaded(connection: Connection, record: TargetRecord, *, discard: bool) -> None:
    """Empty the tables of a finished load; nobody writes between the look at their rows and that."""
    with connection.transaction():
        lock_tables(connection, record.catalog.schema, record.tables)
        if not discard:
            assert_untouched(connection, record)
        empty_tables(connection, record.catalog.schema, record.tables)


def _restore(connection: Connection, record: TargetRecord, *, empty: bool) -> tuple[str, ...]:
    before = record.catalog
    found = difference(before.description, snapshot(connection, before.schema).description)
    if not (found or empty):
        return ()
    with connection.transaction():
        settings = {"lock_timeout": f"{LOCK_WAIT_MILLISECONDS}ms", "default_tablespace": ""}
        set_locally(connection, {**SPELLING, **settings})
        there = snapshot(connection, before.schema)
        if empty:
            known = {table.name for table in there.tables}
            empty_tables(connection, before.schema, [table for table in record.tables if table in known])
        for statement in _repairs(before, there):
            connection.execute(statement)
    if left := difference(before.description, snapshot(connection, before.schema).description):
        raise MigrationError(
            f"the target's schema is not what it was before the load: {'; '.join(left[:5])}",
            f"Undo that by hand; or {ANEW}",
            {"differences": left},
        )
    return tuple(found)


def _repairs(before: Catalog, now: Catalog) -> Iterator[sql.Composed]:
    """Yield what turns the one schema into the other, as far as a load could have changed it."""
    wanted, found = before.description, now.description

    def gone(each: Constraint | Index) -> bool:
        return found.get(each.object) != wanted[each.object]

    def unwanted(each: Constraint | Index) -> bool:
        return wanted.get(each.object) != found[each.object]

    for constraint in _foreign_keys_first(each for each in now.constraints if unwanted(each)):
        yield dropped(constraint)
    for index in now.indexes:
        # An index without its constraint goes too: a load was killed between the two.
        if not _of_constraint(index, now) and (unwanted(index) or _of_constraint(index, before)):
            yield dropped_index(index)
    yield from _column_repairs(before, now)
    missing = [each for each in before.constraints if gone(each)]
    for constraint in missing:
        if constraint.kind != FOREIGN_KEY:
            yield from key_added(constraint, before)
    for index in before.indexes:
        if gone(index) and not _of_constraint(index, before):
            yield built(index)
    yield from (added(each) for each in missing if each.kind == FOREIGN_KEY)


def _foreign_keys_first(constraints: Iterator[Constraint]) -> Sequence[Constraint]:
    """Put foreign keys first: they rest on the others."""
    return sorted(constraints, key=lambda each: each.kind != FOREIGN_KEY)


def _of_constraint(index: Index, catalog: Catalog) -> bool:
    """Tell whether the index comes and goes with a constraint, whose name it then has."""
    return any(
        (each.table, each.name) == (index.table, index.name) and each.kind in ("primary key", "unique", "exclusion")
        for each in catalog.constraints
    )


def _column_repairs(before: Catalog, now: Catalog) -> Iterator[sql.Composed]:
    there = {each.object: each for each in now.columns}
    for column in before.columns:
        found = there.get(column.object)
        if found is None or found.generated or column.generated:
            continue
        alter = sql.SQL("ALTER TABLE {} ALTER COLUMN {} {}")
        table, name = sql.Identifier(column.schema, column.table), sql.Identifier(column.name)
        if found.not_null != column.not_null:
            yield alter.format(table, name, sql.SQL("SET NOT NULL" if column.not_null else "DROP NOT NULL"))
        if found.default != column.default:
            text = "DROP DEFAULT" if column.default is None else f"SET DEFAULT {column.default}"
            yield alter.format(table, name, written(text))
