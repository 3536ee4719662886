"""The target is brought back from its record alone, whatever killed the load."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.load_mark import is_marked, set_mark
from ansible_collections.contralock.database.plugins.module_utils.target_restore import (
    LOADED,
    TargetRecord,
    assert_untouched,
    clear_earlier,
    database_oid,
    record_file,
    restore_target,
)
from ansible_collections.contralock.database.plugins.module_utils.target_state import grant_connect, row_counts
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.transfer.transfer_server import APPLICATION, ROWS, SECRET, Target, assert_empty_and_whole, begun

ROOT = Path(__file__).parents[3]
NAME = "contralock load test"
USER = """INSERT INTO users (email, password, first_name, last_name, role)
          VALUES ('x@example.org', 'x', 'A', 'B', 'client')"""

#: While these are said the rows of an earlier load still stand in the target.
EARLIER = ("prepare:", "examine:", "load: taking")

CHILD = """
import contextlib, sys
from dataclasses import replace
from pathlib import Path
from ansible_collections.contralock.database.plugins.module_utils import pgloader, session_crew
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.plan import make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from tests.integration.profile.contralock_target import PROFILE

source, target, scratch, record, engine = sys.argv[1:]
pgloader.TICK_SECONDS = session_crew.TICK_SECONDS = 0.0
with connect(target, "child") as owner, contextlib.closing(open_source(Path(source))) as opened:
    plan = make_plan(load_profile(PROFILE).mapping, read_schema(opened), snapshot(owner))
order = Transfer(Path(source), target, plan, Path(scratch), Path(record), "test")
transfer(replace(order, engine=engine), lambda said: print(said["line"], flush=True))
"""


def recorded(order: Transfer) -> TargetRecord:
    record = TargetRecord.read(order.record)
    assert record
    return record


def programs(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and ("pgloader" in command.split(" ")[0] or "stunnel" in command.split(" ")[0]):
            found.append(command)
    return found


@pytest.mark.parametrize(
    ("moment", "engine"),
    [
        ("prepare:", "pgloader"),
        ("load: ", "pgloader"),
        ("load: [1-9]", "pgloader"),
        ("examine:", "arrow"),
        ("load: taking", "arrow"),
        ("load: ", "arrow"),
        ("load: [1-9]", "arrow"),
        ("load: k", "arrow"),
        ("load: c", "arrow"),
    ],
)
def test_a_load_that_is_killed_is_brought_back(
    order: Transfer, owner: Connection, target: Target, scratch: Path, moment: str
) -> None:
    if moment in EARLIER:
        transfer(replace(order, engine="arrow"))
    arguments = [str(order.source), order.target, str(scratch), str(order.record), order.engine]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/collections:{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout
        for line in child.stdout:
            if re.match(moment, line):
                child.send_signal(signal.SIGKILL)
                break
    deadline = time.monotonic() + 10
    while programs(scratch) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert programs(scratch) == [], "the kernel ends what the killed one had started"
    left = [file for file in scratch.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert left == []
    if moment in ("prepare:", "examine:"):
        assert sum(row_counts(owner, "public", order.tables).values()) == ROWS
        assert recorded(order).state == LOADED
    elif moment not in EARLIER:
        restored = restore_target(order.target, recorded(order))
        assert restored.changed or (moment, order.engine) == ("load: ", "pgloader")
        assert not restore_target(order.target, recorded(order)).changed
        assert_empty_and_whole(order, owner)
    # The next attempt needs nobody to clean up.
    assert transfer(replace(order, engine="arrow")).rows == ROWS
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("quick_pgloader")
def test_the_next_attempt_brings_it_back_by_itself(order: Transfer, owner: Connection) -> None:
    begun(order, owner).write(order.record)
    owner.execute(USER)
    owner.execute("ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey")
    with connect(order.target, NAME) as left_over:
        report = transfer(order)
        with pytest.raises(psycopg.OperationalError):
            left_over.execute("SELECT 1")
    assert report.restored_before
    assert report.restored_before.sessions == 1
    assert report.restored_before.rows == {"users": 1}
    assert ["wallets_user_id_fkey" in each for each in report.restored_before.objects] == [True]
    assert report.rows == ROWS


def test_a_record_is_read_as_it_was_written(order: Transfer, owner: Connection) -> None:
    record = order.record_of(database_oid(owner))
    record.write(order.record)
    assert recorded(order) == record
    assert recorded(order).catalog.description == order.plan.catalog.description
    assert order.record.stat().st_mode & 0o777 == 0o600
    assert TargetRecord.read(order.record.with_name("none")) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"tables": 1}', "\x00\x01"])
def test_a_spoilt_record_is_refused(order: Transfer, text: str) -> None:
    order.record.write_text(text)
    with pytest.raises(MigrationError, match="is no record of a target"):
        TargetRecord.read(order.record)


@pytest.mark.usefixtures("quick_pgloader")
def test_rows_that_changed_since_the_load_are_not_thrown_away(order: Transfer, owner: Connection) -> None:
    transfer(order)
    owner.execute("UPDATE users SET bio = 'new' WHERE id = (SELECT min(id::text)::uuid FROM users)")
    with pytest.raises(MigrationError, match=r"rows have changed .*\(users\)") as refusal:
        restore_target(order.target, recorded(order))
    assert "discard" in refusal.value.mend
    assert sum(row_counts(owner, "public", order.tables).values()) == ROWS
    assert sum(restore_target(order.target, recorded(order), discard=True).rows.values()) == ROWS
    assert_empty_and_whole(order, owner)


def test_a_row_that_is_written_while_the_target_is_looked_at_is_not_thrown_away(
    order: Transfer, owner: Connection, target: Target
) -> None:
    transfer(replace(order, engine="arrow"))
    waiting = """SELECT count(*) > 0 FROM pg_locks
                  WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    with psycopg.connect(target.administrator) as other, ThreadPoolExecutor() as pool:
        other.execute(USER)
        restoring = pool.submit(restore_target, order.target, recorded(order))
        while owner.execute(waiting).fetchone() == (False,) and not restoring.done():
            time.sleep(0.05)
        other.commit()
        with pytest.raises(MigrationError, match=r"rows have changed .*\(users\)"):
            restoring.result()
    assert sum(row_counts(owner, "public", order.tables).values()) == ROWS + 1


