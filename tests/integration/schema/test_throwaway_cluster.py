"""The cluster of the tests is private, and its databases belong to roles without power."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import private_cluster as library
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError

from tests.throwaway_cluster import Cluster, Database, throwaway_cluster


def test_a_database_belongs_to_a_role_without_power(database: Database) -> None:
    with psycopg.connect(database.conninfo) as connection:
        powers = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert connection.execute(powers).fetchone() == (False,)
        assert connection.execute(owner).fetchone() == (database.owner,)
        connection.execute("CREATE TABLE owned (id integer)")


def test_the_cluster_has_checksums_utf8_and_no_network(cluster: Cluster) -> None:
    wanted = {"data_checksums": "on", "listen_addresses": "", "server_encoding": "UTF8"}
    with psycopg.connect(cluster.conninfo()) as connection:
        rows = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(wanted)])
        assert dict(rows.fetchall()) == wanted
    assert cluster.folder.stat().st_mode & 0o777 == 0o700


def test_a_cluster_is_gone_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), throwaway_cluster() as cluster:
        pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
        _ = 1 / 0
    assert not cluster.folder.exists()
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        command = ""
    assert str(cluster.folder) not in command


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's own user can reach; pytest's own ones are root's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_cluster_ends_with_a_killed_process_and_the_next_one_removes_its_folder(place: Path) -> None:
    code = (
        "import time\n"
        "from tests.throwaway_cluster import throwaway_cluster\n"
        "with throwaway_cluster() as cluster:\n"
        "    print(cluster.folder, (cluster.data / 'postmaster.pid').read_text().split()[0], flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as process:
        folder, pid = process.stdout.readline().split()
        process.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text():
        assert time.monotonic() < deadline, "the server outlives its process"
        time.sleep(0.05)
    assert Path(folder).exists()
    # What has no lock goes when it is old: it may be one that begins at this moment.
    begun, empty = place / "contralock-cluster-begun", place / "contralock-cluster-empty"
    begun.mkdir()
    empty.mkdir()
    os.utime(empty, (time.time() - 700, time.time() - 700))
    again = subprocess.run(
        [sys.executable, "-c", code.replace("600", "0")], env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert list(place.iterdir()) == [begun]


def test_a_machine_without_a_server_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "BINARIES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MigrationError, match=r"no PostgreSQL server.*apt-get install postgresql"):
        library.find_binaries()


def test_a_server_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(MigrationError, match=r"does not start.*no_such_parameter"),
        library.private_cluster({"no_such_parameter": "1"}),
    ):
        pytest.fail("it started")
