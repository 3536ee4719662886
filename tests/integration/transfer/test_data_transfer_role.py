"""The role, the action plugin and the module, run for real by ansible-playbook."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.earlier_load import empty, mend, settled_catalog
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory, create_run
from ansible_collections.contralock.database.plugins.module_utils.target_restore import record_file
from ansible_collections.contralock.database.plugins.module_utils.target_state import row_counts
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer
from ansible_collections.contralock.database.plugins.module_utils.transfer_step import Request, check, load

from tests.integration.profile.contralock_target import PROFILE
from tests.integration.transfer.transfer_server import ROWS, SECRET, begun, both_engines, fake_pgloader
from tests.playbooks import keep, role
from tests.playbooks import play as play_tasks
from tests.unit.run.pages import page_of, parsed, row_of

USER = """INSERT INTO users (email, password, first_name, last_name, role)
          VALUES ('x@example.org', 'x', 'A', 'B', 'client')"""


@dataclass(frozen=True)
class Played:
    """What the role left, and everything that ansible-playbook printed."""

    returncode: int
    answer: dict[str, Any] = field(default_factory=dict)
    output: str = ""


def play(folder: Path, order: Transfer, *options: str, tasks_from: str = "main", **variables: object) -> Played:
    """Run a part of the role; see ``play_parts``."""
    (played,) = play_parts(folder, order, [(tasks_from, variables)], *options)
    return played


def play_parts(
    folder: Path, order: Transfer, parts: Sequence[tuple[str, Mapping[str, object]]], *options: str
) -> list[Played]:
    """Run parts of the role in one playbook, each with variables of its own; a failure's answer is the failed task's.

    What is printed is told of all together.
    """
    tasks: list[dict[str, Any]] = []
    answers = [folder / f"answer_{number}.json" for number in range(len(parts))]
    for (tasks_from, variables), answer in zip(parts, answers, strict=True):
        answer.unlink(missing_ok=True)
        failed = [
            keep(answer, "ansible_failed_result"),
            {"ansible.builtin.set_fact": {"failures": "{{ failures | default(0) | int + 1 }}"}},
        ]
        block = [role("data_transfer", tasks_from, **variables), keep(answer, "data_transfer_result")]
        tasks.append({"block": block, "rescue": failed})
    tasks.append({"ansible.builtin.assert": {"that": "failures is undefined", "fail_msg": "failed as it should"}})
    given = {
        "data_transfer_source": str(order.source),
        "data_transfer_profile": str(PROFILE),
        "data_transfer_root": str(order.scratch),
        "data_transfer_engine": order.engine,
        "migration_toolkit_target": order.target,
        "migration_toolkit_pgloader_versions": list(order.accepted_versions),
    }
    done = play_tasks(folder, tasks, "-vvv", *options, **given)
    output = done.stdout + done.stderr
    assert SECRET not in output
    assert "P@55" not in output
    found = [json.loads(answer.read_text()) if answer.exists() else {} for answer in answers]
    return [Played(done.returncode, answer, output) for answer in found]


def rows(order: Transfer, owner: Connection) -> int:
    return sum(row_counts(owner, "public", order.tables).values())


@both_engines
def test_check_load_and_back_within_a_run(order: Transfer, owner: Connection, tmp_path: Path) -> None:
    run = create_run(order.scratch, "cut_over", {})
    for step in ("preflight", "stop", "fence", "back_up"):
        run.record(step, "done")
    checked = play(tmp_path, order, "--check")
    assert (checked.returncode, checked.answer["rows"], checked.answer["earlier_rows"]) == (0, ROWS, 0), checked.output
    assert rows(order, owner) == 0

    within_run = {"data_transfer_run": str(run.path), "data_transfer_step": "transfer"}
    loaded, emptied, again = play_parts(tmp_path, order, [("main", within_run), ("empty", {}), ("empty", {})])
    assert loaded.returncode == 0, loaded.output
    assert (loaded.answer["changed"], loaded.answer["rows"]) == (True, ROWS)
    assert loaded.answer["catalog"] == dict(order.plan.catalog.description)
    standing = RunDirectory.at(run.path).standings()["transfer"]
    assert (standing.state, standing.facts["rows"], len(standing.facts["tables"])) == ("done", ROWS, len(order.tables))
    assert {each["rule"] for each in standing.facts["rules"]} >= {"lower"}
    assert standing.facts["engine"].startswith(f"{order.engine} ")
    assert standing.facts["rows_per_second"] > 0
    assert_the_page_tells_each_table(run, order)

    # Counted on the server, before and after.
    assert (emptied.answer["changed"], emptied.answer["rows"]) == (True, ROWS), emptied.output
    assert again.answer["changed"] is False, again.output
    assert rows(order, owner) == 0
    assert sorted(path.name for path in order.scratch.iterdir() if path.name.startswith("target-")) == []


def assert_the_page_tells_each_table(run: RunDirectory, order: Transfer) -> None:
    """Rows as SQLite counts them, bytes near those of the cells' texts, and rows by seconds."""
    page = parsed(page_of(run))
    with closing(sqlite3.connect(order.source)) as source:
        for table in order.plan.tables:
            texts = " + ".join(f'coalesce(length(CAST("{name}" AS BLOB)), 0)' for name in table.source_columns)
            query = f'SELECT count(*), sum({texts}) FROM "{table.source.name}"'
            ((rows, size),) = source.execute(query).fetchall()
            _, told, told_size, seconds, rate, *_ = row_of(page, table.target)
            assert told == str(rows)
            number, unit = told_size.split()
            assert size / 2 < float(number) * {"B": 1, "KiB": 1024}[unit] < size * 2
            # Both are rounded, and a small table's time may be nothing.
            took = float(seconds)
            shown = int(rate.replace(",", "")) if rate else 0
            assert rows / (took + 0.006) - 1 < shown < rows / max(took - 0.006, 0.0001) + 1 or took == 0


