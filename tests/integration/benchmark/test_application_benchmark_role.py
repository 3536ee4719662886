"""The role's refusals, and what it leaves behind when it is killed: by ansible-playbook, on this machine."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
from ansible_collections.contralock.database.plugins.module_utils.run_directory import latest
from ansible_collections.contralock.database.plugins.module_utils.run_opening import Request, open_run
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step
from ansible_collections.contralock.database.plugins.module_utils.scratch_database import create_scratch, scratch_exists

from tests.example_runs import closed, facts_of, steps_up_to, write_journal
from tests.playbooks import PROJECT, keep, play, role
from tests.throwaway_cluster import Database


def test_the_preflight_refuses_what_gives_no_measurement(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir(mode=0o700)
    on_sqlite = {"application_config_found": {"type": "sqlite"}}
    moved = {"application_config_found": {"type": "postgresql"}, "application_config_path": "/srv/.env"}
    asked = [
        on_sqlite | {"application_benchmark_clients": [0, 4]},
        on_sqlite | {"application_benchmark_clients": "1,4"},
        # The live pool is never short of a connection for a benchmark's sake.
        on_sqlite
        | {"application_config_pool_max": 30, "application_benchmark_start_command": ["/opt/application/run"]},
        moved,
    ]
    given = {"migration_toolkit_run_directory": str(root), "migration_toolkit_target": ""}
    tasks = [role("application_benchmark", "preflight", **variables) | {"ignore_errors": True} for variables in asked]
    spec = "{{ (lookup('file', path) | from_yaml).argument_specs.main.options | dict2items"
    asked_of_validation = {
        "ansible.builtin.validate_argument_spec": {
            "argument_spec": spec + " | selectattr('key', 'eq', 'validation_benchmark') | items2dict }}",
            "provided_arguments": {"validation_benchmark": "{{ item }}"},
        },
        "vars": {"path": str(PROJECT / "roles/validation/meta/argument_specs.yml")},
        "loop": ["short", False, "false", "SHORT", "shrt"],
        "ignore_errors": True,
        "register": "validated",
    }
    kept = keep(tmp_path / "validated", "validated.results | map(attribute='failed')")
    done = play(tmp_path, [*tasks, asked_of_validation, kept], **given)
    # Whoever asks for a benchmark in other words than the role's must not get a validation without one.
    assert json.loads((tmp_path / "validated").read_text()) == [False, False, False, True, True]
    said = " ".join(done.stdout.replace("\\n", " ").split())
    for words in (
        "application_benchmark_clients is [0, 4]",
        "application_benchmark_clients is 1,4",
        "may open 30 connections, and the live application's pool holds up to 30: none is left for a benchmark",
        "DB_TYPE in /srv/.env is postgresql, and there is no finished cut-over whose backup could be measured",
    ):
        assert words in said, said


def test_after_a_cut_over_the_very_backup_of_it_is_measured(tmp_path: Path) -> None:
    root, backup = tmp_path / "runs", tmp_path / "backup.sqlite"
    root.mkdir(mode=0o700)
    with closing(sqlite3.connect(tmp_path / "good.sqlite")) as application:
        application.execute("CREATE TABLE users (id)")
    # Somebody else's: it would be measured without a word.
    with closing(sqlite3.connect(backup)) as other:
        other.execute("CREATE TABLE other (id)")
    good = (tmp_path / "good.sqlite").read_bytes()
    facts = facts_of()
    facts["back_up"] |= {"path": str(backup), "sha256": hashlib.sha256(good).hexdigest()}
    write_journal(root, [*steps_up_to("cut_over", "let_in", facts), *closed("done")])
    snapshot = "{{ migration_run_directory }}/source.sqlite"
    tasks = [
        role("application_benchmark", "preflight"),
        role("migration_run", "open"),
        role("application_benchmark", "backup") | {"ignore_errors": True},
        {"ansible.builtin.copy": {"src": str(tmp_path / "good.sqlite"), "dest": str(backup)}},
        # What a killed benchmark has left.
        {"keep": {"content": "x", "dest": snapshot}},
        role("application_benchmark", "backup"),
    ]
    given = {"migration_toolkit_run_directory": str(root), "migration_toolkit_target": ""}
    moved = {"application_config_found": {"type": "postgresql"}, "application_config_path": "/srv/.env"}
    done = play(tmp_path, tasks, **given, **moved, migration_run_verb="benchmark")
    assert done.returncode == 0, done.stdout
    run = latest(root, "benchmark")
    assert run is not None
    assert (run.path / "source.sqlite").read_bytes() == good == backup.read_bytes()
    assert (run.path / "source.sqlite").stat().st_mode & 0o777 == 0o600
    states = [each.state for each in run.records() if each.step == "snapshot"]
    assert states == ["begun", "failed", "begun", "done"]


def test_what_a_killed_benchmark_left_goes_at_the_end_of_a_cut_over(tmp_path: Path, database: Database) -> None:
    root = tmp_path / "runs"
    root.mkdir(mode=0o700)
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"ALTER ROLE {database.owner} CREATEDB")
    scratch = f"{database.name}_benchmark"
    opened = open_run(Request(root, "benchmark", "a test"))
    assert opened.run is not None
    record_step(opened.run, "begun", "scratch", {}, opened.lease)
    create_scratch(database.conninfo, scratch)
    (opened.run.path / "source.sqlite").write_text("everybody's data")
    given = {
        "migration_toolkit_run_directory": str(root),
        "migration_toolkit_target": database.conninfo,
        "application_database_name": database.name,
    }
    # Twice: the second time finds nothing.
    done = play(tmp_path, [role("rehearsal", "left_over"), role("rehearsal", "left_over")], **given)
    assert done.returncode == 0, done.stdout
    assert "has left data behind" not in done.stdout
    assert "changed=2 " in done.stdout
    assert not scratch_exists(database.conninfo, scratch)
    assert not (opened.run.path / "source.sqlite").exists()
