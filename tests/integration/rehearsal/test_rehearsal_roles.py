"""What a rehearsal leaves behind, and what it says of the window; what a validation says: by ansible-playbook, here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.run_directory import latest
from ansible_collections.contralock.database.plugins.module_utils.run_lock import read_lease
from ansible_collections.contralock.database.plugins.module_utils.run_opening import Request, close_run, open_run
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step
from ansible_collections.contralock.database.plugins.module_utils.scratch_database import create_scratch, scratch_exists

from tests.playbooks import PROJECT, keep_facts, play, role

NOWHERE = "host=/nowhere dbname=contralock user=contralock_owner"
FAILED = {"__rehearsal_failure": "Load every row: a value does not fit."}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "runs"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def owner(database):
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"ALTER ROLE {database.owner} CREATEDB")
        yield database
        administrator.execute(f"DROP DATABASE IF EXISTS {database.name}_rehearsal WITH (FORCE)")


def given(root: Path, target: str, database: str) -> dict[str, Any]:
    return {
        "migration_toolkit_run_directory": str(root),
        "migration_toolkit_target": target,
        "application_database_name": database,
        "migration_run_verb": "rehearse",
    }


def said(output: str) -> str:
    return " ".join(output.replace("\\n", " ").split())


def test_a_server_that_is_gone_keeps_no_snapshot_and_no_error_back(tmp_path: Path, root: Path) -> None:
    variables = given(root, NOWHERE, "contralock")
    snapshot = [
        {"keep": {"content": "x", "dest": "{{ migration_run_directory }}/" + name}}
        for name in ("source.sqlite", "source.sqlite.part")
    ]
    step = {"state": "begun", "step": "scratch", "run": "{{ migration_run_directory }}"}
    begun = {"contralock.database.migration_run": step}
    tasks = [role("migration_run", "open"), *snapshot, begun, role("rehearsal", "clean_up", **FAILED)]
    done = play(tmp_path, tasks, **variables)
    text = said(done.stdout)
    assert done.returncode == 2, text
    assert "The rehearsal failed. Load every row: a value does not fit." in text
    assert "The scratch database contralock_rehearsal may still be there (Remove it: cannot connect" in text
    run = latest(root)
    assert run is not None
    assert not list(run.path.glob("source.sqlite*"))
    # Nobody waits for this controller, and the next rehearsal goes on with it.
    assert (run.outcome(), run.current().name, read_lease(root)) == (None, "drop", None)


@pytest.mark.parametrize(
    ("removed", "recorded"), [(False, True), (False, False), (True, True)], ids=["made", "being made", "made again"]
)
def test_what_a_killed_rehearsal_left_goes_at_the_end_of_a_cut_over(
    tmp_path: Path, root: Path, owner: Any, removed: bool, recorded: bool
) -> None:
    scratch = f"{owner.name}_rehearsal"
    opened = open_run(Request(root, "rehearse", "a test"))
    assert opened.run is not None
    if removed:
        record_step(opened.run, "done", "drop", {}, opened.lease)
    record_step(opened.run, "begun", "scratch", {}, opened.lease)
    if recorded:
        record_step(opened.run, "done", "scratch", {"database": scratch}, opened.lease)
    create_scratch(owner.conninfo, scratch)
    (opened.run.path / "source.sqlite").write_text("everybody's data")
    # Twice: the second time finds nothing.
    tasks = [role("rehearsal", "left_over"), role("rehearsal", "left_over")]
    done = play(tmp_path, tasks, **given(root, owner.conninfo, owner.name))
    assert done.returncode == 0, done.stdout
    assert "changed=2 " in done.stdout
    assert "has left data behind" not in done.stdout
    assert not scratch_exists(owner.conninfo, scratch)
    assert not (opened.run.path / "source.sqlite").exists()


def test_without_a_rehearsal_that_left_something_no_server_is_asked(tmp_path: Path, root: Path) -> None:
    never = root / "never"
    never.mkdir()
    opened = open_run(Request(root, "rehearse", "a test"))
    assert opened.run is not None
    for step in ("scratch", "drop"):
        record_step(opened.run, "begun", step, {}, opened.lease)
        record_step(opened.run, "done", step, {}, opened.lease)
    close_run(opened.run, opened.lease, "failed")
    tasks = [role("rehearsal", "left_over", **given(each, NOWHERE, "contralock")) for each in (never, root)]
    done = play(tmp_path, tasks)
    assert done.returncode == 0, done.stdout
    assert "changed=0 " in done.stdout
    assert "has left data behind" not in done.stdout


def test_what_cannot_be_removed_is_said_and_stops_nobody(tmp_path: Path, root: Path) -> None:
    opened = open_run(Request(root, "rehearse", "a test"))
    assert opened.run is not None
    record_step(opened.run, "begun", "scratch", {}, opened.lease)
    done = play(tmp_path, [role("rehearsal", "left_over")], **given(root, NOWHERE, "contralock"))
    assert done.returncode == 0, done.stdout
    assert f"The rehearsal {opened.run.id} has left data behind that cannot be removed now. cannot connect" in said(
        done.stdout
    )


#: Rows in the backup's tables; table to rows added, changed, removed since; what is said of them.
LATER = [
    ((1,), {}, "1 of 1 row of the backup found again in 1 table; nothing was written since"),
    ((500, 500), {}, "1000 of 1000 rows of the backup found again in 2 tables; nothing was written since"),
    (
        (500, 500),
        {"users": (3, 2, 1), "wallets": (0, 0, 4)},
        "993 of 1000 rows of the backup found again in 2 tables; since then in users 3 added, 2 changed, 1 removed;"
        " since then in wallets 0 added, 0 changed, 4 removed",
    ),
]


def test_what_is_said_is_what_was_seen(tmp_path: Path) -> None:
    """The window's length and the rows found again, from the roles' own expressions."""
    tasks = []
    for number, (tables, later, _) in enumerate(LATER):
        writes = {table: dict(zip(("added", "changed", "removed"), rows, strict=True)) for table, rows in later.items()}
        found = {"rows": sum(tables), "tables": tables, "later_writes": writes}
        tasks.append(
            {"ansible.builtin.set_fact": {f"said_{number}": "{{ __validation_found }}"}}
            | {"vars": {"data_integrity_result": found}}
        )
    measured = {
        "sqlite_backup_result": {"seconds": 10.0, "check_seconds": 7.0, "hash_seconds": 2.0, "bytes": 1},
        "data_transfer_result": {"seconds": 4.0},
        "data_integrity_result": {"seconds": 6.0},
        "rehearse_fraction": 0.1,
    }
    tasks.append({"ansible.builtin.set_fact": {"window": "{{ __rehearsal_window_seconds }}"}, "vars": measured})
    files = [str(PROJECT / f"roles/{name}/vars/main.yml") for name in ("validation", "rehearsal")]
    read = [{"ansible.builtin.include_vars": {"file": file}} for file in files]
    done = play(
        tmp_path, [*read, *tasks, keep_facts(tmp_path / "facts", "window", *(f"said_{n}" for n in range(len(LATER))))]
    )
    assert done.returncode == 0, done.stdout
    facts = json.loads((tmp_path / "facts").read_text())
    assert [facts[f"said_{number}"].strip() for number in range(len(LATER))] == [text for *_, text in LATER]
    # 15 s for the service; the copy and its checks; three readings of the whole file; ten times the tenth of the data.
    assert float(facts["window"]) == 15 + 10 + 7 + 3 * 2 + 10 * (4 + 6)


@pytest.mark.parametrize(("manager", "seconds"), [("systemd", 330), ("commands", 460)])
def test_a_lease_ends_no_sooner_than_a_service_may_take(tmp_path: Path, root: Path, manager: str, seconds: int) -> None:
    variables = given(root, NOWHERE, "contralock") | {"application_service_stop_seconds": 300}
    # Its status command is asked before and after it.
    variables |= {"application_service_manager": manager}
    done = play(tmp_path, [role("migration_run", "open")], **variables)
    assert done.returncode == 0, done.stdout
    lease = read_lease(root)
    assert lease is not None
    assert lease.seconds == seconds
    shutil.rmtree(root)
    root.mkdir(mode=0o700)
    done = play(tmp_path, [role("migration_run", "open")], **variables, migration_run_lease_seconds=seconds - 1)
    assert done.returncode == 2
    text = f"migration_run_lease_seconds is {seconds - 1}, and a task that stops or starts the service"
    assert text in said(done.stdout)
    assert list(root.iterdir()) == []
