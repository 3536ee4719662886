"""Connections are verified or refused, and every refusal says what to do and no secret."""

from __future__ import annotations

import contextlib
import socket
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import target_answer
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.target_answer import server_answers

from tests.throwaway_cluster import PASSWORD_ROLE, Cluster, Database
from tests.tls_server import TlsServer, free_port, tls_server

SECRET = "s3cret-Pa55word"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    folder, rejected = tmp_path_factory.mktemp("tls"), ["host rejected all all reject"]
    with tls_server(folder, SECRET, ("reader", "limited"), rules=rejected) as running:
        with psycopg.connect(running.cluster.conninfo(), autocommit=True) as connection:
            connection.execute("ALTER ROLE limited CONNECTION LIMIT 0")
            connection.execute("CREATE DATABASE rejected")
        yield running


def refused(conninfo: str) -> str:
    with pytest.raises(MigrationError) as refusal:
        connect(conninfo, "test").close()
    assert refusal.value.mend
    assert SECRET not in "".join(traceback.format_exception(refusal.value))
    return str(refusal.value)


@pytest.mark.parametrize("changes", [{}, {"sslmode": "verify-full"}])
def test_tls_is_verified_without_being_asked_for(server: TlsServer, changes: dict[str, str]) -> None:
    with connect(server.conninfo(**changes), "a test of TLS") as connection:
        seen = "SELECT ssl, application_name FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        assert connection.execute(f"{seen} WHERE pid = pg_backend_pid()").fetchone() == (True, "a test of TLS")
        assert connection.autocommit
        assert connection.info.get_parameters()["sslmode"] == "verify-full"


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_weak_tls_is_refused_before_anything_is_sent(server: TlsServer, mode: str) -> None:
    assert f"sslmode={mode}, which does not prove who answers" in refused(server.conninfo(sslmode=mode))
    assert "sslmode" in refused(f"service=x sslmode={mode}")
    assert "sslmode" in refused(f"hostaddr=127.0.0.1 host=/tmp sslmode={mode}")
    assert "sslmode" in refused(f"host=/tmp,localhost sslmode={mode}")
    assert "sslmode" in refused(f"postgresql://reader@localhost/x?sslmode={mode}")


def test_the_environment_cannot_weaken_tls(server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setenv("PGHOST", "localhost")
    with connect(server.conninfo(), "test") as connection:
        assert connection.pgconn.ssl_in_use
    assert "sslmode" in refused("sslmode=prefer")


def test_a_service_file_cannot_weaken_tls(server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = server.conninfo(sslmode="disable").replace("'", "").split()
    (tmp_path / "services").write_text("\n".join(["[ours]", *lines]) + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    with connect("service=ours", "test") as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.info.user == "reader"
    assert "Correct service=" in refused("service=unknown")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "127.0.0.1"}, ["does not match host name", "Connect with a host name that the server's certificate"]),
        ({"sslrootcert": "{other}"}, ["certificate verify failed", "Let sslrootcert name the authority"]),
        ({"sslrootcert": "/nowhere/ca.crt"}, ["root certificate file", "sslrootcert names"]),
        ({"passfile": "/dev/null"}, ["no password supplied", "passfile="]),
        ({"user": "limited"}, ["too many connections for role", "End idle sessions"]),
        ({"dbname": "nowhere"}, ['database "nowhere" does not exist', "Create the database"]),
        ({"dbname": "rejected"}, ["pg_hba.conf rejects", "Take the reject line"]),
        ({"user": "stranger"}, ["no pg_hba.conf entry", "Add a hostssl line"]),
        ({"port": "{free}"}, ["Connection refused", "Start the server"]),
        ({"host": "nowhere.invalid"}, ["nowhere.invalid", "Correct the host's name"]),
    ],
)
def test_each_failure_has_its_mend(server: TlsServer, changes: dict[str, str], words: list[str]) -> None:
    known = {"{other}": str(server.other_authority), "{free}": str(free_port())}
    message = refused(server.conninfo(**{name: known.get(value, value) for name, value in changes.items()}))
    for word in words:
        assert word in message


