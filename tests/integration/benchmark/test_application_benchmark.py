"""The benchmark on real databases: what it measures, what it says of money, and what it never touches."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
import yaml
from ansible_collections.contralock.database.plugins.module_utils import application_benchmark
from ansible_collections.contralock.database.plugins.module_utils.application_benchmark import Request, measure
from ansible_collections.contralock.database.plugins.module_utils.benchmark_report import (
    faults_of,
    found_right,
    money_told,
    told,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.live_databases import read_live, refuse_live
from ansible_collections.contralock.database.plugins.module_utils.run_page import render_benchmark
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, Ticker, write_source
from ansible_collections.contralock.database.plugins.module_utils.workload import parse_workload
from ansible_collections.contralock.database.plugins.module_utils.workload_clients import Place, balances
from psycopg import sql

from tests.throwaway_cluster import Cluster

PROJECT = Path(__file__).parents[3]
WORKLOAD = parse_workload(yaml.safe_load((PROJECT / "files/application/workload.yml").read_text(encoding="utf-8")))
SCHEMA = PROJECT / "files/reports/benchmark.schema.json"
RICH = "UPDATE wallets SET status = 'ACTIVE', currency = 'USD', balance = 1000000"


def script(name: str, *arguments: object, expected: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "scripts" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=120)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def places(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """The same rows in both databases; money moves in them from test to test."""
    folder = tmp_path_factory.mktemp("benchmark")
    file = folder / "copy.sqlite"
    write_source(Order(file, 600), Ticker(sys.stderr, quiet=True))
    with closing(sqlite3.connect(file)) as session, session:
        session.execute(RICH)
    with cluster.database() as database:
        common = ("--profile", "contralock", "--target", database.conninfo, "--quiet")
        script("apply_schema.py", *common)
        script("transfer_data.py", file, *common, "--engine", "arrow", "--directory", folder / "state")
        mark(database.conninfo, "Scratch database of a test")
        yield Place("sqlite", file=file), Place("postgresql", target=database.conninfo)


def mark(target: str, comment: str | None) -> None:
    with psycopg.connect(target) as session:
        name, text = sql.Identifier(session.info.dbname), sql.Literal(comment)
        session.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, text))


def request(*places: Place, **changes: object) -> Request:
    short = Request(places, WORKLOAD, mixes=["transfers"], ways=["direct"], clients=[3], seconds=0.2, warm_up=0.05)
    return replace(short, **changes)


def test_measures_both_and_finds_all_money(places: tuple[Place, Place], tmp_path: Path) -> None:
    sqlite, postgresql = places
    output, page = tmp_path / "benchmark.json", tmp_path / "benchmark.html"
    short = ("--seconds=0.3", "--warm-up=0.05", "--clients=1,3", "--mix=mixed", "--mix=dashboards")
    named = ("--sqlite", sqlite.file, "--target", postgresql.target, "--no-live-application")
    done = script("benchmark_application.py", *named, *short, "--output", output, "--html", page)
    document = json.loads(output.read_text())
    assert faults_of(document, SCHEMA) == []
    measured = document["measurements"]
    assert {(each["database"], each["workload"], each["clients"]) for each in measured} == {
        (database, mix, clients)
        for database in ("sqlite", "postgresql")
        for mix in ("mixed", "dashboards")
        for clients in (1, 3)
    }
    for each in measured:
        assert each["operations"] > 0
        assert each["throughput"] == pytest.approx(each["operations"] / 0.3, rel=0.01)
        assert 0 < each["p50_ms"] <= each["p95_ms"] <= each["p99_ms"] <= each["longest_ms"]
        assert sum(each["errors"].values()) == 0, each
        # 0.3 s and 3 clients: what is measured cannot be longer than what there was.
        assert each["p50_ms"] < 1000 * 2
        expected = None if each["workload"] == "dashboards" else each["money"]["before"]
        assert (each["money"] and each["money"]["after"]) == expected
    assert "No money was lost or doubled: all of it was there before and after each of 4 measurements." in done.stdout
    assert "clients  database" in done.stdout
    assert page.stat().st_mode & 0o777 == output.stat().st_mode & 0o777 == 0o600
    assert page.read_text().count("<svg") == 4


def test_of_several_rounds_the_median_is_told(places: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([30, 10, 20, 30, 10, 20])
    money = {"before": 5, "after": 5, "wrong_accounts": 0, "uncertain": 0}
    monkeypatch.setattr(
        application_benchmark, "_measured", lambda *_: {"way": "direct", "throughput": next(rates), "money": money}
    )
    document = measure(request(places[0], rounds=3))
    assert [each["throughput"] for each in document["measurements"]] == [20]
    # A single round with wrong money decides, whichever it is.
    moneys = iter([money, {**money, "after": 4}, money])
    monkeypatch.setattr(
        application_benchmark,
        "_measured",
        lambda *_: {"way": "direct", "throughput": next(rates), "money": next(moneys)},
    )
    document = measure(request(places[0], rounds=3))
    assert [each["money"]["after"] for each in document["measurements"]] == [4]


def test_the_money_that_was_moved_is_where_it_was_moved_to(places: tuple[Place, Place]) -> None:
    for place in places:
        before = balances(place, WORKLOAD)
        document = measure(request(place))
        after = balances(place, WORKLOAD)
        assert sum(before.values()) == sum(after.values()) == document["measurements"][0]["money"]["after"]
        assert before != after
        assert found_right(document)


#: An application that loses a cent, and one that gives it to somebody else.
STEALS = "UPDATE wallets SET balance = balance - 1 WHERE {key} = (SELECT min({key}::text) FROM wallets)::{type}"
MOVES = "UPDATE wallets SET balance = balance + CASE {key} WHEN '{one}' THEN 7 ELSE -7 END WHERE {key} IN ({both})"


@contextmanager
def thief(place: Place, does: str) -> Iterator[None]:
    """Let the database do something beside each new record of a movement."""
    one, two = sorted(balances(place, WORKLOAD))[:2]
    on_sqlite = place.file is not None
    deed = does.replace("::text", "" if on_sqlite else "::text").replace("::{type}", "" if on_sqlite else "::uuid")
    deed = deed.format(key="_id" if on_sqlite else "id", one=one, both=f"'{one}', '{two}'")
    if on_sqlite:
        made = [f"CREATE TRIGGER thief AFTER INSERT ON wallet_transactions BEGIN {deed}; END"]
        gone = ["DROP TRIGGER thief"]
    else:
        body = f"BEGIN {deed.replace(chr(39), chr(39) * 2)}; RETURN NULL; END"
        made = [
            f"CREATE FUNCTION thief() RETURNS trigger LANGUAGE plpgsql AS '{body}'",
            "CREATE TRIGGER thief AFTER INSERT ON wallet_transactions FOR EACH ROW EXECUTE FUNCTION thief()",
        ]
        gone = ["DROP FUNCTION thief() CASCADE"]
    with place.opened() as session:
        for statement in made:
            session.execute(statement)
    try:
        yield
    finally:
        with place.opened() as session:
            for statement in gone:
                session.execute(statement)


@pytest.mark.parametrize("does", [STEALS, MOVES], ids=["steals", "moves"])
@pytest.mark.parametrize("which", [0, 1], ids=["sqlite", "postgresql"])
def test_a_cent_that_goes_elsewhere_is_found(places: tuple[Place, Place], which: int, does: str) -> None:
    place = places[which]
    # One client: the deed beside the transfer takes another lock, and two would wait for each other.
    with thief(place, does):
        document = measure(request(place, clients=[1]))
    assert not found_right(document)
    (measured,) = document["measurements"]
    assert measured["operations"] > 0
    stolen = measured["money"]["before"] - measured["money"]["after"]
    assert (stolen > 0) == (does is STEALS)
    assert measured["money"]["wrong_accounts"] == (1 if does is STEALS else 2)
    assert money_told(document)[1].startswith("Money was lost or doubled in 1 of 1 measurement")
    assert any("accounts with another sum than was moved" in line for line in told(document))


def test_half_a_transfer_is_none(places: tuple[Place, Place]) -> None:
    """A transfer whose first statement finds nothing to take is no transfer, in either database."""
    poor = yaml.safe_load((PROJECT / "files/application/workload.yml").read_text(encoding="utf-8"))
    poor["values"]["amount"] = {"whole": [10_000_000_000, 10_000_000_001]}
    document = measure(request(*places, workload=parse_workload(poor)))
    assert not found_right(document)
    for each in document["measurements"]:
        assert (each["operations"], each["money"]["after"]) == (0, each["money"]["before"])
        assert each["errors"]["other"] > 0
        assert each["words"] == ["a statement has changed 0 rows, and 1 is expected"]


# ---- Through the application -----------------------------------------------------------------------------------------


class Cheat(BaseHTTPRequestHandler):
    """Says to everything that it was done, or why not, and does nothing."""

    protocol_version = "HTTP/1.1"
    status, body = 201, b"{}"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 (the library's own names)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(status: int = 201, body: bytes = b"{}", kind: type[Cheat] = Cheat) -> Iterator[str]:
    handler = type("Handler", (kind,), {"status": status, "body": body})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_application_that_works_on_another_database_is_found(places: tuple[Place, Place]) -> None:
    with served() as url:
        document = measure(request(replace(places[0], url=url), ways=["application"]))
    assert faults_of(document, SCHEMA) == []
    (measured,) = document["measurements"]
    assert measured["operations"] > 0
    assert measured["money"]["before"] == measured["money"]["after"]
    assert measured["money"]["wrong_accounts"] > 0
    assert not found_right(document)
    assert document["ceiling"]["throughput"] > 100
    assert any("The clients themselves can do" in note for note in document["notes"])
    assert "times as fast" not in render_benchmark(document)


@pytest.mark.parametrize(
    ("status", "words", "kind", "uncertain"),
    [
        (503, "SQLITE_BUSY: database is locked", "busy", False),
        (503, "SQLITE_LOCKED: database table is locked", "locked", False),
        (503, "closed for maintenance", "other", False),
        (503, "the connection was lost during a write, which may have happened or not: x", "other", True),
    ],
)
def test_what_the_application_refuses_is_counted(
    places: tuple[Place, Place], status: int, words: str, kind: str, uncertain: bool
) -> None:
    with served(status, json.dumps({"error": words}).encode()) as url:
        document = measure(request(replace(places[1], url=url), ways=["application"], seconds=0.1))
    (measured,) = document["measurements"]
    assert measured["errors"][kind] == sum(measured["errors"].values()) > 0
    assert (measured["money"]["uncertain"] > 0, measured["money"]["wrong_accounts"]) == (uncertain, 0)
    assert words in measured["words"][0]
    assert not found_right(document)


class Forgets(Cheat):
    """Says that it was done, and every other time that it does not know."""

    calls = itertools.count()

    def answer(self) -> None:
        lost = b'{"error": "the connection was lost during a write, which may have happened or not: x"}'
        self.status, self.body = (503, lost) if next(self.calls) % 2 else (201, b"{}")
        super().answer()

    do_POST = answer  # noqa: N815 (the library's own name)


def test_where_nobody_knows_what_was_done_the_sum_alone_is_judged(places: tuple[Place, Place]) -> None:
    with served(kind=Forgets) as url:
        document = measure(request(replace(places[0], url=url), ways=["application"]))
    (measured,) = document["measurements"]
    assert measured["operations"] > 0
    assert (measured["money"]["uncertain"] > 0, measured["money"]["wrong_accounts"]) == (True, 0)


# ---- What is refused -------------------------------------------------------------------------------------------------


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
