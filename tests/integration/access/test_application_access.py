"""The application's role: kept out until the cut-over, let in by it, put out by the way back."""

from __future__ import annotations

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.application_access import (
    access_of,
    keep_out,
    let_in,
    try_login,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from psycopg.conninfo import make_conninfo

from tests.throwaway_cluster import PASSWORD_ROLE


@pytest.fixture
def role(database):
    """A role with a password, which the owner of the database is a member of, and that may not connect yet."""
    name = f"{database.name}_user"
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'right' IN ROLE {PASSWORD_ROLE}")
        administrator.execute(f"GRANT {name} TO {database.owner}")
        # Membership would make the owner ask for a password as well: its line comes first for members of the group.
        administrator.execute(f"ALTER ROLE {database.owner} PASSWORD 'right'")
        administrator.execute(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC")
        yield name
        administrator.execute(f"DROP OWNED BY {name}")
        administrator.execute(f"DROP ROLE {name}")


@pytest.fixture
def target(database, role, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "right")
    return database.conninfo


def test_a_right_password_is_told_from_a_wrong_one_before_connect_is_granted(target, role):
    assert try_login(target, role, "right").connected is False
    with pytest.raises(MigrationError, match="password authentication failed") as refusal:
        try_login(target, role, "wr0ng-secret")
    assert "wr0ng-secret" not in str(refusal.value)
    assert refusal.value.mend.startswith("Correct application_database_user_password, or let prepare.yml ")
    assert access_of(target, role) == (False, [])


def test_it_is_let_in_once_and_proven(target, role):
    assert let_in(target, role, "right") is True
    assert let_in(target, role, "right") is False
    assert try_login(target, role, "right").connected is True


def test_letting_in_is_not_believed_when_the_login_fails(target, role, database):
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    with pytest.raises(MigrationError, match="too many connections"):
        let_in(target, role, "right")


def test_it_is_put_out_with_its_sessions(target, role, database):
    let_in(target, role, "right")
    with psycopg.connect(make_conninfo(target, user=role), password="right", autocommit=True) as session:
        may, sessions = access_of(target, role)
        assert may
        assert [one.user for one in sessions] == [role]
        assert keep_out(target, role) == (True, 1)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert keep_out(target, role) == (False, 0)
    assert try_login(target, role, "right").connected is False
