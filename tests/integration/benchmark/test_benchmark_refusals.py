"""What a benchmark never touches: the live application's databases, its port, and what nobody called scratch."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.application_benchmark import measure
from ansible_collections.contralock.database.plugins.module_utils.benchmark_report import found_right
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.live_databases import read_live, refuse_live
from ansible_collections.contralock.database.plugins.module_utils.workload_clients import Place, balances

from tests.integration.benchmark.measuring import WORKLOAD, mark, request, script


def live_env(folder: Path, **named: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / ".env"
    path.write_text("".join(f"{key}={value}\n" for key, value in named.items()))
    return path


def test_the_live_file_is_refused_under_any_name(places: tuple[Place, Place], tmp_path: Path) -> None:
    file = places[0].file
    assert file is not None
    env = live_env(tmp_path / "live", DB_PATH="./data/live.sqlite", DB_TYPE="sqlite")
    (tmp_path / "live/data").mkdir()
    # The copy itself, moved under the live name: one file with two names, and a link to it.
    os.link(file, tmp_path / "live/data/live.sqlite")
    (tmp_path / "linked.sqlite").symlink_to(tmp_path / "live/data/live.sqlite")
    before = balances(places[0], WORKLOAD)
    for named in (file, tmp_path / "linked.sqlite"):
        done = script("benchmark_application.py", "--sqlite", named, "--live-env", env, "--clients=1", expected=2)
        assert "is the live application's" in done.stderr
    assert balances(places[0], WORKLOAD) == before
    (tmp_path / "live/data/live.sqlite").unlink()
    refuse_live(places[0], read_live(env))


def own_addresses() -> list[str]:
    """This host's addresses beside the loopback's, as the kernel lists them."""
    listed = subprocess.run(["hostname", "--all-ip-addresses"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_the_live_database_is_refused(places: tuple[Place, Place], tmp_path: Path) -> None:
    place = places[1]
    with psycopg.connect(place.target) as session:
        name, port, folder = session.info.dbname, session.info.port, session.info.host
    same = {"DB_NAME": name, "DB_PORT": port, "DB_HOST": folder}
    # The socket's folder, and every name and address of the host that it is on.
    for host in (folder, "localhost", "127.0.0.1", "127.0.0.2", *own_addresses()):
        env = live_env(tmp_path / "live", **{**same, "DB_HOST": host})
        with pytest.raises(
            MigrationError, match=f"the database {name} on .* is the live application's: .*DB_NAME={name}"
        ):
            measure(request(place, live=read_live(env)))
    for other in ({"DB_NAME": "another"}, {"DB_PORT": 1}, {"DB_HOST": "203.0.113.7"}):
        refuse_live(place, read_live(live_env(tmp_path / "live", **{**same, **other})))


def test_a_database_without_the_mark_is_refused(places: tuple[Place, Place]) -> None:
    before, target = balances(places[1], WORKLOAD), places[1].target
    try:
        for comment in (None, "The application's own; no Scratch database"):
            mark(target, comment)
            done = script(
                "benchmark_application.py", "--target", target, "--no-live-application", "--clients=1", expected=2
            )
            assert "is no scratch database, and a benchmark writes into it" in done.stderr
            assert balances(places[1], WORKLOAD) == before
        # The mend is what makes it measurable.
        with psycopg.connect(target) as session:
            session.execute(done.stderr[done.stderr.index("COMMENT ON") :].strip().rstrip(".").replace("\n", " "))
        assert found_right(measure(request(places[1], clients=[1])))
    finally:
        mark(target, "Scratch database of a test")


def test_the_environment_wins_over_the_live_file(places: tuple[Place, Place], tmp_path: Path) -> None:
    env = live_env(tmp_path / "live", DB_PATH="elsewhere.sqlite", PORT=5055)
    refuse_live(places[0], read_live(env))
    told = read_live(env, {"DB_PATH": str(places[0].file)})
    with pytest.raises(MigrationError, match=rf"{env}, or its unit's environment, names DB_PATH="):
        refuse_live(places[0], told)
    assert told.http_port == "5055"


def test_the_live_port_is_refused(places: tuple[Place, Place], tmp_path: Path) -> None:
    env = live_env(tmp_path / "live", DB_PATH="elsewhere.sqlite", PORT=5055)
    addresses = [f"[{address}]" if ":" in address else address for address in ("::1", *own_addresses())]
    for url in (f"http://{host}:5055/api" for host in ("127.0.0.1", "localhost", "127.0.0.2", *addresses)):
        with pytest.raises(MigrationError, match=r"is the live application's: .*PORT=5055"):
            measure(request(replace(places[0], url=url), live=read_live(env)))
    for url in ("http://127.0.0.1:5056", "http://203.0.113.7:5055"):
        refuse_live(replace(places[0], url=url), read_live(env))
    # Where the file says nothing the application takes 5000.
    env.write_text("")
    with pytest.raises(MigrationError, match="PORT=5000"):
        refuse_live(replace(places[0], url="http://127.0.0.1:5000"), read_live(env))


def test_databases_with_other_rows_are_refused(places: tuple[Place, Place], tmp_path: Path) -> None:
    """As a scratch database is into which nobody has loaded anything: it is fast, and its money is all there."""
    sqlite, postgresql = places
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(sqlite.file)) as session, closing(sqlite3.connect(other)) as copy:
        session.backup(copy)
        copy.execute("DELETE FROM wallets WHERE rowid = (SELECT max(rowid) FROM wallets)")
        copy.commit()
    number = len(balances(sqlite, WORKLOAD))
    said = f"do not hold the same rows: {number - 1} accounts in sqlite, {number} accounts in postgresql"
    with pytest.raises(MigrationError, match=said):
        measure(request(replace(sqlite, file=other), postgresql))


def test_what_cannot_be_measured_is_said(places: tuple[Place, Place], tmp_path: Path) -> None:
    sqlite, postgresql = places
    for changes, said in (
        ({"mixes": ["fly"]}, "the workload has no mix 'fly'"),
        ({"clients": [0]}, "nothing can be measured with 0 clients"),
        ({"ways": ["application"]}, "there is nothing to measure"),
    ):
        with pytest.raises(MigrationError, match=said):
            measure(request(sqlite, **changes))
    with pytest.raises(MigrationError, match="connection slots"):
        measure(request(postgresql, sessions=600, clients=[600]))
    empty = tmp_path / "empty.sqlite"
    with closing(sqlite3.connect(sqlite.file)) as session, closing(sqlite3.connect(empty)) as copy:
        session.backup(copy)
        copy.execute("UPDATE wallets SET balance = 5")
        copy.commit()
    with pytest.raises(MigrationError, match="has 0 rows from which the benchmark could draw 'from'"):
        measure(request(Place("sqlite", file=empty)))


def test_the_script_refuses_what_is_missing(places: tuple[Place, Place], tmp_path: Path) -> None:
    named = ("--no-live-application", "--clients=1")
    for options, said in (
        ((*named, "--sqlite", tmp_path / "none.sqlite"), "there is no file"),
        ((*named, "--sqlite-url=http://127.0.0.1:1"), "is named without its database"),
        (("--sqlite", places[0].file), "one of the arguments --live-env --no-live-application is required"),
    ):
        assert said in script("benchmark_application.py", *options, expected=2).stderr
