"""A managed PostgreSQL: all is done as the database's owner from the application's host, or asked of the provider.

The server's host has no SSH any more: whatever here looks at it stands in the provider's place.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from clients import CA, LOG, conninfo, execute, psql

DATABASE = ("--tags", "database")
TOOLKIT_AND_DATABASE = ("--tags", "toolkit,database")
# Roles, databases and settings of the whole server, and who may do what in the database.
STATE = """
SELECT json_build_array(
    (SELECT json_agg(a ORDER BY a.rolname) FROM pg_authid AS a),
    (SELECT json_agg(d ORDER BY d.datname) FROM pg_database AS d),
    (SELECT json_agg(s) FROM pg_db_role_setting AS s),
    (SELECT json_agg(a) FROM pg_default_acl AS a),
    (SELECT json_agg(n.nspacl) FROM pg_namespace AS n))
"""
SETTINGS = [
    "ALTER ROLE contralock_user SET idle_in_transaction_session_timeout = '60s';",
    "ALTER ROLE contralock_user SET lock_timeout = '10s';",
    "ALTER ROLE contralock_user SET statement_timeout = '30s';",
]
MEMBERSHIP = "GRANT contralock_user TO contralock_owner;"
NEW_PASSWORD = "another one of the application"


def user_gets_in(app1, password):
    """Through TLS and with the password, as far as the database, which is not open before the cut-over."""
    answer = psql(app1, "SELECT 1", password, user="contralock_user")
    return 'permission denied for database "contralock"' in answer.complaint or answer.text == "1"


@pytest.fixture
def provider(administer, secret, refusals):
    return administer, secret, refusals


@pytest.fixture
def without_user(administer):
    """The provider has not created the application's role; in the end it is there again."""
    administer("DROP OWNED BY contralock_user", "contralock")
    administer("DROP ROLE contralock_user")
    yield
    administer("ALTER ROLE contralock_user SET application_name = 'set by the provider'")


def test_nobody_went_to_the_server(run_playbook, db1):
    assert not db1.service("ssh").is_running
    run = run_playbook("playbooks/prepare.yml")
    assert run.returncode == 0, run.message()
    assert run.changed == []
    assert {host for host, _, _ in run.results} == {"app1"}


def test_roles_and_privileges(app1, administer, secret):
    # As many as the journey, which comes before, has left.
    answer = psql(app1, "SELECT count(*) FROM users", secret("owner"), user="contralock_owner")
    assert answer.text.isdigit(), answer
    assert user_gets_in(app1, secret("user"))
    assert administer("SELECT rolcreaterole FROM pg_roles WHERE rolname = 'contralock_owner'") == "f"
    assert administer("SELECT datacl FROM pg_database WHERE datname = 'contralock'") == (
        "{contralock_owner=CTc/contralock_owner}"
    )
    privileges = "SELECT has_table_privilege('contralock_user', 'users', 'SELECT, INSERT'), "
    privileges += "has_table_privilege('contralock_user', 'users', 'TRUNCATE')"
    assert administer(privileges, "contralock") == "t|f"
    # What the provider set beside is not ours to judge.
    assert "application_name=set by the provider" in administer(
        "SELECT rolconfig FROM pg_roles WHERE rolname = 'contralock_user'"
    )


def test_the_provider_is_asked_for_the_role(run_playbook, administer, app1, secret, without_user):
    before = administer(STATE), administer("SELECT json_agg(c.relacl) FROM pg_class AS c", "contralock")
    run = run_playbook("playbooks/prepare.yml", *DATABASE)
    assert run.returncode == 2
    message = run.message()
    assert "contralock_owner may not create or alter contralock_user, or itself, on db1.contralock.test" in message
    assert "the two are not as asked (wrong: role, membership of the owner)" in message
    assert (administer(STATE), administer("SELECT json_agg(c.relacl) FROM pg_class AS c", "contralock")) == before
    for secret_text in (secret("owner"), secret("user"), "SCRAM-SHA-256"):
        assert secret_text not in run.output

    # The provider runs what it was asked, in psql, which asks for the password and sends a verifier.
    sql = re.search(r"run again: (CREATE ROLE .*)\\password contralock_user", message)[1]
    assert sql.split("; ")[0] == "CREATE ROLE contralock_user LOGIN CONNECTION LIMIT 30 VALID UNTIL 'infinity'"
    assert [statement for statement in [*SETTINGS, MEMBERSHIP] if statement not in sql] == []
    administer(sql)
    administer(f"SET log_statement = none; ALTER ROLE contralock_user PASSWORD '{secret('user')}'")
    run = run_playbook("playbooks/prepare.yml", *DATABASE)
    assert run.returncode == 0, run.message()
    # The role itself was right; only what it may do with the owner's tables had gone with the one before.
    assert {task.split(" : ")[-1] for _, task in run.changed} == {
        "Let the application's role work on the rows of what the owner will create",
        "Let a role that came later work on the rows of what the owner has created",
    }
    assert administer("SELECT has_table_privilege('contralock_user', 'users', 'INSERT')", "contralock") == "t"
    assert user_gets_in(app1, secret("user"))


