#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: application_benchmark
short_description: Measures the application and its databases on copies
version_added: 0.2.0
description:
  - Lets the same work be done on a copy of the SQLite file and in a scratch database with the same rows, directly and
    through instances of the application of their own, and counts money in the databases before and after each of it.
  - Whatever the live application's C(.env) names is refused, or its process's environment, and so is a database whose
    comment is not that of a scratch database, as M(contralock.database.scratch_database) makes it.
  - The instances are transient units of systemd with the live unit's account and limits. They and the copy are gone
    when the module ends; what a killed one leaves, the next call removes, and O(state=absent). An instance that nobody
    ends does so by itself when the measurements must have ended.
author:
  - ContraLock migration team (@contralock)
options:
  state:
    description: V(measured) measures; V(absent) removes what a killed call has left.
    type: str
    choices: [measured, absent]
    default: measured
  source:
    description: The snapshot of the SQLite file; it is copied. Required with O(state=measured).
    type: path
  target:
    description:
      - libpq connection string of the scratch database, as its owner, without a password.
      - Required with O(state=measured).
    type: str
  live_env:
    description: The live application's C(.env). Required with O(state=measured).
    type: path
  workload:
    description: The operations, as in C(files/application/workload.yml). Required with O(state=measured).
    type: dict
  mixes:
    description: Which mixes of them; none means all.
    type: list
    elements: str
    default: []
  clients:
    description: The numbers of clients.
    type: list
    elements: int
    default: [1, 2, 4, 8, 16, 32, 64]
  seconds:
    description: How long each measurement lasts.
    type: float
    default: 5.0
  warm_up:
    description: How many seconds before it the clients work uncounted.
    type: float
    default: 1.0
  seed:
    description: What the operations follow from.
    type: int
    default: 1
  rounds:
    description: How often everything is measured; of each measurement the one with the median throughput is told.
    type: int
    default: 1
  start_command:
    description:
      - What starts the application in its working directory.
      - Without it there are no instances, and the databases are measured alone.
    type: list
    elements: str
    default: []
  unit:
    description: The live application's unit, whose account and limits hold.
    type: str
    default: contralock.service
  role:
    description: The application's role on PostgreSQL.
    type: str
    default: ""
  password:
    description: That role's password.
    type: str
    default: ""
  pool_max:
    description: How many connections the instance on PostgreSQL may hold, and direct clients share.
    type: int
    default: 10
  ports:
    description: The instances' ports on 127.0.0.1, for SQLite and for PostgreSQL.
    type: list
    elements: int
    default: [5701, 5702]
  environment:
    description: Further variables of the instances' C(.env) files.
    type: dict
    default: {}
  work:
    description: Directory for the copy and the instances' working directories; made anew and removed.
    type: path
    default: /var/lib/contralock-benchmark
extends_documentation_fragment:
  - contralock.database.run
attributes:
  check_mode:
    description: Measures nothing.
    support: full
"""

EXAMPLES = r"""
- name: Measure both databases
  contralock.database.application_benchmark:
    source: /var/lib/contralock-migration/20260101T020000Z-benchmark-1f3a/source.sqlite
    target: host=db1.example.org dbname=contralock_benchmark user=contralock_owner
    live_env: /srv/contralock/.env
    workload: "{{ lookup('ansible.builtin.file', 'files/application/workload.yml') | from_yaml }}"
    start_command: [/opt/contralock-sample/run]
    role: contralock_user
    password: "{{ application_database_user_password }}"
"""

RETURN = r"""
benchmark:
  description:
    - The measurements, as C(files/reports/benchmark.schema.json) describes them.
    - The same is in C(benchmark.json) in the run's directory.
  returned: when measured
  type: dict
text:
  description: The same as lines.
  returned: when measured
  type: list
  elements: str
compared:
  description: For each mix and way a line that says who is faster with the fewest clients and with the most.
  returned: when measured
  type: list
  elements: str
right:
  description: Whether each database has completed something and all money is where it was moved to.
  returned: when measured
  type: bool
