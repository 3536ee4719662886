"""Whose load the target holds, asked of the target: one load at a time, and an outdated record moves nothing."""

from __future__ import annotations

import contextlib
import getpass
import platform
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psycopg
import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils import load_mark
from ansible_collections.contralock.database.plugins.module_utils import transfer as transfer_module
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options as Assessing
from ansible_collections.contralock.database.plugins.module_utils.assessment import assess_file
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import Verdict
from ansible_collections.contralock.database.plugins.module_utils.catalog import difference, snapshot
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection, connect
from ansible_collections.contralock.database.plugins.module_utils.deferred_objects import find_deferred, take_away
from ansible_collections.contralock.database.plugins.module_utils.earlier_load import (
    EarlierLoad,
    empty,
    mend,
    settled_catalog,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.load_mark import (
    SCHEMA,
    one_load,
    set_mark,
    unfinished_load,
)
from ansible_collections.contralock.database.plugins.module_utils.pgloader import TESTED_VERSIONS
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request as Schema
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import ask, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes
from ansible_collections.contralock.database.plugins.module_utils.schema_history import add_record
from ansible_collections.contralock.database.plugins.module_utils.source_file import UnsoundError
from ansible_collections.contralock.database.plugins.module_utils.target_restore import (
    TargetRecord,
    database_oid,
    record_file,
    restore_target,
)
from ansible_collections.contralock.database.plugins.module_utils.target_state import row_counts, target_fingerprint
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from ansible_collections.contralock.database.plugins.module_utils.transfer_step import Request, check, load
from ansible_collections.contralock.database.plugins.modules.data_transfer import load_rows

from tests.integration.profile.contralock_target import PROFILE
from tests.integration.transfer.transfer_server import (
    ROWS,
    Target,
    assert_empty_and_whole,
    begun,
    both_engines,
    plant,
)


@pytest.fixture
def first(order: Transfer, tmp_path: Path) -> Request:
    """What loads from one directory."""
    mapping = load_profile(PROFILE).mapping
    return Request(order.target, mapping, tmp_path, "public", order.scratch, engine="arrow")


@pytest.fixture
def second(first: Request, tmp_path: Path) -> Request:
    """The same from another directory."""
    other = tmp_path / "other"
    other.mkdir()
    return replace(first, root=other)


def test_the_record_of_a_killed_load_moves_no_row_that_another_load_has_put_there(
    first: Request, second: Request, order: Transfer, owner: Connection, target: Target
) -> None:
    # Killed before anything of the target was touched, which is whole, so that another one loads it.
    begun(order, owner).write(record_file(owner, first.root))
    with connect(order.target, "contralock load elsewhere") as left_over:
        assert load(second, order.source).report.rows == ROWS
        with pytest.raises(psycopg.OperationalError):
            left_over.execute("SELECT 1")
    owner.execute("UPDATE users SET bio = 'written by the application'")
    before = target_fingerprint(owner, "public", order.tables)

    refused = "holds rows that this run did not load"
    for verb in (lambda: check(first, order.source), lambda: load(first, order.source)):
        with pytest.raises(MigrationError, match=refused):
            verb()
    # The load has thrown the record away, which was of no use any more. Now the other one is at it again, and killed.
    outdated = order.record_of(database_oid(owner))
    outdated.write(record_file(owner, first.root))
    begun(order, owner)
    with pytest.raises(MigrationError, match=refused):
        restore_target(order.target, outdated)
    for check_only in (True, False):
        with pytest.raises(MigrationError, match=r"no load of .* put them there"):
            empty(first, check_only=check_only)
        assert not mend(first, check_only=check_only).changed
    assert target_fingerprint(owner, "public", order.tables) == before
    # Nor does it say what the schema has to be.
    owner.execute("CREATE INDEX later ON users (first_name)")
    assert settled_catalog(owner, first.root, "public") == snapshot(owner)


def test_a_load_that_was_killed_before_its_mark_has_left_nothing(
    first: Request, order: Transfer, owner: Connection
) -> None:
    order.record_of(database_oid(owner)).write(record_file(owner, first.root))
    assert check(first, order.source).earlier_rows == 0
    assert load(first, order.source).report.rows == ROWS


def test_the_mark_is_there_while_rows_go_in_and_nothing_of_it_afterwards(order: Transfer, owner: Connection) -> None:
    order = replace(order, engine="arrow")
    asked = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
    seen: list[tuple[str, object]] = []
    transfer(order, lambda said: seen.append((said["line"][:13], owner.execute(asked, [SCHEMA]).fetchone())))
    (marks,) = {mark for line, mark in seen if line.startswith("load: ")}
    assert str(marks).startswith("('contralock load ")
    assert owner.execute(asked, [SCHEMA]).fetchone() is None


def test_a_load_that_lost_the_server_when_all_was_done_is_nowhere_half_a_load(
    first: Request, second: Request, order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise psycopg.OperationalError("the connection is lost")

    with monkeypatch.context() as losing:
        losing.setattr(transfer_module, "clear_mark", lost)
        assert load(first, order.source).report.rows == ROWS
    assert owner.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [SCHEMA]).fetchone() == (1,)
    assert unfinished_load(owner) is None
    with pytest.raises(MigrationError, match=r"^the target holds rows that this run did not load"):
        check(second, order.source)
    # Nor is it for its own directory; with its rows the mark goes, too.
    assert not mend(first).changed
    assert sum(empty(first).rows.values()) == ROWS
    assert owner.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [SCHEMA]).fetchone() == (0,)


