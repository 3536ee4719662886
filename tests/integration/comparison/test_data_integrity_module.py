"""The role and the module, run for real by ansible-playbook in the interpreter that has psycopg and pyarrow."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory, create_run

from tests.integration.comparison.loaded_target import CONTRALOCK, PROJECT, Pair
from tests.playbooks import keep, role
from tests.playbooks import play as play_tasks

BINARIES = Path(sys.executable).parent


@dataclass(frozen=True)
class Run:
    """What the role left, and everything that ansible-playbook printed."""

    returncode: int
    answer: dict[str, Any] = field(default_factory=dict)
    output: str = ""


def play(
    folder: Path, pair: Pair, *options: str, part: Sequence[str] = ("data_integrity",), **variables: object
) -> Run:
    """Run the role, or the part of another one that uses it; a failure's answer is the failed task's."""
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    kept = keep(answer, "(ansible_failed_result | default(data_integrity_result | default({})))")
    tasks = {
        "block": [role(*part)],
        "rescue": [kept, {"ansible.builtin.fail": {"msg": "failed as it should"}}],
    }
    given = {
        "data_integrity_source": str(pair.source),
        "data_integrity_profile": str(CONTRALOCK),
        "migration_toolkit_target": pair.target,
        **variables,
    }
    done = play_tasks(folder, [tasks, kept], *options, **given)
    output = done.stdout + done.stderr
    return Run(done.returncode, json.loads(answer.read_text()) if answer.exists() else {}, output)


def a_secret(pair: Pair) -> tuple[str, str]:
    with closing(sqlite3.connect(pair.source)) as connection:
        key, password = connection.execute("SELECT _id, password FROM users ORDER BY _id").fetchone()
    return str(key), str(password)


def opened_run(folder: Path) -> RunDirectory:
    root = folder / "runs"
    root.mkdir()
    return create_run(root, "cut_over", {})


def test_equal_databases_pass_and_the_run_keeps_what_was_found(tmp_path: Path, pair: Pair) -> None:
    run = opened_run(tmp_path)
    done = play(tmp_path, pair, data_integrity_run=str(run.path), data_integrity_step="compare")
    assert done.returncode == 0, done.output
    assert (done.answer["changed"], done.answer["equal"], done.answer["rows"]) == (False, True, 600)
    assert "the same: " in done.output
    kept = run.path / "comparison.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    document = json.loads(kept.read_text())
    assert (document["cells"], document["number"]) == (done.answer["cells"], 0)
    assert run.facts("compare")["cells"] == document["cells"]


def test_a_difference_fails_the_play_and_shows_no_secret(tmp_path: Path, pair: Pair) -> None:
    key, password = a_secret(pair)
    planted = f"{password}-planted"
    pair.sql(
        f"UPDATE users SET password = '{planted}' WHERE id = '{key}'",
        f"UPDATE users SET first_name = 'Mallory' WHERE id = '{key}'",
    )
    run = opened_run(tmp_path)
    failed = play(tmp_path, pair, "-vvvv", data_integrity_run=str(run.path), data_integrity_step="compare")
    assert failed.returncode != 0
    message = failed.answer["msg"]
    assert message.startswith("the target does not hold what the source gives (not the same: ")
    assert f"users id={key}: first_name is '" in message
    assert "and 'Mallory' in the target" in message
    assert f"users id={key}: password is {len(password)} characters, hmac:" in message
    assert failed.answer["details"]["number"] == 2
    everything = failed.output + json.dumps(failed.answer)
    everything += "".join(path.read_text() for path in run.path.rglob("*") if path.is_file())
    assert "Mallory" in everything
    assert password not in everything
    assert planted not in everything
    assert json.loads((run.path / "comparison.json").read_text())["later_rows"] == 1


def test_differences_are_returned_when_asked_in_check_mode_too(tmp_path: Path, pair: Pair) -> None:
    pair.sql("UPDATE users SET first_name = 'Mallory' WHERE email = (SELECT min(email) FROM users)")
    run = opened_run(tmp_path)
    done = play(tmp_path, pair, "--check", data_integrity_report_only=True, data_integrity_run=str(run.path))
    assert (done.returncode, done.answer["equal"], done.answer["later_rows"]) == (0, False, 1)
    assert not (run.path / "comparison.json").exists()
    assert done.answer["later_writes"] == {"users": {"added": 0, "changed": 1, "removed": 0}}


def test_a_way_back_names_the_rows_that_it_leaves_beside_those_that_it_counts(tmp_path: Path, pair: Pair) -> None:
    token = "INSERT INTO migration_canary (token) VALUES (gen_random_uuid())"
    pair.sql("UPDATE users SET first_name = 'Mallory' WHERE email = (SELECT min(email) FROM users)", token)
    variables = {
        "__rollback_backup": {"path": str(pair.source)},
        "__rollback_running": False,
        "rollback_profile": str(CONTRALOCK),
        "migration_run_directory": "",
    }
    done = play(tmp_path, pair, part=("rollback", "count"), rollback_discard_rows=0, **variables)
    said = " ".join(done.answer["msg"].split())
    assert said.startswith("PostgreSQL has 1 row that differs from the backup of the cut-over (users: 0 added, 1 ch")
    assert said.endswith(
        "Going back loses it: to say that you know, run again with -e rollback_discard_rows=1. Uncounted in that,"
        " because they are never carried, these stay in PostgreSQL: migration_canary (1 row)."
    )
    # And where nothing is refused they are named all the same.
    pair.sql(token)
    done = play(tmp_path, pair, part=("rollback", "count"), rollback_discard_rows=1, **variables)
    assert done.returncode == 0, done.output
    assert "never carried: migration_canary has 2 rows in the target, a way back leaves them there: " in done.output


def test_what_is_missing_is_told(tmp_path: Path, pair: Pair) -> None:
    absent = play(tmp_path, pair, data_integrity_source="/nowhere/source.sqlite")
    assert "data_integrity_source is /nowhere/source.sqlite, and there is no such file" in absent.answer["msg"]
    bare = play(tmp_path, pair, "--check", data_integrity_python="/nowhere/python")
    assert bare.returncode == 0, bare.output
    assert "/nowhere/python is not there yet, so nothing can be compared." in bare.output


def test_ansible_doc_reads_the_documentation() -> None:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / "collections")}
    command = [BINARIES / "ansible-doc", "--json", "contralock.database.data_integrity"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    documented = json.loads(done.stdout)["contralock.database.data_integrity"]
    assert documented["examples"]
    assert documented["return"]
    assert set(documented["doc"]["options"]) >= {"target", "source", "mapping", "run"}
