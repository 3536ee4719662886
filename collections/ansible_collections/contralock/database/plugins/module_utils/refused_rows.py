"""Which row the server refused: what its DETAIL says of it, without the values that the profile calls sensitive.

A constraint's message names the constraint alone. Its DETAIL has the key, or the whole row with each value cut at 64
bytes (ExecBuildSlotValueDescription in PostgreSQL's execMain.c); both are written for people, so that what cannot be
read with certainty is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import chain

from .catalog import Catalog, Constraint, Index
from .conversion_base import shortened

_KEY = re.compile(
    r"Key \((?P<columns>.+?)\)=\((?P<values>.*)\) (?P<what>already exists|is duplicated|is not present in table \S+)\.",
    re.DOTALL,
)
_ROW = re.compile(r"Failing row contains \((?P<values>.*)\)\.", re.DOTALL)
_CONSTRAINT = re.compile(r'(?:constraint|unique index) "(?P<name>[^"]+)"')
#: Types whose values have no comma in their text, so that they can be told apart at the beginning of a row.
_PLAIN_TYPES = frozenset({"uuid", "int2", "int4", "int8", "bool", "date", "timestamptz", "timestamp"})
HIDDEN = "(sensitive)"


@dataclass(frozen=True)
class RefusedRows:
    """Reads what the server says of a row that it refused.

    Args:
        catalog: The target's.
        sensitive: Target table and column of what is never shown.
    """

    catalog: Catalog = field(repr=False)
    sensitive: Set[tuple[str, str]]

    def told(self, message: str, detail: str) -> str:
        """Return table, columns and values of the row, or nothing where that is not certain.

        Args:
            message: The server's main sentence, which names the constraint.
            detail: Its DETAIL.
        """
        named = _CONSTRAINT.search(message)
        table = self._table_of(named["name"]) if named else ""
        if not (named and table):
            return ""
        if key := _KEY.fullmatch(detail):
            hidden = any(column in key["columns"] for column in self._hidden(table))
            values = HIDDEN if hidden else shortened(key["values"])
            return f"{table}: {key['columns']} = {values} {key['what']}"
        if row := _ROW.fullmatch(detail):
            shown = dict(self._shown(table, named["name"], self._values(table, row["values"])))
            return f"{table}: {', '.join(f'{name} = {value}' for name, value in shown.items())}" if shown else ""
        return ""

    def _table_of(self, name: str) -> str:
        described: Iterator[Constraint | Index] = chain(self.catalog.constraints, self.catalog.indexes)
        found = {each.table for each in described if each.name == name}
        # Names of checks and foreign keys are unique in their table only.
        return found.pop() if len(found) == 1 else ""

    def _hidden(self, table: str) -> list[str]:
        return [column for owner, column in self.sensitive if owner == table]

    def _values(self, table: str, text: str) -> Mapping[str, str]:
        """Return column to value, of all columns or of those at the beginning that cannot be mistaken."""
        columns, parts = self.catalog.columns_of(table), text.split(", ")
        if len(parts) == len(columns):
            return {column.name: part for column, part in zip(columns, parts, strict=True)}
        certain = {}
        for column, part in zip(columns, parts, strict=False):
            if column.type_name not in _PLAIN_TYPES:
                break
            certain[column.name] = part
        return certain

    def _shown(self, table: str, name: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield the columns of the key and of the constraint, as far as they are known."""
        key, own = self._constraint(table, "primary key"), self._constraint(table, named=name)
        for column in (*(key.columns if key else ()), *(own.columns if own else ())):
            if column in values:
                yield column, HIDDEN if (table, column) in self.sensitive else shortened(values[column])

    def _constraint(self, table: str, kind: str = "", named: str = "") -> Constraint | None:
        of_table = (each for each in self.catalog.constraints if each.table == table)
        return next((each for each in of_table if each.kind == kind or each.name == named), None)
