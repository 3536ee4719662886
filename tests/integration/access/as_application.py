"""What the application does in the tests of the proof, and what they ask."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
from ansible_collections.contralock.database.plugins.module_utils import application_proof
from ansible_collections.contralock.database.plugins.module_utils.application_proof import Application
from psycopg.conninfo import make_conninfo

#: An application of which nothing is known.
UNKNOWN = Application()


def as_application(target, **more):
    conninfo, role = target
    return psycopg.connect(make_conninfo(conninfo, user=role, **more), autocommit=True)


def runs(monkeypatch, *pids):
    """Let the application's unit have these processes: where the tests run there may be no systemd."""
    found = SimpleNamespace(processes=tuple(SimpleNamespace(pid=pid) for pid in pids))
    monkeypatch.setattr(application_proof, "read_service", lambda _unit: found)


def canaries(target):
    with psycopg.connect(target[0]) as owner:
        return owner.execute("SELECT count(*) FROM migration_canary").fetchone()[0]
