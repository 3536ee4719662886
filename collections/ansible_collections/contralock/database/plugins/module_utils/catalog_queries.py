"""The questions to PostgreSQL's catalog; ``catalog.py`` gives their answers a shape.

Each takes the parameter ``schema`` and is asked under an empty search_path, so that every name in an answer is
qualified and the same from any session. Objects that belong to an extension are the extension's own business.
Sources: the PostgreSQL manual, "System Catalogs" and "System Information Functions".
"""

from __future__ import annotations

#: Where the record of the schema changes is kept, and on it the mark of ``table_ownership.py``.
RECORD_SCHEMA = "contralock_migration"

#: Whether a role was given the tables of the schema.
MARK = f"""
    EXISTS (SELECT FROM pg_description x
              JOIN pg_namespace m ON m.oid = x.objoid AND m.nspname = '{RECORD_SCHEMA}'
             WHERE x.classoid = 'pg_namespace'::regclass AND x.objsubid = 0
               AND x.description = format('tables of %%I are owned by %%I', %(schema)s::text, {{role}}))"""

_HOLDER = f"""
    SELECT r.oid FROM pg_roles r JOIN pg_database b ON b.datname = current_database()
     WHERE pg_has_role(b.datdba, r.oid, 'USAGE') AND {MARK.format(role="r.rolname")}"""


def _owner(column: str) -> str:
    """Name an owner; what was given to the application's role counts as the database owner's, who has its rights."""
    of_database = "SELECT datdba FROM pg_database WHERE datname = current_database()"
    return f"pg_get_userbyid(CASE WHEN {column} = ({_HOLDER}) THEN ({of_database}) ELSE {column} END)"


SCHEMA = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %(schema)s"

# deptype e: a member of an extension; i: a part of another object, such as the constructors of a range type.
_INDEPENDENT = """
    NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid}
                AND e.deptype IN ({types}))"""

_OF_SCHEMA = "JOIN pg_namespace n ON n.oid = {namespace} AND n.nspname = %(schema)s"


def _own(catalog: str, alias: str, types: str = "'e'") -> str:
    return _INDEPENDENT.format(catalog=catalog, oid=f"{alias}.oid", types=types)


_RELATIONS = f"pg_class c {_OF_SCHEMA.format(namespace='c.relnamespace')} AND {_own('pg_class', 'c')}"
_TABLES = f"{_RELATIONS} AND c.relkind IN ('r', 'p', 'f')"
_TYPES = f"pg_type t {_OF_SCHEMA.format(namespace='t.typnamespace')} AND {_own('pg_type', 't')}"

TABLES = f"""
SELECT c.relname AS name, {_owner("c.relowner")} AS owner,
       CASE c.relkind WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
       CASE c.relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' ELSE 'permanent' END AS persistence,
       concat_ws(', ',
           'partitioned by ' || pg_get_partkeydef(c.oid),
           (SELECT 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
              FROM pg_inherits i WHERE i.inhrelid = c.oid),
           pg_get_expr(c.relpartbound, c.oid),
           'with ' || array_to_string(c.reloptions, ' '),
           CASE WHEN c.relrowsecurity THEN 'row security' END,
           CASE WHEN c.relforcerowsecurity THEN 'forced row security' END) AS details
  FROM {_TABLES} ORDER BY c.relname"""

COLUMNS = f"""
SELECT c.relname AS "table", a.attname AS name, a.attnum AS position,
       format_type(a.atttypid, a.atttypmod) AS type, t.typname AS type_name, tn.nspname AS type_schema,
       a.atttypmod AS modifier, a.attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS "default",
       CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' ELSE '' END AS identity,
       a.attgenerated <> '' AS generated,
       CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text ELSE '' END AS collation
  FROM {_TABLES}
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_namespace tn ON tn.oid = t.typnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 ORDER BY c.relname, a.attnum"""

# Foreign keys, and unique constraints that are deferrable, are enforced by internal triggers, which ALTER TABLE ...
# DISABLE TRIGGER ALL switches off, on either table. PostgreSQL 18 lists NOT NULL as constraints too (contype n): the
# columns already say it.
CONSTRAINTS = f"""
SELECT c.relname AS "table", k.conname AS name, pg_get_constraintdef(k.oid) AS text, k.convalidated AS validated,
       CASE k.contype WHEN 'p' THEN 'primary key' WHEN 'f' THEN 'foreign key' WHEN 'u' THEN 'unique'
                      WHEN 'c' THEN 'check' ELSE 'exclusion' END AS kind,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(attnum, place)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY place) AS columns,
       CASE WHEN r.relnamespace = c.relnamespace THEN r.relname END AS referenced_table,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(attnum, place)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY place)
           AS referenced_columns,
       NOT EXISTS (SELECT FROM pg_trigger g
                    WHERE g.tgconstraint = k.oid AND g.tgisinternal AND g.tgenabled <> 'O') AS enforced
  FROM {_TABLES}
  JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('p', 'f', 'u', 'c', 'x')
  LEFT JOIN pg_class r ON r.oid = k.confrelid
 ORDER BY c.relname, k.conname"""

