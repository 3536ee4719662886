"""`--check --diff` tells what a run would do, and does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from conftest import NAME, look

ROLE = "postgresql_server : "
VARIANTS: dict[str, dict[str, Any]] = {
    "bare": {"postgresql_server_cluster": "other", "postgresql_server_port": 5433},
    # As it is, but for what a new kernel may make of the same machine: no reason for a restart.
    "a_little_more_memory": {"postgresql_server_memory_mb": 600},
    "reload": {
        "postgresql_server_settings": {"deadlock_timeout": "2s"},
        "postgresql_server_tls_names": [NAME, "db.contralock.test"],
    },
    "restart": {"postgresql_server_settings": {"deadlock_timeout": "2s", "wal_buffers": "8MB"}},
    "invalid": {"postgresql_server_settings": {"shared_buffers": "lots"}},
}
PREDICTED = {
    "bare": [],
    "a_little_more_memory": [],
    "reload": [
        "Sign the server's certificate, or renew it before it expires",
        "Install the server's certificate",
        "Write the settings",
        "Reload the server",
    ],
    "restart": ["Write the settings", "Restart the server"],
    "invalid": [],
}


@dataclass(frozen=True)
class Checked:
    """The run, and what it could have changed before and after it."""

    run: Any
    before: list[str]
    after: list[str]


@pytest.fixture(scope="module")
def checked(run_variants, server):
    before = look(server)
    run = run_variants(VARIANTS, "--check", "--diff", others=("app1",))
    return Checked(run, before, look(server))


@pytest.mark.parametrize("name", VARIANTS)
def test_check_predicts_what_a_run_would_change(checked, name):
    assert [task for host, task in checked.run.changed if host == name] == [ROLE + task for task in PREDICTED[name]]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "invalid"])
def test_check_succeeds(checked, name):
    assert [text for host, text in checked.run.failures if host == name] == []


def test_check_of_a_bare_host_says_what_it_cannot_predict(checked):
    said = [str(result.get("msg")) for host, _, result in checked.run.results if host == "bare"]
    assert any("PostgreSQL 15/other does not exist yet on bare" in text for text in said), said


def test_check_refuses_what_a_run_would_refuse(checked):
    message = " ".join(text for host, text in checked.run.failures if host == "invalid")
    assert "shared_buffers" in message, message


def test_diff_shows_settings_and_certificates_but_no_key(checked):
    shown = [str(result["diff"]) for _, _, result in checked.run.results if result.get("diff")]
    assert any("deadlock_timeout = '2s'" in text for text in shown), "the diff does not show the changed setting"
    assert any("BEGIN CERTIFICATE" in text for text in shown), "the diff does not show the new certificate"
    assert "PRIVATE KEY" not in checked.run.output


def test_check_changes_nothing(checked):
    assert checked.after == checked.before
