"""pgloader through stunnel: exact, verified, watched, and disbelieved."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils import pgloader
from ansible_collections.contralock.database.plugins.module_utils.catalog import difference, snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, settings_of
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.pgloader import Load, assert_version, run_pgloader
from ansible_collections.contralock.database.plugins.module_utils.stunnel import (
    Endpoint,
    Tunnel,
    endpoint_of,
    local_socket,
)

from tests.integration.profile.contralock_target import COLUMNS
from tests.integration.transfer.transfer_server import OWNER, SECRET, Target, fake_pgloader

KEY = "00000000-0000-4000-8000-000000000001"
USER = {"id": KEY, "email": "a@example.org", "password": "x", "first_name": "A", "last_name": "B", "role": "client"}
WALLET = {"id": KEY, "user_id": KEY, "balance": "5"}
NAME = "contralock load test"


def write_prepared(file: Path, rows: dict[str, list[dict[str, str | None]]]) -> None:
    file.touch(mode=0o600)
    connection = sqlite3.connect(file)
    # pgloader drops the foreign keys of every table that refers to a loaded one, and makes those of loaded ones again.
    for table, these in {**rows, **{table: [{"id": None}] for table in COLUMNS if table not in rows}}.items():
        columns = ", ".join(f'"{column}" TEXT' for column in these[0])
        connection.execute(f'CREATE TABLE "{table}" ({columns})')
        holes = ", ".join("?" * len(these[0]))
        connection.executemany(
            f'INSERT INTO "{table}" VALUES ({holes})', [tuple(row.values()) for row in these if row != {"id": None}]
        )
    connection.commit()
    connection.close()


@dataclass
class Loader:
    """pgloader against one target, as often as a test likes."""

    owner: Connection
    folder: Path
    runs: int = 0

    def load(self, rows: dict[str, list[dict[str, str | None]]], tick: object = None, **changes: object) -> None:
        endpoint = endpoint_of(self.owner)
        self.runs += 1
        directory = self.folder / str(self.runs)
        directory.mkdir(mode=0o700)
        prepared = directory / "prepared.sqlite"
        write_prepared(prepared, rows)
        known: dict[str, object] = {
            "prepared": prepared,
            "tables": list(rows),
            "schema": "public",
            "application_name": NAME,
            "settings": settings_of(self.owner),
            "largest_row_bytes": 1000,
            "time_limit": 60.0,
            "directory": directory,
        }
        with local_socket(endpoint, directory) as tunnel:
            run_pgloader(Load(**{**known, **changes}), endpoint, tunnel, tick or (lambda: ""))  # type: ignore[arg-type]


@pytest.fixture
def loader(owner: Connection, scratch: Path) -> Loader:
    return Loader(owner, scratch)


def everything_public(*names: str) -> Iterator[str]:
    """What any user of the host can read of processes with these names, and their environment besides."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            if any(name.encode() in command for name in names):
                yield (command + b"\n" + (folder / "environ").read_bytes()).decode(errors="replace")
        except OSError:
            continue


def watch(stop: threading.Event, names: Sequence[str], seen: list[str]) -> None:
    while not stop.is_set():
        seen.extend(everything_public(*names))
        time.sleep(0.02)


def test_rows_with_foreign_keys_arrive_over_tls_and_the_catalog_stays(loader: Loader, target: Target) -> None:
    before = snapshot(loader.owner)
    loader.load({"wallets": [WALLET], "users": [USER]})
    assert loader.owner.execute(
        "SELECT u.email, w.balance FROM users u JOIN wallets w ON w.user_id = u.id"
    ).fetchall() == [("a@example.org", 5)]
    assert difference(before.description, snapshot(loader.owner).description) == []


def test_the_sessions_use_tls_and_carry_the_name(
    loader: Loader, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgloader, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(pgloader, "LOOK_SECONDS", 0.005)
    seen: set[tuple[object, ...]] = set()
    query = """SELECT application_name, ssl, version FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
               WHERE usename = current_user AND pid <> pg_backend_pid()"""
    loader.load({"users": [USER]}, lambda: seen.update(loader.owner.execute(query).fetchall()))
    assert (NAME, True, "TLSv1.3") in seen
    assert all(ssl for _, ssl, _ in seen)


def test_the_password_is_nowhere_to_be_read(loader: Loader, scratch: Path) -> None:
    stop, seen = threading.Event(), list[str]()
    watcher = threading.Thread(target=watch, args=(stop, ["pgloader", "stunnel"], seen))
    watcher.start()
    try:
        loader.load({"users": [USER]})
    finally:
        stop.set()
        watcher.join()
    assert any("PGPASSFILE" in each for each in seen), "the watcher saw pgloader"
    assert any("stunnel.conf" in each for each in seen), "the watcher saw stunnel"
    assert not [each for each in seen if SECRET in each or "PGPASSWORD" in each]
    left = [file for file in scratch.rglob("*") if file.is_file() and SECRET[:8].encode() in file.read_bytes()]
    assert left == []
    assert [file for file in scratch.rglob("*") if file.is_file() and file.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"authority": "{other}"}, ["not signed by the authority in", "Let sslrootcert name the authority"]),
        ({"host": "127.0.0.1"}, ["does not carry the name '127.0.0.1'", "Connect with a host name"]),
        ({"host": "db1.example.org"}, ["does not carry the name 'db1.example.org'", "Connect with a host name"]),
        ({"port": 1}, ["no server answers at localhost port 1", "Start the server"]),
        ({"authority": "/nowhere"}, ["stunnel does not start", "No trusted certificates found"]),
    ],
)
def test_the_tunnel_verifies_by_itself(
    owner: Connection, target: Target, scratch: Path, changes: dict[str, str | int], words: list[str]
) -> None:
    given = {
        name: value if isinstance(value, int) else value.format(other=target.server.other_authority)
        for name, value in changes.items()
    }
    endpoint = replace(endpoint_of(owner), **given)  # type: ignore[arg-type]
    with pytest.raises(MigrationError) as refusal, local_socket(endpoint, scratch):
        pass
    for word in words:
        assert word in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_a_tunnel_ends_with_its_block(owner: Connection, scratch: Path) -> None:
    with local_socket(endpoint_of(owner), scratch) as tunnel:
        assert list(everything_public(str(scratch)))
        assert (tunnel.directory / f".s.PGSQL.{tunnel.port}").is_socket()
    assert not list(everything_public(str(scratch)))
    assert not (scratch / ".s.PGSQL.5432").exists()


