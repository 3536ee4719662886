"""The SQLite file that is moved: opened for reading only, refused when it is not whole.

A SQLite file is delicate while it is in use: POSIX drops every lock that a process has on a file as soon as the process
closes *any* descriptor of it (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled). So
``open_source`` looks at the file through SQLite alone.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from .errors import SHOWN_FINDINGS, MigrationError, quoted

#: Called with what is being done, how much is done, of how much; 0 of 0 where that cannot be known.
Progress = Callable[[str, int, int], None]
#: A foreign key of the source: its table, and the columns that refer.
Reference = tuple[str, frozenset[str]]

CHUNK_BYTES = 1 << 20
#: How long a reader waits for a writer that holds the file, in seconds.
LOCK_WAIT_SECONDS = 30.0
ROW_NUMBERS = ("rowid", "_rowid_", "oid")
#: How SQLite's integrity check begins to say so; the table and the column follow.
_NULL_VALUE = "NULL value in "
#: What an application may keep in the file's header, and no dump has.
_HEADER_NUMBERS = ("user_version", "application_id")
SIDE_FILES = ("-wal", "-shm", "-journal")

RESTORE = "Restore the file from a backup that is whole, or find out what wrote it"
STOP_WRITER = "Stop the process that writes it, and run again"
_MAKE_WHOLE = "Open it once with the application or the sqlite3 shell, as its owner, so that SQLite can finish that"

#: SQLite's result code (https://www.sqlite.org/rescode.html) or its beginning -> what it means here, and the mend.
#: The first that fits counts.
_CODES: Sequence[tuple[str, str, str]] = (
    ("SQLITE_NOTADB", "is not a SQLite database, or it is encrypted", "Name the application's own, decrypted file"),
    ("SQLITE_CORRUPT", "is damaged or cut off", RESTORE),
    ("SQLITE_IOERR_SHORT_READ", "is cut off", RESTORE),
    ("SQLITE_IOERR", "cannot be read from its disk", "Check the disk and the system's log"),
    (
        "SQLITE_READONLY_ROLLBACK",
        "has a hot rollback journal: a writer died in the middle of a transaction, which a reader cannot take back",
        _MAKE_WHOLE,
    ),
    (
        "SQLITE_READONLY",
        "has a write-ahead log that a reader cannot use",
        f"Keep its -wal file beside it and its folder writable. {_MAKE_WHOLE}",
    ),
    ("SQLITE_BUSY", "is locked by another process", STOP_WRITER),
    ("SQLITE_PERM", "may not be read by this user", "Run as a user who may read the file and its folder"),
    ("SQLITE_CANTOPEN", "cannot be opened", "Check that this user may read the file and enter its folder"),
    ("SQLITE_NOMEM", "needs more memory than there is", "Run where there is more memory"),
)
#: What SQLite says (resolve.c, expr.c, callback.c) when the schema names what the application's own process has added.
_UNKNOWN = re.compile(
    r"(?:no such|unknown) function: (?P<function>.+?)(?:\(\))?$|no such collation sequence: (?P<collation>.+)"
)


def side_file(path: Path, ending: str) -> Path:
    """Return what SQLite keeps beside a file, by one of ``SIDE_FILES``: beside the file itself, not a link to it."""
    # A loop of links is nobody's error yet: ``Path.resolve`` would raise it.
    return Path(os.path.realpath(path) + ending)


def open_source(path: Path, wait_seconds: float = LOCK_WAIT_SECONDS) -> sqlite3.Connection:
    """Open a SQLite file for reading.

    Beside a file in WAL mode SQLite leaves an empty ``-wal`` and a ``-shm``, owned by the file's owner; the file itself
    is not touched.

    Args:
        path: The file. A live one may be written by others meanwhile; it is never treated as immutable.
        wait_seconds: How long a read waits for a writer that holds the file.

    Returns:
        A connection in autocommit mode that refuses to write. TEXT comes as ``bytearray`` and BLOB as ``bytes``, so
        that the two stay apart, and NUL and bytes that are no UTF-8 survive.

    Raises:
        MigrationError: The file is missing, no file, empty, encrypted, no SQLite database, cut off, locked, not
            readable, in UTF-16, or a transaction in it was never finished.
    """
    _assert_file(path)
    with explained(f"the source {path}"):
        # as_uri() escapes the characters (? # %) that would end the name.
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=wait_seconds
        )
        try:
            connection.text_factory = bytearray
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            _assert_utf8(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn SQLite's errors in the block into sentences.

    Args:
        what: What is being read, as the sentence's subject: ``the source /srv/app.sqlite``, ``table 'users'``.

    Raises:
        MigrationError: SQLite raised an error.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        for beginning, meaning, mend in _CODES:
            if code.startswith(beginning):
                raise MigrationError(f"{what} {meaning} ({code}: {error})", mend) from error
        if unknown := _UNKNOWN.search(str(error)):
            kind = "function" if unknown["function"] else "collation"
            raise MigrationError(
                f"{what} uses the {kind} {unknown['function'] or unknown['collation']}, which SQLite does not have: the"
                " application brings it along",
                "Have the application drop what names it (an index, a generated column, a COLLATE); to look at the rest"
                " first, drop it in a copy of the file",
            ) from error
        raise MigrationError(f"{what} cannot be read: {error}", RESTORE) from error


class UnsoundError(MigrationError):
    """A database contradicts itself: it can be read, and not be trusted."""


def assert_sound(connection: sqlite3.Connection, progress: Progress | None = None) -> None:
    """Refuse a database that contradicts itself: SQLite's integrity check, and every foreign key.

    Args:
        connection: From ``open_source``. A live file in rollback-journal mode holds writers up meanwhile.
        progress: Called before each of the two checks.

    Raises:
        UnsoundError: With up to ten of the findings (orphans with their table, key and the missing parent's key)
            and the number of all.
    """
    report = progress or (lambda *_: None)
    report("integrity", 0, 2)
    assert_integrity(connection)
    report("foreign keys", 1, 2)
    assert_no_orphans(connection)
    report("foreign keys", 2, 2)


def assert_integrity(connection: sqlite3.Connection) -> None:
    """Refuse a database that fails SQLite's integrity check.

    Raises:
        UnsoundError: With up to ten of its findings.
    """
    with explained("the source"):
        # One more than is shown, so that "and more" can be said. 'ok' is the answer when there is nothing.
        rows = connection.execute(f"PRAGMA integrity_check({SHOWN_FINDINGS + 1})").fetchall()
        # One finding may have lines of its own, below a line that names the database.
        found = ["; ".join(bytes(row[0]).decode(errors="backslashreplace").splitlines()) for row in rows]
        if found == ["ok"]:
            return
        nulls = list(_forbidden_nulls(connection, set(found)))
    if nulls and all(each.startswith(_NULL_VALUE) for each in found):
        raise UnsoundError(
            f"the source has NULL in a column that is declared NOT NULL: {'; '.join(nulls[:SHOWN_FINDINGS])}"
            + ("; and more" if len(nulls) > SHOWN_FINDINGS else ""),
            "Give these cells a value with the application, or take NOT NULL out of what the column is declared",
            {"nulls": nulls[:SHOWN_FINDINGS]},
        )
    more = f"; and more than {SHOWN_FINDINGS}" if len(found) > SHOWN_FINDINGS else ""
    raise UnsoundError(
        f"the source fails SQLite's integrity check: {'; '.join(found[:SHOWN_FINDINGS])}{more}",
        RESTORE,
        {"integrity_check": found[:SHOWN_FINDINGS]},
    )


def assert_no_orphans(connection: sqlite3.Connection, told: Collection[Reference] = ()) -> None:
    """Refuse rows that refer by a foreign key to a row that is not there.

    Args:
        connection: From ``open_source``.
        told: References whose rows somebody else names.

    Raises:
        UnsoundError: With up to ten of the rows, by table, key and the missing parent's key, and the number of all.
    """
    count = 0
    shown: list[str] = []
    references: dict[tuple[str, int], tuple[str, ...]] = {}
    with explained("the source"), closing(connection.execute("PRAGMA foreign_key_check")) as found:
        for table, rowid, parent, number in found:
            name = bytes(table).decode()
            if (name, number) not in references:
                references[name, number] = _referring(connection, name, number)
            columns = references[name, number]
            if (name, frozenset(columns)) in told:
                continue
            count += 1
            if len(shown) < SHOWN_FINDINGS:
                shown.append(_orphan(connection, name, columns, rowid, bytes(parent).decode()))
    if count:
        more = f"; and {count - len(shown)} more" if count > len(shown) else ""
        raise UnsoundError(
            f"the source has {count} {'row that refers' if count == 1 else 'rows that refer'}"
            f" to a row that is not there: {'; '.join(shown)}{more}",
            "Mend these rows with the application, or delete them when they are of no use",
            {"orphans": count, "shown": shown},
        )


def _assert_file(path: Path) -> None:
    """Refuse what is no file with content, without opening it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise MigrationError(f"there is no file {path}", "Name the SQLite file that the application uses") from None
    except OSError as error:
        raise MigrationError(f"{path} cannot be looked at: {error.strerror}", "Run as a user who may") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise MigrationError(f"{path} is {kind}", "Name the SQLite file that the application uses")
    if found.st_size == 0:
        raise MigrationError(
            f"{path} is empty", "Name the SQLite file that the application uses, or restore it from a backup"
        )
    if not os.access(path, os.R_OK):
        raise MigrationError(f"{path} may not be read by this user", "Run as a user who may read it")


def _assert_utf8(connection: sqlite3.Connection, path: Path) -> None:
    ((encoding,),) = connection.execute("PRAGMA encoding").fetchall()
    if encoding != b"UTF-8":
        numbers = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _HEADER_NUMBERS}
        given = "; ".join(f"PRAGMA {name} = {number}" for name, number in numbers.items())
        raise MigrationError(
            f"the source {path} keeps its text in {bytes(encoding).decode()}, and only UTF-8 is moved",
            "Stop the application and make a copy in UTF-8:"
            f" sqlite3 OLD '.dump --preserve-rowids' | sqlite3 NEW && sqlite3 NEW '{given}'."
            " A dump cuts texts at a NUL, and numbers below 1e-289 may lose their last digit",
        )


