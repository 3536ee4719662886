"""Which framework made a database, told by its habits, and what it makes of its own tables on PostgreSQL.

Sources: Sequelize 6 ``dialects/sqlite`` and umzug's storage; Django ``db/migrations/recorder.py``; Rails
``active_record/schema_migration.rb`` and ``internal_metadata.rb``; Prisma ``migrate``; Alembic
``runtime/migration.py``; and the documentation of each tool in the table of records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .source_encoding import Encoding
from .source_schema import SourceSchema

#: What whoever is no framework wrote is read like Sequelize's, which demands the most of a time: its offset.
PLAIN = "plain"


@dataclass(frozen=True)
class Maker:
    """Who made the database.

    Attributes:
        name: ``sequelize``, ``django``, ``rails``, ``prisma``, ``sqlalchemy`` or ``plain``.
        encoding: What the mapping says as ``written_by``.
        why: What tells so, as a phrase.
        narrow: Whether INTEGER means four bytes there, as it does on PostgreSQL.
    """

    name: str
    encoding: Encoding
    why: str
    narrow: bool = True


@dataclass(frozen=True)
class Record:
    """A table in which a tool keeps its own account; ``moves`` says whether the target needs its rows."""

    title: str
    moves: bool
    reason: str


_REPEATS = "without these rows it would carry out all its migrations again"
_OWN_ACCOUNT = "{} keeps its account of this SQLite database in it"

#: Table in lower case -> whose it is.
RECORDS: Mapping[str, Record] = {
    "sequelizemeta": Record("Sequelize's migrations", True, _REPEATS),
    "sequelizedata": Record("Sequelize's seeds", True, "without these rows it would sow all its seeds again"),
    "django_migrations": Record("Django's migrations", True, _REPEATS),
    "schema_migrations": Record("migrations of Rails, golang-migrate or dbmate", True, _REPEATS),
    "ar_internal_metadata": Record("Rails' account of its environment", True, "Rails asks it before it drops anything"),
    "alembic_version": Record("Alembic's migrations", True, _REPEATS),
    "knex_migrations": Record("Knex's migrations", True, _REPEATS),
    "knex_migrations_lock": Record("Knex's lock", True, "Knex expects one row in it"),
    "flyway_schema_history": Record("Flyway's migrations", True, _REPEATS),
    "goose_db_version": Record("goose's migrations", True, _REPEATS),
    "__efmigrationshistory": Record("Entity Framework's migrations", True, _REPEATS),
    "_prisma_migrations": Record(
        "Prisma's migrations", False, "Prisma's migrations are SQL for SQLite; baseline the target with its own"
    ),
    "_sqlx_migrations": Record("sqlx's migrations", False, "sqlx's migrations are SQL for SQLite"),
    "__drizzle_migrations": Record("Drizzle's migrations", False, "Drizzle's migrations are SQL for SQLite"),
    "__diesel_schema_migrations": Record("Diesel's migrations", False, "Diesel's migrations are SQL for SQLite"),
    "_litestream_seq": Record("Litestream", False, _OWN_ACCOUNT.format("Litestream")),
    "_litestream_lock": Record("Litestream", False, _OWN_ACCOUNT.format("Litestream")),
    "spatial_ref_sys": Record("SpatiaLite", False, _OWN_ACCOUNT.format("SpatiaLite")),
    "geometry_columns": Record("SpatiaLite", False, _OWN_ACCOUNT.format("SpatiaLite")),
}

#: The tables that give a maker away, all of them needed; the first that fits counts.
_SIGNS: Sequence[tuple[frozenset[str], str, Encoding]] = (
    (frozenset({"django_migrations"}), "django", Encoding.DJANGO),
    (frozenset({"_prisma_migrations"}), "prisma", Encoding.PRISMA),
    (frozenset({"schema_migrations", "ar_internal_metadata"}), "rails", Encoding.RAILS),
    (frozenset({"sequelizemeta"}), "sequelize", Encoding.SEQUELIZE),
    (frozenset({"alembic_version"}), "sqlalchemy", Encoding.SQLALCHEMY),
)
_STAMPS = (("createdat", "updatedat"), ("created_at", "updated_at"))
_LEFT_OVER = re.compile(r"(?P<table>.+)_backup", re.IGNORECASE)


def find_maker(schema: SourceSchema, texts: Mapping[str, str], named: str | None = None) -> Maker:
    """Tell who made a database.

    Args:
        schema: Its tables.
        texts: Table to the text that made it.
        named: What the operator says, a value of ``written_by`` or ``plain``; it is not doubted.
    """
    if named is not None:
        encoding = Encoding.SEQUELIZE if named == PLAIN else Encoding(named)
        return Maker(_family(named), encoding, "as you say", named != PLAIN)
    names = {table.name.lower(): table.name for table in schema.tables}
    for signs, name, encoding in _SIGNS:
        if signs <= names.keys():
            return Maker(name, encoding, f"it has {' and '.join(names[sign] for sign in sorted(signs))}")
    own = [text for table, text in texts.items() if table.lower() not in RECORDS]
    if any("`" in text for text in own) and any(_is_sequelize(table) for table in _columns(schema)):
        return Maker("sequelize", Encoding.SEQUELIZE, "it spells tables in backticks and stamps rows as Sequelize does")
    if own and all(re.match(r"CREATE TABLE \S+ \(\n\t", text) for text in own):
        return Maker("sqlalchemy", Encoding.SQLALCHEMY, "its tables are written as SQLAlchemy writes them")
    return Maker(PLAIN, Encoding.SEQUELIZE, "no framework has left its signs", narrow=False)


def left_over_of(table: str, schema: SourceSchema) -> str | None:
    """Return the table that Sequelize was altering when it left this copy behind; None when it is no such copy.

    Sequelize 6 copies a table to ``<name>_backup``, makes it anew and copies back; when that fails, the copy stays.
    """
    found = _LEFT_OVER.fullmatch(table)
    others = {each.name: each for each in schema.tables}
    if found is None or found["table"] not in others:
        return None
    ours = {column.name for column in others[table].columns}
    theirs = {column.name for column in others[found["table"]].columns}
    return found["table"] if ours <= theirs or theirs <= ours else None


def _family(named: str) -> str:
    return {"rails_5_1": "rails", "prisma_adapter": "prisma"}.get(named, named)


def _columns(schema: SourceSchema) -> Iterable[dict[str, str]]:
    for table in schema.tables:
        yield {column.name.lower(): column.declared_type.upper() for column in table.columns}


def _is_sequelize(columns: Mapping[str, str]) -> bool:
    stamped = any(all(columns.get(name) == "DATETIME" for name in pair) for pair in _STAMPS)
    return stamped or "TINYINT(1)" in columns.values()
