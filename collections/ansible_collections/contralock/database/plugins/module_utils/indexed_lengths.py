"""Notes how long the values of indexed columns are: most indexes of PostgreSQL take no entry above a part of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from .catalog import Catalog, Index
from .source_file import quote_identifier

#: An entry of a B-tree holds 2,704 bytes, compressed ones (BTMaxItemSize in PostgreSQL's nbtree.h), one of GIN 2,712
#: (GinMaxItemSize in ginblock.h), one of BRIN a page. Values of less than this are never too long, whatever else is in
#: the entry.
_SURE_BYTES = 2000
_LIMITED = (" USING btree ", " USING gin ", " USING brin ")
_WITH_LENGTH = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
#: What an element of a list takes at most where its type has one length.
_ELEMENT_BYTES = 16


class IndexedLengths:
    """Threads may add rows of different parts of tables at once.

    Args:
        catalog: Of the target.
        tables: The tables that are carried.
    """

    def __init__(self, catalog: Catalog, tables: Iterable[str]) -> None:
        self._catalog = catalog
        self._indexed: dict[str, set[str]] = {name: set() for name in tables}
        for index in catalog.indexes:
            if index.table in self._indexed:
                self._indexed[index.table].update(filter(None, spelled_columns(index, catalog)))
        #: Target table, column and number of the part -> the bytes of its longest value.
        self._longest: dict[tuple[str, str, int], int] = {}

    def add(self, table: str, values: Mapping[str, pa.Array], part: int) -> None:
        """Take PostgreSQL's values of a table's next rows, by their columns."""
        for name in self._indexed[table] & values.keys():
            self._longest[table, name, part] = max(self._longest.get((table, name, part), 0), _longest(values[name]))

    def may_refuse(self, index: Index) -> bool:
        """Tell whether an entry of an index of plain columns may be too long for it."""
        names = spelled_columns(index, self._catalog)
        lengths = dict.fromkeys(filter(None, names), 0)
        for (table, name, _), length in self._longest.items():
            if table == index.table and name in lengths:
                lengths[name] = max(lengths[name], length)
        return sum(lengths.values()) > _SURE_BYTES and any(method in index.text for method in _LIMITED)


def _longest(values: pa.Array) -> int:
    """Return a number of bytes that none of the values exceeds; 0 where their type has one length."""
    if pa.types.is_list(values.type):
        return _largest(pc.list_value_length(values)) * (_longest(values.flatten()) or _ELEMENT_BYTES)
    return _largest(pc.binary_length(values)) if any(test(values.type) for test in _WITH_LENGTH) else 0


def _largest(lengths: pa.Array) -> int:
    """Return the largest number; 0 where there is none."""
    return int(pc.max(lengths).as_py() or 0)


def spelled_columns(index: Index, catalog: Catalog) -> list[str | None]:
    """Return the columns of an index, which PostgreSQL quotes where they need it; None for each expression."""
    spelled = columns_as_spelled(index.table, catalog)
    return [spelled.get(each) for each in index.columns]


def columns_as_spelled(table: str, catalog: Catalog) -> Mapping[str, str]:
    """Return each spelling that PostgreSQL may have for a table's columns in an index, to the column."""
    names = [column.name for column in catalog.columns_of(table)]
    return {name: name for name in names} | {quote_identifier(name): name for name in names}
