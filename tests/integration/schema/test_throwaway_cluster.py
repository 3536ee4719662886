"""The cluster of the tests is private, and its databases belong to roles without power."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

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