def test_a_failure_is_told_and_journalled(
    order: Transfer, owner: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(order.scratch, "cut_over", {})
    fake_pgloader(tmp_path, "exit 9", monkeypatch)
    failed = play(tmp_path, order, data_transfer_run=str(run.path), data_transfer_step="transfer")
    assert failed.returncode
    assert "pgloader failed with exit code 9" in failed.answer["msg"]
    standing = RunDirectory.at(run.path).standings()["transfer"]
    assert standing.state == "failed"
    assert rows(order, owner) == 0


#: What is wrong -> what is said.
REFUSED: list[tuple[dict[str, object], str]] = [
    ({"data_transfer_python": "/nowhere/python"}, "Run playbooks/prepare.yml"),
    ({"data_transfer_time_limit": 0}, "Give seconds"),
]


def test_the_preflight_refuses(order: Transfer, tmp_path: Path) -> None:
    refused = play_parts(tmp_path, order, [("main", variables) for variables, _ in REFUSED])
    for each, (_, words) in zip(refused, REFUSED, strict=True):
        assert each.returncode
        assert words in each.answer["msg"]


@pytest.fixture
def request_of(order: Transfer) -> Request:
    mapping = load_profile(PROFILE).mapping
    return Request(order.target, mapping, order.scratch, "public", order.scratch / "scratch")


def test_rows_of_nobodys_load_are_left_alone(request_of: Request, order: Transfer, owner: Connection) -> None:
    assert not empty(request_of).changed
    owner.execute(USER)
    for refused in (lambda: empty(request_of), lambda: empty(request_of, check_only=True)):
        with pytest.raises(MigrationError, match=r"no load of .* put them there \(users\)"):
            refused()
    with pytest.raises(MigrationError, match="this run did not load"):
        check(request_of, order.source)
    assert check(replace(request_of, discard_rows=True), order.source).rows == ROWS
    assert rows(order, owner) == 1


@pytest.mark.usefixtures("quick_pgloader")
def test_a_killed_load_is_no_obstacle_to_a_check_or_the_next_load(
    request_of: Request, order: Transfer, owner: Connection
) -> None:
    begun(order, owner).write(record_file(owner, order.scratch))
    owner.execute(USER)
    owner.execute("ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey")
    assert check(request_of, order.source).earlier_rows == 1
    assert empty(request_of, check_only=True).rows == {"users": 1}
    assert rows(order, owner) == 1
    # Whoever plans by the target's schema sees it as it is going to be.
    assert settled_catalog(owner, order.scratch, "public").description == order.plan.catalog.description
    loaded = load(request_of, order.source)
    assert loaded.report.rows == ROWS
    assert loaded.catalog == order.plan.catalog.description


@pytest.mark.usefixtures("quick_pgloader")
def test_only_a_load_that_was_not_finished_is_mended(
    request_of: Request, order: Transfer, owner: Connection, tmp_path: Path
) -> None:
    assert not mend(request_of).changed
    begun(order, owner).write(record_file(owner, order.scratch))
    owner.execute(USER)
    owner.execute("ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey")
    would = mend(request_of, check_only=True)
    assert (would.changed, would.rows, rows(order, owner)) == (True, {"users": 1}, 1)
    assert any("wallets_user_id_fkey" in each for each in would.objects)
    settled = play(tmp_path, order, tasks_from="settle")
    assert (settled.returncode, settled.answer["changed"], settled.answer["rows"]) == (0, True, 1), settled.output
    assert rows(order, owner) == 0
    assert snapshot(owner, "public").description == order.plan.catalog.description
    load(request_of, order.source)
    assert not mend(request_of).changed
    assert not mend(request_of, check_only=True).changed
    assert rows(order, owner) == ROWS


@pytest.mark.usefixtures("quick_pgloader")
def test_a_way_back_that_is_done_gives_the_rows_up(request_of: Request, order: Transfer, owner: Connection) -> None:
    cut_over = create_run(order.scratch, "cut_over", {})
    of_run = replace(request_of, label=cut_over.id)
    load(of_run, order.source)
    owner.execute("UPDATE users SET bio = 'later'")
    for refused in (lambda: check(request_of, order.source), lambda: load(request_of, order.source)):
        with pytest.raises(MigrationError, match="rows have changed"):
            refused()
    with pytest.raises(MigrationError, match="rows have changed"):
        empty(request_of)
    # From before the switch; without a server that could be asked; with all that is there counted.
    for facts in ({"flipped": False}, {"flipped": True, "without_target": True}, {"flipped": True}):
        way_back = create_run(order.scratch, "roll_back", {})
        way_back.record("examine", "done", facts)
        with pytest.raises(MigrationError, match="rows have changed"):
            check(request_of, order.source)
        way_back.record("close", "done", {"outcome": "done"})
        if facts != {"flipped": True}:
            with pytest.raises(MigrationError, match="rows have changed"):
                check(request_of, order.source)
    assert check(request_of, order.source).earlier_rows == ROWS
    assert empty(request_of).changed
    assert rows(order, owner) == 0
