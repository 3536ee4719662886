"""The proof says what it saw, and believes nobody: each lie is planted."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import application_proof
from ansible_collections.contralock.database.plugins.module_utils.application_proof import (
    Fenced,
    prove_postgresql,
    prove_sqlite,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.file_holders import Holder
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.throwaway_cluster import throwaway_cluster

PORT = "54417"


@pytest.fixture(scope="module")
def server():
    """A server that lets sessions without TLS in, which pg_hba.conf of the role postgresql_server does not."""
    settings = {"listen_addresses": "127.0.0.1", "port": PORT}
    with throwaway_cluster(settings, ("local all all trust", "host all all 127.0.0.1/32 trust")) as running:
        yield running


@pytest.fixture
def target(server):
    with server.database() as database, psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        role = f"{database.name}_user"
        administrator.execute(f"CREATE ROLE {role} LOGIN")
        administrator.execute(f"GRANT {role} TO {database.owner}")
        administrator.execute(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC")
        administrator.execute(f"GRANT CONNECT ON DATABASE {database.name} TO {role}")
        yield database.conninfo, role
        administrator.execute(f"DROP OWNED BY {role}")
        administrator.execute(f"DROP ROLE {role}")


@pytest.fixture
def fenced(tmp_path):
    path, moved = tmp_path / "app.sqlite", tmp_path / "app.sqlite.before-run"
    with sqlite3.connect(moved) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    path.mkdir()
    return Fenced(path, moved, hashlib.sha256(moved.read_bytes()).hexdigest())


def as_application(target, **more):
    conninfo, role = target
    return psycopg.connect(make_conninfo(conninfo, user=role, **more), autocommit=True)


@pytest.fixture
def holding():
    """Start a process that has a file open."""
    started = []

    def hold(path):
        program = "import sys, time; f = open(sys.argv[1]); print('open', flush=True); time.sleep(60)"
        command = [sys.executable, "-c", program, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        started.append(process)
        return process.pid

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_session_and_an_untouched_file_are_proof(target, fenced):
    with as_application(target):
        (session,) = prove_postgresql(*target, fenced)
    assert session.user == target[1]


def test_an_application_that_does_not_connect_is_told(target, fenced):
    with pytest.raises(MigrationError, match=r"no session of role .* was seen in PostgreSQL for 0\.5 s"):
        prove_postgresql(*target, fenced, patience=0.5)


def test_a_session_without_tls_is_told_beside_a_good_one(target, fenced):
    with (
        as_application(target),
        as_application(target, host="127.0.0.1", sslmode="disable"),
        pytest.raises(MigrationError, match=r"1 of 2 sessions .* have no TLS \(pid \d+ from 127\.0\.0\.1\)"),
    ):
        prove_postgresql(*target, fenced)


def test_a_new_sqlite_file_is_told(target, fenced):
    fenced.path.rmdir()
    with as_application(target):
        with pytest.raises(MigrationError, match="is gone"):
            prove_postgresql(*target, fenced)
        sqlite3.connect(fenced.path).execute("CREATE TABLE t (a)")
        with pytest.raises(MigrationError, match="made a new SQLite database"):
            prove_postgresql(*target, fenced)


def test_a_write_to_the_fenced_file_is_told(target, fenced):
    with sqlite3.connect(fenced.moved_to) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    with as_application(target), pytest.raises(MigrationError, match="was written: its sha256"):
        prove_postgresql(*target, fenced)


def test_a_process_that_holds_the_fenced_file_is_named(target, fenced, holding):
    pid = holding(fenced.moved_to)
    with as_application(target), pytest.raises(MigrationError, match=f"in use by process {pid} "):
        prove_postgresql(*target, fenced)


def test_back_on_sqlite_the_file_is_held_and_the_role_is_out(server, target, tmp_path, holding):
    conninfo, role = target
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"")
    with pytest.raises(MigrationError, match="may still connect"):
        prove_sqlite(conninfo, role, path, "")
    with psycopg.connect(conninfo, autocommit=True) as owner:
        owner.execute(f"REVOKE CONNECT ON DATABASE {owner.info.dbname} FROM {role}")
    with pytest.raises(MigrationError, match=r"does not have .* open"):
        prove_sqlite(conninfo, role, path, "", patience=0.3)
    pid = holding(path)
    (own,) = prove_sqlite(conninfo, role, path, "")
    assert own.pid == pid
    # Where the tests run there may be no systemd: then the process belongs to no unit.
    assert prove_sqlite(conninfo, role, path, own.unit) == [own]


def test_a_file_that_only_somebody_else_holds_is_no_proof(target, tmp_path, holding):
    """A shell that was left open on the file is not the application."""
    conninfo, _ = target
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"")
    pid = holding(path)
    expected = rf"\(contralock\.service\) does not have .* open, within 0\.3 s of its start; process {pid} \(.*\) has\."
    with pytest.raises(MigrationError, match=expected):
        prove_sqlite(conninfo, "", path, "contralock.service", patience=0.3)


def test_holders_of_the_unit_are_told_from_others(target, tmp_path, monkeypatch):
    conninfo, _ = target
    own, other = (
        Holder(pid, "node", "app", unit, ("app.sqlite",)) for pid, unit in ((7, "a.service"), (8, "b.service"))
    )
    monkeypatch.setattr(application_proof, "find_holders", lambda _path: [other, own])
    assert prove_sqlite(conninfo, "", tmp_path / "app.sqlite", "a.service") == [own]


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
                prove_postgresql(*target, fenced)


def test_who_may_read_all_statistics_sees_it_as_well(server, target, fenced):
    conninfo, role = target
    owner = conninfo_to_dict(conninfo)["user"]
    with psycopg.connect(make_conninfo(conninfo, user="postgres"), autocommit=True) as administrator:
        administrator.execute(f"REVOKE {role} FROM {owner}")
        administrator.execute(f"GRANT pg_read_all_stats TO {owner}")
        with as_application(target):
            assert prove_postgresql(*target, fenced)
