"""The stand-in on PostgreSQL: switched by the .env file as the move switches it, over verified TLS."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.dotenv_text import set_values

from tests.stand_in import refusal, running
from tests.throwaway_cluster import Cluster, throwaway_cluster

PROFILES = Path(__file__).parents[3] / "files/profiles"
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
# Whatever could go wrong between the file, dotenv's grammar and libpq.
PASSWORD = "p#a's \"s\\n$w=1"
USER = "INSERT INTO users (email, password, first_name, last_name, role) VALUES ('a@b.c', 'x', 'A', 'B', 'client')"
DEPLOYED_USER = """INSERT INTO users (_id, email, password, "firstName", "lastName", role)
                   VALUES ('user-1', 'a@b.c', 'x', 'A', 'B', 'client')"""
DATABASES = [("contralock", "contralock", USER), ("deployed", "contralock_deployed", DEPLOYED_USER)]
SESSIONS = """
    SELECT usename, version, application_name FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
    WHERE datname = 'contralock' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Server:
    """A server with TLS whose certificate is for localhost, and the application's database in it."""

    cluster: Cluster
    authority: Path
    other_authority: Path

    def query(self, sql: str, database: str = "contralock") -> list[tuple]:
        with psycopg.connect(self.cluster.conninfo(database), autocommit=True) as connection:
            answer = connection.execute(sql)
            return answer.fetchall() if answer.description else []

    def values(self, **changes: str) -> dict[str, str]:
        return {
            "DB_TYPE": "postgresql",
            "DB_HOST": "localhost",
            "DB_PORT": str(self.cluster.port),
            "DB_NAME": "contralock",
            "DB_USER": "contralock_user",
            "DB_PASS": PASSWORD,
            "DB_SSL": "true",
            "DB_SSL_CA": str(self.authority),
            **changes,
        }


def certificate(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    key, file = folder / f"{name}.key", folder / f"{name}.crt"
    command = ["openssl", "req", "-x509", *CURVE, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(file)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return key, file


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tls")
    ca_key, ca = certificate(folder, "ca")
    key, file = certificate(
        folder, "localhost", "-CA", str(ca), "-CAkey", str(ca_key), "-addext", "subjectAltName=DNS:localhost"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on"}
    rules = ["local all postgres trust", "host contralock,deployed contralock_user 127.0.0.1/32 scram-sha-256"]
    files = {"server.crt": file.read_text(), "server.key": key.read_text()}
    with throwaway_cluster(settings, rules, files) as cluster:
        made = Server(cluster, ca, certificate(folder, "other")[1])
        with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
            for database, _, _ in DATABASES:
                connection.execute(f"CREATE DATABASE {database}")
            connection.execute(
                psycopg.sql.SQL("CREATE ROLE contralock_user LOGIN PASSWORD {}").format(psycopg.sql.Literal(PASSWORD))
            )
        for database, profile, user in DATABASES:
            for up in sorted((PROFILES / profile / "schema").glob("*.up.sql")):
                made.query(up.read_text(), database)
            made.query(user, database)
            rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO contralock_user"
            made.query(rights, database)
        yield made


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / ".env").write_text("# mine\nDB_TYPE=sqlite\nDB_PATH=./data/contralock.sqlite\n")
    return tmp_path


def switch(folder: Path, values: dict[str, str]) -> None:
    file = folder / ".env"
    file.write_text(set_values(file.read_text(), values))


def test_answers_and_writes_over_verified_tls(server, folder):
    switch(folder, server.values())
    with running(folder) as stand_in:
        status, health = stand_in.get("/health")
        (session,) = server.query(SESSIONS)
        _, before = stand_in.get("/counts")
        created, answer = stand_in.post("/notifications", '{"message": "Grüße 🔒"}')
        _, after = stand_in.get("/counts")
    assert (status, health["status"], health["details"]["type"]) == (200, "healthy", "postgresql")
    assert session == ("contralock_user", health["details"]["tls"], "contralock")
    assert session[1].startswith("TLSv1.")
    assert (created, answer["type"]) == (201, "postgresql")
    assert server.query(f"SELECT message, read FROM notifications WHERE id = '{answer['id']}'") == [("Grüße 🔒", False)]
    assert len(before["counts"]) == 12
    assert after["counts"] == {**before["counts"], "notifications": before["counts"]["notifications"] + 1}
    assert not (folder / "data").exists()


def test_writes_into_the_deployed_application_s_own_tables(server, folder):
    switch(folder, server.values(DB_NAME="deployed"))
    with running(folder) as stand_in:
        created, answer = stand_in.post("/notifications", '{"message": "as it stands"}')
    assert (created, answer["type"]) == (201, "postgresql")
    written = server.query('SELECT _id, "userId", message, read FROM notifications', "deployed")
    assert written == [(answer["id"], "user-1", "as it stands", False)]


def test_connects_again_after_its_session_was_ended(server, folder):
    switch(folder, server.values())
    with running(folder) as stand_in:
        server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'contralock_user'")
        status, health = stand_in.get("/health")
        assert (status, health["status"]) == (503, "unhealthy")
        assert "terminating connection" in health["details"]["error"]
        assert stand_in.get("/health")[0] == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DB_HOST": "127.0.0.1"}, 'does not match host name "127.0.0.1"'),
        ({"DB_SSL_CA": "OTHER"}, "certificate verify failed"),
        ({"DB_PASS": "wrong"}, "password authentication failed"),
        ({"DB_NAME": "postgres"}, "no pg_hba.conf entry"),
    ],
    ids=["name", "authority", "password", "database"],
)
def test_does_not_start_and_says_why(server, folder, changes, words):
    changes = {name: str(server.other_authority) if value == "OTHER" else value for name, value in changes.items()}
    switch(folder, server.values(**changes))
    returncode, said = refusal(folder)
    assert (returncode, said.startswith("cannot start: ")) == (1, True)
    assert words in said
    assert PASSWORD not in said


def test_without_db_ssl_it_does_without_tls(server, folder):
    """So that a test can plant an application that connects in the clear."""
    switch(folder, server.values(DB_SSL="false"))
    with running(folder) as stand_in:
        assert stand_in.get("/health")[1]["details"]["tls"] is None
        assert server.query(SESSIONS) == [("contralock_user", None, "contralock")]
