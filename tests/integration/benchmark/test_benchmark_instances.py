"""The copies of a benchmark: what they are made of, what is refused, and that nothing of them stays."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import yaml
from ansible_collections.contralock.database.plugins.module_utils import benchmark_instances
from ansible_collections.contralock.database.plugins.module_utils.benchmark_instances import (
    Application,
    instances,
    limits_of,
    remove_all,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.scratch_database import (
    create_scratch,
    drop_scratch,
    scratch_target,
)
from ansible_collections.contralock.database.plugins.module_utils.workload import parse_workload
from ansible_collections.contralock.database.plugins.modules.application_benchmark import application_of

from tests.playbooks import PROJECT
from tests.throwaway_cluster import Database

#: More than an hour: 3 mixes, 3 numbers of clients, 2 rounds of a minute each, on both databases in both ways.
LONG = {"clients": [1, 2, 4], "rounds": 2, "seconds": 60.0, "warm_up": 5.0}
ALONE = Application(command=[], unit="contralock.service", seconds=60)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as session, session:
        session.execute("CREATE TABLE wallets (_id TEXT PRIMARY KEY, balance INTEGER)")
    return path


@pytest.fixture
def scratch(database: Database) -> Iterator[str]:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"ALTER ROLE {database.owner} CREATEDB")
    name = f"{database.name}_b"
    create_scratch(database.conninfo, name)
    yield scratch_target(database.conninfo, name)
    drop_scratch(database.conninfo, name)


def test_a_copy_is_written_and_the_snapshot_is_not(source: Path, scratch: str, tmp_path: Path) -> None:
    before, work = source.read_bytes(), tmp_path / "work"
    work.mkdir()
    (work / "of a killed one").touch()
    with instances(ALONE, source, scratch, work) as (sqlite, postgresql):
        assert sqlite.file is not None
        assert not (work / "of a killed one").exists()
        assert (sqlite.url, postgresql.url, postgresql.target) == ("", "", scratch)
        assert sqlite.file.stat().st_mode & 0o777 == 0o600
        assert (work / "sqlite/data").stat().st_mode & 0o777 == 0o700
        with sqlite.opened() as session:
            session.execute("INSERT INTO wallets VALUES ('a', 1)")
        with postgresql.opened() as session:
            found = session.execute(
                "SELECT datconnlimit FROM pg_database WHERE datname = current_database()"
            ).fetchone()
            assert found == (60,)
    assert not work.exists()
    assert source.read_bytes() == before


def test_what_fails_in_between_leaves_nothing_either(source: Path, scratch: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(RuntimeError), instances(ALONE, source, scratch, work):
        raise RuntimeError
    assert not work.exists()
    assert not remove_all(work)


def test_a_database_that_no_migration_made_is_left_alone(source: Path, database: Database, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with (
        pytest.raises(MigrationError, match="is no scratch database, and a benchmark writes into it"),
        instances(ALONE, source, database.conninfo, work),
    ):
        pass
    assert not work.exists()
    with psycopg.connect(database.conninfo) as session:
        found = session.execute("SELECT datconnlimit FROM pg_database WHERE datname = current_database()").fetchone()
        assert found == (-1,)


def test_nobody_elses_port_is_used(source: Path, scratch: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        application = Application(command=["/bin/false"], unit="contralock.service", seconds=60, ports=(port, port))
        with (
            pytest.raises(MigrationError, match=f"port {port} cannot be the benchmark's"),
            instances(application, source, scratch, tmp_path / "work"),
        ):
            pass
    assert not (tmp_path / "work").exists()


def test_what_the_live_process_has_in_its_environment_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(benchmark_instances, "BOOTED", tmp_path)
    with subprocess.Popen(["sleep", "60"], env={"DB_PATH": "/srv/one=two", "PORT": "5055"}) as running:
        monkeypatch.setattr(benchmark_instances, "_run", lambda *_: f"{running.pid}\n")
        found = benchmark_instances.unit_environment("contralock.service")
        running.kill()
    assert (found["DB_PATH"], found["PORT"]) == ("/srv/one=two", "5055")
    # A unit that does not run has process 0.
    monkeypatch.setattr(benchmark_instances, "_run", lambda *_: "0\n")
    assert benchmark_instances.unit_environment("contralock.service") == {}


@pytest.mark.parametrize(
    ("quota", "limit"),
    [("1.500000s", ["CPUQuota=150%"]), ("500ms", ["CPUQuota=50%"]), ("1s 500ms", ["CPUQuota=150%"]), ("infinity", [])],
)
def test_the_live_units_limits_hold(quota: str, limit: list[str]) -> None:
    shown = {"CPUQuotaPerSecUSec": quota, "MemoryMax": "536870912", "TasksMax": "infinity", "CPUWeight": "[not set]"}
    assert list(limits_of(shown)) == ["MemoryMax=536870912", *limit]


def test_an_instance_lives_as_long_as_the_measurements_may_take() -> None:
    workload = parse_workload(yaml.safe_load((PROJECT / "files/application/workload.yml").read_text()))
    assert len(workload.mixes) == 3
    plain = {"mixes": [], "start_command": ["/bin/true"], "unit": "contralock.service", "role": "", "password": ""}
    given = {**plain, **LONG, "pool_max": 1, "ports": [1, 2], "environment": {}}
    # Each may last two minutes longer until its last answer has come, and one until all clients have connected.
    assert application_of(given, workload).seconds >= (3 * 3 * 2 * 2 * 2) * (60 + 5 + 120 + 60)
    assert application_of({**given, "mixes": ["mixed"]}, workload).seconds < application_of(given, workload).seconds / 2
