"""One at a time in a database: an advisory lock that a session holds, and who it is that holds it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator

import psycopg

from .connection import Connection, set_locally
from .errors import MigrationError

# The manual's pg_locks page tells how a bigint key is split into classid and objid.
_HOLDER = """
SELECT format('pid %%s, application_name %%L, user %%I, since %%s', a.pid, a.application_name, a.usename,
              to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'))
  FROM pg_locks l
  JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
  JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted
   AND l.classid::bigint = (%(key)s::bigint >> 32) & 4294967295 AND l.objid::bigint = %(key)s::bigint & 4294967295
   AND l.objsubid = 1"""


def lock_key(name: str) -> int:
    """Return the key of an advisory lock, a signed bigint made of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def holders_of(connection: Connection, key: int) -> str:
    """Return in words who holds the lock of a key; nothing when nobody does."""
    # A transaction goes on seeing the sessions that it saw first.
    connection.execute("SELECT pg_stat_clear_snapshot()")
    holders = connection.execute(_HOLDER, {"key": key}).fetchall()
    return "; ".join(str(holder) for (holder,) in holders)


@contextlib.contextmanager
def one_at_a_time(
    connection: Connection, key: int, wait_seconds: int, refusal: Callable[[str], MigrationError]
) -> Iterator[None]:
    """Keep others with the same key out of this database for the length of the block.

    The lock belongs to the session: a killed process's ends with its connection.

    Args:
        connection: Not in a transaction.
        key: From ``lock_key``.
        wait_seconds: How long another may take to end.
        refusal: Makes the error of the words for who holds it.

    Raises:
        MigrationError: Another held it all the time.
    """
    try:
        with connection.transaction():
            set_locally(connection, {"lock_timeout": f"{max(wait_seconds * 1000, 1)}ms"})
            connection.execute("SELECT pg_advisory_lock(%s)", [key])
    except psycopg.errors.LockNotAvailable:
        raise refusal(holders_of(connection, key) or "a session that has just ended") from None
    try:
        yield
    finally:
        # A broken connection has lost the lock already, and its error must not be covered by another one.
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock(%s)", [key])
