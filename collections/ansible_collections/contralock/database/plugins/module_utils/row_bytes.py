"""How large rows are in PostgreSQL's words, and the refusal of those that an engine cannot carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from .conversion_base import Conversion
from .errors import MigrationError

#: Rows below it are small for every engine, and nobody spells them to know their size.
NOTED_BYTES = 1_000_000
#: Of a value that has no length of its own (a number, a time, a uuid, NULL), spelled.
_SHORT_BYTES = 64


def row_bytes(texts: Sequence[pa.Array]) -> pa.Array:
    """Return the bytes of each row, from its cells as texts."""
    total = pa.repeat(0, len(texts[0])).cast(pa.int64())
    for each in texts:
        total = pc.add(total, pc.fill_null(pc.binary_length(each), 0).cast(pa.int64()))
    return total


def largest_row(conversions: Sequence[Conversion], values: Sequence[pa.Array]) -> int:
    """Return the bytes of the largest row as texts, from PostgreSQL's values of its cells.

    Args:
        conversions: Of the columns.
        values: Their values, all of the same length.

    Returns:
        0 when no row has ``NOTED_BYTES``: the answer costs next to nothing then.
    """
    if not values or not len(values[0]):
        return 0
    bounds = [_bound(conversion, each) for conversion, each in zip(conversions, values, strict=True)]
    most = bounds[0]
    for each in bounds[1:]:
        most = pc.add(most, each)
    large = pc.greater_equal(most, NOTED_BYTES)
    if not pc.any(large).as_py():
        return 0
    texts = [conversion.render(each.filter(large)) for conversion, each in zip(conversions, values, strict=True)]
    size = int(pc.max(row_bytes(texts)).as_py())
    return size if size >= NOTED_BYTES else 0


def _bound(conversion: Conversion, values: pa.Array) -> pa.Array:
    """Return what each value takes at most as a text."""
    kind = values.type
    if pa.types.is_list(kind):
        lengths = pc.binary_length(conversion.render(values))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        lengths = pc.binary_length(values)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        # Two digits for each byte.
        lengths = pc.multiply(pc.binary_length(values).cast(pa.int64()), 2)
    else:
        return pa.repeat(_SHORT_BYTES, len(values)).cast(pa.int64())
    return pc.add(pc.fill_null(lengths, 0).cast(pa.int64()), _SHORT_BYTES)


def too_large_rows(largest: Mapping[str, int], limit: int, engine: str) -> MigrationError | None:
    """Return the refusal of rows that the engine cannot carry, if there are any.

    Args:
        largest: Target table to the bytes of its largest row.
        limit: Up to how many the engine carries.
        engine: Its name.
    """
    large = {name: size for name, size in largest.items() if size > limit}
    if not large:
        return None
    shown = ", ".join(f"{name} {size:,} bytes" for name, size in large.items())
    return MigrationError(
        f"the source has rows that are too large for {engine}, which carries up to {limit:,} bytes ({shown})",
        "Load with the engine arrow (data_transfer_engine), or shorten the largest values of these tables",
        {"largest_row_bytes": large},
    )
