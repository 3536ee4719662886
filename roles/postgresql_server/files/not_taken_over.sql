-- What the running server has not taken over from its files, one row. pg_file_settings and pg_hba_file_rules read the
-- files afresh at each query (PostgreSQL, "pg_file_settings", "pg_hba_file_rules"), so this is true without a reload.
-- Parameter: files, a JSON array of the paths whose change needs a reload.
SELECT (SELECT coalesce(json_agg(concat_ws(' ', sourcefile, 'line', sourceline, name, error)), '[]')
          FROM pg_file_settings
         WHERE error IS NOT NULL AND error <> 'setting could not be applied') AS settings_errors,
       (SELECT coalesce(json_agg(concat_ws(' ', 'pg_hba.conf line', line_number, error)), '[]')
          FROM pg_hba_file_rules
         WHERE error IS NOT NULL) AS access_errors,
       (SELECT coalesce(json_agg(name), '[]')
          FROM pg_file_settings
         WHERE error = 'setting could not be applied') AS needs_restart,
       (SELECT coalesce(json_agg(file), '[]')
          FROM json_array_elements_text(%(files)s::json) AS file
         WHERE (pg_stat_file(file)).modification > pg_conf_load_time()) AS needs_reload
