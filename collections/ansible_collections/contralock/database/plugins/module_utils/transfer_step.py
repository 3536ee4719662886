"""The transfer as a step of a run: where its files are, what becomes of an earlier load, and what a check can say."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .assessment_report import UNMATCHED_MEND, unmatched_rules
from .catalog import Catalog, snapshot
from .earlier_load import EarlierLoad, may_discard, settled_catalog
from .load_mark import one_load, unfinished_load_told
from .pgloader import TESTED_VERSIONS
from .plan import Plan, make_plan
from .source_file import assert_integrity, open_source
from .source_schema import read_schema
from .target_restore import (
    LOADED,
    TargetRecord,
    clear_earlier,
    own_mark,
    record_file,
    standing_record,
    together,
)
from .target_state import assert_writable, end_backends, row_counts
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
    transfer,
)
from .transfer_order import LOAD_NAME
from .window_room import assert_room_for, needs_of_window


@dataclass(frozen=True)
class Request(EarlierLoad):
    """What is to be loaded, into a target that may hold an earlier load's rows.

    Attributes:
        label: The run's id, or another name for the load.
        time_limit: Seconds that the engine may take.
        engine: ``pgloader`` or ``arrow``.
        accepted_versions: Of pgloader.
        workers: Threads of the engine ``arrow``.
        sound: Whether SQLite's integrity check found the source whole already, as it did with a run's backup.
        whole_window: Whether a check asks for the room of a cut-over as a whole, backup and way back included.
    """

    label: str = "by_hand"
    time_limit: float = TIME_LIMIT_SECONDS
    engine: str = "pgloader"
    accepted_versions: tuple[str, ...] = TESTED_VERSIONS
    workers: int = WORKERS
    sound: bool = False
    whole_window: bool = False


@dataclass(frozen=True)
class Loaded:
    """A finished load, the schema that it was held against, and what an assessment would have refused."""

    report: TransferReport
    catalog: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What a load would do: the source's rows, and the rows in the target that it would take out."""

    rows: int
    earlier_rows: int


def load(request: Request, source: Path, progress: Progress | None = None) -> Loaded:
    """Load everything; what an earlier load of ours has left is taken back, once it is known that it can be replaced.

    Raises:
        MigrationError: See ``transfer``; the source fails SQLite's integrity check; or the earlier load's rows have
            changed since and nobody gave them up.
    """
    with one_load(request.target) as connection:
        if not request.sound:
            _assert_sound(source, progress)
        file = record_file(connection, request.root)
        unfinished = clear_earlier(request.target, file, unfinished=True)
        # Nobody else loads now: sessions that do are a killed one's, whose record lies elsewhere.
        end_backends(connection, LOAD_NAME.format(""))
        with unfinished_load_told(connection, own_mark(connection, file)):
            # Only now: a killed load has left a schema without its foreign keys.
            catalog = snapshot(connection, request.schema)
            order = _order(request, source, file, catalog)
        report = transfer(order, progress)
        rows = {name: table.rows for name, table in report.tables.items()}
        # Known at the end only, and no value is another one by it: nothing to take a load back for.
        unmatched = unmatched_rules(order.plan, rows, report.rule_counts)
        notes = tuple(f"{each} changes nothing. {UNMATCHED_MEND}" for each in unmatched)
        report = replace(report, restored_before=together(unfinished, report.restored_before))
        return Loaded(report, catalog.description, notes)


def check(request: Request, source: Path, progress: Progress | None = None) -> Prediction:
    """Refuse what ``load`` would refuse before it reads rows, and change nothing.

    Raises:
        MigrationError: See ``load``.
    """
    with one_load(request.target) as connection:
        if not request.sound:
            _assert_sound(source, progress)
        assert_writable(connection)
        file = record_file(connection, request.root)
        record = standing_record(connection, file)
        with unfinished_load_told(connection, record.mark if record else ""):
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


def _assert_sound(source: Path, progress: Progress | None) -> None:
    """Refuse a source that contradicts itself: of a row and an index without it nobody knows which is right."""
    if progress:
        progress({"line": f"check: the integrity of {source}"})
    with contextlib.closing(open_source(source)) as opened:
        assert_integrity(opened)


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
        given_up=may_discard(request.root, TargetRecord.read(file), discard=request.discard_rows),
        time_limit=request.time_limit,
        engine=request.engine,
        accepted_versions=request.accepted_versions,
        workers=request.workers,
    )
