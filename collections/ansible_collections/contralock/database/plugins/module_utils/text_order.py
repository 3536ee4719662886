"""Expressions that mean other rows where texts have another order than SQLite's.

SQLite orders texts by their bytes, unless a column says otherwise. A database in another collation than C does not: a
CHECK (t >= 'a'), a partial index or a generated column with such a comparison holds for other rows there from then on.
"""

from __future__ import annotations

from collections.abc import Iterator

from .connection import Connection
from .plan import Plan

#: Bytes put capital letters first; no language does.
_ORDERED_OTHERWISE = "SELECT 'a' < 'B'"
#: The operators <, <=, >, >= of text and char(n) in the database's own collation, as PostgreSQL keeps an expression
#: (pg_operator.dat, pg_collation.dat; the numbers are fixed).
_COMPARES = ":opno (66[4-7]|105[89]|106[01]) [^{}]*:inputcollid 100 "
_ASK = """
SELECT DISTINCT format('%%s.%%s', c.relname, e.name)
  FROM (SELECT conrelid AS own, conname AS name, conbin::text AS tree FROM pg_constraint
        UNION ALL
        SELECT i.indrelid, r.relname, coalesce(i.indpred::text, '') || coalesce(i.indexprs::text, '')
          FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid
        UNION ALL
        SELECT d.adrelid, a.attname, d.adbin::text FROM pg_attrdef d
          JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> '') e
  JOIN pg_class c ON c.oid = e.own JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relname = ANY(%s) AND e.tree ~ %s ORDER BY 1"""


def order_notes(connection: Connection, plan: Plan) -> Iterator[str]:
    """Yield a sentence that names what compares texts in a database that orders them otherwise than SQLite.

    Args:
        connection: To the target.
        plan: What is carried.
    """
    ((otherwise,),) = connection.execute(_ORDERED_OTHERWISE).fetchall()
    if not otherwise:
        return
    tables = [table.target for table in plan.tables]
    if found := [str(name) for (name,) in connection.execute(_ASK, [plan.schema, tables, _COMPARES]).fetchall()]:
        yield (
            "The target's database orders texts otherwise than SQLite (by a language, not by bytes), and these compare"
            f' them, so that they may hold for other rows from now on: {", ".join(found)}. COLLATE "C" in their'
            " expressions makes it SQLite's order"
        )
