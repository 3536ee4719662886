"""What was read of a source, in a form that tells every cell apart."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from ansible_collections.contralock.database.plugins.module_utils.cells import Cells
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_reader import read_table
from ansible_collections.contralock.database.plugins.module_utils.source_schema import SourceTable, read_schema

#: Numbers from 1 on, as rows.
COUNT = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"
#: What stands for a storage class in what `Cells.stored` gives.
CLASSES = {int: "integer", float: "real", bytearray: "text", bytes: "blob", type(None): "null"}


def exact(cells: Cells) -> list[tuple[str, object]]:
    """Storage class and value; a double by its bits."""
    values = [cells.stored(row) for row in range(cells.length)]
    shown = [struct.pack("d", value) if isinstance(value, float) else value for value in values]
    return [(CLASSES[type(value)], each) for value, each in zip(values, shown, strict=True)]


def whole(batches: Iterable[list[Cells]]) -> list[list[tuple[str, object]]]:
    columns = [Cells.concat(column) for column in zip(*batches, strict=True)]
    return [exact(column) for column in columns]


def table_of(path: Path, name: str = "t") -> SourceTable:
    with closing(open_source(path)) as source:
        return read_schema(source).table(name)


def by_rows(path: Path, columns: Sequence[str], table: str = "t") -> list[object]:
    with closing(open_source(path)) as source:
        return whole(read_table(source, table, columns))
