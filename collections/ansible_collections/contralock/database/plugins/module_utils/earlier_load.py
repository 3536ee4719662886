"""What an earlier load has left in the target: whose rows these are, and how they are taken back.

Apart from the load itself, because a run looks here more often than it loads, and a load's libraries take half a second
to be imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .catalog import Catalog, difference, snapshot
from .connection import Connection
from .errors import MigrationError
from .load_directory import remove_left_over
from .load_mark import one_load
from .profile import Mapping as ProfileMapping
from .run_directory import RUN_ID, RunDirectory
from .target_restore import (
    LOADED,
    Restored,
    TargetRecord,
    assert_untouched,
    record_file,
    restore_target,
    rows_of_others,
    standing_record,
)
from .target_state import row_counts


@dataclass(frozen=True)
class EarlierLoad:
    """Where a load may have left something.

    Attributes:
        target: libpq connection string of the database's owner.
        mapping: The profile's.
        root: Directory of the runs, which keeps the record of each target (0700).
        schema: The target's schema.
        scratch: Directory for a load's files.
        discard_rows: Whether rows in the target may go, whoever loaded or changed them.
    """

    target: str
    mapping: ProfileMapping
    root: Path
    schema: str
    scratch: Path
    discard_rows: bool = False


def empty(earlier: EarlierLoad, *, check_only: bool = False) -> Restored:
    """Take back what our load has put into the target; rows that are nobody's load are refused.

    Args:
        earlier: Where a load may have left something.
        check_only: Say what would go, and change nothing.

    Raises:
        MigrationError: See ``restore_target``; or the target holds rows and there is no record of their load.
    """
    with one_load(earlier.target) as connection:
        return _empty(connection, earlier, check_only=check_only)


def _empty(connection: Connection, earlier: EarlierLoad, *, check_only: bool) -> Restored:
    file = record_file(connection, earlier.root)
    record = standing_record(connection, file)
    now = snapshot(connection, earlier.schema)
    counts = _counts(connection, earlier, now, record)
    if counts and record is None:
        raise MigrationError(
            f"the target holds rows, and no load of {earlier.root} put them there ({', '.join(counts)})",
            "See whose they are; empty the tables by hand when nobody needs them",
            {"rows": counts},
        )
    if check_only:
        return _foretold(connection, earlier, now, record)
    remove_left_over(earlier.scratch)
    if record is None:
        return Restored(0, {}, ())
    restored = restore_target(
        earlier.target, record, discard=may_discard(earlier.root, record, discard=earlier.discard_rows)
    )
    file.unlink(missing_ok=True)
    return restored


def mend(earlier: EarlierLoad, *, check_only: bool = False) -> Restored:
    """Take back what a load has left that was killed or could not be taken back. The rows of a finished load stay.

    Args:
        earlier: Where a load may have left something.
        check_only: Say what would go and what would be put back, and change nothing.

    Raises:
        MigrationError: See ``restore_target``.
    """
    with one_load(earlier.target) as connection:
        record = standing_record(connection, record_file(connection, earlier.root))
        if record is None or record.state == LOADED:
            return Restored(0, {}, ())
        return _empty(connection, earlier, check_only=check_only)


def settled_catalog(connection: Connection, root: Path, schema: str) -> Catalog:
    """Return the target's schema as it is once an unfinished load of ours is taken back.

    Raises:
        MigrationError: The record of the load cannot be read.
    """
    record = standing_record(connection, record_file(connection, root))
    return record.catalog if record and record.state != LOADED else snapshot(connection, schema)


def rows_that_may_go(
    connection: Connection,
    record: TargetRecord | None,
    counts: Mapping[str, int],
    *,
    discard: bool = False,
    given_up: bool = False,
) -> dict[str, int]:
    """Return the rows that a load would take out of its tables first.

    Args:
        connection: As the owner; not in a transaction.
        record: Of the earlier load, which has ended; None where there was none.
        counts: Table to the rows that are there, of all that the load is about.
        discard: Rows may go whosever they are.
        given_up: What was changed since that load may go.

    Raises:
        MigrationError: Some are nobody's load, or have changed since.
    """
    filled = {table: rows for table, rows in counts.items() if rows}
    foreign = {table: rows for table, rows in filled.items() if record is None or table not in record.tables}
    if foreign and not discard:
        raise rows_of_others(foreign)
    if filled and record and not (discard or given_up):
        assert_untouched(connection, record)
    return filled


def _counts(connection: Connection, earlier: EarlierLoad, now: Catalog, record: TargetRecord | None) -> dict[str, int]:
    """Return the rows of the tables that a load is about, as far as they are there and have any."""
    there = [table.name for table in now.tables]
    carried = [each for each in there if each not in earlier.mapping.never_carried]
    tables = [each for each in there if each in record.tables] if record else carried
    return {table: rows for table, rows in row_counts(connection, earlier.schema, tables).items() if rows}


def _foretold(connection: Connection, earlier: EarlierLoad, now: Catalog, record: TargetRecord | None) -> Restored:
    """Return what taking back would do.

    Raises:
        MigrationError: It would refuse.
    """
    if record is None:
        return Restored(0, {}, ())
    counts = _counts(connection, earlier, now, record)
    if record.state != LOADED:
        return Restored(0, counts, tuple(difference(record.catalog.description, now.description)))
    if counts and not may_discard(earlier.root, record, discard=earlier.discard_rows):
        assert_untouched(connection, record)
    return Restored(0, counts, ())


def may_discard(root: Path, record: TargetRecord | None, *, discard: bool) -> bool:
    """Tell whether the rows may go: somebody says so now, or said so by going back to SQLite after that load.

    The way back compares first and goes on only when the number of rows that it loses was given to it. It also keeps
    the application's role out, so that nobody has written since.

    Args:
        root: The directory with the records of loads, and of ways back.
        record: Of the load whose rows they are; None where there was none.
        discard: Somebody says so now.
    """
    return discard or (record is not None and _was_given_up(root, record))


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
