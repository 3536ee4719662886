-- What the running server has not taken over from its files, one row. pg_file_settings and pg_hba_file_rules read the
-- files afresh at each query (PostgreSQL, "pg_file_settings", "pg_hba_file_rules"), so this is true without a reload.
-- Parameters: files, a JSON object {path: when it was changed, in seconds since 1970} of what a reload reads;
-- settings_file, the role's file of settings; settings, a JSON object {name: value} of what will stand in it, or null
-- when it stands there already.
WITH file_errors AS (
    SELECT sourcefile, sourceline, name, error,
           -- The latter for a setting that is no longer in any file; it has no name then.
           error = 'setting could not be applied' OR error LIKE '%% cannot be changed without restarting the server'
               AS wants_restart
      FROM pg_file_settings
     WHERE error IS NOT NULL
), changes AS (
    SELECT coalesce(planned.key, written.name) AS name
      FROM json_each_text(%(settings)s::json) AS planned
      FULL JOIN (SELECT name, setting FROM pg_file_settings WHERE sourcefile = %(settings_file)s) AS written
        ON planned.key = lower(written.name)
     WHERE planned.value IS DISTINCT FROM written.setting
       AND (%(settings)s::json)::text <> 'null'
)
SELECT (SELECT coalesce(json_agg(concat_ws(' ', sourcefile, 'line', sourceline, name, error)), '[]')
          FROM file_errors
         WHERE NOT wants_restart) AS settings_errors,
       (SELECT coalesce(json_agg(concat_ws(' ', 'pg_hba.conf line', line_number, error)), '[]')
          FROM pg_hba_file_rules
         WHERE error IS NOT NULL) AS access_errors,
       (SELECT coalesce(json_agg(name), '[]')
          FROM (SELECT coalesce(name, error) FROM file_errors WHERE wants_restart
                UNION
                SELECT pg_settings.name
                  FROM changes JOIN pg_settings ON lower(pg_settings.name) = lower(changes.name)
                 WHERE context = 'postmaster') AS needing (name)) AS needs_restart,
       (SELECT coalesce(json_agg(key), '[]')
          FROM json_each_text(%(files)s::json)
         WHERE to_timestamp(value::float8) > pg_conf_load_time()) AS needs_reload
