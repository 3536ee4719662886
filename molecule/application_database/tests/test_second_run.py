"""After everything that the other tests changed and a run restored: nothing is left to do."""

from __future__ import annotations

from clients import psql


def test_changes_nothing_and_never_revokes(run_playbook, app1, secret):
    """Also with the variable that would not have granted CONNECT: an application that is in stays in.

    And with numbers as the command line gives them, which are texts.
    """
    numbers = {"application_database_user_connection_limit": "30", "postgresql_server_max_connections": "100"}
    run = run_playbook("playbooks/prepare.yml", application_database_grant_connect=False, **numbers)
    assert run.returncode == 0, run.message()
    assert run.changed == []
    for role, timeout in {"owner": "0", "user": "30s"}.items():
        answer = psql(app1, "SHOW statement_timeout", secret(role), user=f"contralock_{role}")
        assert answer.text == timeout, answer