@pytest.mark.parametrize(
    ("wrong", "plant", "mend", "asked"),
    [
        (
            "login, connection limit, settings, membership of the owner, CREATEDB of the owner",
            "ALTER ROLE contralock_user NOLOGIN CONNECTION LIMIT 5; ALTER ROLE contralock_user SET lock_timeout = '1h';"
            "REVOKE contralock_user FROM contralock_owner; ALTER ROLE contralock_owner NOCREATEDB",
            "ALTER ROLE contralock_user LOGIN CONNECTION LIMIT 30; ALTER ROLE contralock_user SET lock_timeout = '10s';"
            "GRANT contralock_user TO contralock_owner; ALTER ROLE contralock_owner CREATEDB",
            [
                "ALTER ROLE contralock_user LOGIN CONNECTION LIMIT 30",
                MEMBERSHIP,
                "ALTER ROLE contralock_owner CREATEDB;",
            ],
        ),
        (
            "password",
            "ALTER ROLE contralock_user PASSWORD 'of somebody else'",
            "ALTER ROLE contralock_user PASSWORD '{user}'",
            ["ALTER ROLE contralock_user LOGIN CONNECTION LIMIT 30", "\\password contralock_user"],
        ),
    ],
    ids=["all but the password", "password"],
)
def test_the_provider_is_asked_to_mend_the_roles(provider, wrong, plant, mend, asked):
    administer, secret, refusals = provider
    administer(plant)
    before = administer(STATE)
    try:
        (message,) = refusals("application_database", "application", [{}], beside="migration_toolkit")
        assert f"the two are not as asked (wrong: {wrong})" in message
        possible = [*SETTINGS, MEMBERSHIP, "CREATEDB;", "\\password contralock_user"]
        assert [text for text in asked if text not in message] == []
        others = [text for text in possible if text in message and not any(text in words for words in asked)]
        assert others == SETTINGS
        assert administer(STATE) == before
    finally:
        administer(mend.format(user=secret("user")))


@pytest.fixture
def may_create_roles(administer, db1):
    """The owner has CREATEROLE, and every statement is logged: what the server was sent is what the fixture returns."""
    administer("ALTER ROLE contralock_owner CREATEROLE")
    administer("ALTER SYSTEM SET log_statement = 'all'")
    administer("SELECT pg_reload_conf()")
    before = int(db1.check_output("stat --format=%%s %s", LOG))
    yield lambda: db1.check_output("tail --bytes=+%s %s", str(before + 1), LOG)
    administer("ALTER SYSTEM RESET log_statement")
    administer("SELECT pg_reload_conf()")
    administer("ALTER ROLE contralock_owner NOCREATEROLE")
    administer("REVOKE CONNECT ON DATABASE contralock FROM contralock_user")


def test_an_owner_that_may_create_roles_needs_no_provider(run_playbook, app1, secret, without_user, may_create_roles):
    made = run_playbook("playbooks/prepare.yml", *DATABASE)
    assert made.returncode == 0, made.message()
    assert user_gets_in(app1, secret("user"))
    options = {"application_database_user_password": NEW_PASSWORD, "application_database_grant_connect": True}
    checked = run_playbook("playbooks/prepare.yml", "--check", *DATABASE, **options)
    assert user_gets_in(app1, secret("user"))
    changed = run_playbook("playbooks/prepare.yml", *DATABASE, **options)
    assert changed.changed == checked.changed
    assert [task.split(" : ")[-1] for _, task in changed.changed] == [
        "Create or mend the application's role",
        "Let the application's role connect",
    ]
    assert not user_gets_in(app1, secret("user"))
    assert psql(app1, "SHOW statement_timeout", NEW_PASSWORD, user="contralock_user").text == "30s"
    again = run_playbook("playbooks/prepare.yml", *DATABASE, **options)
    assert again.changed == []
    back = run_playbook("playbooks/prepare.yml", *DATABASE)
    assert [task.split(" : ")[-1] for _, task in back.changed] == ["Create or mend the application's role"]
    log = may_create_roles()
    for verb in ("CREATE", "ALTER"):
        assert f'{verb} USER "contralock_user" WITH ENCRYPTED PASSWORD \'SCRAM-SHA-256$4096:' in log
    for password in (secret("user"), secret("owner"), NEW_PASSWORD):
        assert password not in log
        assert password not in made.output + changed.output.replace(f'"{NEW_PASSWORD}"', "")