def test_a_wrong_password_is_not_repeated(server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", wrong := "wr0ng-Pa55word")
    message = refused(server.conninfo(passfile=str(tmp_path / "none")))
    assert "password authentication failed" in message
    assert "Check the user and the password" in message
    assert wrong not in message


def test_a_password_file_that_libpq_ignores(server: TlsServer, tmp_path: Path) -> None:
    open_to_all = tmp_path / "pgpass"
    open_to_all.write_text(server.passfile.read_text())
    open_to_all.chmod(0o644)
    assert f"Run chmod 0600 {open_to_all}: libpq ignores" in refused(server.conninfo(passfile=str(open_to_all)))
    absent = tmp_path / "absent"
    assert f"Put the password into {absent}, which is not there" in refused(server.conninfo(passfile=str(absent)))


def test_libpq_s_advice_to_verify_nothing_is_not_passed_on(server: TlsServer) -> None:
    message = refused(server.conninfo(sslrootcert="/nowhere/ca.crt"))
    assert 'root certificate file "/nowhere/ca.crt" does not exist. Put the certificate' in message
    assert "sslmode" not in message


@contextlib.contextmanager
def listener(answer: bytes | None) -> Iterator[int]:
    """A port that takes a connection and answers the request for TLS with this, or never."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as client:
                client.recv(8)
                if answer is not None:
                    client.sendall(answer)
                client.recv(8)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, ["timeout expired", "raise connect_timeout"]),
        (b"N", ["server does not support SSL", "Set ssl = on"]),
    ],
)
def test_a_silent_server_and_one_without_tls(server: TlsServer, answer: bytes | None, words: list[str]) -> None:
    with listener(answer) as port:
        message = refused(server.conninfo(port=str(port), connect_timeout="2"))
    for word in words:
        assert word in message


@pytest.mark.parametrize("conninfo", ["host=localhost port=x", "host=/tmp port=x", "host=localhost port=99999"])
def test_a_port_that_is_none_has_its_mend(conninfo: str) -> None:
    assert "Give port= a number" in refused(conninfo)


@pytest.mark.parametrize(
    "conninfo",
    [
        f"host=/tmp password={SECRET}",
        f"postgresql://owner:{SECRET}@localhost/app",
        f"postgresql://owner@localhost/app?password={SECRET}",
        f"host=localhost sslpassword={SECRET}",
        f"host=localhost password {SECRET}",
        f"postgresql://owner@localhost/app?{SECRET}=x",
        f"'{SECRET}",
    ],
)
def test_a_secret_in_the_string_is_refused_and_not_repeated(conninfo: str) -> None:
    message = refused(conninfo)
    assert "holds a secret" in message or "no libpq connection string" in message


def test_a_socket_needs_no_tls(database: Database) -> None:
    for conninfo in (database.conninfo, f"{database.conninfo} sslmode=disable"):
        with connect(conninfo, "test") as connection:
            assert not connection.pgconn.ssl_in_use
            assert connection.info.dbname == database.name


def test_times_are_read_whatever_the_server_s_spelling(database: Database) -> None:
    with connect(database.conninfo, "test") as connection:
        connection.execute(f"ALTER DATABASE {database.name} SET DateStyle TO 'SQL, DMY'".encode())
    with connect(database.conninfo, "test") as connection:
        found = connection.execute("SELECT '2024-03-04 05:06:07+00'::timestamptz").fetchone()
    assert found == (datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC),)


def test_the_socket_may_come_from_the_environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": str(cluster.folder), "PGUSER": "postgres", "PGDATABASE": "postgres"}.items():
        monkeypatch.setenv(name, value)
    for conninfo in ("", "sslmode=disable"):
        with connect(conninfo, "test") as connection:
            assert connection.info.host == str(cluster.folder)


def test_a_missing_socket_and_a_role_that_asks_for_a_password(cluster: Cluster, database: Database) -> None:
    assert "Start the server, or let host name" in refused("host=/nowhere dbname=x user=x")
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute(f"GRANT {PASSWORD_ROLE} TO {database.owner}")
    assert "no password supplied" in refused(database.conninfo)


@pytest.mark.parametrize(
    "changes", [{}, {"user": "nobody"}, {"dbname": "rejected"}, {"passfile": "/nowhere"}, {"sslrootcert": "/nowhere"}]
)
def test_a_server_answers_whatever_it_says(server: TlsServer, changes: dict[str, str]) -> None:
    assert server_answers(server.conninfo(**changes), attempts=1)


def test_a_server_answers_although_another_authority_is_named(server: TlsServer) -> None:
    assert server_answers(server.conninfo(sslrootcert=str(server.other_authority)), attempts=1)


def test_a_server_that_is_not_there_or_says_nothing_does_not_answer(server: TlsServer) -> None:
    assert not server_answers(server.conninfo(port=str(free_port())), attempts=1)
    assert not server_answers(server.conninfo(host="no-such-host.invalid"), attempts=1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = server.conninfo(port=str(silent.getsockname()[1]), hostaddr="127.0.0.1")
        assert not server_answers(asked, attempts=1, connect_seconds=2)


def test_a_server_that_comes_back_is_not_gone(server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([psycopg.pq.Ping.NO_RESPONSE, psycopg.pq.Ping.REJECT])
    monkeypatch.setattr(target_answer, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(target_answer.pq, "PGconn", SimpleNamespace(ping=lambda _asked: next(said)))
    assert server_answers(server.conninfo())


def test_who_answers_is_shown_no_secret_and_asked_for_no_certificate(
    server: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(
        target_answer.pq, "PGconn", SimpleNamespace(ping=lambda given: asked.append(given) or psycopg.pq.Ping.OK)
    )
    assert server_answers(server.conninfo())
    assert str(server.passfile).encode() not in asked[0]
    assert b"sslmode=prefer" in asked[0]
    with pytest.raises(MigrationError, match="holds a secret"):
        server_answers(server.conninfo(password=SECRET))
