-- The last schema change, as the machinery of the move notes it: the comment on its record, which the application may not read.
SELECT obj_description(c.oid, 'pg_class') AS "version"
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = 'contralock_migration' AND c.relname = 'schema_changes'
