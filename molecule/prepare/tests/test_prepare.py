"""The phase `prepare` on bare hosts: what it leaves, and that --check tells the truth."""

from __future__ import annotations

from conftest import PREPARE, TABLES_OWNER


def test_check_of_bare_hosts_says_what_it_cannot_predict(journey):
    run = journey.bare_check
    assert run.returncode == 0, run.message()
    said = " ".join(result["msg"] for _, _, result in run.results if isinstance(result.get("msg"), str))
    for part in (
        "does not exist yet on db1. A run would create the cluster",
        "A run would create the roles contralock_owner and contralock_user and the database contralock",
        "these are all 8: 0001_enums, 0002_users",
    ):
        assert part in said, said
    assert ("A run would make /opt/contralock-migration/venv" in said) == journey.bare


def test_check_of_bare_hosts_touches_nothing(journey):
    assert journey.before == journey.after_bare_check


def test_what_the_check_of_bare_hosts_predicts_happens(journey):
    assert len(journey.bare_check.changed) >= 6
    # The packages' installation, for one, has to be among the predictions; where they are there, their use.
    expected = "Install pgloader, stunnel and Python's venv" if journey.bare else "Install the wheels"
    assert ("app1", f"migration_toolkit : {expected}") in journey.bare_check.changed
    assert set(journey.bare_check.changed) <= set(journey.first.changed)


def test_first_run_prepares_and_the_next_two_change_nothing(journey):
    for run in (journey.first, journey.second, journey.third):
        assert run.returncode == 0, run.message()
    assert ("app1", "database_schema : Bring the schema to its state") in journey.first.changed
    assert journey.second.changed == []
    assert journey.third.changed == []


def test_check_of_prepared_hosts_finds_nothing_to_do(journey):
    assert journey.prepared_check.returncode == 0, journey.prepared_check.message()
    assert journey.prepared_check.changed == []
    assert journey.before_prepared_check == journey.after_prepared_check


def test_check_predicts_a_changed_variable_and_changes_nothing(run_playbook, psql):
    setting = "SELECT rolconfig::text LIKE '%statement_timeout=45s%' FROM pg_roles WHERE rolname = 'contralock_user'"
    run = run_playbook(PREPARE, "--check", "--tags", "database", application_database_statement_timeout="45s")
    assert run.returncode == 0, run.message()
    assert run.changed == [("db1", "application_database : Create the application's role")]
    assert psql(setting) == "f"


def test_schema_is_there_and_belongs_to_whom_it_should(psql):
    rows = psql("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").splitlines()
    tables = [row.split("|") for row in rows]
    assert [name for name, _ in tables] == [
        "arbitrators",
        "audit_trails",
        "conversations",
        "disputes",
        "messages",
        "migration_canary",
        "milestones",
        "notifications",
        "projects",
        "transactions",
        "users",
        "wallet_transactions",
        "wallets",
    ]
    assert {owner for _, owner in tables} == {TABLES_OWNER}


def test_nobody_but_the_owner_may_connect_before_the_cut_over(psql):
    assert psql("SELECT has_database_privilege('contralock_user', 'contralock', 'CONNECT')") == "f"


def test_run_directory_and_secrets_are_closed(app1, journey):
    assert journey.first.returncode == 0
    for path, mode in (
        ("/var/lib/contralock-migration", 0o700),
        ("/etc/contralock-migration/pgpass", 0o600),
    ):
        file = app1.file(path)
        assert (file.user, file.mode) == ("root", mode), path


def test_the_server_starts_at_boot(db1, journey):
    assert journey.first.returncode == 0
    version = db1.check_output("ls /etc/postgresql")
    service = db1.service(f"postgresql@{version}-main")
    assert service.is_running
    assert service.is_enabled


def test_a_missing_secret_is_refused_before_any_host_is_touched(run_playbook, journey):
    assert journey.third.returncode == 0
    # Other settings would be written to db1 long before the password is needed there.
    # The other password is as without the vault file.
    missing = {"application_database_user_password": "", "application_database_owner_password": "{{ vault_owner }}"}
    run = run_playbook(PREPARE, **missing, postgresql_server_max_connections=90)
    assert run.returncode != 0
    message = run.message()
    assert "application_database_user_password has 0 characters" in message
    assert "application_database_owner_password is made of a variable that is not defined" in message
    assert "/group_vars/all/vault.yml, made from vault.yml.example)" in message
    alone = run_playbook(PREPARE, postgresql_server_tls_ca_passphrase="{{ vault_passphrase }}")
    assert "postgresql_server_tls_ca_passphrase is made of a variable that is not defined" in alone.message()
    assert alone.changed == []
    assert run.changed == []
    assert not [task for _, task, _ in run.results if task.startswith("postgresql_server :")]


def test_check_does_not_fail_over_a_connection_that_the_run_would_mend(run_playbook, app1, journey):
    assert journey.third.returncode == 0
    app1.check_output("rm /etc/contralock-migration/ca.crt")
    check = run_playbook(PREPARE, "--check", "--tags", "toolkit,schema")
    assert check.returncode == 0, check.message()
    assert check.changed == [("app1", "migration_toolkit : Install the authority's certificate")]
    run = run_playbook(PREPARE, "--tags", "toolkit,schema")
    assert run.returncode == 0, run.message()
    assert run.changed == check.changed
