"""Cuts a table into parts that workers compare beside one another: rows of the source, and pages of the target.

Both sides are read in the order in which they lie: no sorting, no jumping about in a file that is larger than the
memory. A load fills the target's heap in the source's order, so that a part's rows are in the same fraction of both;
where exactly, the places of some rows tell. That is a guess, and nothing depends on it but speed: rows that find no
partner in their part find it when all parts are read (``row_spill.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .catalog import Catalog
from .columnar_reader import RowRange, read_columns, split_rows
from .plan import TablePlan
from .rules_applied import apply_rules
from .target_moment import Moment
from .target_reader import BlockRange

#: The source is looked at this often; a part has so many of these pieces: as few as are worth a query, as many as it
#: takes to end where the target's order has a cut too.
PIECE_ROWS = 50_000
LEAST_PIECES, MOST_PIECES = 4, 16
#: One in so many first rows may have been moved since the load, without its cut and the others being lost.
PIECES_PER_STRAY = 50
#: Rows after the beginning of a piece among which its first one is looked for: numbers may be missing.
LOOK_AHEAD = 1000


@dataclass(frozen=True)
class Part:
    """Rows of the source and pages of the target; None means all of them."""

    rows: RowRange | None = None
    blocks: BlockRange | None = None


WHOLE = (Part(),)


def parts_of(
    path: Path, source: sqlite3.Connection, moment: Moment, catalog: Catalog, table: TablePlan
) -> tuple[Part, ...]:
    """Cut a table into parts, which together hold each row of both sides once.

    Args:
        path: The source's file, which nobody writes.
        source: A connection to it, from ``open_source``.
        moment: The target.
        catalog: The target's schema.
        table: The table's plan.

    Raises:
        MigrationError: A side cannot be read.
    """
    pieces = [each for each in split_rows(source, table.source, PIECE_ROWS) if each is not None]
    if len(pieces) < 2 * LEAST_PIECES:
        return WHOLE
    blocks = moment.blocks_of(catalog, table.target)
    if not blocks:
        return WHOLE
    places = [0, *(_place(path, moment, table, piece) for piece in pieces[1:])]
    return tuple(cut(pieces, places, blocks))


def cut(pieces: Sequence[RowRange], places: Sequence[int | None], blocks: int) -> list[Part]:
    """Make parts of pieces.

    Args:
        pieces: Rows of the source in their order, together all of them.
        places: The page of the target on which each piece's first row stands, None where that is not known.
        blocks: How many pages the target has.
    """
    starts = [0]
    borders = _borders(places, blocks)
    for number in range(1, len(pieces)):
        size = number - starts[-1]
        if size >= MOST_PIECES or (size >= LEAST_PIECES and borders[number][1]):
            starts.append(number)
    parts = []
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        last = pieces[-1] if following is None else pieces[following - 1]
        # Rows that were added after the pages were counted are in no snapshot; what follows the last page is none.
        end = None if following is None else borders[following][0]
        parts.append(Part(RowRange(pieces[start].first, last.last), BlockRange(borders[start][0], end)))
    return parts


def _borders(places: Sequence[int | None], blocks: int) -> list[tuple[int, bool]]:
    """Return for each piece where its rows begin in the target, and whether that is a clean cut.

    A cut is clean when no piece before it begins behind it and none after it before it, but for a few: a row that the
    application changed since the load may stand anywhere. The others are put in between.
    """
    clean: list[tuple[int, int]] = []
    for number, place in enumerate(places):
        if place is None or (clean and place < clean[-1][1]):
            continue
        behind = sum(1 for each in places[:number] if each is not None and each > place)
        ahead = sum(1 for each in places[number + 1 :] if each is not None and each < place)
        if behind + ahead <= len(places) // PIECES_PER_STRAY:
            clean.append((number, place))
    clean.append((len(places), blocks))
    borders: list[tuple[int, bool]] = []
    for (number, place), (following, end) in pairwise(clean):
        pieces = following - number
        borders += [(place + (end - place) * step // pieces, step == 0) for step in range(pieces)]
    return borders


def _place(path: Path, moment: Moment, table: TablePlan, piece: RowRange) -> int | None:
    """Return the page of the target on which the first row of a piece stands; None when it cannot be told."""
    if not table.key:
        return None
    columns = [table.column(name) for name in table.key]
    ahead = RowRange(piece.first, min(piece.last, piece.first + LOOK_AHEAD))
    names = [column.source for column in columns]
    batch = next(read_columns(path, table.source.name, names, rows=ahead, batch_rows=1), None)
    if batch is None:
        return None
    texts = []
    for column, cells in zip(columns, batch, strict=True):
        converted = column.conversion.convert(apply_rules(column.rules, cells, column.conversion).cells)
        if converted.misfits:
            return None
        texts.append(column.conversion.render(converted.values)[0].as_py())
    return moment.block_of([column.target for column in columns], texts)
