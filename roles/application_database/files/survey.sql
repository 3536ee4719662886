-- What is there before anything is changed, one row.
-- Parameters: name, the database; owner and user, its roles.
SELECT (SELECT to_jsonb(f)
          FROM (SELECT pg_get_userbyid(d.datdba) AS owner,
                       pg_encoding_to_char(d.encoding) AS encoding,
                       -- What sorts: the provider's own locale where there is one (ICU, builtin), else libc's. The columns
                       -- have come and gone by version: none before 15, daticulocale in 15 and 16, datlocale since 17.
                       coalesce(CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'ICU ' WHEN 'b' THEN '' END
                                  || coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
                                d.datcollate) AS collation
                  FROM pg_database AS d
                 WHERE d.datname = %(name)s) AS f) AS database,
       (SELECT to_jsonb(r) FROM pg_roles AS r WHERE r.rolname = %(user)s) AS role,
       (SELECT coalesce(json_agg(r.rolname ORDER BY r.rolname), '[]')
          FROM pg_roles AS r
         WHERE r.rolsuper AND r.rolname IN (%(owner)s, %(user)s)) AS superusers,
       -- Its privileges without SET ROLE: what pg_stat_activity and pg_terminate_backend ask for. A role may be missing.
       coalesce((SELECT pg_has_role(o.oid, u.oid, 'USAGE')
                   FROM pg_roles AS o
                   JOIN pg_roles AS u ON u.rolname = %(user)s
                  WHERE o.rolname = %(owner)s), false) AS owner_has_user,
       coalesce((SELECT pg_has_role(u.oid, o.oid, 'MEMBER')
                   FROM pg_roles AS o
                   JOIN pg_roles AS u ON u.rolname = %(user)s
                  WHERE o.rolname = %(owner)s), false) AS user_has_owner,
       coalesce((SELECT r.rolcreatedb FROM pg_roles AS r WHERE r.rolname = %(owner)s), false) AS owner_may_create_databases,
       -- Since 16, CREATEROLE alters only the roles that it may administer (PostgreSQL, "Role Attributes").
       (SELECT me.rolsuper
               OR me.rolcreaterole
                  AND (current_setting('server_version_num')::int < 160000
                       OR u.oid IS NULL
                       OR EXISTS (SELECT FROM pg_auth_members AS m
                                   WHERE m.roleid = u.oid AND m.member = me.oid AND m.admin_option))
          FROM pg_roles AS me
          LEFT JOIN pg_roles AS u ON u.rolname = %(user)s
         WHERE me.rolname = current_user) AS may_mend_role
