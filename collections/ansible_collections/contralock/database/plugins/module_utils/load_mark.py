"""Whose load a target holds, told by the target itself: a lock while one is at work, a mark until it has ended.

The record of a load lies in a directory, and there are other directories. So an unfinished load is whosever mark stands
in the target: the next load puts its own there, and one that ends takes its mark away. It is the comment on an empty
schema of its own: no part of what is compared, in no dump once the load has ended, and made by the database's owner
without further rights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from psycopg import sql

from .connection import Connection, connect
from .database_lock import lock_key, one_at_a_time
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

    def refusal(holder: str) -> MigrationError:
        return MigrationError(
            f"another load into the target still holds the lock after {LOCK_WAIT_SECONDS} s ({holder})",
            "Wait until it has ended and run again. Of a host that is gone the server ends the session within two"
            " minutes; pg_terminate_backend(pid) ends it at once",
        )

    with connect(target, APPLICATION_NAME) as connection:
        for name, value in _SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        with one_at_a_time(connection, LOCK_KEY, LOCK_WAIT_SECONDS, refusal):
            yield connection


def assert_markable(connection: Connection) -> None:
    """Refuse a role that cannot leave a mark.

    Raises:
        MigrationError: Says what it lacks.
    """
    if connection.execute(_MAY_MARK, [SCHEMA]).fetchone() != (True,):
        raise MigrationError(
            f"{connection.info.user!r} may not mark a load in {connection.info.dbname!r}: it neither owns the schema"
            f" {SCHEMA}, nor may it make one",
            f"Connect as the database's owner, or grant the role CREATE on the database; drop the schema {SCHEMA} when"
            " it is another role's",
        )


def is_marked(connection: Connection, mark: str) -> bool:
    """Tell whether the load of this mark was the last to begin in the target, and has not ended."""
    return bool(mark) and connection.execute(_COMMENT, [SCHEMA]).fetchone() == (_PREFIX + mark,)


def set_mark(connection: Connection, mark: str) -> None:
    """Leave the mark of a load that begins, in place of whatever mark is there."""
    with connection.transaction():
        if connection.execute(_COMMENT, [SCHEMA]).fetchone() is None:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
        comment = sql.SQL("COMMENT ON SCHEMA {} IS {}")
        connection.execute(comment.format(sql.Identifier(SCHEMA), sql.Literal(_PREFIX + mark)))


def clear_mark(connection: Connection, mark: str) -> None:
    """Take the mark of a load away that has ended; another one's stays."""
    if is_marked(connection, mark):
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA)))
