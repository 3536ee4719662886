"""What the journeys share: the application's state as seen from outside, and what happens in the midst of a run.

The fixtures are imported in the conftest.py of a scenario's tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from testinfra.host import Host

PATH = "/srv/contralock/data/contralock.sqlite"
ENV = "/srv/contralock/.env"
RUNS = "/var/lib/contralock-migration"
UNIT = "contralock.service"
SAMPLE = "/opt/contralock-sample/contralock"
#: An application that is kept running by commands of its own.
COMMANDS = {
    "application_service_manager": "commands",
    "application_service_start_command": ["systemctl", "start", "contralock.service"],
    "application_service_stop_command": ["systemctl", "stop", "contralock.service"],
    "application_service_status_command": ["systemctl", "--quiet", "is-active", "contralock.service"],
    "application_service_working_directory": "/srv/contralock",
}
TABLES = (
    *("arbitrators", "audit_trails", "conversations", "disputes", "messages", "milestones"),
    *("notifications", "projects", "transactions", "users", "wallet_transactions", "wallets"),
)

#: Run on the application's host; prints what is there as JSON.
LOOK = r"""
import hashlib, json, os, subprocess, sys, urllib.request
path, env = sys.argv[1:]
directory = os.path.dirname(path)
ASKED = ["systemctl", "is-active", "contralock.service"]
lines = open(env).read().splitlines()
try:
    health = json.load(urllib.request.urlopen("http://127.0.0.1:5000/health", timeout=5))
except Exception as error:
    health = {"details": {"type": None}, "error": repr(error)}
