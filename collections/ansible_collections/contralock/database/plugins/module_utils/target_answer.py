"""Whether a PostgreSQL server answers at all: asked before a way back is let go without it."""

from __future__ import annotations

import time

from psycopg import pq
from psycopg.conninfo import make_conninfo

from .connection import parse_conninfo
from .errors import MigrationError

#: A server that restarts, or a network that stumbles, is not gone.
ATTEMPTS = 3
PAUSE_SECONDS = 2.0
CONNECT_SECONDS = 10


def server_answers(target: str, attempts: int = ATTEMPTS, connect_seconds: int = CONNECT_SECONDS) -> bool:
    """Tell whether a server answers where the target is, whatever it says: also "wrong password" or "starting up".

    It is libpq's own question (PQping), put so that it shows no secret and wants no proof of who answers: one who takes
    the server's place can only keep the caller from going without it.

    Args:
        target: libpq connection string without a password.
        attempts: How often it is asked before it counts as gone.
        connect_seconds: How long each address may take to answer, at least 2.

    Raises:
        MigrationError: The string holds a secret, is malformed or weakens TLS; or libpq cannot even try.
    """
    parse_conninfo(target)
    asked = make_conninfo(
        target, sslmode="prefer", sslrootcert="", passfile="/dev/null", connect_timeout=str(connect_seconds)
    )
    for attempt in range(attempts):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        found = pq.PGconn.ping(asked.encode())
        if found == pq.Ping.NO_ATTEMPT:
            raise MigrationError(
                "nobody can say whether PostgreSQL answers: libpq does not try to connect",
                "Look at the target's connection string",
            )
        if found != pq.Ping.NO_RESPONSE:
            return True
    return False
