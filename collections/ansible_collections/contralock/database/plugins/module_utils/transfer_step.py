"""The transfer as a step of a run: where its files are, whose rows the target holds, and what a check can say."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .catalog import Catalog, difference, snapshot
from .connection import Connection
from .errors import MigrationError
from .load_mark import one_load
from .pgloader import TESTED_VERSIONS
from .plan import Plan, make_plan
from .profile import Mapping as ProfileMapping
from .run_directory import RUN_ID, RunDirectory
from .source_file import open_source
from .source_schema import read_schema
from .target_restore import (
    LOADED,
    Restored,
    TargetRecord,
    assert_untouched,
    clear_earlier,
    record_file,
    restore_target,
    standing_record,
)
from .target_state import end_backends, row_counts
from .transfer import (
    ENGINES,
    TIME_LIMIT_SECONDS,
    WORKERS,
    Progress,
    Transfer,
    TransferReport,
    assert_numbers_left,
    assert_possible,
    assert_ready,
    remove_left_over,
    transfer,
)
from .transfer_order import LOAD_NAME
from .window_room import assert_room_for, needs_of_window


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        target: libpq connection string of the database's owner.
        mapping: The profile's.
        root: Directory of the runs, which keeps the record of each target (0700).
        label: The run's id, or another name for the load.
        schema: The target's schema.
        scratch: Directory for the load's files.
        discard_rows: Whether rows in the target may go, whoever loaded or changed them.
        time_limit: Seconds that the engine may take.
        engine: ``pgloader`` or ``arrow``.
        accepted_versions: Of pgloader.
        workers: Threads of the engine ``arrow``.
        whole_window: Whether a check asks for the room of a cut-over as a whole, backup and way back included.
    """

    target: str
    mapping: ProfileMapping
    root: Path
    label: str
    schema: str
    scratch: Path
    discard_rows: bool = False
    time_limit: float = TIME_LIMIT_SECONDS
    engine: str = "pgloader"
    accepted_versions: tuple[str, ...] = TESTED_VERSIONS
    workers: int = WORKERS
    whole_window: bool = False


@dataclass(frozen=True)
class Loaded:
    """A finished load, and the schema that it was held against."""

    report: TransferReport
    catalog: Mapping[str, str]


@dataclass(frozen=True)
class Prediction:
    """What a load would do: the source's rows, and the rows in the target that it would take out."""

    rows: int
    earlier_rows: int


def load(request: Request, source: Path, progress: Progress | None = None) -> Loaded:
    """Load everything; what an earlier load of ours has left is taken back, once it is known that it can be replaced.

    Raises:
        MigrationError: See ``transfer``; or the earlier load's rows have changed since and nobody gave them up.
    """
    with one_load(request.target) as connection:
        file = record_file(connection, request.root)
        clear_earlier(request.target, file, unfinished=True)
        # Nobody else loads now: sessions that do are a killed one's, whose record lies elsewhere.
        end_backends(connection, LOAD_NAME.format(""))
        # Only now: a killed load has left a schema without its foreign keys.
        catalog = snapshot(connection, request.schema)
        order = _order(request, source, file, catalog)
        return Loaded(transfer(order, progress), catalog.description)


def check(request: Request, source: Path) -> Prediction:
    """Refuse what ``load`` would refuse before it reads rows, and change nothing.

    Raises:
        MigrationError: See ``load``.
    """
    with one_load(request.target) as connection:
        file = record_file(connection, request.root)
        record = standing_record(connection, file)
        order = _order(request, source, file, settled_catalog(connection, request.root, request.schema))
        assert_possible(order)
        needs = needs_of_window(source, request.root, request.scratch, ENGINES[request.engine].room_factor)
        assert_room_for(source, needs if request.whole_window else needs[1:2])
        assert_numbers_left(connection, order)
        if record and record.state != LOADED:
            earlier = sum(row_counts(connection, request.schema, record.tables).values())
        else:
            earlier = sum(assert_ready(connection, order).values())
    return Prediction(order.source_rows, earlier)


def empty(request: Request, *, check_only: bool = False) -> Restored:
    """Take back what our load has put into the target; rows that are nobody's load are refused.

    Args:
        request: Engine, scratch and time limit are of no account.
        check_only: Say what would go, and change nothing.

    Raises:
        MigrationError: See ``restore_target``; or the target holds rows and there is no record of their load.
    """
    with one_load(request.target) as connection:
        return _empty(connection, request, check_only=check_only)


