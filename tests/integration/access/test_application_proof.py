"""The proof says all that it saw, and believes nobody: each lie is planted."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import application_proof
from ansible_collections.contralock.database.plugins.module_utils.application_proof import (
    Application,
    Fenced,
    prove_postgresql,
    prove_sqlite,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.file_holders import Holder
from ansible_collections.contralock.database.plugins.module_utils.proof_canary import Canary
from ansible_collections.contralock.database.plugins.module_utils.service_health import HealthCheck
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.throwaway_cluster import throwaway_cluster

PORT = "54417"
UNKNOWN = Application()


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
        administrator.execute("CREATE TABLE migration_canary (token uuid PRIMARY KEY)")
        administrator.execute(f"ALTER TABLE migration_canary OWNER TO {database.owner}")
        administrator.execute(f"GRANT INSERT ON migration_canary TO {role}")
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
    (path / "README").write_text("a fence")
    return Fenced(path, moved, hashlib.sha256(moved.read_bytes()).hexdigest())


def as_application(target, **more):
    conninfo, role = target
    return psycopg.connect(make_conninfo(conninfo, user=role, **more), autocommit=True)


def runs(monkeypatch, *pids):
    """Let the application's unit have these processes: where the tests run there may be no systemd."""
    found = SimpleNamespace(processes=tuple(SimpleNamespace(pid=pid) for pid in pids))
    monkeypatch.setattr(application_proof, "read_service", lambda _unit: found)


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


# ---- what is written through it --------------------------------------------------------------------------------------


@pytest.fixture
def serving(target):
    """An application that answers over HTTP, with a session of its own; ``writes`` is what it does with a canary."""
    servers = []

    def serve(writes=True, works=True, tables=("migration_canary",), says="postgresql"):
        connection = as_application(target, application_name="app")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if works:
                    connection.execute("SELECT 1")
                self.answer(200, {"details": {"type": says}})

            def do_POST(self):
                token = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["token"]
                for table in tables if writes else ():
                    connection.execute(f"INSERT INTO {table} VALUES (%s)", [token])
                self.answer(201, {"token": token})

            def answer(self, status, content):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        servers.append((server, connection))
        url = f"http://127.0.0.1:{server.server_port}"
        health = HealthCheck(f"{url}/health", "details.type", "postgresql", 0.3)
        return Application(health=health, canary=Canary(f"{url}/canary", "migration_canary"), session_name="app")

    yield serve
    for server, connection in servers:
        server.shutdown()
        server.server_close()
        connection.close()


def canaries(target):
    with psycopg.connect(target[0]) as owner:
        return owner.execute("SELECT count(*) FROM migration_canary").fetchone()[0]


def test_a_canary_is_found_and_leaves_nothing(target, fenced, serving):
    told = prove_postgresql(*target, serving(), fenced).told
    assert told["health check"] == "says postgresql"
    assert told["canary"].endswith("/canary into migration_canary, and was taken out again")
    assert canaries(target) == 0


def test_a_canary_that_does_not_come_is_told_whatever_is_answered(target, fenced, serving):
    with pytest.raises(MigrationError, match=r"canary that was sent .* is not in .*; the application answered 201"):
        prove_postgresql(*target, serving(writes=False), fenced, patience=0.3)


def test_a_canary_without_a_table_is_told_with_its_mend(target, fenced, serving):
    application = serving()
    for table in ("no_such_table", "pg_class"):
        canary = replace(application.canary, table=table)
        with pytest.raises(MigrationError, match=f"table {table} cannot be used .*application_service_canary_table"):
            prove_postgresql(*target, replace(application, canary=canary), fenced, patience=0.3)


def test_without_a_canary_a_session_has_to_move_when_the_health_check_is_asked(target, fenced, serving):
    working, idle = (replace(serving(works=works), canary=None) for works in (True, False))
    assert "worked while" in prove_postgresql(*target, working, fenced).told["activity"]
    with pytest.raises(MigrationError, match=r"no session of role .* does anything when http"):
        prove_postgresql(*target, idle, fenced, patience=0.3)


def test_a_health_check_that_says_sqlite_is_told(target, fenced, serving):
    with pytest.raises(MigrationError, match="says that the application uses sqlite, and it should use postgresql"):
        prove_postgresql(*target, serving(says="sqlite"), fenced)