def test_a_unix_socket_needs_no_tunnel(scratch: Path) -> None:
    endpoint = Endpoint("/run/postgresql", "", 5433, OWNER, "x", "")
    with local_socket(endpoint, scratch) as tunnel:
        assert tunnel == Tunnel(Path("/run/postgresql"), 5433)
    assert list(scratch.iterdir()) == []


def test_a_missing_stunnel_has_its_mend(owner: Connection, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_setpriv = scratch / "bin"
    only_setpriv.mkdir()
    (only_setpriv / "setpriv").symlink_to("/usr/bin/setpriv")
    monkeypatch.setenv("PATH", str(only_setpriv))
    wanted = pytest.raises(MigrationError, match=r"stunnel4 is not installed.*migration_toolkit")
    with wanted, local_socket(endpoint_of(owner), scratch):
        pass
    with pytest.raises(MigrationError, match=r"pgloader is not installed.*migration_toolkit"):
        assert_version()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**USER, "id": "no uuid " + SECRET}, ["22P02: invalid input syntax for type uuid", "rule"]),
        ({**USER, "password": None}, ["23502", '"password"', "break the target's constraint"]),
        ({**USER, "two_factor_failed_attempts": "-1"}, ["23514", "users_two_factor_failed_attempts_check", "CHECK"]),
    ],
)
def test_a_row_that_the_server_refuses_is_a_failure(
    loader: Loader, row: dict[str, str | None], words: list[str]
) -> None:
    with pytest.raises(MigrationError) as refusal:
        loader.load({"users": [row]})
    for word in words:
        assert word in str(refusal.value)
    assert SECRET not in f"{refusal.value}{refusal.value.details}"


def test_a_missing_column_is_a_failure(loader: Loader) -> None:
    with pytest.raises(MigrationError, match=r"exit code 1.*KABOOM"):
        loader.load({"users": [{**USER, "nowhere": "1"}]})


@pytest.mark.parametrize(
    ("script", "limit", "words"),
    [
        ("exit 3", 60, "exit code 3"),
        ("kill -SEGV $$", 60, "exit code -11"),
        (
            "echo 'Heap exhausted during allocation'; exit 0",
            60,
            r"reported faults.*Heap exhausted.*Shorten the",
        ),
        ("echo 'Heap exhausted during allocation'; sleep 1000", 60, r"its memory is exhausted.*Shorten the largest"),
        ("sleep 1000 & sleep 1000", 0.3, r"time limit of 0.3 s.*Raise the limit"),
        ('mkdir -p "$2/contralock"; echo x > "$2/contralock/users.dat"', 60, r"set rows aside \(users.dat\)"),
    ],
)
def test_a_pgloader_that_misbehaves(
    loader: Loader, monkeypatch: pytest.MonkeyPatch, script: str, limit: float, words: str
) -> None:
    fake_pgloader(loader.folder, script, monkeypatch)
    begun = time.monotonic()
    with pytest.raises(MigrationError, match=words):
        loader.load({"users": [USER]}, time_limit=limit)
    assert time.monotonic() - begun < 8
    assert not [each for each in everything_public("sleep") if str(loader.folder) in each]


def test_another_version_is_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert assert_version() in pgloader.TESTED_VERSIONS
    fake_pgloader(scratch, "echo 'pgloader version \"3.7.1\"'", monkeypatch)
    with pytest.raises(MigrationError, match=r"version 3.7.1.*rehearse with this one"):
        assert_version()
    assert assert_version(["3.7.1"]) == "3.7.1"
    fake_pgloader(scratch, "echo no version at all", monkeypatch)
    with pytest.raises(MigrationError, match="version unknown"):
        assert_version()


def test_a_password_that_has_changed_meanwhile(
    loader: Loader, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(endpoint_of(owner), password="wr0ng")
    monkeypatch.setattr(f"{__name__}.endpoint_of", lambda _: wrong)
    with pytest.raises(MigrationError, match=r"password authentication failed.*Check the password") as refusal:
        loader.load({"users": [USER]})
    assert "wr0ng" not in str(refusal.value)


def test_rows_of_many_megabytes(loader: Loader) -> None:
    large = "é\t\\\n" * 1_000_000
    rows: list[dict[str, str | None]] = [
        {**USER, "id": f"{KEY[:-1]}{number}", "email": f"{number}@example.org", "bio": large} for number in range(2)
    ]
    loader.load({"users": rows}, largest_row_bytes=len(large.encode()))
    found = loader.owner.execute("SELECT count(*), bool_and(bio = %s) FROM users", [large]).fetchall()
    assert found == [(2, True)]
