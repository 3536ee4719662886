from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest

PREPARE = "playbooks/prepare.yml"
# What the scenario's inventory says: which profile, and whose its tables are.
PROFILE, TABLES_OWNER = {
    "prepare": ("contralock", "contralock_owner"),
    "public_application": ("contralock_deployed", "contralock_user"),
}[os.environ["MOLECULE_SCENARIO_NAME"]]
# All files that a provisioning run could touch, by path, size and time of change. Left out is what a host that is only
# looked at changes as well: apt's lists (a check may refresh them), logs, systemd's and sudo's own notes, and what a
# running PostgreSQL writes (what is in the database is asked of the database).
FINGERPRINT = (
    "{ find /etc /opt /srv /usr /var -xdev"
    r" \( -path /var/lib/apt -o -path /var/cache -o -path /var/log -o -path /var/tmp"
    r" -o -path /var/lib/systemd -o -path /var/lib/sudo -o -path /var/lib/postgresql \) -prune"
    r" -o -printf '%p %y %m %u %s %T@\n' | sort; dpkg-query --list; getent passwd; } | sha256sum"
)


@dataclass(frozen=True)
class Journey:
    """The runs of `prepare` in their order, and what a check did to the hosts."""

    # Whether the packages were missing, too.
    bare: bool
    before: list[str]
    bare_check: Any
    after_bare_check: list[str]
    first: Any
    second: Any
    third: Any
    before_prepared_check: list[str]
    prepared_check: Any
    after_prepared_check: list[str]


@pytest.fixture(scope="session")
def journey(run_playbook, db1, app1) -> Journey:
    def fingerprints() -> list[str]:
        return [host.check_output(FINGERPRINT) for host in (db1, app1)]

    # The packages may be there, a cluster not.
    clusters = db1.run("ls /etc/postgresql").stdout
    assert clusters == "", "db1 is not bare: run `molecule destroy` and `molecule create` first"
    bare = not app1.package("pgloader").is_installed
    before = fingerprints()
    bare_check = run_playbook(PREPARE, "--check", "--diff")
    after_bare_check = fingerprints()
    first, second = run_playbook(PREPARE), run_playbook(PREPARE)
    # That a third one is like the second depends on no package.
    third = run_playbook(PREPARE) if bare else second
    before_prepared_check = fingerprints()
    prepared_check = run_playbook(PREPARE, "--check", "--diff")
    return Journey(
        bare,
        before,
        bare_check,
        after_bare_check,
        first,
        second,
        third,
        before_prepared_check,
        prepared_check,
        fingerprints(),
    )


@pytest.fixture(scope="session")
def psql(app1, journey):
    """Run SQL on the target as its owner, from the application's host; the rows as text."""
    assert journey.third.returncode == 0, journey.third.message()
    target = (
        "host=db1.contralock.test dbname=contralock user=contralock_owner sslmode=verify-full "
        "sslrootcert=/etc/contralock-migration/ca.crt passfile=/etc/contralock-migration/pgpass"
    )
    return lambda sql: app1.check_output("psql --no-psqlrc --tuples-only --no-align -c %s %s", sql, target)