def _empty(connection: Connection, request: Request, *, check_only: bool) -> Restored:
    file = record_file(connection, request.root)
    record = standing_record(connection, file)
    tables = record.tables if record else _tables(connection, request)
    counts = {table: rows for table, rows in row_counts(connection, request.schema, tables).items() if rows}
    if counts and record is None:
        raise MigrationError(
            f"the target holds rows, and no load of {request.root} put them there ({', '.join(counts)})",
            "See whose they are; empty the tables by hand when nobody needs them",
            {"rows": counts},
        )
    if check_only and record:
        if counts and record.state == LOADED and not _may_discard(request, record):
            assert_untouched(connection, record)
        return Restored(0, counts, ())
    if check_only:
        return Restored(0, {}, ())
    remove_left_over(request.scratch)
    if record is None:
        return Restored(0, {}, ())
    restored = restore_target(request.target, record, discard=_may_discard(request, record))
    file.unlink(missing_ok=True)
    return restored


def mend(request: Request, *, check_only: bool = False) -> Restored:
    """Take back what a load has left that was killed or could not be taken back. The rows of a finished load stay.

    Args:
        request: As for ``empty``.
        check_only: Say what would go and what would be put back, and change nothing.

    Raises:
        MigrationError: See ``restore_target``.
    """
    with one_load(request.target) as connection:
        record = standing_record(connection, record_file(connection, request.root))
        if record is None or record.state == LOADED:
            return Restored(0, {}, ())
        if check_only:
            now = snapshot(connection, request.schema)
            there = [table.name for table in now.tables if table.name in record.tables]
            counts = {table: rows for table, rows in row_counts(connection, request.schema, there).items() if rows}
            return Restored(0, counts, tuple(difference(record.catalog.description, now.description)))
        return _empty(connection, request, check_only=False)


def settled_catalog(connection: Connection, root: Path, schema: str) -> Catalog:
    """Return the target's schema as it is once an unfinished load of ours is taken back.

    Raises:
        MigrationError: The record of the load cannot be read.
    """
    record = standing_record(connection, record_file(connection, root))
    return record.catalog if record and record.state != LOADED else snapshot(connection, schema)


def _tables(connection: Connection, request: Request) -> list[str]:
    there = [table.name for table in snapshot(connection, request.schema).tables]
    return [table for table in there if table not in request.mapping.never_carried]


def _may_discard(request: Request, record: TargetRecord | None) -> bool:
    """Tell whether the rows may go: somebody says so now, or said so by going back to SQLite after that load.

    The way back compares first and goes on only when the number of rows that it loses was given to it. It also keeps
    the application's role out, so that nobody has written since.
    """
    return request.discard_rows or (record is not None and _was_given_up(request.root, record))


def _was_given_up(root: Path, record: TargetRecord) -> bool:
    """Tell whether a later way back has counted what the application wrote, and its operator has given it up.

    One that takes back a cut-over from before its switch counts nothing: the application never wrote there, so that
    whatever changed is somebody else's. One that went without a server that did not answer has counted nothing either:
    what is there may be all that is left of it.
    """
    if not RUN_ID.fullmatch(record.label):
        return False
    later = sorted(path for path in root.glob("*-roll_back-*") if path.name > record.label)
    for path in later:
        with contextlib.suppress(MigrationError):
            way_back = RunDirectory.at(path)
            examined = way_back.facts("examine")
            if way_back.outcome() == "done" and examined.get("flipped") and not examined.get("without_target"):
                return True
    return False


def _order(request: Request, source: Path, file: Path, catalog: Catalog) -> Transfer:
    with contextlib.closing(open_source(source)) as opened:
        plan: Plan = make_plan(request.mapping, read_schema(opened), catalog)
    return Transfer(
        source=source,
        target=request.target,
        plan=plan,
        scratch=request.scratch,
        record=file,
        label=request.label,
        discard_rows=request.discard_rows,
        given_up=_may_discard(request, TargetRecord.read(file)),
        time_limit=request.time_limit,
        engine=request.engine,
        accepted_versions=request.accepted_versions,
        workers=request.workers,
    )
