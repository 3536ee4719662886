"""What tests of the proof share: a server, the role of an application, a fenced file, an application that answers."""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.application_proof import Application, Fenced
from ansible_collections.contralock.database.plugins.module_utils.proof_canary import Canary
from ansible_collections.contralock.database.plugins.module_utils.service_health import HealthCheck
from psycopg.conninfo import conninfo_to_dict

from tests.integration.access.as_application import as_application
from tests.throwaway_cluster import throwaway_cluster


@pytest.fixture(scope="module")
def server():
    """A server that lets sessions without TLS in, which pg_hba.conf of the role postgresql_server does not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    settings = {"listen_addresses": "127.0.0.1", "port": port}
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
        administrator.execute("CREATE TABLE users (name text); CREATE TABLE closed (name text)")
        administrator.execute(f"GRANT SELECT ON closed TO {conninfo_to_dict(database.conninfo)['user']}")
        administrator.execute(f"GRANT SELECT ON users TO {role}")
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


@pytest.fixture
def serving(target):
    """An application that answers over HTTP, with a session of its own.

    ``asks`` is its query for an answer, if any, and ``writes`` what it does with a canary; ``meanwhile`` others work.
    At ``/broken`` it fails after that query.
    """
    servers = []

    def serve(writes=True, asks="SELECT 1 FROM users", says="postgresql", busy=0, meanwhile=int):
        connection = as_application(target, application_name="app")
        posts = iter(range(busy))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                meanwhile()
                if asks:
                    connection.execute(asks)
                self.answer(500 if self.path == "/broken" else 200, {"details": {"type": says}})

            def do_POST(self):
                token = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["token"]
                if next(posts, None) is not None:
                    self.answer(503, {})
                    return
                if writes:
                    connection.execute("INSERT INTO migration_canary VALUES (%s)", [token])
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
