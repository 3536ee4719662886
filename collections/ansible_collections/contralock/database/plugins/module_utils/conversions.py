"""Which conversion a column gets: by the PostgreSQL type, and by who wrote the source column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from .catalog import Column
from .conversion_arrays import ArrayConversion
from .conversion_base import Conversion
from .conversion_documents import JsonbConversion, JsonConversion
from .conversion_numbers import (
    BooleanConversion,
    DoubleConversion,
    IntegerConversion,
    NumericConversion,
    RealConversion,
)
from .conversion_texts import BinaryConversion, EnumConversion, PaddedTextConversion, TextConversion
from .conversion_times import DateConversion, LocalTimestampConversion, TimeConversion, TimestampConversion
from .conversion_uuids import UuidConversion
from .source_encoding import Encoding

__all__ = ["Encoding", "conversion_for"]

#: PostgreSQL's name of the type (pg_type.typname) to the conversion, which knows all makers' encodings.
_CONVERSIONS: Mapping[str, Callable[[Column, str, Encoding], Conversion]] = {
    "text": TextConversion,
    "varchar": TextConversion,
    "bpchar": PaddedTextConversion,
    "uuid": UuidConversion,
    "bytea": BinaryConversion,
    "bool": BooleanConversion,
    "int2": IntegerConversion,
    "int4": IntegerConversion,
    "int8": IntegerConversion,
    "numeric": NumericConversion,
    "float4": RealConversion,
    "float8": DoubleConversion,
    "timestamptz": TimestampConversion,
    "timestamp": LocalTimestampConversion,
    "date": DateConversion,
    "time": TimeConversion,
    "json": JsonConversion,
    "jsonb": JsonbConversion,
}
#: What an array has no elements of here: a list of documents is a document, and JSON has no bytes.
_NO_ELEMENTS = ("json", "jsonb", "bytea")


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
        labels: The labels of the target's enumeration when its type, or that of its elements, is one.
        encoding: Who wrote the source column.

    Returns:
        The conversion; ``None`` when there is none for that type.
    """
    if column.type.endswith("[]"):
        return _array(column, declared_type, labels, encoding)
    if labels is not None:
        return EnumConversion(column, declared_type, labels)
    # Another schema may have a type of the same name, which is none of these.
    make = _CONVERSIONS.get(column.type_name) if column.type_schema == "pg_catalog" else None
    return make(column, declared_type, encoding) if make else None


def _array(
    column: Column, declared_type: str, labels: Sequence[str] | None, encoding: Encoding
) -> ArrayConversion | None:
    # PostgreSQL names the type of arrays after that of the elements, with an underscore before it.
    of_element = replace(column, type=column.type.removesuffix("[]"), type_name=column.type_name.removeprefix("_"))
    element = None if of_element.type_name in _NO_ELEMENTS else conversion_for(of_element, "", labels)
    return ArrayConversion(column, declared_type, element, encoding) if element else None
