"""For each type: what SQLite may store, and what has to become of it; written from the rule, not from the output.

The integration tests load the same values into a real PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ansible_collections.contralock.database.plugins.module_utils.catalog import Column
from ansible_collections.contralock.database.plugins.module_utils.cells import Value
from ansible_collections.contralock.database.plugins.module_utils.conversion_base import Conversion
from ansible_collections.contralock.database.plugins.module_utils.conversions import conversion_for
from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding

INF = float("inf")
TEXT_BYTES = bytearray  # TEXT that no str can say

#: The name that people write to pg_type.typname.
TYPE_NAMES: Mapping[str, str] = {
    "integer": "int4",
    "smallint": "int2",
    "bigint": "int8",
    "boolean": "bool",
    "real": "float4",
    "double precision": "float8",
    "char": "bpchar",
}


def column(sql_type: str) -> Column:
    """Return a column as the catalog would describe it; the integration tests ask the real one."""
    name, *arguments = re.findall(r"[a-z_ ]+\w*|-?\d+", sql_type)
    numbers = [int(each) for each in arguments]
    match name, numbers:
        case "numeric", [precision, scale]:
            modifier = (precision << 16 | scale & 0x7FF) + 4
        case "varchar" | "char", [length]:
            modifier = length + 4
        case "timestamptz" | "timestamp" | "time", [precision]:
            modifier = precision
        case _:
            modifier = -1
    type_name = TYPE_NAMES.get(name, name)
    if sql_type.endswith("[]"):
        type_name = f"_{type_name}"
    return Column(
        "public", "things", "value", 1, sql_type, type_name, "pg_catalog", modifier, False, None, "", False, ""
    )


@dataclass(frozen=True)
class TypeTable:
    """One type's cases.

    ``fits`` is stored value -> Arrow's Python value, ``misfits`` stored value -> part of the reason.
    """

    sql_type: str
    declared_type: str
    fits: Sequence[tuple[Value, object]]
    misfits: Sequence[tuple[Value, str]]
    labels: tuple[str, ...] | None = None
    encoding: Encoding = Encoding.SEQUELIZE
    #: Stored values whose way back spells them differently -> that spelling.
    respelled: Mapping[object, Value] = field(default_factory=dict)

    def conversion(self) -> Conversion:
        found = conversion_for(column(self.sql_type), self.declared_type, self.labels, self.encoding)
        assert found is not None
        return found


def utc(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type, misc] (numbers are the fields down to microseconds)
