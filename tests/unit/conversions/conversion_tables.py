"""All types' tables; the integration tests load the same values into a real PostgreSQL."""

from __future__ import annotations

from tests.unit.conversions import array_tables, document_tables, maker_tables, number_tables, text_tables, time_tables

TABLES = (
    *text_tables.TABLES,
    *number_tables.TABLES,
    *time_tables.TABLES,
    *document_tables.TABLES,
    *maker_tables.TABLES,
    *array_tables.TABLES,
)
IDS = [f"{table.sql_type} from {table.declared_type} of {table.encoding}" for table in TABLES]