def test_a_session_with_another_name_or_from_elsewhere_is_told(target, fenced):
    with as_application(target, application_name="psql"), pytest.raises(MigrationError) as refused:
        application = Application(session_name="app", addresses=("192.0.2.0/24",))
        # Our own session comes by the socket, and so may the application's.
        prove_postgresql(*target, application, fenced)
    assert "1 of 1 sessions of role" in str(refused.value)
    assert "are not called 'app' (pid" in str(refused.value)
    assert "elsewhere" not in str(refused.value)
    with as_application(target, host="127.0.0.1", sslmode="disable"):
        with pytest.raises(MigrationError, match=r"come from elsewhere than 192\.0\.2\.0/24, the socket \(pid"):
            prove_postgresql(*target, application, fenced)
        with pytest.raises(MigrationError, match="'home' in application_service_addresses is no address"):
            prove_postgresql(*target, Application(addresses=("home",)), fenced)


def test_all_that_was_seen_is_said_each_with_its_mend(target, fenced, serving):
    with sqlite3.connect(fenced.moved_to) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    (fenced.path / "new.sqlite").write_bytes(b"")
    fenced.path.with_name("other.db").write_bytes(b"")
    application = replace(serving(writes=False, says="sqlite"), session_name="another")
    with pytest.raises(MigrationError) as refused:
        prove_postgresql(*target, application, fenced, patience=0.3)
    for part in (
        "says that the application uses sqlite",
        "are not called 'another'",
        "canary that was sent",
        "in the fence",
        "new.sqlite",
        "have appeared since the fence was raised",
        "other.db",
        "was written: its sha256",
    ):
        assert part in str(refused.value)
    assert str(refused.value).count("application's log") == 2


# ---- what its processes have open ------------------------------------------------------------------------------------


def test_a_database_that_a_process_of_the_service_has_open_is_told(target, fenced, holding, tmp_path, monkeypatch):
    (tmp_path / "else").mkdir()
    made, empty, before, text = (tmp_path / "else" / name for name in ("made", "empty.db", "before.db", "text.db"))
    for path in (made, before):
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (a)")
        connection.close()
    empty.write_bytes(b"")
    text.write_text("SQLite is spoken of")
    application = Application("app.service", known_databases=(str(before),))
    runs(monkeypatch, *map(holding, (before, text)))
    with as_application(target):
        told = prove_postgresql(*target, application, fenced).told
        expected = f"2 of its processes looked into: no other SQLite database open but {before}, as before"
        assert told["service"] == expected
        pids = [holding(path) for path in (made, empty)]
        runs(monkeypatch, *pids, holding(before))
        with pytest.raises(MigrationError) as refused:
            prove_postgresql(*target, application, fenced)
    listed = f"open that it had not open before: {empty} (process {pids[1]}); {made} (process {pids[0]})."
    assert listed in str(refused.value)


def test_a_database_that_was_removed_while_it_was_open_is_one(target, fenced, holding, tmp_path, monkeypatch):
    made = tmp_path / "made.db"
    made.write_bytes(b"")
    runs(monkeypatch, holding(made))
    made.unlink()
    with as_application(target), pytest.raises(MigrationError, match=r"made\.db \(deleted\)"):
        prove_postgresql(*target, Application("app.service"), fenced)


def test_a_process_that_has_ended_has_nothing_open(target, fenced, monkeypatch):
    ended = subprocess.Popen(["true"])
    ended.wait()
    runs(monkeypatch, ended.pid)
    with as_application(target):
        assert "1 of its processes" in prove_postgresql(*target, Application("app.service"), fenced).told["service"]


def test_back_on_sqlite_nothing_else_is_open_and_no_canary_comes_to_postgresql(
    target, serving, holding, tmp_path, monkeypatch
):
    conninfo, role = target
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"")
    # Its session goes on while it may not connect: both are told.
    lying = serving(says="sqlite")
    application = replace(lying, unit="app.service", health=replace(lying.health, expected="sqlite"))
    own = Holder(holding(path), "node", "app", "app.service", ("app.sqlite",))
    monkeypatch.setattr(application_proof, "find_holders", lambda _path: [own])
    other = tmp_path / "other.db"
    other.write_bytes(b"")
    runs(monkeypatch, own.pid, holding(other))
    with psycopg.connect(conninfo, autocommit=True) as owner:
        owner.execute(f"REVOKE CONNECT ON DATABASE {owner.info.dbname} FROM {role}")
    with pytest.raises(MigrationError) as refused:
        prove_sqlite(conninfo, role, path, application)
    for part in ("still has sessions in PostgreSQL", "other.db (process", "came into PostgreSQL's migration_canary"):
        assert part in str(refused.value)
    assert canaries(target) == 0
    runs(monkeypatch, own.pid)
    proof = prove_sqlite(conninfo, "", path, application)
    assert proof.seen == [own]
    assert proof.told["health check"] == "says sqlite"
