"""Run the text of one schema change, so that the server itself keeps it whole, and say where it failed."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from .connection import Connection, set_locally, settle
from .errors import MigrationError
from .schema_files import Change

#: Settings of a change's transaction beside those of each session; search_path and lock_timeout come on top. Row
#: security must not hide rows from a count, and a killed runner's statement must not run on.
SETTINGS: Mapping[str, str] = {
    "row_security": "off",
    "check_function_bodies": "on",
    "client_connection_check_interval": "2s",
}

ONE_TRANSACTION = (
    "Take transaction commands and statements that refuse a transaction (CONCURRENTLY, VACUUM) out of the file:"
    " each change is one transaction, so that it can never happen by half"
)
MEND_THE_FILE = "Mend the file and run again"

#: SQLSTATE, or its class -> the mend. The codes: PostgreSQL manual, appendix A.
MENDS: Mapping[str, str] = {
    "0A000": f"{MEND_THE_FILE}; transaction commands and COPY from the client have no place in a change",
    "25001": ONE_TRANSACTION,
    "2D000": ONE_TRANSACTION,
    "42501": "Connect as the owner of the objects, or let an administrator grant what is missing",
    "55P03": "End the sessions that use these tables (pg_blocking_pids() names them), or wait longer (lock_wait)",
    "40P01": "Run again: the other session has gone on",
    "57014": "Run again, unless someone cancelled it on purpose",
    "23": "Mend the rows that break the rule, or the rule; the server's log names the values",
    "22": "Mend the rows that do not fit, or the change; the server's log names the value",
    "53": "Give the server room (disk, memory, connections) and run again",
    "08": "Run again: the record of schema changes knows what was committed",
    "57P": "Run again when the server is up: the record of schema changes knows what was committed",
}


def prepare_transaction(connection: Connection, schema: str, lock_wait: int) -> None:
    """Set what holds for the open transaction, and undo what a change's text set for the session.

    Args:
        connection: In a transaction.
        schema: Where unqualified names are looked for and made.
        lock_wait: Seconds that a statement waits for a lock.
    """
    # This takes SET ROLE back too, to the role that came with the connection if one did (ALTER ROLE ... SET role).
    connection.execute("RESET SESSION AUTHORIZATION")
    connection.execute("RESET ALL")
    # That went back to what the role prescribes.
    settle(connection)
    search_path = sql.SQL("{}, pg_temp").format(sql.Identifier(schema)).as_string(connection)
    set_locally(connection, {**SETTINGS, "lock_timeout": f"{max(lock_wait * 1000, 1)}ms", "search_path": search_path})


def run_text(connection: Connection, change: Change, direction: str) -> None:
    """Run a change's up or down text within the open transaction.

    The text is one EXECUTE inside a DO block: there the server refuses COMMIT, ROLLBACK and every statement that
    needs to be outside of a transaction, whatever quotes and blocks the text consists of. So nobody has to parse SQL
    to know that a change cannot commit half of itself.

    Args:
        connection: In a transaction that ``prepare_transaction`` prepared.
        change: The change.
        direction: ``up`` or ``down``.

    Raises:
        MigrationError: The server refused it; names the file, the line where the server tells, and the mend.
    """
    text = change.up if direction == "up" else change.down
    block = sql.SQL("BEGIN EXECUTE {}; END").format(sql.Literal(text)).as_string(connection)
    try:
        connection.execute(sql.SQL("DO LANGUAGE plpgsql {}").format(sql.Literal(block)))
    except psycopg.Error as error:
        raise refusal(error, f"{change.name}.{direction}.sql", text) from None


def refusal(error: psycopg.Error, what: str, text: str = "") -> MigrationError:
    """Turn an error of the server into one with a place and a mend.

    Values of the data are left out (the detail, and what a data exception quotes without a place in the text), since
    they may be anyone's secrets.

    Args:
        error: What psycopg raised.
        what: What was being done: the file's name.
        text: The text that ran, to map a position to a line.
    """
    diag = error.diag
    message = diag.message_primary or " ".join(str(error).split())
    place = ""
    if text and diag.internal_position and diag.internal_query == text:
        # At the end of its input the server means the place behind the last line break.
        number = text.count("\n", 0, int(diag.internal_position) - 1) + 1
        line = text.split("\n")[number - 1].strip()
        place = f", line {number} ({line[:120] or 'its end'})"
    elif (error.sqlstate or "").startswith("22"):
        message = message.partition(': "')[0]
    state = error.sqlstate or "08"
    mend = next((MENDS[state[:length]] for length in (5, 3, 2) if state[:length] in MENDS), MEND_THE_FILE)
    return MigrationError(f"{what}{place}: {message}", mend, {"sqlstate": state})
