-- What the database and its roles are, one row. Parameter: user, the application's role.
SELECT pg_get_userbyid(d.datdba) AS owner,
       o.rolsuper AS owner_is_superuser,
       pg_encoding_to_char(d.encoding) AS encoding,
       d.datcollate AS collation,
       u.rolcanlogin AS user_may_login,
       u.rolconnlimit AS user_connection_limit,
       u.rolsuper OR u.rolcreatedb OR u.rolcreaterole OR u.rolreplication OR u.rolbypassrls AS user_is_privileged,
       pg_has_role(u.oid, d.datdba, 'MEMBER') AS user_is_owner,
       has_schema_privilege(u.oid, 'public', 'USAGE') AS user_may_use_public,
       has_database_privilege(u.oid, d.oid, 'CREATE')
         OR has_database_privilege(u.oid, d.oid, 'TEMPORARY')
         OR has_schema_privilege(u.oid, 'public', 'CREATE') AS user_may_create
  FROM pg_database AS d
  JOIN pg_roles AS o ON o.oid = d.datdba
  JOIN pg_roles AS u ON u.rolname = %(user)s
 WHERE d.datname = current_database()
