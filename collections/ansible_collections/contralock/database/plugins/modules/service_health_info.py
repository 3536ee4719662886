#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: service_health_info
short_description: Waits until an application says that it is well, and on which database
version_added: 0.2.0
description:
  - Asks an application's health check over HTTP until it answers 200 and names its database.
  - Fails when it does not in time, when its service has ended, and at once when it names the other database.
  - Changes nothing. Proxies in the environment are not used.
author:
  - ContraLock migration team (@contralock)
options:
  url:
    description: The health check's address, as seen from the host.
    type: str
    required: true
  type_path:
    description: The way to the database's name in the JSON answer, names with dots between them.
    type: str
    default: details.type
  expected:
    description: The database that has to be named; empty for either.
    type: str
    choices: ["", sqlite, postgresql]
    default: ""
  wait_seconds:
    description: How long to ask.
    type: int
    default: 60
  validate_certs:
    description: Whether the certificate of an V(https) address is verified.
    type: bool
    default: true
  unit:
    description: The systemd unit of the application. When it has ended, or ends again and again, it is not waited for.
    type: str
    default: ""
attributes:
  check_mode:
    description: It only asks.
    support: full
"""

EXAMPLES = r"""
- name: Wait until the application runs on PostgreSQL
  contralock.database.service_health_info:
    url: http://127.0.0.1:5000/health
    expected: postgresql
    unit: contralock.service
"""

RETURN = r"""
type:
  description: The database that the application uses.
  returned: success
  type: str
  sample: postgresql
answer:
  description: The whole answer.
  returned: success
  type: dict
  sample: {status: healthy, details: {type: postgresql}}
seconds:
  description: How long it took until the application answered.
  returned: success
  type: float
"""

from collections.abc import Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.service_health import HealthCheck, wait_for_health
from ansible_collections.contralock.database.plugins.module_utils.service_state import read_service, why_ended

ARGUMENTS = {
    "url": {"type": "str", "required": True},
    "type_path": {"type": "str", "default": "details.type"},
    "expected": {"type": "str", "choices": ["", "sqlite", "postgresql"], "default": ""},
    "wait_seconds": {"type": "int", "default": 60},
    "validate_certs": {"type": "bool", "default": True},
    "unit": {"type": "str", "default": ""},
}


def wait(module: AnsibleModule) -> Mapping[str, object]:
    url, type_path, expected, seconds, verify_tls, unit = (module.params[name] for name in ARGUMENTS)

    before = read_service(unit) if unit else None

    def ended() -> str | None:
        return why_ended(before, read_service(unit)) if before else None

    health = wait_for_health(HealthCheck(url, type_path, expected, seconds, verify_tls, ended))
    return {"changed": False, "type": health.type, "answer": health.answer, "seconds": health.seconds}


def main() -> None:
    run_module(ARGUMENTS, wait, supports_check_mode=True)


if __name__ == "__main__":
    main()
