-- What the running server is, one row. Parameter: settings_file, the role's file of settings.
SELECT current_setting('data_checksums') AS data_checksums,
       current_setting('ssl') AS ssl,
       current_setting('ssl_min_protocol_version') AS ssl_min_protocol_version,
       current_setting('password_encryption') AS password_encryption,
       (SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'template0') AS text,
       -- A later line or file has the last word; pg_file_settings tells which lines are in force.
       (SELECT coalesce(string_agg(format('%%s in place of %%s (%%s)', ours.name, ours.setting,
                                          coalesce(theirs.sourcefile || ' line ' || theirs.sourceline, 'the command line')),
                                   ', '), 'nothing')
          FROM pg_file_settings AS ours
          LEFT JOIN pg_file_settings AS theirs ON theirs.name = ours.name AND theirs.applied
         WHERE ours.sourcefile = %(settings_file)s AND NOT ours.applied AND ours.error IS NULL) AS overridden,
       (SELECT coalesce(string_agg(DISTINCT what, ', '), '')
          FROM (SELECT name FROM pg_settings WHERE pending_restart
                UNION
                SELECT concat_ws(' ', name, error) FROM pg_file_settings WHERE error IS NOT NULL) AS waiting (what))
         AS not_taken_over
