"""What the deployed application asks of PostgreSQL when it starts: Sequelize 6.37's ``sync({alter: true})``, in SQL.

Written from the rule, without Sequelize: ``Model.sync`` in its src/model.js, ``changeColumnQuery`` and ``pgEnum`` in
its src/dialects/postgres/query-generator.js, ``ensureEnums`` in query-interface.js. The models are those of the
sample source, whose declarations are the application's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.contralock.database.plugins.module_utils.sample_source.ddl import TABLES, Column, columns

from tests.integration.profile.contralock_target import ENUMS, Connection

#: What DataTypes become in PostgreSQL (src/dialects/postgres/data-types.js).
TYPES = {
    **dict.fromkeys(("key", "ref", "id", "string"), "VARCHAR(255)"),
    **dict.fromkeys(("text", "jtext"), "TEXT"),
    "json": "JSON",
    "bool": "BOOLEAN",
    "int": "INTEGER",
    "decimal": "DECIMAL(5,2)",
    "date": "TIMESTAMP WITH TIME ZONE",
}
#: The models' columns of enumerations whose name is another one in the profile `contralock`.
MIXED_CASE = {
    "enum_notifications_relatedEntity": "enum_notifications_related_entity",
    "enum_messages_senderRole": "enum_messages_sender_role",
    "enum_wallet_transactions_relatedEntity": "enum_wallet_transactions_related_entity",
}
REFERENCES = """
    SELECT conname::text FROM pg_constraint
     WHERE contype = 'f' AND conrelid = %s::regclass AND confrelid = %s::regclass
       AND conkey = ARRAY[(SELECT attnum FROM pg_attribute WHERE attrelid = conrelid AND attname = %s)]"""


def enum_name(table: str, column: Column) -> str:
    """``generateEnumName`` of src/utils.js."""
    return f"enum_{table}_{column.name}"


def labels(name: str) -> list[str]:
    """The values of an enumeration that the model knows, in some order."""
    known = ENUMS[MIXED_CASE.get(name, name)].split()
    return [label for label in known if (name, label) != ("enum_users_status", "active")]


def start_application(connection: Connection) -> None:
    """Ask for all that one start asks for, statement by statement, as the role that is connected."""
    for table in TABLES:
        for column in columns(table):
            for statement in _alter(connection, table, column):
                connection.execute(statement.encode())


def start_indexing_service(connection: Connection) -> None:
    """Make the indexes that the application's own service makes before PostgreSQL refuses ``createdAt``."""
    connection.execute("CREATE UNIQUE INDEX IF NOT EXISTS idx_users_email ON users (email)")
    for name, listed in {"role": "role", "status": "status", "role_status": "role, status"}.items():
        connection.execute(f"CREATE INDEX IF NOT EXISTS idx_users_{name} ON users ({listed})".encode())


def _alter(connection: Connection, table: str, column: Column) -> Iterator[str]:
    if column.kind == "key":
        return
    alter = f'ALTER TABLE "{table}" ALTER COLUMN "{column.name}"'
    if column.references:
        found = connection.execute(REFERENCES, [f'"{table}"', column.references, column.name]).fetchall()
        yield from (f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"' for (name,) in found)
    if column.required:
        yield f"{alter} SET NOT NULL"
    elif not column.references:
        yield f"{alter} DROP NOT NULL"
    if column.default is not None:
        literal = column.default if column.kind != "bool" else ("false", "true")[int(column.default)]
        yield f"{alter} SET DEFAULT {literal}"
    elif not column.references:
        yield f"{alter} DROP DEFAULT"
    if column.unique:
        yield f'ALTER TABLE "{table}" ADD UNIQUE ("{column.name}")'
    if column.references:
        yield f'ALTER TABLE "{table}" ADD FOREIGN KEY ("{column.name}") REFERENCES "{column.references}" ("_id")'
    elif column.kind == "enum":
        name = enum_name(table, column)
        values = ", ".join(f"'{label}'" for label in labels(name))
        # Doubled quotes, because it is a text in a DO.
        text = f'CREATE TYPE "public"."{name}" AS ENUM({values})'.replace("'", "''")
        yield f"DO 'BEGIN {text}; EXCEPTION WHEN duplicate_object THEN null; END'"
        yield f'{alter} TYPE "{name}" USING ("{column.name}"::"public"."{name}")'
    else:
        yield f"{alter} TYPE {TYPES[column.kind]}"
