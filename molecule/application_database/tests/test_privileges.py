"""What the application's role may do with the profile's tables, and that it may do nothing else."""

from __future__ import annotations

import json
import threading
import time

from clients import psql, states

REFUSED = "42501"  # insufficient_privilege (PostgreSQL, "PostgreSQL Error Codes")
DDL = [
    "CREATE TABLE public.mine (a int)",
    "CREATE TABLE copied AS SELECT * FROM users",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE TYPE public.mine AS ENUM ('a')",
    "CREATE SEQUENCE public.mine",
    "CREATE VIEW public.mine AS SELECT 1",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION pgcrypto",
    "CREATE INDEX mine ON users (phone)",
    "CREATE TRIGGER mine BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger()",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER TABLE users ADD COLUMN mine int",
    "ALTER TABLE users DISABLE TRIGGER ALL",
    "ALTER TABLE users OWNER TO contralock_user",
    "ALTER TYPE enum_users_role ADD VALUE 'mine'",
    "ALTER DATABASE contralock SET statement_timeout = 0",
    "ALTER ROLE contralock_user CONNECTION LIMIT -1",
    "ALTER ROLE contralock_user CREATEDB",
    "ALTER DEFAULT PRIVILEGES FOR ROLE contralock_owner GRANT ALL ON TABLES TO PUBLIC",
    "DROP TABLE audit_trails",
    "DROP SCHEMA public CASCADE",
    "DROP DATABASE contralock",
    "TRUNCATE audit_trails",
    "REINDEX TABLE users",
    "COMMENT ON TABLE users IS 'mine'",
    "GRANT contralock_owner TO contralock_user",
    "SET ROLE contralock_owner",
    "SET session_replication_role = replica",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY users TO '/tmp/users'",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT * FROM contralock_migration.schema_changes",
    "SELECT rolpassword FROM pg_authid",
]
# These warn, and do nothing.
WITHOUT_EFFECT = ["GRANT SELECT ON users TO PUBLIC", "REVOKE SELECT ON users FROM contralock_user"]
ROWS = [
    "BEGIN",
    "INSERT INTO users (id, email, password, first_name, last_name, role)"
    " VALUES ('00000000-0000-4000-8000-000000000001', 'a@example.test', 'x', 'A', 'B', 'client')",
    "SELECT 1 / count(*) FROM users WHERE email = 'a@example.test'",
    "UPDATE users SET phone = '1' WHERE email = 'a@example.test'",
    "SELECT 1 / count(*) FROM users WHERE phone = '1'",
    "DELETE FROM users WHERE email = 'a@example.test'",
    "ROLLBACK",
]
# What there is and who may do what with it.
STRUCTURE = """
SELECT json_agg(json_build_array(c.relname, c.relkind, c.relowner::regrole, c.relacl) ORDER BY c.relname)
  FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace
"""
PRIVILEGES = """
SELECT json_object_agg(c.relname, (
         SELECT string_agg(privilege, ' ' ORDER BY privilege)
           FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
          WHERE has_table_privilege('contralock_user', c.oid, privilege)))
  FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""


def test_changes_no_structure(app1, administer, secret):
    before = administer(STRUCTURE, "contralock")
    ended = states(app1, DDL + WITHOUT_EFFECT, secret("user"), user="contralock_user")
    assert [statement for statement, state in ended.items() if state != REFUSED] == WITHOUT_EFFECT
    assert administer(STRUCTURE, "contralock") == before


def test_works_on_rows(app1, secret):
    ended = states(app1, ROWS, secret("user"), user="contralock_user")
    assert set(ended.values()) == {"00000"}, ended


def test_has_the_four_privileges_on_every_table(administer):
    tables = json.loads(administer(PRIVILEGES, "contralock"))
    assert "users" in tables
    assert set(tables.values()) == {"DELETE INSERT SELECT UPDATE"}, tables


def test_has_them_on_what_the_owner_creates_later(app1, administer, secret):
    owner = {"password": secret("owner"), "user": "contralock_owner"}
    try:
        made = psql(app1, "CREATE TABLE later (id int GENERATED ALWAYS AS IDENTITY); CREATE SEQUENCE later_s", **owner)
        assert made.complaint == ""
        statements = ["INSERT INTO later DEFAULT VALUES", "SELECT nextval('later_s')", "DELETE FROM later"]
        ended = states(app1, [*statements, "DROP TABLE later"], secret("user"), user="contralock_user")
        assert list(ended.values()) == ["00000", "00000", "00000", REFUSED], ended
    finally:
        administer("DROP TABLE IF EXISTS later; DROP SEQUENCE IF EXISTS later_s", "contralock")


def test_only_the_two_roles_are_let_in(administer):
    grants = administer("SELECT datacl::text FROM pg_database WHERE datname = 'contralock'")
    assert grants == "{contralock_owner=CTc/contralock_owner,contralock_user=c/contralock_owner}"
    allowed = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE has_database_privilege"
    assert administer(f"{allowed}(oid, 'contralock', 'CONNECT') AND NOT rolsuper") == "contralock_owner contralock_user"


SESSIONS = """
SELECT a.application_name, a.client_addr IS NOT NULL, a.query, s.ssl
  FROM pg_stat_activity AS a JOIN pg_stat_ssl AS s USING (pid)
 WHERE a.usename = 'contralock_user'
"""


def test_owner_sees_and_ends_the_applications_sessions(app1, secret):
    owner = {"password": secret("owner"), "user": "contralock_owner"}
    ended = []
    user = {"password": secret("user"), "user": "contralock_user", "application_name": "planted"}
    session = threading.Thread(target=lambda: ended.append(psql(app1, "SELECT pg_sleep(20)", **user)))
    session.start()
    until = time.monotonic() + 10
    while not (seen := psql(app1, SESSIONS, **owner).text) and time.monotonic() < until:
        time.sleep(0.05)
    end = psql(app1, f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS.replace('a.query', 'pid')}) AS s", **owner)
    session.join()
    assert seen == "planted|t|SELECT pg_sleep(20)|t"
    assert end.text == "t", end
    assert "terminating connection due to administrator command" in ended[0].complaint, ended


def test_owner_sees_and_ends_nobody_elses(administer):
    reach = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE pg_has_role('contralock_owner', oid, 'MEMBER')"
    assert administer(f"{reach} AND rolname <> 'contralock_owner'") == "contralock_user"


def test_owner_makes_and_drops_a_database_beside(app1, secret):
    owner = {"password": secret("owner"), "user": "contralock_owner"}
    statements = ["CREATE DATABASE beside TEMPLATE template0 ENCODING UTF8 LOCALE 'C.UTF-8'", "DROP DATABASE beside"]
    assert set(states(app1, statements, **owner).values()) == {"00000"}
    assert states(app1, ["CREATE ROLE beside"], **owner) == {"CREATE ROLE beside": REFUSED}


def test_a_role_that_comes_after_the_tables_may_work_on_them(run_playbook, administer, app1, secret):
    """As one that was dropped and made anew has nothing: default privileges are of what comes later."""
    administer(
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM contralock_user;"
        "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM contralock_user",
        "contralock",
    )
    user = {"password": secret("user"), "user": "contralock_user"}
    question = ["SELECT FROM users LIMIT 1"]
    assert set(states(app1, question, **user).values()) == {REFUSED}
    run = run_playbook("playbooks/prepare.yml", "--tags", "database")
    assert run.returncode == 0, run.message()
    task = "Let a role that came later work on the rows of what the owner has created"
    assert run.changed == [("db1", f"application_database : {task}")]
    assert set(states(app1, question, **user).values()) == {"00000"}
