"""What the tests of this scenario share: planted roles and databases, and the project's library on the host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clients import LOG, administer, execute, refusals
from testinfra.host import Host

__all__ = ["administer", "refusals"]

PROJECT = Path(__file__).parents[3]
LIBRARY = PROJECT / "collections/ansible_collections/contralock/database/plugins/module_utils"


@pytest.fixture
def planted(administer: Callable[..., str]) -> Iterator[Callable[..., str]]:
    """Run SQL as the superuser; roles and databases whose names begin with planted_ are dropped in the end."""
    yield administer
    for database in administer("SELECT datname FROM pg_database WHERE datname LIKE 'planted\\_%'").split():
        administer(f"DROP DATABASE {database}")
    for role in administer("SELECT rolname FROM pg_roles WHERE rolname LIKE 'planted\\_%'").split():
        administer(f"DROP OWNED BY {role}", "contralock")
        administer(f"DROP ROLE {role}")


@pytest.fixture(scope="session")
def probe(app1: Host) -> Callable[..., list[dict[str, str | None]]]:
    """Connect from the application's host with the project's library: (connection string, password) each."""
    sources = {name: (LIBRARY / name).read_text(encoding="utf-8") for name in ("connection.py", "errors.py")}
    script = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")

    def run(*cases: tuple[str, str]) -> list[dict[str, str | None]]:
        given = {"sources": sources, "cases": [{"conninfo": each, "password": word} for each, word in cases]}
        python = "/opt/contralock-migration/venv/bin/python"
        answer = execute(app1, python, "-c", script, stdin=json.dumps(given))
        assert answer.returncode == 0, answer
        return json.loads(answer.text)

    return run


@pytest.fixture
def server_log(db1: Host) -> Callable[[], str]:
    """What the server has logged since the test began."""
    before = int(db1.check_output("stat --format=%%s %s", LOG))
    return lambda: db1.check_output("tail --bytes=+%s %s", str(before + 1), LOG)
