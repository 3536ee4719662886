"""Start the stand-in: ``python3 -m stand_in`` in the application's working directory."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from .settings import Settings, SettingsError, read_settings
from .sqlite_store import SqliteStore

MOST_BYTES = 65_536


class Store(Protocol):
    """What both databases can do for the application."""

    type: str

    def check(self) -> dict[str, str | None]:
        """Run a query; raises when the database does not answer."""
        ...

    def counts(self) -> dict[str, int]:
        """Table -> number of rows."""
        ...

    def add_notification(self, message: str) -> str:
        """Insert a row; returns its id."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def open_store(settings: Settings) -> Store:
    """Connect to the database that the settings name."""
    if settings.db_type == "sqlite":
        return SqliteStore(settings.db_path)
    # Only here: on SQLite the stand-in runs without the driver.
    store: Store = importlib.import_module(".postgresql_store", __package__).PostgresqlStore(settings)
    return store


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON; what the database refuses is 503 with its words."""

    store: Store

    def do_GET(self) -> None:
        """Answer /health and /counts."""
        if self.path == "/health":
            self._health()
        elif self.path == "/counts":
            self._answer(lambda: {"type": self.store.type, "counts": self.store.counts()})
        else:
            self._send(HTTPStatus.NOT_FOUND, {"error": "there are GET /health, GET /counts and POST /notifications"})

    def do_POST(self) -> None:
        """Answer /notifications; a JSON object in the request may hold the message."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MOST_BYTES))
        if self.path != "/notifications":
            self._send(HTTPStatus.NOT_FOUND, {"error": "there is POST /notifications"})
            return
        try:
            message = str(json.loads(body or "{}").get("message", "Written by the stand-in"))
        except (ValueError, AttributeError):
            self._send(HTTPStatus.BAD_REQUEST, {"error": "the request holds no JSON object"})
            return
        self._answer(lambda: {"id": self.store.add_notification(message), "type": self.store.type}, HTTPStatus.CREATED)

    def log_message(self, format: str, *args: object) -> None:
        """Leave the requests out of the log."""

    def _health(self) -> None:
        details: dict[str, str | None] = {"type": self.store.type}
        try:
            details |= self.store.check()
        except Exception as error:
            details["error"] = one_line(error)
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unhealthy", "details": details})
        else:
            self._send(HTTPStatus.OK, {"status": "healthy", "details": details})

    def _answer(self, ask: Any, status: HTTPStatus = HTTPStatus.OK) -> None:  # noqa: ANN401 (a function)
        try:
            answer = ask()
        except Exception as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, {"error": one_line(error)})
        else:
            self._send(status, answer)

    def _send(self, status: HTTPStatus, answer: object) -> None:
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Lets more clients wait than the five of the standard library; a sixth one would wait a second to try again."""

    request_queue_size = 64


def one_line(error: Exception) -> str:
    """Return the error's words in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def write_now_and_then(store: Store, seconds: float, stopped: threading.Event) -> None:
    """Insert rows until told to stop; an application does not end because one of its writes failed."""
    while not stopped.wait(seconds):
        try:
            store.add_notification("Written in the background")
        except Exception as error:
            print(f"a write failed: {one_line(error)}", file=sys.stderr, flush=True)


def serve(settings: Settings, store: Store) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    Handler.store = store
    stopped = threading.Event()
    with Server((settings.host, settings.port), Handler) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not in the handler itself: it runs in the thread that serves, and would wait for itself.
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        if settings.write_every_ms:
            seconds = settings.write_every_ms / 1000
            threading.Thread(target=write_now_and_then, args=(store, seconds, stopped), daemon=True).start()
        print(f"answers on port {server.server_port} with {store.type}", file=sys.stderr, flush=True)
        server.serve_forever(poll_interval=0.1)
    stopped.set()


def main() -> int:
    """Start, serve, stop; returns the exit code."""
    try:
        settings = read_settings(Path.cwd(), os.environ)
        store = open_store(settings)
    except SettingsError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"cannot start: {one_line(error)}", file=sys.stderr)
        return 1
    try:
        serve(settings, store)
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