"""

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.run_step import Progress

try:
    from ansible_collections.contralock.database.plugins.module_utils.application_benchmark import (
        WAYS,
        Request,
        measure,
        most_seconds,
    )
    from ansible_collections.contralock.database.plugins.module_utils.benchmark_instances import (
        Application,
        instances,
        remove_all,
        unit_environment,
    )
    from ansible_collections.contralock.database.plugins.module_utils.benchmark_report import (
        compared_in,
        found_right,
        told,
    )
    from ansible_collections.contralock.database.plugins.module_utils.journal import write_whole
    from ansible_collections.contralock.database.plugins.module_utils.live_databases import read_live, refuse_live
    from ansible_collections.contralock.database.plugins.module_utils.workload import Workload, parse_workload
    from ansible_collections.contralock.database.plugins.module_utils.workload_clients import Place
except ImportError:
    IMPORT_ERROR: str | None = traceback.format_exc()
else:
    IMPORT_ERROR = None

ARGUMENTS: Mapping[str, Any] = {
    "state": {"type": "str", "choices": ["measured", "absent"], "default": "measured"},
    "source": {"type": "path"},
    # Ansible must not log the connection string, as in edge.TARGET_ARGUMENT.
    "target": {"type": "str", "no_log": True},
    "live_env": {"type": "path"},
    "workload": {"type": "dict"},
    "mixes": {"type": "list", "elements": "str", "default": []},
    "clients": {"type": "list", "elements": "int", "default": [1, 2, 4, 8, 16, 32, 64]},
    "seconds": {"type": "float", "default": 5.0},
    "warm_up": {"type": "float", "default": 1.0},
    "seed": {"type": "int", "default": 1},
    "rounds": {"type": "int", "default": 1},
    "start_command": {"type": "list", "elements": "str", "default": []},
    "unit": {"type": "str", "default": "contralock.service"},
    "role": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "pool_max": {"type": "int", "default": 10},
    "ports": {"type": "list", "elements": "int", "default": [5701, 5702]},
    "environment": {"type": "dict", "default": {}},
    "work": {"type": "path", "default": "/var/lib/contralock-benchmark"},
    "run": {"type": "path"},
}
NEEDED = [("state", "measured", ["source", "target", "live_env", "workload"])]


def benchmark(module: AnsibleModule, progress: Progress) -> Mapping[str, object]:
    given = module.params
    work = Path(given["work"])
    if module.check_mode:
        return {"changed": False}
    if given["state"] == "absent":
        return {"changed": remove_all(work)}
    workload = parse_workload(given["workload"])
    live = read_live(Path(given["live_env"]), unit_environment(given["unit"]))
    # Before anything is made: the instances' own ports, and the scratch database.
    for port in given["ports"]:
        refuse_live(Place("sqlite", url=f"http://127.0.0.1:{port}"), live)
    refuse_live(Place("postgresql", target=given["target"]), live)
    with instances(application_of(given, workload), Path(given["source"]), given["target"], work) as places:
        request = Request(
            places=places,
            workload=workload,
            live=live,
            mixes=given["mixes"],
            ways=WAYS,
            clients=given["clients"],
            seconds=given["seconds"],
            warm_up=given["warm_up"],
            seed=given["seed"],
            sessions=given["pool_max"],
            pool=given["pool_max"],
            rounds=given["rounds"],
        )
        document = measure(request, progress)
    if given["run"]:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        write_whole(Path(given["run"]) / "benchmark.json", text)
    right = found_right(document)
    facts = {"measurements": len(document["measurements"]), "right": right}
    said = {"text": list(told(document)), "compared": list(compared_in(document))}
    return {"changed": False, "benchmark": document, **said, "right": right, "facts": facts}


def application_of(given: Mapping[str, Any], workload: Workload) -> Application:
    # On both databases, in both ways.
    measurements = 2 * len(WAYS) * len(given["mixes"] or workload.mixes) * len(given["clients"]) * given["rounds"]
    return Application(
        command=given["start_command"],
        unit=given["unit"],
        seconds=most_seconds(measurements, given["seconds"], given["warm_up"]),
        role=given["role"],
        password=given["password"],
        pool_max=given["pool_max"],
        ports=tuple(given["ports"]),
        environment={name: str(value) for name, value in given["environment"].items()},
    )


def main() -> None:
    run_module(ARGUMENTS, benchmark, IMPORT_ERROR, supports_check_mode=True, required_if=NEEDED)


if __name__ == "__main__":
    main()