def test_a_second_load_is_refused_and_told_of_the_first(
    first: Request, second: Request, order: Transfer, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_mark, "LOCK_WAIT_SECONDS", 0)
    load(first, order.source)
    before = target_fingerprint(owner, "public", order.tables)
    with one_load(order.target) as holder:
        named = rf"a load, its taking back or a schema change is at work in the target \(pid {holder.info.backend_pid},"
        named += r" application_name 'contralock one load', user contralock_owner, since \d{4}-\d\d-\d\d [\d:]+ UTC\)"
        for request in (first, second):
            for verb in (
                lambda given: load(given, order.source),
                lambda given: check(given, order.source),
                empty,
                mend,
            ):
                with pytest.raises(MigrationError, match=named):
                    verb(request)
        # What a comparison says would be true no more a moment later.
        with pytest.raises(MigrationError, match=named):
            compare_file(order.source, order.target, first.mapping, Options(b"key"))
    with contextlib.ExitStack() as later, pytest.raises(MigrationError, match="at work in the target"):
        begins = [lambda: later.enter_context(one_load(order.target))]
        compare_file(
            order.source, order.target, first.mapping, Options(b"key"), lambda _: begins and begins.pop()() and None
        )
    assert target_fingerprint(owner, "public", order.tables) == before
    # A load that is at work holds it to its end.
    refusals: list[str] = []

    def meanwhile(said: object) -> None:
        with pytest.raises(MigrationError, match="a load, its taking back") as refusal:
            empty(second)
        refusals.append(str(refusal.value))

    load(first, order.source, meanwhile)
    assert refusals
    assert sum(row_counts(owner, "public", order.tables).values()) == ROWS
    assert empty(first).changed
    assert difference(order.plan.catalog.description, snapshot(owner).description) == []


@both_engines
def test_a_source_that_contradicts_itself_is_refused_before_rows_go(
    first: Request, order: Transfer, owner: Connection, engine: str
) -> None:
    load(first, order.source)
    before = target_fingerprint(owner, "public", order.tables)
    plant(
        order,
        "CREATE INDEX torn ON users (email) WHERE rowid <> 2",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX torn ON users (email)' WHERE name = 'torn'",
    )
    request = replace(first, engine=engine)
    for verb in (check, load):
        with pytest.raises(UnsoundError, match="integrity check: row 2 missing from index torn") as refusal:
            verb(request, order.source)
    assert target_fingerprint(owner, "public", order.tables) == before
    found = assess_file(order.source, order.target, first.mapping, Assessing(order.scratch), lambda *_: None)
    assert (refusal.value.fact, refusal.value.mend) in [(each.fact, each.mend) for each in found.obstacles]
    # Of a run's backup that is known: the window does not pay for it again.
    run = order.source.parent
    given = {"engine_versions": TESTED_VERSIONS, "time_limit": 60, "workers": 2, "whole_window": False}
    place = EarlierLoad(**{each.name: getattr(first, each.name) for each in fields(EarlierLoad)})
    for where, known in ((run, True), (run.parent, False)):
        params = {**given, "engine": "arrow", "run": str(where), "source": str(order.source)}
        module = SimpleNamespace(params=params, check_mode=False)
        with contextlib.nullcontext() if known else pytest.raises(UnsoundError):
            load_rows(cast(AnsibleModule, module), place, "test", lambda _: None)


@both_engines
def test_rows_that_somebody_writes_beside_a_load_are_told_as_such(order: Transfer, owner: Connection) -> None:
    user = "INSERT INTO users (email, password, first_name, last_name, role) VALUES ('', '', '', '', 'client')"

    def meanwhile(said: Mapping[str, object]) -> None:
        if str(said["line"]).startswith("load: counting"):
            owner.execute(user)

    with pytest.raises(MigrationError, match=r"^the target holds rows that the load did not write: users 1; ") as told:
        transfer(order, meanwhile)
    who = f"(pid {owner.info.backend_pid}, application_name 'test of the transfer', user contralock_owner)"
    assert told.value.mend.startswith(f"Stop who writes there {who}, and run again")
    assert_empty_and_whole(order, owner)


