"""Whether a source can be moved: every value examined, the file checked, the window's length and room foretold."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .assessment_report import Assessment, Estimate, Obstacle, unmatched_rules
from .catalog import Catalog, snapshot
from .connection import connect
from .constraint_judge import judge_constraints
from .durable_files import refused_politely
from .errors import MigrationError
from .findings import Examination, examine_file
from .live_copy import Limits
from .pgloader import LARGEST_ROW_BYTES
from .plan import make_plan
from .profile import Mapping
from .row_bytes import too_large_rows
from .source_file import Progress, UnsoundError, assert_sound, open_source
from .source_schema import read_schema
from .sqlite_backup import back_up_running
from .transfer_step import settled_catalog
from .worker_threads import WORKERS

APPLICATION_NAME = "contralock source_assessment"
#: The snapshot's own folder; its name is fixed, so that what a killed assessment has left goes with the next one.
SNAPSHOT = ".assessment"

#: How long a step takes by each second that the examination took on the same machine, and what is on disk by each byte
#: of the source. Measured with the contralock profile (benchmarks/README.md, "What an assessment foretells").
SECONDS_PER_SECOND = {"back up": 1.1, "transfer": 10.7, "compare": 1.4}
FIXED_SECONDS = 28.0
DISK_PER_BYTE = 1.6
DATABASE_PER_BYTE = 0.7


@dataclass(frozen=True)
class Options:
    """What an assessment works with.

    Attributes:
        directory: Where the snapshot of a live file lies meanwhile, in a private folder of its own that is removed at
            the end; of all runs, so that a schema that a killed load has left without its keys is known as it was.
        limits: What the snapshot may cost the application.
        schema: The target's schema.
        workers: Threads that read and examine.
        engine: What is going to load, so that rows which it cannot carry are found; empty when nobody has chosen yet.
    """

    directory: Path
    limits: Limits = field(default_factory=Limits)
    schema: str = "public"
    workers: int = WORKERS
    engine: str = ""


def assess_running(source: Path, target: str, mapping: Mapping, options: Options, progress: Progress) -> Assessment:
    """Assess a source that an application is writing.

    Args:
        source: The live file. It is read through SQLite's backup API alone.
        target: The target as its owner; it is asked for its catalog.
        mapping: The profile's exceptions.
        options: Where and how.
        progress: Called with what is done, how much, and of how much.

    Raises:
        MigrationError: It cannot be told: a snapshot cannot be taken, or the target cannot be asked.
    """
    began = time.monotonic()
    with connect(target, APPLICATION_NAME) as connection:
        catalog = settled_catalog(connection, options.directory, options.schema)
    with _snapshot_folder(options.directory) as private:
        try:
            taken = back_up_running(source, private / "source.sqlite", options.limits, progress)
        except UnsoundError as error:
            size = source.stat().st_size
            return Assessment(str(source), size, obstacles=(_obstacle(error),), seconds=time.monotonic() - began)
        found = _examined(_Asked(taken.path, target, catalog, mapping), replace(options, directory=private), progress)
    pause = taken.longest_pause_ms or 0.0
    return replace(found, source=str(source), longest_pause_ms=pause, seconds=time.monotonic() - began)


def assess_file(source: Path, target: str, mapping: Mapping, options: Options, progress: Progress) -> Assessment:
    """Assess a file that nobody writes (see ``columnar_reader.py``); the arguments are those of ``assess_running``.

    Raises:
        MigrationError: It cannot be told: the file cannot be read or is written, or the target cannot be asked.
    """
    began = time.monotonic()
    with connect(target, APPLICATION_NAME) as connection:
        catalog = snapshot(connection, options.schema)
    try:
        with closing(open_source(source)) as reading:
            assert_sound(reading, progress)
    except UnsoundError as error:
        size = source.stat().st_size
        return Assessment(str(source), size, obstacles=(_obstacle(error),), seconds=time.monotonic() - began)
    found = _examined(_Asked(source, target, catalog, mapping), options, progress)
    return replace(found, seconds=time.monotonic() - began)


@dataclass(frozen=True)
class _Asked:
    """What an assessment is about: a file at rest, the target with its catalog, the profile's exceptions."""

    path: Path
    target: str
    catalog: Catalog
    mapping: Mapping


def _examined(asked: _Asked, options: Options, progress: Progress) -> Assessment:
    """Assess a sound file at rest."""
    path = asked.path
    size = path.stat().st_size
    with closing(open_source(path)) as reading:
        try:
            plan = make_plan(asked.mapping, read_schema(reading), asked.catalog)
        except MigrationError as error:
            return Assessment(str(path), size, obstacles=(_obstacle(error),))
    found = examine_file(path, plan, progress, workers=options.workers, folder=options.directory)
    with connect(asked.target, APPLICATION_NAME) as connection:
        judged = judge_constraints(connection, path, plan, found.waiting, progress)
    too_large = too_large_rows(found.largest_rows, LARGEST_ROW_BYTES, "pgloader")
    return Assessment(
        source=str(path),
        bytes=size,
        rows=found.rows,
        obstacles=(_obstacle(too_large),) if too_large and options.engine == "pgloader" else (),
        findings=(*found.findings, *judged.findings),
        columns=found.columns,
        rules=tuple(each for each in found.rule_counts if each.count),
        unmatched=tuple(unmatched_rules(plan, found.rows, found.rule_counts)),
        unjudged=judged.unjudged,
        notes=(*found.notes, *([str(too_large)] if too_large and not options.engine else [])),
        estimate=_estimate(found, size),
    )


def _estimate(found: Examination, size: int) -> Estimate:
    """Foretell a window from how fast this machine examined these values."""
    seconds = {step: round(found.duration_seconds * each, 1) for step, each in SECONDS_PER_SECOND.items()}
    seconds["stop, switch and start"] = FIXED_SECONDS
    seconds["window"] = round(sum(seconds.values()), 1)
    return Estimate(seconds, round(size * DISK_PER_BYTE), round(size * DATABASE_PER_BYTE))


def _obstacle(error: MigrationError) -> Obstacle:
    return Obstacle(error.fact, error.mend)


@contextmanager
def _snapshot_folder(directory: Path) -> Iterator[Path]:
    """Have an empty private folder for the length of the block; what a killed assessment has left goes first.

    Raises:
        MigrationError: Another assessment is at work, or there is no room.
    """
    private = directory / SNAPSHOT
    with refused_politely(f"cannot make room for a snapshot in {directory}"):
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    with ExitStack() as held:
        held.callback(os.close, lock)
        _take_alone(lock, directory)
        shutil.rmtree(private, ignore_errors=True)
        try:
            with refused_politely(f"cannot make room for a snapshot in {directory}"):
                private.mkdir(mode=0o700)
            yield private
        finally:
            shutil.rmtree(private, ignore_errors=True)


def _take_alone(lock: int, directory: Path) -> None:
    # The folder itself is the lock, so that no file for it is left.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MigrationError(
            f"another assessment is at work in {directory}", "Wait until it has ended, and run again"
        ) from None