@pytest.mark.usefixtures("quick_pgloader")
def test_an_application_that_is_connected_keeps_its_rows(order: Transfer, owner: Connection, target: Target) -> None:
    transfer(order)
    grant_connect(owner, APPLICATION)
    with connect(target.server.conninfo(dbname=target.name, user=APPLICATION), "contralock"):
        # It may read, or do nothing at all: it has nothing to lose.
        assert_untouched(owner, recorded(order))
    owner.execute(f"GRANT INSERT ON users TO {APPLICATION}")
    with (
        connect(target.server.conninfo(dbname=target.name, user=APPLICATION), "contralock"),
        pytest.raises(MigrationError, match=rf"other roles are connected to the target \({APPLICATION}\)"),
    ):
        restore_target(order.target, recorded(order))
    assert restore_target(order.target, recorded(order)).changed
    assert_empty_and_whole(order, owner)


def test_a_session_that_holds_a_table_is_told(
    order: Transfer, owner: Connection, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ansible_collections.contralock.database.plugins.module_utils.target_restore.LOCK_WAIT_MILLISECONDS", 200
    )
    monkeypatch.setattr(
        "ansible_collections.contralock.database.plugins.module_utils.target_state.LOCK_WAIT_MILLISECONDS", 200
    )
    record = begun(order, owner)
    owner.execute(USER)
    with psycopg.connect(target.administrator) as other:
        other.execute("LOCK TABLE audit_trails IN ACCESS SHARE MODE")
        with pytest.raises(MigrationError, match="another session has used"):
            restore_target(order.target, record)
    assert restore_target(order.target, record).rows == {"users": 1}
    record = begun(order, owner)
    owner.execute("DROP INDEX idx_users_role")
    with psycopg.connect(target.administrator) as other:
        other.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        with pytest.raises(MigrationError, match=r"could not be emptied and made whole.*lock timeout"):
            restore_target(order.target, record)
    assert restore_target(order.target, record).objects


def test_all_there_is_can_be_put_back_at_once(order: Transfer, owner: Connection) -> None:
    record = begun(order, owner)
    for constraint in [each for each in order.plan.catalog.constraints if each.kind == "foreign key"]:
        owner.execute(f"ALTER TABLE {constraint.table} DROP CONSTRAINT {constraint.name}")
    for constraint in [each for each in order.plan.catalog.constraints if each.kind != "foreign key"]:
        owner.execute(f"ALTER TABLE {constraint.table} DROP CONSTRAINT {constraint.name}")
    for index in snapshot(owner).indexes:
        owner.execute(f"DROP INDEX {index.name}")
    for column in snapshot(owner).columns:
        owner.execute(
            f'ALTER TABLE {column.table} ALTER "{column.name}" DROP NOT NULL, ALTER "{column.name}" DROP DEFAULT'
        )
    restored = restore_target(order.target, record)
    assert len(restored.objects) > 150
    assert not restore_target(order.target, replace(record)).changed
    assert_empty_and_whole(order, owner)


def test_a_finished_load_is_taken_back_without_its_schema(order: Transfer, owner: Connection) -> None:
    record = replace(begun(order, owner), state=LOADED)
    owner.execute("CREATE INDEX later ON users (first_name)")
    assert not restore_target(order.target, record).changed
    owner.execute(USER)
    assert restore_target(order.target, record, discard=True).rows == {"users": 1}
    assert [each.name for each in snapshot(owner).indexes if each.name == "later"] == ["later"]


def test_a_schema_that_is_gone_is_no_server_that_is_down(order: Transfer, owner: Connection) -> None:
    record = begun(order, owner)
    owner.execute("DROP TABLE wallets, users CASCADE")
    with pytest.raises(MigrationError, match=r"whole: relation .* does not exist\. Put back by hand what is missing"):
        restore_target(order.target, record)


def test_a_mark_that_outlived_its_load_goes_with_its_rows(order: Transfer, owner: Connection) -> None:
    """Killed between the record of its end and the mark."""
    transfer(replace(order, engine="arrow"))
    set_mark(owner, recorded(order).mark, order.record.parent)
    assert sum(restore_target(order.target, recorded(order)).rows.values()) == ROWS
    assert not is_marked(owner, recorded(order).mark)


def test_a_record_of_a_database_that_is_gone_does_nothing(order: Transfer, owner: Connection) -> None:
    replace(order.record_of(database_oid(owner)), database=1).write(order.record)
    owner.execute("CREATE INDEX later ON users (first_name)")
    assert clear_earlier(order.target, order.record) is None
    assert not order.record.exists()
    assert [each.name for each in snapshot(owner).indexes if each.name == "later"] == ["later"]


def test_each_target_has_a_record_of_its_own(owner: Connection, target: Target, tmp_path: Path) -> None:
    file = record_file(owner, tmp_path)
    assert file.parent == tmp_path
    with connect(target.server.conninfo(), "test") as other:
        assert record_file(other, tmp_path) != file
    with connect(target.conninfo, "test") as same:
        assert record_file(same, tmp_path) == file
