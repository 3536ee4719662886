"""Rows counted, fingerprinted and emptied; CONNECT given and taken; sessions seen and ended."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.target_state import (
    Session,
    assert_emptiable,
    empty_tables,
    end_backends,
    end_sessions,
    grant_connect,
    may_connect,
    revoke_connect,
    row_counts,
    sessions_of,
    target_fingerprint,
)

from tests.integration.transfer.transfer_server import APPLICATION, OWNER, Target

WALLET = "INSERT INTO wallets (id, user_id) VALUES (gen_random_uuid(), %s)"
USER = """INSERT INTO users (id, email, password, first_name, last_name, role, created_at)
          VALUES (%s, %s, 'x', 'A', 'B', 'client', '2026-01-01 00:00:00+00') RETURNING id"""
IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(4)]


@pytest.fixture
def users(owner: Connection) -> list[str]:
    for number, each in enumerate(IDS):
        owner.execute(USER, [each, f"{number}@example.org"])
    return IDS


def test_rows_are_counted(owner: Connection, users: list[str]) -> None:
    assert row_counts(owner, "public", ["users", "wallets"]) == {"users": 4, "wallets": 0}
    with pytest.raises(psycopg.errors.UndefinedTable):
        row_counts(owner, "public", ["nowhere"])


def test_row_security_does_not_hide_rows_from_a_count(owner: Connection, users: list[str], target: Target) -> None:
    owner.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        row_counts(owner, "public", ["users"])


def test_a_fingerprint_knows_one_cell_and_no_order(owner: Connection, users: list[str]) -> None:
    before = target_fingerprint(owner, "public", ["users", "wallets"])
    assert before["users"].startswith("4:")
    assert before["wallets"] == "0:0"
    owner.execute("SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'")
    # Written anew, the row stands last.
    owner.execute("UPDATE users SET bio = NULL WHERE id = %s", [users[0]])
    assert target_fingerprint(owner, "public", ["users", "wallets"]) == before
    owner.execute("UPDATE users SET bio = '' WHERE id = %s", [users[0]])
    assert target_fingerprint(owner, "public", ["users"])["users"] != before["users"]


def test_a_fingerprint_is_about_the_row_where_a_column_is_called_as_it_is(owner: Connection) -> None:
    owner.execute("CREATE TABLE readings (id int, t text, v text); INSERT INTO readings VALUES (1, NULL, 'a')")
    before = target_fingerprint(owner, "public", ["readings"])
    owner.execute("UPDATE readings SET v = 'b'")
    assert target_fingerprint(owner, "public", ["readings"]) != before


def test_a_fingerprint_tells_two_equal_rows_from_none(owner: Connection) -> None:
    owner.execute("CREATE TABLE pairs (a int); INSERT INTO pairs VALUES (1), (1)")
    two = target_fingerprint(owner, "public", ["pairs"])
    owner.execute("TRUNCATE pairs")
    assert target_fingerprint(owner, "public", ["pairs"]) != two


def test_tables_that_refer_to_each_other_are_emptied(owner: Connection, users: list[str]) -> None:
    owner.execute(WALLET, [users[0]])
    tables = [name for (name,) in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert_emptiable(owner, "public", tables)
    empty_tables(owner, "public", tables)
    assert set(row_counts(owner, "public", tables).values()) == {0}


def test_a_table_outside_that_refers_to_one_inside_is_named(owner: Connection) -> None:
    with pytest.raises(MigrationError, match="wallets refers to users"):
        assert_emptiable(owner, "public", ["users"])
    with pytest.raises(MigrationError, match="cannot be emptied"):
        empty_tables(owner, "public", ["users"])
    owner.execute("CREATE SCHEMA other; CREATE TABLE other.wallets (u uuid REFERENCES wallets (id))")
    with pytest.raises(MigrationError, match=r"\(wallets refers to wallets\)"):
        assert_emptiable(owner, "public", ["wallets", "wallet_transactions"])


def test_a_table_in_use_is_waited_for_and_named(
    owner: Connection, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{empty_tables.__module__}.LOCK_WAIT_MILLISECONDS", 200)
    with psycopg.connect(target.administrator) as other:
        other.execute("LOCK TABLE audit_trails IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match="another session has used"):
            empty_tables(owner, "public", ["audit_trails"])


def test_connect_is_granted_and_revoked_once(owner: Connection, target: Target) -> None:
    assert not may_connect(owner, APPLICATION)
    assert [grant_connect(owner, APPLICATION), grant_connect(owner, APPLICATION)] == [True, False]
    with connect(target.server.conninfo(dbname=target.name, user=APPLICATION), "contralock") as application:
        assert application.info.user == APPLICATION
    assert [revoke_connect(owner, APPLICATION), revoke_connect(owner, APPLICATION)] == [True, False]
    with pytest.raises(MigrationError, match="permission denied for database"):
        connect(target.server.conninfo(dbname=target.name, user=APPLICATION), "contralock")


def test_what_cannot_be_granted_or_revoked_is_told(owner: Connection, target: Target) -> None:
    with pytest.raises(MigrationError, match="no role 'nobody_here'"):
        grant_connect(owner, "nobody_here")
    owner.execute(f"GRANT CONNECT ON DATABASE {target.name} TO PUBLIC")
    with pytest.raises(MigrationError, match="may still connect"):
        revoke_connect(owner, APPLICATION)
    with connect(target.server.conninfo(dbname=target.name, user=APPLICATION), "contralock") as application:
        owner.execute(f"REVOKE CONNECT ON DATABASE {target.name} FROM PUBLIC")
        with pytest.raises(MigrationError, match="database's owner"):
            grant_connect(application, APPLICATION)


def test_sessions_are_seen_with_their_tls(owner: Connection, target: Target) -> None:
    grant_connect(owner, APPLICATION)
    with connect(target.server.conninfo(dbname=target.name, user=APPLICATION), "contralock") as application:
        with connect(target.server.conninfo(dbname=target.name, user=APPLICATION), "proof") as another:
            (seen,) = sessions_of(another, APPLICATION)
            assert seen.pid == application.info.backend_pid
            assert (seen.user, seen.application_name, seen.client_address) == (APPLICATION, "contralock", "127.0.0.1")
            assert str(seen.tls_version).startswith("TLSv1.")
        # The owner is another role: it sees that there is a session, and not whether it uses TLS.
        hidden = replace(seen, client_address=None, client_port=None, tls_version=None)
        assert [each for each in sessions_of(owner, APPLICATION) if each.pid == seen.pid] == [hidden]
    with psycopg.connect(target.administrator, autocommit=True) as administrator:
        assert "test of the transfer" in [each.application_name for each in sessions_of(administrator, OWNER)]


def test_only_our_own_left_over_backends_are_ended(owner: Connection, target: Target) -> None:
    with (
        connect(target.conninfo, "contralock load x1") as left,
        connect(target.conninfo, "contralock loader") as other,
        connect(target.conninfo, "%") as third,
    ):
        assert end_backends(owner, "contralock load ") == 1
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")
        assert end_backends(owner, "contralock load ") == 0
        for survivor in (other, third):
            survivor.execute("SELECT 1")
    with pytest.raises(ValueError, match="everybody"):
        end_backends(owner, "")


def test_a_session_that_shows_itself_meanwhile_is_ended_too(
    owner: Connection, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(target.conninfo, "early"))]

        def and_one_late(connection: Connection, role: str) -> list[Session]:
            found = sessions_of(connection, role)
            if len(opened) == 1:
                opened.append(stack.enter_context(connect(target.conninfo, "late")))
            return found

        monkeypatch.setattr(f"{end_sessions.__module__}.sessions_of", and_one_late)
        monkeypatch.setattr(f"{end_sessions.__module__}.END_SECONDS", 2.0)
        assert end_sessions(owner, OWNER) == 2