def test_wrong_password_of_the_owner(run_playbook, administer, app1):
    before = administer(STATE)
    run = run_playbook(
        "playbooks/prepare.yml", *TOOLKIT_AND_DATABASE, application_database_owner_password="not the one it has"
    )
    assert run.returncode == 2
    message = run.message()
    assert "db1.contralock.test refused the login of contralock_owner" in message
    assert 'password authentication failed for user "contralock_owner"' in message
    assert (
        "Put the password that the server has for contralock_owner into application_database_owner_password" in message
    )
    assert "not the one it has" not in message
    assert administer(STATE) == before


def test_wrong_authority(run_playbook, administer, app1, tmp_path):
    before = administer(STATE)
    other = tmp_path / "ca.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    made = execute(app1, *command, "-subj", "/CN=ContraLock PostgreSQL CA", "-keyout", "/dev/null")
    other.write_text(made.text)
    run = run_playbook("playbooks/prepare.yml", *TOOLKIT_AND_DATABASE, application_database_ca_certificate=str(other))
    assert run.returncode == 2
    assert "certificate verify failed" in run.message()
    assert "Let application_database_ca_certificate be the certificate of the authority" in run.message()
    assert administer(STATE) == before


def test_right_variables_heal_the_host(run_playbook, app1):
    """After the two tests above, whose runs have put the wrong password and the wrong authority on the host."""
    run = run_playbook("playbooks/prepare.yml", *TOOLKIT_AND_DATABASE)
    assert run.returncode == 0, run.message()
    authority = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "tls/ca.crt")
    assert app1.file(CA).content_string == authority.read_text()
    answer = execute(app1, "psql", conninfo(user="contralock_owner", passfile="/etc/contralock-migration/pgpass"))
    assert answer.returncode == 0, answer


def test_targets_that_do_not_fit(refusals, administer, db1):
    address = db1.check_output("hostname --ip-address").split()[0]
    administer("CREATE ROLE planted_other")
    administer("CREATE DATABASE planted_a OWNER planted_other TEMPLATE template0")
    administer("CREATE DATABASE planted_b OWNER contralock_owner TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'")
    before = administer(STATE)
    cases = [
        ({"application_database_name": "planted_a"}, ["owner = planted_other, where contralock_owner is needed"]),
        (
            {"application_database_name": "planted_b"},
            [
                "exists with encoding = SQL_ASCII, where UTF8 is needed. Nothing was changed.",
                "exists with collation = C, where C.UTF-8 is needed. Nothing was changed.",
            ],
        ),
        ({"application_database_name": "nowhere"}, ['database "nowhere" does not exist', "Have the database created"]),
        ({"application_database_host": address}, ["does not match host name", "to a name that stands in the server's"]),
        ({"application_database_host": "nowhere.contralock.test"}, ["Correct application_database_host"]),
        ({"application_database_port": 5999}, ["Connection refused", "or correct application_database_host and"]),
        (
            {"migration_toolkit_python": "/nowhere/python"},
            ["The toolkit /nowhere/python is missing on app1; run the role"],
        ),
    ]
    try:
        messages = refusals(
            "application_database", "application", [case for case, _ in cases], beside="migration_toolkit"
        )
        for message, (case, expected) in zip(messages, cases, strict=True):
            assert [text for text in expected if text not in message] == [], case
            assert [end for end in ("..", "?.") if end in message.replace("...", "")] == [], case
        assert administer(STATE) == before
    finally:
        administer("DROP DATABASE planted_a")
        administer("DROP DATABASE planted_b")
        administer("DROP ROLE planted_other")