def _referring(connection: sqlite3.Connection, table: str, number: int) -> tuple[str, ...]:
    """Return the columns of a table's foreign key, in its order."""
    query = 'SELECT "from" FROM pragma_foreign_key_list(?) WHERE id = ? ORDER BY seq'
    return tuple(bytes(column).decode() for (column,) in connection.execute(query, [table, number]).fetchall())


def _forbidden_nulls(connection: sqlite3.Connection, found: Collection[str]) -> Iterator[str]:
    """Yield the cells that SQLite found to be NULL and names by their column alone: the first rows of each column."""
    listed = """SELECT t.name, c.name FROM pragma_table_list t, pragma_table_xinfo(t.name) c
                 WHERE t.schema = 'main' AND t.type = 'table' AND c."notnull" ORDER BY t.name, c.cid"""
    for table, column in [tuple(bytes(each).decode() for each in row) for row in connection.execute(listed)]:
        if f"{_NULL_VALUE}{table}.{column}" not in found:
            continue
        key, row = _key_of(connection, table)
        shown = key or ([row] if row else [])
        wanted = ", ".join(map(quote_identifier, shown)) or "NULL"
        # Not IS NULL: SQLite believes the declaration, and answers without a look.
        null = f"typeof({quote_identifier(column)}) = 'null'"
        query = f"SELECT {wanted} FROM {quote_identifier(table)} WHERE {null} LIMIT {SHOWN_FINDINGS + 1}"
        for values in connection.execute(query).fetchall():
            place = f" at {', '.join(shown)} {', '.join(map(_shown, values))}" if shown else ""
            yield f"{table}.{column}{place}"


