"""Which conversion a column gets: by the PostgreSQL type and the encoding of the source column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from .catalog import Column
from .conversion_base import Conversion
from .conversion_documents import JsonbConversion, JsonConversion
from .conversion_numbers import (
    BooleanConversion,
    DoubleConversion,
    IntegerConversion,
    NumericConversion,
    RealConversion,
)
from .conversion_texts import BinaryConversion, EnumConversion, PaddedTextConversion, TextConversion, UuidConversion
from .conversion_times import DateConversion, LocalTimestampConversion, TimestampConversion


class Encoding(StrEnum):
    """Who wrote the source, and thereby how its SQLite columns spell values."""

    SEQUELIZE = "sequelize"


#: PostgreSQL's name of the type (pg_type.typname) and the source's encoding to the conversion.
_CONVERSIONS: Mapping[tuple[str, Encoding], Callable[[Column, str], Conversion]] = {
    ("text", Encoding.SEQUELIZE): TextConversion,
    ("varchar", Encoding.SEQUELIZE): TextConversion,
    ("bpchar", Encoding.SEQUELIZE): PaddedTextConversion,
    ("uuid", Encoding.SEQUELIZE): UuidConversion,
    ("bytea", Encoding.SEQUELIZE): BinaryConversion,
    ("bool", Encoding.SEQUELIZE): BooleanConversion,
    ("int2", Encoding.SEQUELIZE): IntegerConversion,
    ("int4", Encoding.SEQUELIZE): IntegerConversion,
    ("int8", Encoding.SEQUELIZE): IntegerConversion,
    ("numeric", Encoding.SEQUELIZE): NumericConversion,
    ("float4", Encoding.SEQUELIZE): RealConversion,
    ("float8", Encoding.SEQUELIZE): DoubleConversion,
    ("timestamptz", Encoding.SEQUELIZE): TimestampConversion,
    ("timestamp", Encoding.SEQUELIZE): LocalTimestampConversion,
    ("date", Encoding.SEQUELIZE): DateConversion,
    ("json", Encoding.SEQUELIZE): JsonConversion,
    ("jsonb", Encoding.SEQUELIZE): JsonbConversion,
}


def conversion_for(
    column: Column,
    declared_type: str,
    labels: Sequence[str] | None = None,
    encoding: Encoding = Encoding.SEQUELIZE,
) -> Conversion | None:
    """Return the conversion of a source column into a target column.

    Args:
        column: The target's column.
        declared_type: The source column's declared type, as SQLite's schema spells it; may be empty.
        labels: The labels of the target's enumeration when its type is one.
        encoding: How the source spells values.

    Returns:
        The conversion; ``None`` when there is none for that type.
    """
    if labels is not None:
        return EnumConversion(column, declared_type, labels)
    # Another schema may have a type of the same name, which is none of these.
    make = _CONVERSIONS.get((column.type_name, encoding)) if column.type_schema == "pg_catalog" else None
    return make(column, declared_type) if make else None
