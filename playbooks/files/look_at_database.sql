-- What the demo shows of the database, one row.
SELECT current_setting('server_version') AS version,
       (SELECT concat_ws(' ', version, cipher) FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls,
       (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') AS tables,
       (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace) AS foreign_keys,
       (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public') AS indexes,
       (SELECT string_agg(name, ', ' ORDER BY position) FROM contralock_migration.schema_changes) AS changes