INDEXES = f"""
SELECT tc.relname AS "table", ic.relname AS name, pg_get_indexdef(i.indexrelid) AS text,
       i.indisvalid AS valid, i.indisready AS ready, i.indisunique AS "unique", i.indisprimary AS "primary",
       i.indpred IS NOT NULL AS partial,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, place, false) FROM generate_series(1, i.indnkeyatts) place)
           AS columns
  FROM pg_index i
  JOIN pg_class tc ON tc.oid = i.indrelid AND tc.relkind IN ('r', 'p', 'm')
  JOIN pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = tc.relnamespace AND n.nspname = %(schema)s
 WHERE {_own("pg_class", "tc")}
 ORDER BY tc.relname, ic.relname"""

ENUMS = f"""
SELECT t.typname AS name, {_owner("t.typowner")} AS owner,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels
  FROM {_TYPES} AND t.typtype = 'e' ORDER BY t.typname"""

_VIEWS = f"""
SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END AS kind, c.relname::text AS name,
       {_owner("c.relowner")} AS owner,
       concat_ws(' ', 'with ' || array_to_string(c.reloptions, ' '), pg_get_viewdef(c.oid)) AS text
  FROM {_RELATIONS} AND c.relkind IN ('v', 'm')"""

_SEQUENCES = f"""
SELECT 'sequence', c.relname::text, {_owner("c.relowner")},
       concat_ws(' ', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement,
                 'minimum', s.seqmin, 'maximum', s.seqmax, 'cache', s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END,
                 (SELECT 'of ' || d.refobjid::regclass || '.' || quote_ident(a.attname)
                    FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                     AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
  FROM {_RELATIONS} AND c.relkind = 'S' JOIN pg_sequence s ON s.seqrelid = c.oid"""

_FUNCTIONS = f"""
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
       format('%%s(%%s)', p.proname, pg_get_function_identity_arguments(p.oid)), {_owner("p.proowner")},
       CASE p.prokind WHEN 'a' THEN 'returns ' || format_type(p.prorettype, NULL) ELSE pg_get_functiondef(p.oid) END
  FROM pg_proc p {_OF_SCHEMA.format(namespace="p.pronamespace")} AND {_own("pg_proc", "p", "'e', 'i'")}"""

_TRIGGERS = f"""
SELECT 'trigger', c.relname || '.' || g.tgname, NULL,
       pg_get_triggerdef(g.oid) || CASE g.tgenabled WHEN 'O' THEN '' ELSE ' enabled ' || g.tgenabled::text END
  FROM {_RELATIONS} JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal"""

_RULES = f"""
SELECT 'rule', c.relname || '.' || w.rulename, NULL, pg_get_ruledef(w.oid)
  FROM {_RELATIONS} JOIN pg_rewrite w ON w.ev_class = c.oid AND w.rulename <> '_RETURN'"""

_POLICIES = f"""
SELECT 'policy', c.relname || '.' || p.polname, NULL,
       concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd::text,
                 'to ' || (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r) END, ', ' ORDER BY r)
                             FROM unnest(p.polroles) r),
                 'using ' || pg_get_expr(p.polqual, c.oid), 'with check ' || pg_get_expr(p.polwithcheck, c.oid))
  FROM {_RELATIONS} JOIN pg_policy p ON p.polrelid = c.oid"""

_OTHER_TYPES = f"""
SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, t.typname::text, {_owner("t.typowner")},
       CASE t.typtype
       WHEN 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod), CASE WHEN t.typnotnull THEN 'not null' END,
           'default ' || t.typdefault,
           (SELECT string_agg(k.conname || ' ' || pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
              FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
       WHEN 'r' THEN (SELECT 'range of ' || format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = t.oid)
       ELSE (SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                               ORDER BY a.attnum)
               FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END
  FROM {_TYPES} LEFT JOIN pg_class tc ON tc.oid = t.typrelid
 WHERE t.typtype IN ('d', 'r') OR tc.relkind = 'c'"""

# Whatever else lives in the schema (operators, collations, statistics, ...) is at least known to be there. An
# extension counts when the database's owner made it: what an administrator installs is no drift of the schema.
_THE_REST = """
SELECT o.type, substr(o.identity, CASE WHEN o.schema IS NULL THEN 1 ELSE length(quote_ident(o.schema)) + 2 END),
       NULL, 'present'
  FROM pg_depend d
  JOIN pg_namespace n ON n.oid = d.refobjid AND n.nspname = %(schema)s
 CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) o
 WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'
   AND d.classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass)
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
   AND NOT EXISTS (SELECT FROM pg_extension x, pg_database b
                    WHERE d.classid = 'pg_extension'::regclass AND x.oid = d.objid
                      AND b.datname = current_database() AND x.extowner <> b.datdba)"""

OBJECTS = (
    " UNION ALL ".join((_VIEWS, _SEQUENCES, _FUNCTIONS, _TRIGGERS, _RULES, _POLICIES, _OTHER_TYPES, _THE_REST))
    + "\n ORDER BY 1, 2"
)
