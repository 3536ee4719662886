"""What went wrong while rows were loaded: in few words, without the rows' values, and with the mend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .errors import MigrationError

if TYPE_CHECKING:
    import psycopg

    from .refused_rows import RefusedRows

SHOWN_FAULTS = 5
SHOWN_CHARACTERS = 240

#: Part of a fault -> what the operator does about it; the first that matches counts. The codes' classes: PostgreSQL
#: manual, appendix A.
MENDS: tuple[tuple[str, str], ...] = (
    ("Heap exhausted", "Shorten the largest values of the source: pgloader has a heap of 1 GB, whatever the host has"),
    ("failed to execute", "Run the role migration_toolkit on this host"),
    ("error 23514", "Mend the rows in the source that break the target's CHECK constraint, or the constraint"),
    ("error 23", "Mend the rows in the source that break the target's constraint"),
    ("error 22", "Mend the values in the source that do not fit, or give the profile a rule for them"),
    ("row is too big", "Split the table, or keep the columns that nobody searches in one of type jsonb"),
    (
        "error 54000",
        "Shorten the values that are too long in the application, or change what limits them in the schema",
    ),
    ("error 53100", "Give the server room on its disk and run again"),
    ("error 53300", "End idle sessions, or raise the limit of the role, the database or the server (max_connections)"),
    ("error 53", "Give the server room (disk, memory, connections) and run again"),
    ("error 55P03", "End the sessions in this database (pg_stat_activity names them) and run again"),
    ("error 42501", "Let the target's role own the tables; run prepare.yml"),
    (
        "error 25006",
        "Let the target's sessions write again (default_transaction_read_only); providers keep them from it when the"
        " server's disk is nearly full",
    ),
    ("error 28", "Check the password that libpq reads; pgloader was given the same"),
    ("error 57", "Run again when the server is up and nobody cancels the load"),
    ("onnect", "See that the server is up and reachable, and run again"),
)
GENERAL_MEND = "Run again; when it fails again, keep the message and rehearse with a part of the rows"

_DATABASE_ERROR = re.compile(r"Database error (?P<code>[0-9A-Z]{5}): (?P<text>.*)", re.DOTALL)


def load_failure(fact: str, faults: Sequence[str], mend: str = "") -> MigrationError:
    """Return the error of a load that failed.

    Args:
        fact: What happened, without a full stop.
        faults: What was said meanwhile, as ``without_values`` leaves it; the first five are shown.
        mend: The next step; by default what the faults ask for.
    """
    shown = "; ".join(faults[:SHOWN_FAULTS])
    more = f" (and {len(faults) - SHOWN_FAULTS} more)" if len(faults) > SHOWN_FAULTS else ""
    known = (words for fragment, words in MENDS if fragment in shown)
    return MigrationError(
        f"{fact}: {shown}{more}" if shown else fact,
        mend or next(known, GENERAL_MEND),
        {"faults": list(faults[:20])},
    )


def is_database_error(line: str) -> bool:
    """Tell whether a line holds an error of the server, as ``server_fault`` and pgloader write it."""
    return _DATABASE_ERROR.search(line) is not None


def without_values(text: str) -> str:
    """Shorten a fault, and leave out what repeats a value (SQLSTATE class 22, after the colon)."""
    if error := _DATABASE_ERROR.search(text):
        message = error["text"]
        if error["code"].startswith("22"):
            message = re.split(r":|\"", message, maxsplit=1)[0].strip()
        text = f"Database error {error['code']}: {message}"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def with_row(fault: str, row: str) -> str:
    """Add to a fault which row it is about."""
    return f"{fault} ({row})" if row else fault


def server_fault(error: psycopg.Error, rows: RefusedRows | None = None) -> str:
    """Return the server's main sentence with its SQLSTATE, in the words in which pgloader repeats it.

    DETAIL and CONTEXT hold whole rows, and are left out, but for what ``rows`` makes of them.
    """
    if error.sqlstate is None or not error.diag.message_primary:
        return without_values(f"no connection: {' '.join(str(error).split())}")
    message = error.diag.message_primary
    row = rows.told(message, error.diag.message_detail or "") if rows else ""
    return with_row(without_values(f"Database error {error.sqlstate}: {' '.join(message.split())}"), row)
