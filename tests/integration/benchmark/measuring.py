"""What the benchmark's tests ask for: short measurements, and the script as it is typed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import psycopg
import yaml
from ansible_collections.contralock.database.plugins.module_utils.application_benchmark import Request
from ansible_collections.contralock.database.plugins.module_utils.workload import parse_workload
from ansible_collections.contralock.database.plugins.module_utils.workload_clients import Place
from psycopg import sql

from tests.playbooks import PROJECT

WORKLOAD = parse_workload(yaml.safe_load((PROJECT / "files/application/workload.yml").read_text(encoding="utf-8")))


def script(name: str, *arguments: object, expected: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "scripts" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=120)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


def mark(target: str, comment: str | None) -> None:
    with psycopg.connect(target) as session:
        name, text = sql.Identifier(session.info.dbname), sql.Literal(comment)
        session.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, text))


def request(*places: Place, **changes: object) -> Request:
    short = Request(places, WORKLOAD, mixes=["transfers"], ways=["direct"], clients=[3], seconds=0.2, warm_up=0.05)
    return replace(short, **changes)
