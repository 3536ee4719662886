-- Whether everybody's privileges are as tasks/privileges.yml makes them, one row. Run in the database.
-- Parameters: owner, user; default_privileges, a JSON object {kind of object as in pg_default_acl: [privilege, ...]}.
WITH owner AS (SELECT oid FROM pg_roles WHERE rolname = %(owner)s),
     application AS (SELECT oid FROM pg_roles WHERE rolname = %(user)s)
SELECT NOT EXISTS (SELECT FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
                    WHERE d.datname = current_database() AND a.grantee = 0)
       AND NOT EXISTS (SELECT FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
                        WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')
       AND NOT EXISTS (SELECT FROM json_each(%(default_privileges)s::json) AS kind,
                              json_array_elements_text(kind.value) AS wanted
                        WHERE NOT EXISTS (SELECT FROM pg_default_acl AS d, owner, application, aclexplode(d.defaclacl) AS a
                                           WHERE d.defaclrole = owner.oid AND d.defaclnamespace = 'public'::regnamespace
                                             AND d.defaclobjtype::text = kind.key
                                             AND a.grantee = application.oid AND a.privilege_type = wanted)) AS as_wanted,
       -- By a grant of its own: what comes by PUBLIC goes with it.
       EXISTS (SELECT FROM pg_database AS d, application, aclexplode(d.datacl) AS a
                WHERE d.datname = current_database() AND a.grantee = application.oid AND a.privilege_type = 'CONNECT')
         AS may_connect,
       -- What gives a role that has nothing yet, as it came after the tables, what default privileges give one that came before.
       (SELECT coalesce(string_agg(format('GRANT %%s ON %%s public.%%I TO %%I', wanted,
                                          CASE kind.key WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname, %(user)s::text), '; '), '')
          FROM owner, application, json_each(%(default_privileges)s::json) AS kind,
               json_array_elements_text(kind.value) AS wanted, pg_class AS c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relowner = owner.oid
           AND c.relkind = ANY (CASE kind.key WHEN 'S' THEN ARRAY['S'] ELSE ARRAY['r', 'p', 'v', 'm', 'f'] END::"char"[])
           AND NOT EXISTS (SELECT FROM pg_class AS granted, aclexplode(granted.relacl) AS a
                            WHERE granted.relnamespace = 'public'::regnamespace AND a.grantee = application.oid)
           AND NOT EXISTS (SELECT FROM pg_class AS its_own
                            WHERE its_own.relnamespace = 'public'::regnamespace AND its_own.relowner = application.oid))
         AS grants
