"""What a database's driver raised where nobody expected it, as a sentence: told at the edge, in one place.

Where the library knows what an error means it says it itself. What is left is a table that somebody has dropped, a
server that goes away between two questions, a damaged file: no place for a traceback, which may repeat a row's values.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from .load_faults import load_failure, server_fault
from .source_file import explained

#: SQLSTATE -> mend, beside those of ``load_faults.MENDS`` (PostgreSQL manual, appendix A).
_MENDS = {
    "3F000": "Run playbooks/prepare.yml, which brings the schema",
    "42P01": "See who has dropped it, and run playbooks/prepare.yml, which brings the schema",
    "42703": "See who has changed the schema, and run playbooks/prepare.yml, which says what is not as recorded",
    "40001": "Run again",
    "40P01": "Run again",
}


@contextlib.contextmanager
def driver_errors_told(what: str) -> Iterator[None]:
    """Turn what SQLite's or PostgreSQL's driver raises in the block into a sentence without the data's values.

    Args:
        what: The SQLite file that the block is about, or other words for it.

    Raises:
        MigrationError: A driver raised an error.
    """
    try:
        with explained(what):
            yield
    except Exception as error:
        # Where it was not imported there is no server, and it need not be installed.
        driver = sys.modules.get("psycopg")
        if driver is None or not isinstance(error, driver.Error):
            raise
        state = str(getattr(error, "sqlstate", "") or "")
        raise load_failure("the target answered", [server_fault(error)], _MENDS.get(state, "")) from None
