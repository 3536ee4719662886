"""The proof says all that it saw, and believes nobody: each lie is planted."""

from __future__ import annotations

import sqlite3
import threading

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import application_proof
from ansible_collections.contralock.database.plugins.module_utils.application_proof import (
    Application,
    prove_postgresql,
    prove_sqlite,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.file_holders import Holder
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.integration.access.as_application import UNKNOWN, as_application, runs


def test_a_session_and_an_untouched_file_are_proof(target, fenced):
    with as_application(target):
        (session,) = prove_postgresql(*target, UNKNOWN, fenced).seen
    assert session.user == target[1]


def test_an_application_that_does_not_connect_is_told(target, fenced):
    with pytest.raises(MigrationError, match=r"no session of role .* was seen in PostgreSQL for 0\.5 s"):
        prove_postgresql(*target, UNKNOWN, fenced, patience=0.5)


def test_a_session_without_tls_is_told_beside_a_good_one(target, fenced):
    with (
        as_application(target),
        as_application(target, host="127.0.0.1", sslmode="disable"),
        pytest.raises(MigrationError, match=r"1 of 2 sessions .* have no TLS \(pid \d+ from 127\.0\.0\.1, ''\)"),
    ):
        prove_postgresql(*target, UNKNOWN, fenced)


def test_a_new_sqlite_file_is_told(target, fenced):
    (fenced.path / "README").unlink()
    fenced.path.rmdir()
    with as_application(target):
        with pytest.raises(MigrationError, match="is gone"):
            prove_postgresql(*target, UNKNOWN, fenced)
        sqlite3.connect(fenced.path).execute("CREATE TABLE t (a)")
        with pytest.raises(MigrationError, match="made a new SQLite database"):
            prove_postgresql(*target, UNKNOWN, fenced)


def test_a_write_to_the_fenced_file_is_told(target, fenced):
    with sqlite3.connect(fenced.moved_to) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    with as_application(target), pytest.raises(MigrationError, match="was written: its sha256"):
        prove_postgresql(*target, UNKNOWN, fenced)


def test_a_process_that_holds_the_fenced_file_is_named(target, fenced, holding):
    pid = holding(fenced.moved_to)
    with as_application(target), pytest.raises(MigrationError, match=f"in use by process {pid} "):
        prove_postgresql(*target, UNKNOWN, fenced)


def test_back_on_sqlite_the_file_is_held_and_the_role_is_out(server, target, tmp_path, holding):
    conninfo, role = target
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"")
    with pytest.raises(MigrationError, match=r"may still connect.* does not have .* open"):
        prove_sqlite(conninfo, role, path, UNKNOWN, patience=0.3)
    with psycopg.connect(conninfo, autocommit=True) as owner:
        owner.execute(f"REVOKE CONNECT ON DATABASE {owner.info.dbname} FROM {role}")
    with pytest.raises(MigrationError, match=r"does not have .* open"):
        prove_sqlite(conninfo, role, path, UNKNOWN, patience=0.3)
    pid = holding(path)
    (own,) = prove_sqlite(conninfo, role, path, UNKNOWN).seen
    assert own.pid == pid
    # Where the tests run there may be no systemd: then the process belongs to no unit.
    assert prove_sqlite(conninfo, role, path, Application(own.unit)).seen == [own]


def test_a_file_that_only_somebody_else_holds_is_no_proof(target, tmp_path, holding, monkeypatch):
    """A shell that was left open on the file is not the application."""
    conninfo, _ = target
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"")
    pid = holding(path)
    runs(monkeypatch)
    expected = rf"\(contralock\.service\) does not have .* open, within 0\.3 s of its start; process {pid} \(.*\) has\."
    with pytest.raises(MigrationError, match=expected):
        prove_sqlite(conninfo, "", path, Application("contralock.service"), patience=0.3)


def test_holders_of_the_unit_are_told_from_others(target, tmp_path, monkeypatch):
    conninfo, _ = target
    own, other = (
        Holder(pid, "node", "app", unit, ("app.sqlite",)) for pid, unit in ((7, "a.service"), (8, "b.service"))
    )
    monkeypatch.setattr(application_proof, "find_holders", lambda _path: [other, own])
    runs(monkeypatch)
    assert prove_sqlite(conninfo, "", tmp_path / "app.sqlite", Application("a.service")).seen == [own]


@pytest.mark.parametrize("hidden", ["no member", "a member that inherits nothing"])
@pytest.mark.parametrize("way", ["socket", "network"])
def test_a_session_whose_tls_cannot_be_seen_is_no_proof(server, target, fenced, hidden, way):
    """To an owner without the role's rights PostgreSQL hides the address too, as if it were a socket's."""
    conninfo, role = target
    owner = conninfo_to_dict(conninfo)["user"]
    with psycopg.connect(make_conninfo(conninfo, user="postgres"), autocommit=True) as administrator:
        if hidden == "no member":
            administrator.execute(f"REVOKE {role} FROM {owner}")
        elif administrator.info.server_version >= 160000:
            administrator.execute(f"GRANT {role} TO {owner} WITH INHERIT FALSE")
        else:
            administrator.execute(f"ALTER ROLE {owner} NOINHERIT")
        more = {"host": "127.0.0.1", "sslmode": "disable"} if way == "network" else {}
        with as_application(target, **more):
            expected = rf"does not show {owner} whether 1 of 1 sessions .*GRANT {role} TO {owner} .*INHERIT TRUE"
            with pytest.raises(MigrationError, match=expected):
                prove_postgresql(*target, UNKNOWN, fenced)


def test_who_may_read_all_statistics_sees_it_as_well(server, target, fenced):
    conninfo, role = target
    owner = conninfo_to_dict(conninfo)["user"]
    with psycopg.connect(make_conninfo(conninfo, user="postgres"), autocommit=True) as administrator:
        administrator.execute(f"REVOKE {role} FROM {owner}")
        administrator.execute(f"GRANT pg_read_all_stats TO {owner}")
        with as_application(target):
            assert prove_postgresql(*target, UNKNOWN, fenced).seen


def test_a_parallel_worker_of_a_session_is_not_one_that_hides_itself(target, fenced):
    """It shows no address to anybody: https://www.postgresql.org/docs/current/monitoring-stats.html."""
    workers = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND backend_type = 'parallel worker'"
    with as_application(target) as session, psycopg.connect(target[0], autocommit=True) as owner:
        new = session.info.server_version >= 160000
        session.execute(f"SET {'debug_parallel_query' if new else 'force_parallel_mode'} = on")
        sleeping = threading.Thread(target=session.execute, args=["SELECT pg_sleep(1)"])
        sleeping.start()
        while sleeping.is_alive() and owner.execute(workers, [target[1]]).fetchone() == (0,):
            pass
        assert sleeping.is_alive(), "there was no worker"
        assert len(prove_postgresql(*target, UNKNOWN, fenced).seen) == 1
        sleeping.join()
