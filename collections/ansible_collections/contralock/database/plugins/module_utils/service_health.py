"""Waiting for an application to answer that it is well, and on which database."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .errors import MigrationError

POLL_SECONDS = 0.5
REQUEST_SECONDS = 5.0
SHOWN = 200
#: How ``ask`` fails.
NO_ANSWER = (OSError, http.client.HTTPException, ValueError)

_LOOK = (
    "Look into the application's log for the reason, correct application_service_health_url and "
    "application_service_health_type_path, or raise application_service_wait_seconds if it only needs longer"
)

#: How applications call the two databases; Sequelize's dialects are called sqlite and postgres.
SPELLINGS: Mapping[str, Sequence[str]] = {
    "sqlite": ("sqlite", "sqlite3"),
    "postgresql": ("postgresql", "postgres", "pg"),
}


@dataclass(frozen=True)
class HealthCheck:
    """What is asked, and what has to be answered.

    ``type_path`` is the way to the database's name in the JSON answer, such as ``details.type``. ``expected`` is sqlite
    or postgresql, or empty for either. ``ended`` says why the application cannot answer any more, or None while it
    still may.
    """

    url: str
    type_path: str
    expected: str
    seconds: float
    verify_tls: bool = True
    ended: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Health:
    """The database's type (sqlite or postgresql), the application's whole answer, and the seconds that it took."""

    type: str
    answer: dict[str, object]
    seconds: float


def wait_for_health(check: HealthCheck) -> Health:
    """Ask until the application answers 200 and names its database.

    Raises:
        MigrationError: It did not within the time, ended before, or names the other database. The last is final at
            once: an application that is up on the wrong database does not change its mind.
    """
    began = time.monotonic()
    while True:
        problem, health = _ask(check, began)
        if health is not None:
            if check.expected not in ("", health.type):
                raise _other_database(check, health)
            return health
        if why := check.ended():
            raise MigrationError(f"the application ended instead of answering on {check.url}: {why}", _LOOK)
        if time.monotonic() - began > check.seconds:
            raise MigrationError(f"{check.url} {problem} for {check.seconds:g} s", _LOOK)
        time.sleep(POLL_SECONDS)


def no_answer(error: Exception) -> str:
    """Say that nothing was answered, and why; without the address."""
    return f"did not answer ({getattr(error, 'reason', error) or type(error).__name__})"


def shortened(body: bytes) -> str:
    """Return the beginning of an answer, in one line."""
    return " ".join(body.decode(errors="replace").split())[:SHOWN]


def _ask(check: HealthCheck, began: float) -> tuple[str, Health | None]:
    """Ask once; the problem in words (after the URL, before the time that it lasted), or the answer."""
    try:
        status, body = ask(check.url, check.verify_tls)
    except NO_ANSWER as error:
        return no_answer(error), None
    shown = shortened(body)
    if status != http.client.OK:
        return f"answered {status} ({shown})", None
    try:
        answer = json.loads(body)
    except ValueError:
        return f"answered something that is not JSON ({shown})", None
    found = answer
    for name in check.type_path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    for database, spellings in SPELLINGS.items():
        if isinstance(found, str) and found.lower() in spellings:
            return "", Health(database, answer, round(time.monotonic() - began, 3))
    return f"did not say sqlite or postgresql in {check.type_path} ({shown})", None


def ask(url: str, verify_tls: bool, body: Mapping[str, object] | None = None) -> tuple[int, bytes]:
    """Return the status and the content of what an address answers; with a body, which is sent as JSON, by POST.

    Raises:
        OSError, http.client.HTTPException, ValueError: It does not answer within some seconds, or is no address.
    """
    context = ssl.create_default_context()
    if not verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # No proxy: the application is on this host, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    content = None if body is None else json.dumps(body).encode()
    headers = {} if content is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, content, headers)  # noqa: S310 (the operator's own address)
    try:
        with opener.open(request, timeout=REQUEST_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _other_database(check: HealthCheck, health: Health) -> MigrationError:
    return MigrationError(
        f"{check.url} says that the application uses {health.type}, and it should use {check.expected}",
        "See that the application reads DB_TYPE from the .env file that application_config_path names, "
        "and that its own environment does not set DB_TYPE",
        {"expected": check.expected, "found": health.type},
    )
