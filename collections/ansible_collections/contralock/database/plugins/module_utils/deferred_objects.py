"""Keys and indexes of the loaded tables: taken away before the rows come, and built when they are all there.

An index that is built over all rows at once costs a fraction of one that grows row by row, and a foreign key that is
checked at the end lets tables come in any order. What is put back is written from the catalog's own words, so that the
schema is the same afterwards; what these words do not say in full (see ``_KEPT``) stays in place during the load. The
comments on foreign keys alone are lost, as with pgloader, which drops these keys too.
Sources: PostgreSQL manual, "Populating a Database" and ALTER TABLE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from .catalog import Catalog, Constraint, Index
from .connection import Connection, set_locally, written
from .errors import MigrationError
from .target_state import LOCK_WAIT_MILLISECONDS

FOREIGN_KEY = "foreign key"
#: Constraints that are an index with a promise; an exclusion constraint cannot take an index that is there already.
KEYS = ("primary key", "unique")
_NOT_VALID = " NOT VALID"
_DEFERRED = (" DEFERRABLE INITIALLY DEFERRED", " DEFERRABLE")

# Of an index, pg_get_indexdef does not say: its comment, tablespace, statistics target, and that it marks the table's
# replica identity or order. Nor may one go that a view rests on, or that belongs to a partition's parent.
_KEPT = """
SELECT i.relname
  FROM pg_index x
  JOIN pg_class i ON i.oid = x.indexrelid
  JOIN pg_class t ON t.oid = x.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname = %(schema)s
  LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
 WHERE t.relkind <> 'r' OR t.relispartition OR NOT x.indisvalid OR x.indisreplident OR x.indisclustered
    OR i.reltablespace <> 0
    OR k.oid IS NOT NULL AND i.relam <> (SELECT oid FROM pg_am WHERE amname = 'btree')
    OR k.contype = 'x'
    OR EXISTS (SELECT FROM pg_description d WHERE d.objoid IN (i.oid, k.oid))
    OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attstattarget >= 0)
    OR EXISTS (SELECT FROM pg_depend d
                WHERE d.refobjid IN (i.oid, k.oid) AND d.classid = 'pg_rewrite'::regclass)"""


@dataclass(frozen=True)
class Deferred:
    """What is taken away for the time of the load.

    Attributes:
        foreign_keys: Of the loaded tables.
        keys: Primary keys and unique constraints; their indexes have the same names.
        indexes: All that are built anew, those of the keys included.
    """

    foreign_keys: tuple[Constraint, ...]
    keys: tuple[Constraint, ...]
    indexes: tuple[Index, ...]

    def indexes_of(self, table: str) -> list[Index]:
        """Return what is to be built when the rows of a table are there."""
        return [index for index in self.indexes if index.table == table]

    def keys_of(self, table: str) -> list[Constraint]:
        """Return the primary key and the unique constraints of a table."""
        return [key for key in self.keys if key.table == table]

    def references_of(self) -> Mapping[str, list[Constraint]]:
        """Return referring table to its foreign keys."""
        found: dict[str, list[Constraint]] = {}
        for each in self.foreign_keys:
            found.setdefault(each.table, []).append(each)
        return found


def find_deferred(connection: Connection, catalog: Catalog, tables: Iterable[str]) -> Deferred:
    """Return what can be taken away from the tables and be put back as it was.

    Args:
        connection: To the target.
        catalog: Its schema, as it has to be again.
        tables: The tables that are loaded.
    """
    loaded = set(tables)
    kept = {str(name) for (name,) in connection.execute(_KEPT, {"schema": catalog.schema}).fetchall()}
    indexes = [each for each in catalog.indexes if each.table in loaded and each.name not in kept]
    built = {(each.table, each.name) for each in indexes}
    return Deferred(
        foreign_keys=tuple(each for each in catalog.constraints if each.kind == FOREIGN_KEY and each.table in loaded),
        keys=tuple(each for each in catalog.constraints if each.kind in KEYS and (each.table, each.name) in built),
        indexes=tuple(indexes),
    )


def take_away(connection: Connection, deferred: Deferred) -> None:
    """Drop all of it, or nothing.

    Args:
        connection: To the target, as its owner; not in a transaction.
        deferred: From ``find_deferred``.

    Raises:
        MigrationError: Another session holds one of the tables.
    """
    of_keys = {(each.table, each.name) for each in deferred.keys}
    try:
        with connection.transaction():
            set_locally(connection, {"lock_timeout": f"{LOCK_WAIT_MILLISECONDS}ms"})
            for constraint in (*deferred.foreign_keys, *deferred.keys):
                connection.execute(dropped(constraint))
            for index in deferred.indexes:
                if (index.table, index.name) not in of_keys:
                    connection.execute(dropped_index(index))
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(
            f"the keys of {connection.info.dbname!r} cannot be taken away for the load: another session has used one of"
            f" the tables for {LOCK_WAIT_MILLISECONDS // 1000} s",
            "End the sessions in this database (pg_stat_activity names them) and run again",
        ) from None


def dropped(constraint: Constraint) -> sql.Composed:
    """Write what drops a constraint."""
    name, table = sql.Identifier(constraint.name), sql.Identifier(constraint.schema, constraint.table)
    return sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, name)


def dropped_index(index: Index) -> sql.Composed:
    """Write what drops an index that belongs to no constraint."""
    return sql.SQL("DROP INDEX {}").format(sql.Identifier(index.schema, index.name))


def built(index: Index) -> sql.Composed:
    """Write what builds an index; several on one table may be built at once."""
    return written(index.text)


def put_back(key: Constraint) -> sql.Composed:
    """Write what makes a primary key or unique constraint of its index, which is there."""
    name, table = sql.Identifier(key.name), sql.Identifier(key.schema, key.table)
    kind = sql.SQL(key.kind.upper())
    deferrable = sql.SQL(next((ending for ending in _DEFERRED if key.text.endswith(ending)), ""))
    return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {} USING INDEX {}{}").format(table, name, kind, name, deferrable)


def referring(foreign_key: Constraint, catalog: Catalog) -> sql.Composed:
    """Write what adds a foreign key without looking at the rows: the lock on both tables lasts a moment only.

    That of a partitioned table has to look at them.
    """
    kind = next(each.kind for each in catalog.tables if each.name == foreign_key.table)
    unproven = foreign_key.text.endswith(_NOT_VALID) or kind != "table"
    return added(foreign_key) + sql.SQL("" if unproven else _NOT_VALID)


def proven(foreign_key: Constraint) -> sql.Composed:
    """Write what holds the rows against a foreign key; of one referring table it is done one after the other."""
    name, table = sql.Identifier(foreign_key.name), sql.Identifier(foreign_key.schema, foreign_key.table)
    return sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(table, name)


def added(constraint: Constraint) -> sql.Composed:
    """Write what adds a constraint in the catalog's words."""
    name, table = sql.Identifier(constraint.name), sql.Identifier(constraint.schema, constraint.table)
    return sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(table, name, written(constraint.text))


def key_added(key: Constraint, catalog: Catalog) -> Iterator[sql.Composed]:
    """Yield what makes a constraint from nothing, its index as the catalog has it (fill factor, included columns)."""
    index = next((each for each in catalog.indexes if (each.table, each.name) == (key.table, key.name)), None)
    if key.kind in KEYS and index is not None:
        yield built(index)
        yield put_back(key)
    else:
        yield added(key)