def _key_of(connection: sqlite3.Connection, table: str) -> tuple[list[str], str | None]:
    """Return the columns of a table's declared key, and what it calls the row's number, if it can be named."""
    info = connection.execute("SELECT name, pk FROM pragma_table_xinfo(?)", [table]).fetchall()
    places = {bytes(column).decode(): int(place) for column, place in info}
    # A column may be called rowid, and then means itself; SQLite has two more names for the row's number.
    row = next((alias for alias in ROW_NUMBERS if alias not in map(str.lower, places)), None)
    return sorted((column for column, place in places.items() if place), key=places.__getitem__), row


def _orphan(connection: sqlite3.Connection, name: str, columns: Sequence[str], rowid: int | None, parent: str) -> str:
    """Say which row of which table lacks which parent, by its declared key where it has one."""
    declared, row = _key_of(connection, name)
    if rowid is None or row is None:
        return f"a row of {name}: {', '.join(columns)} is in no row of {parent}"
    key = declared or [row]
    wanted = ", ".join(quote_identifier(each) for each in [*key, *columns])
    query = f"SELECT {wanted} FROM {quote_identifier(name)} WHERE {row} = ?"
    shown = [_shown(value) for value in connection.execute(query, [rowid]).fetchone()]
    return (
        f"{name} {', '.join(key)} {', '.join(shown[: len(key)])}: "
        f"{', '.join(columns)} {', '.join(shown[len(key) :])} is in no row of {parent}"
    )


def quote_identifier(name: str) -> str:
    """Return a table's or column's name as SQL takes it, in SQLite as in PostgreSQL.

    SQLite reads a quoted name that it does not know as a text: write ``table.column`` where that would go unseen.
    """
    return '"' + name.replace('"', '""') + '"'


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection commits (https://www.sqlite.org/pragma.html)."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def table_of_source(name: str) -> str:
    """Return a table as the subject of a sentence."""
    return f"table {quoted(name)} of the source"


def _shown(value: object) -> str:
    return quoted(value.decode(errors="backslashreplace")) if isinstance(value, bytearray) else repr(value)
