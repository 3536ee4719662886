-- What a managed server has of the application's role, and whether we may mend it, one row. Parameter: user.
SELECT (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_create,
       (SELECT to_json(r) FROM pg_roles AS r WHERE rolname = %(user)s) AS role
