-- What the application's role is and may do, one row. Run in the database. Parameter: user.
SELECT u.rolcanlogin AS user_may_login,
       u.rolconnlimit AS user_connection_limit,
       u.rolvaliduntil IS NOT NULL AND u.rolvaliduntil < 'infinity' AS user_password_expires,
       u.rolsuper OR u.rolcreatedb OR u.rolcreaterole OR u.rolreplication OR u.rolbypassrls AS user_is_privileged,
       -- The owner, a superuser, or one of the roles that PostgreSQL brings along (such as pg_write_all_data).
       (SELECT coalesce(string_agg(r.rolname, ', ' ORDER BY r.rolname), '')
          FROM pg_roles AS r
         WHERE r.oid <> u.oid
           AND (r.oid = d.datdba OR r.rolsuper OR r.rolname ~ '^pg_')
           AND pg_has_role(u.oid, r.oid, 'MEMBER')) AS user_is_member_of,
       has_schema_privilege(u.oid, 'public', 'USAGE') AS user_may_use_public,
       has_database_privilege(u.oid, d.oid, 'CREATE')
         OR has_database_privilege(u.oid, d.oid, 'TEMPORARY')
         -- Unless it was given the tables (module pg_schema, tables_owner), which marks that so.
         OR has_schema_privilege(u.oid, 'public', 'CREATE')
            AND NOT EXISTS (SELECT FROM pg_description AS x
                              JOIN pg_namespace AS m ON m.oid = x.objoid AND m.nspname = 'contralock_migration'
                             WHERE x.classoid = 'pg_namespace'::regclass AND x.objsubid = 0
                               AND x.description = format('tables of %%I are owned by %%I', 'public', u.rolname))
         AS user_may_create
  FROM pg_database AS d
  JOIN pg_roles AS u ON u.rolname = %(user)s
 WHERE d.datname = current_database()
