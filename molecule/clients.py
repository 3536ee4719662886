"""What tests of several scenarios use: sessions as PostgreSQL's clients open them; a role's refusals, many in one run.

The functions are imported by name; a scenario that wants the fixtures imports them in the conftest.py of its tests.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from testinfra.host import Host

SERVER = "db1.contralock.test"
CA = "/etc/contralock-migration/ca.crt"
LOG = "/var/log/postgresql/postgresql-15-main.log"


@dataclass(frozen=True)
class Answer:
    """What psql printed, and what it or the server complained about."""

    returncode: int
    text: str
    complaint: str


def conninfo(**parameters: str) -> str:
    """A libpq connection string: by name, verified, into the application's database, unless told otherwise."""
    given = {"host": SERVER, "dbname": "contralock", "sslmode": "verify-full", "sslrootcert": CA, **parameters}
    return " ".join(f"{name}={value}" for name, value in given.items())


def execute(host: Host, *command: str, stdin: str = "", **environment: str) -> Answer:
    """Run a command on a host; neither its input nor its environment is seen in any process's arguments."""
    names = [word for name in environment for word in ("--env", name)]
    done = subprocess.run(
        ["podman", "exec", "--interactive", *names, host.backend.name, *command],
        input=stdin,
        env={**os.environ, **environment},
        text=True,
        capture_output=True,
        check=False,
    )
    return Answer(done.returncode, done.stdout.strip(), done.stderr.strip())


def psql(on: Host, sql: str, password: str = "", **parameters: str) -> Answer:
    """Run SQL as a client on a host does; all of it, also after a statement that fails."""
    command = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", conninfo(**parameters))
    return execute(on, *command, stdin=sql, PGPASSWORD=password)


def states(host: Host, statements: list[str], password: str, **parameters: str) -> dict[str, str]:
    """The SQLSTATE with which each statement ended, in one session."""
    lines = [f"{statement};\n\\echo '#' :SQLSTATE" for statement in statements]
    answer = psql(host, "\n".join(lines), password, **parameters)
    ended = [line.removeprefix("# ") for line in answer.text.splitlines() if line.startswith("# ")]
    assert len(ended) == len(statements), answer
    return dict(zip(statements, ended, strict=True))


@pytest.fixture(scope="session")
def administer(db1: Host) -> Callable[..., str]:
    """Run SQL as the superuser, through the server's socket; it has to succeed."""

    def run(sql: str, database: str = "postgres") -> str:
        command = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
        answer = execute(db1, *command, f"user=postgres dbname={database}", stdin=sql)
        assert answer.returncode == 0, answer
        return answer.text

    return run


@pytest.fixture(scope="session")
def refusals(run_playbook: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Run a role once for each case, a dictionary of variables; what it said when it refused, case by case.

    The variables of the role `beside` are known to it, as they are in a playbook that has both.
    """

    def run(role: str, hosts: str, cases: list[dict[str, Any]], *options: str, beside: str = "") -> list[str]:
        tasks: list[dict[str, Any]] = [
            {
                "name": f"Try case {number}",
                "block": [
                    {"ansible.builtin.include_role": {"name": role}, "vars": case},
                    {"ansible.builtin.fail": {"msg": "was not refused"}},
                ],
                "rescue": [{"ansible.builtin.debug": {"msg": "refused"}}],
            }
            for number, case in enumerate(cases)
        ]
        if beside:
            tasks.insert(0, {"ansible.builtin.import_role": {"name": beside, "tasks_from": "verify.yml"}})
        playbook = tmp_path_factory.mktemp("refusals") / "playbook.yml"
        playbook.write_text(json.dumps([{"name": "Try", "hosts": hosts, "become": True, "tasks": tasks}]))
        result = run_playbook(str(playbook), *options)
        assert result.returncode == 0, result.message()
        # One task fails in each case; of one with a loop, the items that failed are what it says.
        failed = [details for _, _, details in result.results if details.get("failed")]
        said = [[each["msg"] for each in one.get("results", [one]) if each.get("failed")] for one in failed]
        assert len(said) == len(cases), said
        for case in cases:
            for name, value in case.items():
                assert not (name.endswith("_password") and value and json.dumps(value)[1:-1] in result.output), name
        return [" ".join(" ".join(messages).split()) for messages in said]

    return run
