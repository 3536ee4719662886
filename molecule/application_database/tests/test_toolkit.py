"""What the role migration_toolkit leaves on the application's host, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clients import execute

PROJECT = Path(__file__).parents[3]
VENV = "/opt/contralock-migration/venv"
PACKAGES = ["adbc_driver_postgresql", "adbc_driver_sqlite", "jsonschema", "psycopg", "pyarrow"]
PIP_SETTINGS = "/etc/pip.conf"
INDEX_LOG = "/var/tmp/index.log"


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/var/lib/contralock-migration", "root:root 700"),
        ("/etc/contralock-migration", "root:root 755"),
        ("/etc/contralock-migration/pgpass", "root:root 600"),
        ("/etc/contralock-migration/ca.crt", "root:root 644"),
        ("/opt/contralock-migration", "root:root 755"),
    ],
)
def test_modes(app1, path, mode):
    assert app1.check_output("stat --format='%%U:%%G %%a' %s", path) == mode


def test_environment_is_what_the_lock_says(app1):
    lock = (PROJECT / "requirements-hosts.txt").read_text(encoding="utf-8")
    wanted = set(re.findall(r"(?m)^([a-z0-9._-]+==[^ ;]+)", lock))
    frozen = app1.check_output(f"{VENV}/bin/pip --disable-pip-version-check freeze")
    assert {line.lower().replace("_", "-") for line in frozen.split()} == {line.replace("_", "-") for line in wanted}
    assert app1.run(f"{VENV}/bin/pip --disable-pip-version-check check").rc == 0


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_in_the_environment_alone(app1, package):
    place = f"import {package}; print({package}.__file__)"
    assert app1.check_output(f"{VENV}/bin/python -c '{place}'").startswith(f"{VENV}/lib/")
    # What Debian packages is Debian's; pip has put nothing beside it.
    at_system = app1.run(f"/usr/bin/python3 -c '{place}'")
    assert at_system.rc != 0 or at_system.stdout.startswith("/usr/lib/python3/dist-packages/"), at_system.stdout
    assert app1.check_output("find /usr/local/lib /root/.local -path '*-packages/*' 2>/dev/null || true") == ""


@pytest.fixture
def index(app1):
    """The only package index that pip on the host knows: one that notes who asks and has nothing."""
    listen = f"exec python3 -m http.server --bind 127.0.0.1 --directory /var/empty 9999 >{INDEX_LOG} 2>&1"
    app1.check_output("mkdir -p /var/empty && systemd-run --unit=test-index sh -c %s", listen)
    execute(app1, "tee", PIP_SETTINGS, stdin="[global]\nindex-url = http://127.0.0.1:9999/simple\nretries = 0\n")
    app1.check_output("until ss -tln | grep -q :9999; do sleep 0.1; done")
    yield lambda: app1.file(INDEX_LOG).content_string
    app1.check_output("systemctl stop test-index; rm %s %s", PIP_SETTINGS, INDEX_LOG)


def test_spoilt_environment_is_made_anew_without_an_index(app1, run_playbook, index):
    # As a run that was killed while pip unpacked would leave it: the metadata is there and the code is not.
    app1.check_output(f"rm {VENV}/lib/python3.11/site-packages/psycopg/__init__.py")
    run = run_playbook("playbooks/prepare.yml", "--tags", "toolkit")
    assert run.returncode == 0, run.message()
    assert [task.split(" : ")[-1] for _, task in run.changed] == [
        "Remove a virtual environment that a killed run or a change of the host's Python has spoilt",
        "Install the wheels",
    ]
    assert index() == ""
    # And it would have been seen.
    app1.run(f"{VENV}/bin/pip --disable-pip-version-check download --dest /tmp/nothing six")
    assert "/simple/six/" in index()


@pytest.fixture
def small_disk(app1):
    app1.check_output("mkdir -p /mnt/small && mount -t tmpfs -o size=40m tmpfs /mnt/small")
    yield "/mnt/small"
    assert app1.check_output("ls /mnt/small; umount /mnt/small && rmdir /mnt/small") == ""


def test_refusals(refusals, small_disk):
    cases = [
        (
            {"migration_toolkit_directory": f"{small_disk}/toolkit"},
            f"{small_disk}/toolkit on app1 has 40 MiB free, and the wheels with the virtual environment need 400. Make",
        ),
        ({"migration_toolkit_pgloader_versions": ["9.9"]}, "pgloader on app1 is 3.6.7; the loader was tested with 9.9"),
        ({"application_database_owner_password": ""}, "application_database_owner_password is not set. Put"),
        ({"application_database_owner_password": "a\nb"}, "is not all printable ASCII. Put"),
        (
            {"application_database_host": ""},
            "application_database_host is not set. Give the name of the PostgreSQL server",
        ),
        ({"application_database_ca_certificate": ""}, "application_database_ca_certificate is not set. Give the file"),
        ({"application_database_ca_certificate": "/nowhere/ca.crt"}, "is /nowhere/ca.crt, and there is no such file"),
    ]
    messages = refusals("migration_toolkit", "application", [case for case, _ in cases])
    for message, (case, expected) in zip(messages, cases, strict=True):
        assert expected in message, case


def test_refuses_a_second_application_host(refusals, tmp_path):
    second = tmp_path / "second.yml"
    second.write_text("application: {hosts: {other1: }}\n")
    options = ("--inventory", str(second), "--limit", "app1")
    (message,) = refusals("migration_toolkit", "application", [{}], *options)
    assert '"application" has 2 hosts (app1, other1). A SQLite file belongs to one host' in message