print(json.dumps({
    "db_type": next((line.partition("=")[2].split()[0] for line in lines if line.startswith("DB_TYPE=")), "sqlite"),
    "health": health["details"]["type"],
    "active": subprocess.run(ASKED, capture_output=True, text=True).stdout.strip(),
    "sha256": hashlib.sha256(open(path, "rb").read()).hexdigest() if os.path.isfile(path) else None,
    "fenced": os.path.isdir(path),
    "beside": sorted(name for name in os.listdir(directory) if name != os.path.basename(path)),
    "file": [os.stat(path).st_uid, os.stat(path).st_gid, oct(os.stat(path).st_mode)],
}))
"""

#: In PostgreSQL as its superuser, one row of JSON: rows per table, a fingerprint of all, whether the application may
#: connect, its sessions, and the schema's constraints and indexes.
ASK = """
SELECT json_build_object(
  'rows', (SELECT json_object_agg(relname, n) FROM (VALUES {rows}) AS t (relname, n)),
  'fingerprint', (SELECT sum(hashtextextended(f, 0)) FROM (VALUES {prints}) AS t (f)),
  'may_connect', has_database_privilege('contralock_user', 'contralock', 'CONNECT'),
  'sessions', (SELECT count(*) FROM pg_stat_activity WHERE usename = 'contralock_user'),
  'schema', (SELECT md5(string_agg(d, ' ' ORDER BY d)) FROM (
      SELECT pg_get_constraintdef(oid) || convalidated AS d FROM pg_constraint
       WHERE connamespace = 'public'::regnamespace
      UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public') AS s),
  'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE NOT datistemplate))
"""


@dataclass(frozen=True)
class State:
    """The application and both databases at one moment."""

    application: dict[str, Any]
    target: dict[str, Any]

    @property
    def rows(self) -> int:
        return sum(self.target["rows"].values())


def look(app1: Host, db1: Host) -> State:
    """See what is there; changes nothing."""
    seen = app1.check_output("python3 -c %s %s %s", LOOK, PATH, ENV)
    counted = ", ".join(f"('{table}', (SELECT count(*) FROM {table}))" for table in TABLES)
    prints = ", ".join(
        f"('{table}' || (SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {table} t))"
        for table in TABLES
    )
    command = "runuser -u postgres -- psql --no-psqlrc -Atqd contralock -c %s"
    asked = db1.check_output(command, " ".join(ASK.format(rows=counted, prints=prints).split()))
    return State(json.loads(seen), json.loads(asked))


def on_sqlite(state: State, sha256: str) -> None:
    """Assert that the application runs on SQLite with this file, and that PostgreSQL is closed to it."""
    assert state.application["db_type"] == "sqlite", state
    assert (state.application["active"], state.application["health"]) == ("active", "sqlite"), state
    assert state.application["sha256"] == sha256, state
    assert not state.application["fenced"], state
    assert state.application["beside"] == [], state
    assert state.target["may_connect"] is False, state
    assert state.target["sessions"] == 0, state
    assert state.target["databases"] == ["contralock", "postgres"], state


def on_postgresql(state: State) -> None:
    """Assert that the application runs on PostgreSQL, and that its file is closed."""
    assert state.application["db_type"] == "postgresql", state
    assert (state.application["active"], state.application["health"]) == ("active", "postgresql"), state
    assert state.application["fenced"], state
    assert state.target["may_connect"] is True, state
    assert state.target["sessions"] >= 1, state


@pytest.fixture(scope="session")
def now(app1: Host, db1: Host) -> Callable[[], State]:
    """What is there now."""
    return lambda: look(app1, db1)


@pytest.fixture(scope="session")
def at_first(now: Callable[[], State]) -> State:
    """What was there before the first test."""
    return now()


@contextmanager
def interfering(step: str, **settings: str) -> Iterator[None]:
    """Let the runs that begin in this context meet something at a step of theirs (callback_plugins/at_step.py)."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"CONTRALOCK_AT_STEP": step, **settings}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def before_step() -> Callable[[str, str], AbstractContextManager[None]]:
    """Let the runs in its context do something on this machine right before a step of theirs begins."""
    return lambda step, command: interfering(step, CONTRALOCK_AT_COMMAND=command)


#: Lets the application write a row, as a user would.
WRITE = (
    "import urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:5000/notifications', method='POST'), timeout=9)"
)


def write_one(app1: Host) -> None:
    """Let the application write a row."""
    app1.check_output("python3 -c %s", WRITE)


#: Waits until the application answers; it takes a moment to begin.
ANSWERED = """
import time, urllib.request
for _ in range(100):
    try:
        urllib.request.urlopen("http://127.0.0.1:5000/health", timeout=5)
        break
    except OSError:
        time.sleep(0.2)
else:
    raise SystemExit("the application does not answer")
"""


def wait_for_the_application(app1: Host) -> None:
    """Wait until the application, which was started by hand, answers."""
    app1.check_output("python3 -c %s", ANSWERED)


def restart(app1: Host) -> None:
    """Start the application anew, and wait until it answers."""
    app1.check_output(f"systemctl reset-failed {UNIT}; systemctl restart {UNIT}")
    wait_for_the_application(app1)


def answers(app1: Host, *options: str) -> str:
    """What the application answers to the recorded calls, one line of JSON for each."""
    return app1.check_output(" ".join([SAMPLE, "replay", *options]))


def differing(before: str, after: str) -> list[tuple[str, str]]:
    """The recorded calls whose answers differ, with both of them."""
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [pair for pair in pairs if pair[0] != pair[1]]


def dump_schema(db1: Host) -> str:
    """The schema of the application's database, as pg_dump writes it."""
    # The key of what psql may be told by the dump is drawn by lot each time otherwise.
    options = "--schema-only --restrict-key=asked"
    return db1.check_output(f"runuser -u postgres -- pg_dump {options} contralock")


def latest_run(app1: Host, verb: str) -> str:
    """The directory of a verb's latest run."""
    return app1.check_output(f"ls -d {RUNS}/2*-{verb}-* | tail -n 1")


def journal(app1: Host, verb: str) -> list[dict[str, Any]]:
    """The records of a verb's latest run."""
    return [json.loads(line) for line in app1.check_output(f"cat {latest_run(app1, verb)}/journal.jsonl").splitlines()]


#: Run on the application's host: every text of the sensitive columns that the profiles name, of all users, whether the
#: source is in the deployed form or in the plan's.
SENSITIVE = r"""
import re, sqlite3, sys
names = {"password", "resetpasswordtoken", "emailverificationtoken", "twofactorsecret", "backupcodes"}
source = sqlite3.connect(sys.argv[1])
for _, column, *_ in source.execute("PRAGMA table_info(users)"):
    if column.replace("_", "").lower() in names:
        for (text,) in source.execute(f"SELECT DISTINCT {column} FROM users WHERE length({column}) > 6"):
            # Without quotes and brackets, which JSON and HTML write in another way.
            for piece in re.findall(r'[^\[\]",\\]{7,}', text):
                print(piece)
"""


def secrets_of(app1: Host, secret: Callable[[str], str]) -> dict[str, str]:
    """Name -> secret: the roles' passwords, the application's own key, and what the sensitive columns hold."""
    rows = app1.check_output("python3 -c %s %s", SENSITIVE, PATH).splitlines()
    assert len(rows) > 40
    key = app1.check_output(f"sed -n 's/^JWT_SECRET=//p' {ENV}").strip("\"'")
    assert len(key) > 10
    named = {"owner": secret("owner"), "user": secret("user"), "key": key}
    return {**named, **{f"row {number}": row for number, row in enumerate(rows)}}


def places(text: bytes, secrets: dict[str, str], known: bytes) -> list[str]:
    """Which secrets are in a text; something else that is known to be in it shows that it is the text that is meant."""
    assert known in text, text[:2000]
    return sorted(name for name, value in secrets.items() if value.encode() in text)
