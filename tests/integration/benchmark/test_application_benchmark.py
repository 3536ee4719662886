"""The benchmark on real databases: what it measures and what it says of money."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from ansible_collections.contralock.database.plugins.module_utils import application_benchmark
from ansible_collections.contralock.database.plugins.module_utils.application_benchmark import measure
from ansible_collections.contralock.database.plugins.module_utils.benchmark_report import (
    faults_of,
    found_right,
    money_told,
    told,
)
from ansible_collections.contralock.database.plugins.module_utils.run_page import render_benchmark
from ansible_collections.contralock.database.plugins.module_utils.workload import parse_workload
from ansible_collections.contralock.database.plugins.module_utils.workload_clients import Place, balances

from tests.integration.benchmark.measuring import WORKLOAD, request, script
from tests.playbooks import PROJECT

SCHEMA = PROJECT / "files/reports/benchmark.schema.json"


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
