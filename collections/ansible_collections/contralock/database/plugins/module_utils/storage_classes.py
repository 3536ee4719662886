"""Which storage class the cells of a column have: asked of SQLite, and watched over while the driver reads.

The driver for SQLite takes a column's type from its first batch. From then on it fails where a column of whole numbers
holds anything else, or one of bytes a number (``statement_reader.c`` in apache/arrow-adbc), but it takes a BLOB for a
text, a text for a BLOB, and a whole number for a real one. So of the first rows SQLite is asked what they hold, and for
the others what the driver would not notice stands as a condition in the very query that reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_manager as adbc
import adbc_driver_sqlite
import pyarrow as pa

from .row_selection import Selection
from .source_watch import written_meanwhile

NULL = "null"
#: What the driver does not notice in a column of the class: all BLOBs come after all texts, and these after numbers.
_UNNOTICED = {
    "text": "{} COLLATE BINARY >= x''",
    "blob": "{} COLLATE BINARY < x''",
    "real": "typeof({}) = 'integer'",
}
#: SQLite has no other way to fail in a query that only reads (https://www.sqlite.org/lang_corefunc.html#abs).
_FAIL = "abs(-9223372036854775807 - 1)"


@dataclass(frozen=True)
class Learned:
    """What some rows hold.

    Attributes:
        classes: For each column its one class, ``null`` where every cell is, None where it has several or SQLite
            computes it.
        row_bytes: No row has more bytes in texts and BLOBs.
    """

    classes: tuple[str | None, ...]
    row_bytes: int


@contextmanager
def open_driver(path: Path, *, unchanging: bool = False) -> Iterator[adbc.AdbcConnection]:
    """Open a file that nobody writes, with the driver.

    Args:
        path: The file.
        unchanging: Whether to take no lock and to look at no file beside it
            (https://www.sqlite.org/uri.html#uriimmutable).
    """
    immutable = "&immutable=1" if unchanging else ""
    with (
        adbc_driver_sqlite.connect(f"{path.resolve().as_uri()}?mode=ro{immutable}") as database,
        adbc.AdbcConnection(database) as connection,
    ):
        yield connection


@contextmanager
def asked(driver: adbc.AdbcConnection, query: str, batch_rows: int) -> Iterator[pa.RecordBatchReader]:
    """Ask the driver a query, and read its answer in batches of so many rows."""
    with adbc.AdbcStatement(driver) as statement:
        statement.set_options(**{adbc_driver_sqlite.StatementOptions.BATCH_ROWS.value: str(batch_rows)})
        statement.set_sql_query(query)
        stream, _ = statement.execute_query()
        with pa.RecordBatchReader.from_stream(stream) as reader:
            yield reader


def learn_classes(driver: adbc.AdbcConnection, selection: Selection, row_bytes: int) -> Learned:
    """Ask SQLite what the cells of each column are, in one pass over the rows.

    SQLite looks for a row that is not like those before it; what it finds is learned, and the search goes on there. It
    is the driver's SQLite that is asked: it is the newer one, and reads neither text nor BLOB to measure it.

    Args:
        driver: From ``open_driver``.
        selection: The rows.
        row_bytes: Rows up to this size need not be measured.

    Raises:
        MigrationError: The rows are not the same all the time.
    """
    known = Learned(tuple(None if computed else NULL for computed in selection.computed), row_bytes)
    since = ""
    while True:
        with asked(driver, _search(selection, known, since), 1) as reader:
            found = reader.read_all()
        if not found.num_rows:
            return known
        found_bytes, number, *kinds = (column[0].as_py() for column in found.columns)
        classes = tuple(_learned(before, kind) for before, kind in zip(known.classes, kinds, strict=True))
        larger = found_bytes > known.row_bytes
        if not larger and classes == known.classes:
            raise written_meanwhile("read")
        known = Learned(classes, 1 << found_bytes.bit_length() if larger else known.row_bytes)
        if selection.row:
            since = f" AND {selection.row} >= {number}"


def guarded(selection: Selection, known: Learned) -> str:
    """Return the condition under which a query fails that meets what is not known and the driver would not notice."""
    pairs = list(zip(selection.columns, known.classes, strict=True))
    terms = [_UNNOTICED[kind].format(column) for column, kind in pairs if kind in _UNNOTICED]
    terms += [f"octet_length({column}) > {known.row_bytes}" for column, kind in pairs if kind in ("text", "blob", None)]
    return f" AND CASE WHEN {_balanced(terms, 'OR')} THEN {_FAIL} ELSE 1 END" if terms else ""


def _search(selection: Selection, known: Learned, since: str) -> str:
    """Write the query for the first row that is not like what is known."""
    pairs = list(zip(selection.columns, known.classes, strict=True))
    sized = [f"coalesce(octet_length({column}), 0)" for column, kind in pairs if kind in ("text", "blob", None)]
    size = _balanced(sized or ["0"], "+")
    # Not IS NULL: of a column that is declared NOT NULL, SQLite answers that without a look at its cells.
    others = [
        f"typeof({column}) " + (f"NOT IN ('{NULL}', '{kind}')" if kind != NULL else f"<> '{NULL}'")
        for column, kind in pairs
        if kind is not None
    ]
    listed = ", ".join([size, selection.row or "NULL", *(f"typeof({column})" for column in selection.columns)])
    unlike = _balanced([*others, f"({size} > {known.row_bytes})"], "OR")
    return f"SELECT {listed} {selection.tree}{since} AND {unlike} LIMIT 1"


def _learned(known: str | None, found: str) -> str | None:
    if found in (NULL, known):
        return known
    return found if known == NULL else None


def _balanced(terms: Sequence[str], operator: str) -> str:
    """Join terms as a tree: SQLite takes a thousand columns, but no expression that is a thousand levels deep."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return f"({_balanced(terms[:middle], operator)} {operator} {_balanced(terms[middle:], operator)})"