def test_a_role_that_can_leave_no_mark_is_refused_first(
    first: Request, order: Transfer, owner: Connection, target: Target
) -> None:
    grant = f'GRANT CREATE ON DATABASE "{target.name}" TO "contralock_owner"'
    refused = f"may not mark a load .* schema {SCHEMA}.* {grant}"
    with psycopg.connect(target.administrator, autocommit=True) as administrator:
        administrator.execute(f"CREATE SCHEMA {SCHEMA}")
        with pytest.raises(MigrationError, match=refused):
            load(first, order.source)
        administrator.execute(f"DROP SCHEMA {SCHEMA}; REVOKE CREATE ON DATABASE {target.name} FROM contralock_owner")
        for verb in (check, load):
            with pytest.raises(MigrationError, match=refused):
                verb(first, order.source)
        found = assess_file(order.source, order.target, first.mapping, Assessing(order.scratch), lambda *_: None)
        assert [grant in each.mend for each in found.obstacles] == [True]
        assert not record_file(owner, first.root).exists()
        administrator.execute(grant.encode())
    assert load(first, order.source).report.rows == ROWS


def halved(order: Transfer, owner: Connection, request: Request) -> None:
    """Leave what a load from the request's directory leaves that is killed: keys and a part of the rows are missing."""
    record = replace(order, record=record_file(owner, request.root)).record_of(database_oid(owner))
    record.write(record_file(owner, request.root))
    set_mark(owner, record.mark, request.root)
    take_away(owner, find_deferred(owner, order.plan.catalog, order.tables))
    owner.execute("DELETE FROM messages")


def test_half_a_load_of_another_directory_is_named_by_every_verb(
    first: Request, second: Request, order: Transfer, owner: Connection
) -> None:
    load(first, order.source)
    halved(order, owner, first)
    named = (
        rf"a load from {first.root} on {platform.node()} by {getpass.getuser()}, begun \d{{4}}-\d\d-\d\d [\d:]+ UTC has"
    )
    named += r" not ended, and the target may hold a part of it"
    mend = "Take it back on that host with transfer_data.py --take-back"
    for verb in (lambda: check(second, order.source), lambda: load(second, order.source)):
        with pytest.raises(MigrationError, match=named) as refusal:
            verb()
        assert mend in str(refusal.value)
        assert "another one in the source than in the target" in str(refusal.value)
    found = assess_file(order.source, order.target, first.mapping, Assessing(order.scratch), lambda *_: None)
    assert found.verdict is Verdict.NOT_READY
    assert re.search(named, found.obstacles[0].fact)
    assert mend in found.obstacles[0].mend
    with pytest.raises(MigrationError, match=named):
        compare_file(order.source, order.target, first.mapping, Options(b"key"))
    changes = load_changes(PROFILE / "schema")
    add_record(owner, changes[-1], 1, {}, order.plan.catalog.description)
    for state in ("present", "reverted"):
        for verb_of_schema in (ask, perform):
            with pytest.raises(MigrationError, match=named):
                verb_of_schema(owner, Schema(changes=changes, state=state))
    # Its own directory mends it, of which nothing is said there.
    assert check(first, order.source).earlier_rows
    assert empty(first).changed
    assert check(second, order.source).earlier_rows == 0


def test_the_rows_of_half_a_load_that_a_load_takes_out_are_in_its_report(
    first: Request, order: Transfer, owner: Connection
) -> None:
    load(first, order.source)
    halved(order, owner, first)
    foretold = check(first, order.source).earlier_rows
    assert foretold
    assert load(first, order.source).report.earlier_rows == foretold


def test_rows_of_others_that_go_with_an_earlier_load_s_are_told_together(order: Transfer) -> None:
    order = replace(order, engine="arrow", discard_rows=True)
    transfer(order)
    record = TargetRecord.read(order.record)
    assert record
    # Nothing refers to it, so that it can be emptied alone.
    replace(record, tables=("audit_trails",)).write(order.record)
    assert transfer(order).earlier_rows == ROWS


def test_rows_of_a_load_that_never_ended_are_told_as_such(
    first: Request, second: Request, order: Transfer, owner: Connection
) -> None:
    load(first, order.source)
    set_mark(owner, "killed", first.root)
    with pytest.raises(
        MigrationError, match=rf"a load from {first.root} on (.|\n)*holds rows that this run did not load"
    ):
        check(second, order.source)
    found = assess_file(order.source, order.target, first.mapping, Assessing(order.scratch), lambda *_: None)
    assert found.obstacles[0].fact.startswith(f"a load from {first.root} on ")
    # Its last steps (sequences, ...) are missing, and it is going to be taken back: "the same" would be half the truth.
    with pytest.raises(MigrationError, match=rf"^a load from {first.root} on "):
        compare_file(order.source, order.target, first.mapping, Options(b"key"))
    owner.execute("UPDATE users SET bio = 'another'")
    compared = compare_file(order.source, order.target, first.mapping, Options(b"key"))
    assert not compared.equal
    assert any(note.startswith(f"a load from {first.root} on ") for note in compared.notes)
