"""Writes the file: under a temporary name beside the final one, renamed when it is whole."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..errors import MigrationError
from . import ddl
from .ddl import Form
from .people import Row, World, arbitrator_rows, user_rows, wallet_rows
from .sizes import part, row_counts
from .work import PROJECTS_IN_A_BLOCK, WORK_TABLES, Block

Progress = Callable[[str, int, int], None]  # what is counted, done, of how many

SIDE_FILES = ("-wal", "-shm", "-journal")
# Nothing to roll back to and nobody to share with: a file that is not whole is thrown away. None of this stays in the
# file, whose header says rollback journal. The cache holds the keys' indexes, which grow in random order.
_PRAGMAS = (
    *("page_size = 4096", "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"),
    *("cache_size = -131072", "foreign_keys = OFF", "threads = 2"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be written.

    Args:
        path: The SQLite file.
        rows: Rows over the twelve tables, exactly; ``users_backup`` and ``SequelizeMeta`` come on top.
        seed: Same seed, same rows and form: same file, byte for byte (with the same SQLite library).
        form: How the source came to be.
        overwrite: Whether an existing file may be replaced.
    """

    path: Path
    rows: int = 50_000
    seed: int = 1
    form: Form = Form.DEPLOYED
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written: ``tables`` are the twelve, ``strays`` the others, each with its rows."""

    order: Order
    tables: dict[str, int]
    strays: dict[str, int]
    bytes: int
    seconds: float


#: Beyond it the file would have a terabyte; a number this large is a slip of the finger.
MOST_ROWS = 1_000_000_000


def write_source(order: Order, progress: Progress = lambda *_: None) -> Outcome:
    """Write a SQLite file as ContraLock would have left it.

    Args:
        order: What is to be written.
        progress: Called now and then with what is counted ("rows", "indexes"), how many are done, of how many.

    Returns:
        What was written.

    Raises:
        MigrationError: When the number of rows is negative, the file exists, or it cannot be written. Then nothing
            stands under the final name that did not stand there before.
    """
    started = time.monotonic()
    _refuse(order)
    # The pid keeps two runs apart; what a SIGKILL leaves has a name that nobody opens by accident.
    partial = order.path.with_name(f".{order.path.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(partial, isolation_level=None)) as database:
            tables = _write(database, order, progress)
            strays = _write_strays(database, order.form)
        size = partial.stat().st_size
        _publish(partial, order)
    except (OSError, sqlite3.Error) as error:
        raise MigrationError(
            f"{order.path} could not be written: {error}", "Choose a directory that is writable and has room"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return Outcome(order, tables, strays, size, time.monotonic() - started)


def _refuse(order: Order) -> None:
    """Says no before any work is done."""
    if not 0 <= order.rows <= MOST_ROWS:
        raise MigrationError(f"{order.rows} rows cannot be written", f"Give 0 to {MOST_ROWS:,}")
    if not order.path.parent.is_dir():
        raise MigrationError(f"{order.path.parent} is not a directory", "Create it first")
    if order.path.exists() and not order.path.is_file():
        raise MigrationError(f"{order.path} is not a file", "Choose another name")
    if not os.access(order.path.parent, os.W_OK | os.X_OK):
        raise MigrationError(f"{order.path.parent} is not writable for this user", "Choose another directory")
    _refuse_existing(order)


def _refuse_existing(order: Order) -> None:
    # A side file without its database counts too: SQLite would play it into the new file.
    there = [path for path in (order.path, *_side_files(order.path)) if path.exists()]
    if there and not order.overwrite:
        raise MigrationError(f"{there[0]} exists", "Choose another name or allow it with --overwrite")


def _side_files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in SIDE_FILES]


def _publish(partial: Path, order: Order) -> None:
    _refuse_existing(order)  # it may have come into being meanwhile
    # First the side files: were they to outlive the old database even for a moment, a reader would apply an old
    # journal to the new file.
    for side_file in _side_files(order.path):
        side_file.unlink(missing_ok=True)
    partial.replace(order.path)


def _write(database: sqlite3.Connection, order: Order, progress: Progress) -> dict[str, int]:
    """Tables, rows, and then the indexes, which is what keeps a large file quick."""
    form, counts = order.form, row_counts(order.rows)
    for pragma in _PRAGMAS:
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN")
    if form is Form.FROM_MIGRATIONS:
        database.execute(ddl.META_DDL)
    for table in ddl.TABLES:
        database.execute(ddl.create_table(table, form))
    done = 0
    for table, rows in _pieces(World.from_seed(order.seed, form), counts):
        done += database.executemany(ddl.insert(table, form), rows).rowcount
        progress("rows", done, order.rows)
    indexes = list(ddl.create_indexes(form))
    for number, (_, sql) in enumerate(indexes, start=1):
        database.execute(sql)
        progress("indexes", number, len(indexes))
    database.execute("COMMIT")
    return {ddl.table_name(table, form): count for table, count in counts.items()}


def _pieces(world: World, counts: dict[str, int]) -> Iterator[tuple[str, list[Row]]]:
    """All rows, in pieces of one table each."""
    for table, maker in (("users", user_rows), ("wallets", wallet_rows), ("arbitrators", arbitrator_rows)):
        yield table, list(maker(world, counts[table]))
    blocks = -(-counts["projects"] // PROJECTS_IN_A_BLOCK)
    for index in range(blocks):
        block = Block(world, {table: part(counts[table], index, blocks) for table in WORK_TABLES})
        yield from block.rows.items()


def _write_strays(database: sqlite3.Connection, form: Form) -> dict[str, int]:
    """Write the tables beside the twelve, which a real file has collected."""
    if form is Form.FROM_MIGRATIONS:
        rows = [(name,) for name in ddl.MIGRATION_FILES]
        written = database.executemany(f"INSERT INTO `{ddl.META_TABLE}` VALUES (?)", rows).rowcount
        return {ddl.META_TABLE: written}
    if form is not Form.LONGLIVED:
        return {}
    # What sync({alter: true}) leaves when it dies in the middle: a copy of the users of that day, the older half.
    database.execute(ddl.create_table(ddl.BACKUP_TABLE, form))
    copied = database.execute(
        f"INSERT INTO `{ddl.BACKUP_TABLE}` SELECT * FROM `users` ORDER BY rowid"
        " LIMIT (SELECT (count(*) + 1) / 2 FROM `users`)"
    ).rowcount
    return {ddl.BACKUP_TABLE: copied}
