"""Which role owns the tables of a schema: the database's owner, or the application's role, so that it may alter them.

The database's owner is a member of the application's role. So it may give that role its tables and types, still does
everything with them that it did before, and may take them back: without a superuser, and without a moment in which
nobody could. What was given is marked in the database, on the record of the schema changes, and read from there:
``catalog_queries.py`` counts what the marked role owns as the database owner's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from .catalog_queries import MARK, RECORD_SCHEMA
from .connection import Connection, written

#: Owned sequences follow their table. A role's functions are none of the application's business.
_OBJECTS = """
SELECT lower(o.kind) || ' ' || o.name, format('ALTER %%s %%s OWNER TO %%I', o.kind, o.name, %(wanted)s::text)
  FROM (SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                              WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
               format('%%I.%%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner) AS owner,
               'pg_class'::regclass AS catalog, c.oid AS id
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %(schema)s
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
            OR c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                                  AND d.objid = c.oid AND d.deptype IN ('a', 'i'))
         UNION ALL
        SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, format('%%I.%%I', n.nspname, t.typname),
               pg_get_userbyid(t.typowner), 'pg_type'::regclass, t.oid
          FROM pg_type t
          JOIN pg_namespace n ON n.oid = t.typnamespace AND n.nspname = %(schema)s
          LEFT JOIN pg_class c ON c.oid = t.typrelid
         WHERE t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c') o
 WHERE o.owner <> %(wanted)s AND o.owner = ANY (%(owners)s)
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.catalog AND e.objid = o.id AND e.deptype = 'e')
 ORDER BY 1"""

_HOLDER = f"""
SELECT r.rolname::text FROM pg_roles r
 WHERE {MARK.format(role="r.rolname")}"""

#: What others get on whatever this role makes. When a table changes its owner, the old owner's rights become the new
#: one's, and what the new one had before goes into them: taken back, the application's role would have none.
_DEFAULT_PRIVILEGES = """
SELECT format('GRANT %%s ON ALL %%s IN SCHEMA %%I TO %%s', a.privilege_type,
              CASE d.defaclobjtype WHEN 'S' THEN 'SEQUENCES' ELSE 'TABLES' END, n.nspname,
              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
  FROM pg_default_acl d
  JOIN pg_namespace n ON n.oid = d.defaclnamespace AND n.nspname = %(schema)s
 CROSS JOIN aclexplode(d.defaclacl) a
 WHERE pg_get_userbyid(d.defaclrole) = current_user AND d.defaclobjtype IN ('r', 'S') AND a.grantee <> d.defaclrole
 ORDER BY 1"""


@dataclass(frozen=True)
class _Change:
    """Objects that belong to another role than the wanted one, and what gives them to it."""

    wanted: str
    holder: str | None
    objects: Sequence[str]
    statements: Sequence[str]


def holder_of(connection: Connection, schema: str) -> str | None:
    """Return the role that was given the schema's tables; None when they are the database owner's."""
    found = connection.execute(_HOLDER, {"schema": schema}).fetchone()
    return str(found[0]) if found else None


def to_hand_over(connection: Connection, schema: str, wanted: str | None) -> list[str]:
    """Name the tables and types that ``hand_over`` would give away or take back."""
    change = _change(connection, schema, wanted)
    return list(change.objects) if change else []


def hand_over(connection: Connection, schema: str, wanted: str | None) -> list[str]:
    """Give the schema's tables and types to a role, with the right to make more; or take them back.

    Only what belongs to the connecting role, or to the role that was given it before, changes hands.

    Args:
        connection: In a transaction, as the owner of the database, who has to be a member of ``wanted``.
        schema: The schema, unquoted.
        wanted: The role; empty for the connecting one; None leaves everything as it is.

    Returns:
        What changed hands, such as ``table public.users``.

    Raises:
        psycopg.Error: There is no such role, or the connecting one is no member of it.
    """
    change = _change(connection, schema, wanted)
    if change is None:
        return []
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(change.wanted)}
    back = change.wanted == current_role(connection)
    if not back:
        connection.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}").format(**names))
    for statement in change.statements:
        connection.execute(written(statement))
    if change.holder is not None and change.holder != change.wanted:
        holder = sql.Identifier(change.holder)
        connection.execute(sql.SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(names["schema"], holder))
    if back:
        for (statement,) in connection.execute(_DEFAULT_PRIVILEGES, {"schema": schema}).fetchall():
            connection.execute(written(statement))
    _mark(connection, schema, None if back else change.wanted)
    return list(change.objects)


def _change(connection: Connection, schema: str, wanted: str | None) -> _Change | None:
    """Return what is to be done; None when nothing is."""
    if wanted is None:
        return None
    me, holder = current_role(connection), holder_of(connection, schema)
    role = wanted or me
    given = {"schema": schema, "wanted": role, "owners": [me, *([holder] if holder else [])]}
    found = connection.execute(_OBJECTS, given).fetchall()
    if not found and holder in (None, role):
        return None
    return _Change(role, holder, [name for name, _ in found], [statement for _, statement in found])


def _mark(connection: Connection, schema: str, role: str | None) -> None:
    """Write down whose the tables are: where the record of the schema changes is, which exists when tables do."""
    text = "SELECT format('tables of %%I are owned by %%I', %s::text, %s::text)"
    found = connection.execute(text, [schema, role]).fetchone() if role else None
    comment = sql.SQL("COMMENT ON SCHEMA {} IS {}")
    connection.execute(comment.format(sql.Identifier(RECORD_SCHEMA), sql.Literal(found[0] if found else None)))


def current_role(connection: Connection) -> str:
    """Return the role whose rights the session has."""
    found = connection.execute("SELECT current_user::text").fetchone()
    return str(found[0]) if found else ""
