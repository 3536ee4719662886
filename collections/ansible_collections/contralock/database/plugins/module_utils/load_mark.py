"""Whose load a target holds, told by the target itself: a lock while one is at work, a mark until it has ended.

The record of a load lies in a directory, and there are other directories. So an unfinished load is whosever mark stands
in the target: the next load puts its own there, and one that ends takes its mark away. It is the comment on an empty
schema of its own: no part of what is compared, in no dump once the load has ended, and made by the database's owner
without further rights. It says where its record lies, too, so that whoever finds half a load in the target can be told.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from .connection import Connection, connect
from .database_lock import holders_of, lock_key, one_at_a_time
from .durable_files import owner_name
from .errors import MigrationError

APPLICATION_NAME = "contralock one load"
SCHEMA = "contralock_load"
LOCK_KEY = lock_key("contralock_migration.load")
#: A killed load's session ends with its connection, which the server notices at once.
LOCK_WAIT_SECONDS = 5
#: Of the session that holds the lock: it has nothing to do for hours, and a server that has lost its host shall notice.
_SETTINGS = {
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
}
_PREFIX = "contralock load "
#: What the mark ends with of a load whose rows are all there, counted and compared.
_WHOLE = ", whole"
#: What is left where a schema is half of what it was, and nobody knows the other half.
ANEW = (
    "drop the database when nobody needs what it holds, and make it and its schema anew (playbooks/prepare.yml, or"
    " createdb and apply_schema.py)"
)

_COMMENT = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
# A comment is its schema's owner's to write.
_MAY_MARK = """
SELECT coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %s),
                has_database_privilege(current_database(), 'CREATE'))"""


@contextlib.contextmanager
def one_load(target: str) -> Iterator[Connection]:
    """Keep other loads, and their taking back, out of the target for the length of the block.

    Args:
        target: libpq connection string of the owner.

    Yields:
        The session that holds the lock.

    Raises:
        MigrationError: Another one is at work; the message names its session.
    """
    with connect(target, APPLICATION_NAME) as connection:
        for name, value in _SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        with without_loads(connection):
            yield connection


@contextlib.contextmanager
def without_loads(connection: Connection) -> Iterator[None]:
    """Keep loads out of the target for the length of the block, by the lock that each of them holds.

    Args:
        connection: Not in a transaction.

    Raises:
        MigrationError: One is at work; the message names its session.
    """
    with one_at_a_time(connection, LOCK_KEY, LOCK_WAIT_SECONDS, _at_work):
        yield


def load_at_work(connection: Connection) -> MigrationError | None:
    """Return what there is to say of a load that is at work in the target; None where there is none."""
    holders = holders_of(connection, LOCK_KEY)
    return _at_work(holders) if holders else None


def unmarkable(connection: Connection) -> MigrationError | None:
    """Return what a role lacks that cannot leave a mark; None when it can."""
    if connection.execute(_MAY_MARK, [SCHEMA]).fetchone() == (True,):
        return None
    info = connection.info
    role, database = (sql.Identifier(name).as_string() for name in (info.user, info.dbname))
    return MigrationError(
        f"{info.user!r} may not mark a load in {info.dbname!r}: it neither owns the schema {SCHEMA}, nor may it make"
        " one",
        f"Connect as the database's owner, or let him GRANT CREATE ON DATABASE {database} TO {role}; drop the schema"
        f" {SCHEMA} when it is another role's",
    )


def is_marked(connection: Connection, mark: str) -> bool:
    """Tell whether the load of this mark was the last to begin in the target, and has not ended."""
    return bool(mark) and _standing(connection)[0] == mark


def set_mark(connection: Connection, mark: str, directory: Path) -> None:
    """Leave the mark of a load that begins, in place of whatever mark is there.

    Args:
        connection: As the database's owner; not in a transaction.
        mark: A word, which no other load has.
        directory: Where its record lies.
    """
    account = owner_name(os.geteuid())
    begun = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    with connection.transaction():
        if connection.execute(_COMMENT, [SCHEMA]).fetchone() is None:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
        _say(connection, mark, f"from {directory} on {platform.node()} by {account}, begun {begun}")


def end_mark(connection: Connection, mark: str) -> None:
    """Let the mark say that its load is whole: should it stay, nobody takes it for the mark of half a load."""
    standing, words = _standing(connection)
    if standing == mark:
        _say(connection, mark, words + _WHOLE)


def clear_mark(connection: Connection, mark: str) -> None:
    """Take the mark of a load away that has ended; another one's stays."""
    if is_marked(connection, mark):
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA)))


def unfinished_load(connection: Connection, ours: str = "") -> MigrationError | None:
    """Return what there is to say of a load that has begun in the target and not ended; None where there is none.

    Args:
        connection: As any role.
        ours: The mark of the caller's own load, of which there is nothing to say.
    """
    mark, words = _standing(connection)
    if not mark or mark == ours or words.endswith(_WHOLE):
        return None
    return MigrationError(
        f"a load {words or 'that said nothing of itself'} has not ended, and the target may hold a part of it",
        "Take it back on that host with transfer_data.py --take-back and that --directory, or run its playbook again."
        f" When that directory is lost: {ANEW}",
    )


@contextlib.contextmanager
def unfinished_load_told(connection: Connection, ours: str = "") -> Iterator[None]:
    """Let what is refused in the block begin with the load that has not ended, which may well be why.

    Raises:
        MigrationError: See ``unfinished_load``; with what was refused.
    """
    try:
        yield
    except MigrationError as error:
        cause: MigrationError | None = None
        with contextlib.suppress(psycopg.Error):
            cause = unfinished_load(connection, ours)
        if cause is None:
            raise
        # One mend: what else there is to mend will be told when this is.
        raise MigrationError(f"{cause.fact}: {error.fact}", cause.mend, error.details) from error


@contextlib.contextmanager
def loads_told(connection: Connection, ours: str = "") -> Iterator[None]:
    """As ``unfinished_load_told``, for whoever does not load himself: a load that is at work is told alone.

    Raises:
        MigrationError: See ``load_at_work`` and ``unfinished_load``.
    """
    try:
        with unfinished_load_told(connection, ours):
            yield
    except MigrationError as error:
        cause: MigrationError | None = None
        with contextlib.suppress(psycopg.Error):
            cause = load_at_work(connection)
        raise cause or error from None


def _at_work(holders: str) -> MigrationError:
    return MigrationError(
        f"a load, its taking back or a schema change is at work in the target ({holders})",
        "Wait until it has ended and run again. Of a host that is gone the server ends the session within two minutes;"
        " pg_terminate_backend(pid) ends it at once",
    )


def _say(connection: Connection, mark: str, words: str) -> None:
    comment = sql.SQL("COMMENT ON SCHEMA {} IS {}")
    connection.execute(comment.format(sql.Identifier(SCHEMA), sql.Literal(f"{_PREFIX}{mark} {words}")))


def _standing(connection: Connection) -> tuple[str, str]:
    """Return the mark in the target, and what it says of its load; both are empty where there is none."""
    found = connection.execute(_COMMENT, [SCHEMA]).fetchone()
    comment = str(found[0] or "") if found else ""
    if not comment.startswith(_PREFIX):
        return "", ""
    mark, _, words = comment.removeprefix(_PREFIX).partition(" ")
    return mark, words
