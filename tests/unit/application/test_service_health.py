"""Waiting for an application that answers over HTTP, sooner, later, wrongly or never."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils import service_health
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.service_health import HealthCheck, wait_for_health

WELL = {"status": "healthy", "details": {"type": "sqlite"}}
#: An answer: status and body.
Said = tuple[int, str]


@pytest.fixture(autouse=True)
def _ask_often(monkeypatch):
    monkeypatch.setattr(service_health, "POLL_SECONDS", 0.02)


@pytest.fixture
def application() -> Iterator[Callable[..., str]]:
    """An application that gives its answers in turn, the last one again and again; its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(*answers: Said) -> str:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=[0.01]).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/health"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check(url: str, **changes: Any) -> HealthCheck:
    return HealthCheck(**{"url": url, "type_path": "details.type", "expected": "", "seconds": 0.2, **changes})


def refusal(wanted: HealthCheck) -> str:
    with pytest.raises(MigrationError) as refused:
        wait_for_health(wanted)
    assert refused.value.mend
    return str(refused.value)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sqlite", "sqlite"),
        ("sqlite3", "sqlite"),
        ("postgresql", "postgresql"),
        ("postgres", "postgresql"),
        ("PG", "postgresql"),
    ],
)
def test_the_database_is_known_by_its_names(application, said, meant):
    health = wait_for_health(check(application((200, json.dumps({"details": {"type": said, "tls": "TLSv1.3"}})))))
    assert (health.type, health.answer) == (meant, {"details": {"type": said, "tls": "TLSv1.3"}})


def test_it_is_waited_for(application):
    url = application((503, "starting"), (200, "<html>"), (200, "{}"), (200, json.dumps(WELL)))
    assert wait_for_health(check(url, seconds=5, expected="sqlite")).type == "sqlite"


def test_the_other_database_is_final_at_once(application):
    began = time.monotonic()
    message = refusal(check(application((200, json.dumps(WELL))), expected="postgresql", seconds=30))
    assert "says that the application uses sqlite, and it should use postgresql" in message
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((503, '{"status": "unhealthy"}'), 'answered 503 ({"status": "unhealthy"}) for 0.2 s'),
        ((404, ""), "answered 404 () for"),
        ((200, "<html>\n  starting"), "answered something that is not JSON (<html> starting)"),
        ((200, "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), "answered something that is not JSON"),
        ((200, "{}"), "did not say sqlite or postgresql in details.type ({})"),
        ((200, '{"details": "sqlite"}'), "did not say sqlite or postgresql"),
        ((200, '{"details": {"type": "mysql"}}'), "did not say sqlite or postgresql"),
        ((200, '{"details": {"type": 5}}'), "did not say sqlite or postgresql"),
        ((200, "[]"), "did not say sqlite or postgresql"),
        ((200, "x" * 5000), f"({'x' * 200}) for"),
    ],
    ids=["503", "404", "HTML", "no text", "empty", "not deep enough", "mysql", "number", "list", "long"],
)
def test_an_answer_that_does_not_do_is_repeated(application, said, words):
    assert words in refusal(check(application(said)))


def test_nobody_answers():
    assert "http://127.0.0.1:1/ did not answer ([Errno 111] Connection refused) for 0.2 s" in refusal(
        check("http://127.0.0.1:1/")
    )
    assert "did not answer" in refusal(check("http://nowhere.invalid/"))
    assert "no address did not answer (unknown url type: 'no address')" in refusal(check("no address"))


def test_one_that_has_ended_is_not_waited_for():
    message = refusal(check("http://127.0.0.1:1/", seconds=60, ended=lambda: "contralock.service is failed"))
    assert "the application ended instead of answering on http://127.0.0.1:1/: contralock.service is failed" in message


def test_a_proxy_is_not_asked(application, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert wait_for_health(check(application((200, json.dumps(WELL))))).type == "sqlite"
