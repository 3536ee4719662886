"""The phase `prepare`, on bare Debian hosts: what it leaves, and that --check tells the truth."""

from __future__ import annotations


def test_third_run_changes_nothing(run_playbook):
    run = run_playbook("playbooks/prepare.yml")
    assert run.returncode == 0, run.message()
    assert run.changed == []


def test_check_of_prepared_hosts_finds_nothing_to_do(run_playbook):
    run = run_playbook("playbooks/prepare.yml", "--check", "--diff")
    assert run.returncode == 0, run.message()
    assert run.changed == []
