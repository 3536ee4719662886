"""Changed variables on a running server: what is reloaded, what restarts it, and runs that end half-way.

The tests build on each other in the order in which they stand; the last one leaves the host as it was converged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import CONFIGURATION, NAME
from cryptography import x509

# A reload is enough for all of this. The note needs every kind of quoting that postgresql.conf knows.
NOTE = "it's a \\ path"
RELOADED = {
    "postgresql_server_settings": {"deadlock_timeout": "2s", "contralock.note": NOTE},
    "postgresql_server_tls_names": [NAME, "db.contralock.test"],
}
NETWORK = "192.0.2.0/24"
# A restart is needed for the first three, and for taking wal_buffers away again.
RESTARTED = {
    "postgresql_server_memory_mb": 2048,
    "postgresql_server_max_connections": 120,
    "postgresql_server_port": 5444,
    "postgresql_server_settings": {"wal_buffers": "8MB"},
}


@dataclass(frozen=True)
class Times:
    """When the server was started and when it read its configuration."""

    started: str
    loaded: str


@pytest.fixture(scope="module")
def times(server):
    return lambda: Times(server.started(), server.loaded())


@pytest.fixture(scope="module")
def reloaded(app1):
    address = app1.check_output("ip -4 -o addr show eth0 | awk '{split($4, a, \"/\"); print a[1]}'")
    return {**RELOADED, "postgresql_server_application_addresses": [f"{address}/32", NETWORK]}


def names(server):
    extension = server.presented().extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


def kill_own_playbook():
    """SIGKILL to the ansible-playbook that this very process has started."""
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text(encoding="ascii").split():
            if b"ansible-playbook" in Path("/proc", pid, "cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)


@pytest.fixture(scope="module")
def killed(run_role, server, reloaded, times):
    """A run that was killed after it wrote its last file and before the server took anything over."""
    before = times()
    done = threading.Event()

    # Read without a process on the host, which could take longer than the run takes to go on.
    name = server.host.backend.get_pytest_id().removeprefix("podman://")
    podman = Path(__file__).parents[2] / "shared/podman"
    pid = subprocess.check_output([podman, "inspect", "--format", "{{.State.Pid}}", name], text=True).strip()
    last_file = Path(f"/proc/{pid}/root{CONFIGURATION}/pg_hba.conf")

    def wait_and_kill():
        while not done.wait(0.02):
            if NETWORK in last_file.read_text(encoding="utf-8"):
                kill_own_playbook()
                return

    watcher = threading.Thread(target=wait_and_kill)
    watcher.start()
    run = run_role(**reloaded)
    done.set()
    watcher.join()
    # The worker that outlives its controller ends the task that it is at.
    time.sleep(2)
    assert run.returncode == -signal.SIGKILL, run.output
    return before


def test_killed_run_has_written_and_not_reloaded(killed, server, times):
    """The fault is planted: otherwise the next test would prove nothing."""
    assert server.host.file(f"{CONFIGURATION}/conf.d/contralock.conf").contains("deadlock_timeout = '2s'")
    assert (server.show("deadlock_timeout"), names(server), times()) == ("1s", [NAME], killed)


def test_next_run_makes_a_killed_one_good(killed, run_role, server, reloaded, times):
    run = run_role(**reloaded)
    assert run.returncode == 0, run.message()
    assert run.changed == [("db1", "postgresql_server : Reload the server")]
    now = times()
    assert (now.started == killed.started, now.loaded == killed.loaded) == (True, False), "a reload and no restart"
    assert (server.show("deadlock_timeout"), server.show("contralock.note")) == ("2s", NOTE)
    assert names(server) == [NAME, "db.contralock.test"]
    assert server.sql("SELECT count(*) FROM pg_hba_file_rules WHERE address = '192.0.2.0'") == "1"


def test_server_is_restarted_when_a_setting_needs_it(run_role, server, times):
    before = times()
    run = run_role(**RESTARTED)
    assert run.returncode == 0, run.message()
    tasks = [task for _, task in run.changed]
    assert "postgresql_server : Restart the server" in tasks
    assert "postgresql_server : Reload the server" not in tasks
    assert times().started != before.started
    expected = {
        "shared_buffers": "512MB",
        "effective_cache_size": "1280MB",
        "maintenance_work_mem": "128MB",
        "max_connections": "120",
        "port": "5444",
        "wal_buffers": "8MB",
        "deadlock_timeout": "1s",  # no longer asked for
    }
    assert {name: server.show(name) for name in expected} == expected
    assert "Cipher is TLS" in server.handshake(port=5444)


def test_server_that_does_not_start_runs_on_with_what_it_had(run_role, server):
    """Each setting is valid by itself, so that only the start tells."""
    settings = {**RESTARTED["postgresql_server_settings"], "superuser_reserved_connections": 120}
    run = run_role(**{**RESTARTED, "postgresql_server_settings": settings})
    assert run.returncode != 0
    assert "runs again with the ones before" in run.message(), run.message()
    assert "superuser_reserved_connections (120) must be less than max_connections (120)" in run.message()
    assert (server.show("superuser_reserved_connections"), server.show("shared_buffers")) == ("3", "512MB")


def test_setting_that_is_taken_away_is_restarted_for_as_well(run_role, server, times):
    before = times()
    run = run_role()
    assert run.returncode == 0, run.message()
    assert times().started != before.started
    assert (server.show("wal_buffers"), server.show("port"), server.show("shared_buffers")) == ("4MB", "5432", "128MB")
