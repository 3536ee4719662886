"""Made-up schema changes, and short words for what the tests of them do again and again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import Change, order_changes

TYPES = ("CREATE TYPE role AS ENUM ('client', 'freelancer');", "DROP TYPE role;")
USERS = (
    "CREATE TABLE users (\n  id integer PRIMARY KEY,\n  role role NOT NULL\n);\n"
    "CREATE INDEX users_role ON users (role);",
    "DROP TABLE users;",
)
BIO = ("ALTER TABLE users ADD COLUMN bio text;", "ALTER TABLE users DROP COLUMN bio;")

NAMES = ["0001_types", "0002_users", "0003_bio"]


def changes_of(*texts: tuple[str, str]) -> list[Change]:
    """Number pairs of up and down; the first three are named as in NAMES."""
    names = [*NAMES, *(f"{number:04}_step" for number in range(4, len(texts) + 1))]
    return order_changes({"name": name, "up": up, "down": down} for name, (up, down) in zip(names, texts, strict=False))


def three() -> list[Change]:
    return changes_of(TYPES, USERS, BIO)


def write_profile(folder: Path, changes: list[Change]) -> Path:
    (folder / "schema").mkdir(parents=True, exist_ok=True)
    for change in changes:
        (folder / "schema" / f"{change.name}.up.sql").write_text(change.up)
        (folder / "schema" / f"{change.name}.down.sql").write_text(change.down)
    return folder


def catalog_of(connection: Connection) -> Mapping[str, str]:
    return snapshot(connection).description


def recorded(conninfo: str) -> list[str] | None:
    """The names in the record; None when there is no record schema."""
    with psycopg.connect(conninfo) as connection:
        if connection.execute("SELECT FROM pg_namespace WHERE nspname = 'contralock_migration'").fetchone() is None:
            return None
        rows = connection.execute("SELECT name FROM contralock_migration.schema_changes ORDER BY position")
        return [name for (name,) in rows]


def refused(connection: Connection, request: Request, *words: str) -> MigrationError:
    """Run it, and see it refuse with these words and a mend."""
    with pytest.raises(MigrationError) as refusal:
        perform(connection, request)
    for word in words:
        assert word in str(refusal.value)
    assert refusal.value.mend
    return refusal.value
