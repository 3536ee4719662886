"""Whatever a server, a database or a role prescribes for its sessions, a load sets what it relies on, or is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import pgloader
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options as Assessing
from ansible_collections.contralock.database.plugins.module_utils.assessment import assess_file
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import Verdict
from ansible_collections.contralock.database.plugins.module_utils.catalog import difference, snapshot
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.earlier_load import empty
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile
from ansible_collections.contralock.database.plugins.module_utils.target_state import row_counts
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer
from ansible_collections.contralock.database.plugins.module_utils.transfer_step import Request, check, load
from psycopg import sql

from tests.integration.profile.contralock_target import PROFILE
from tests.integration.transfer.transfer_server import (
    OWNER,
    ROWS,
    Target,
    assert_empty_and_whole,
    both_engines,
    plant,
    replanned,
)

#: Setting -> what is prescribed, and what each session has to have that loads; None where it is of no account.
PRESCRIBED: Mapping[str, tuple[str, str | None]] = {
    "statement_timeout": ("20s", "0"),
    "lock_timeout": ("20s", "0"),
    "idle_in_transaction_session_timeout": ("20s", "0"),
    "idle_session_timeout": ("20s", "0"),
    "standard_conforming_strings": ("off", "on"),
    "array_nulls": ("off", "on"),
    "DateStyle": ("SQL, DMY", "ISO, DMY"),
    "client_min_messages": ("error", "notice"),
    "synchronous_commit": ("off", "on"),
    "client_encoding": ("latin1", "UTF8"),
    "default_tablespace": ("pg_default", ""),
    "search_path": ("nowhere", None),
    "session_replication_role": ("replica", None),
    "row_security": ("off", None),
    "TimeZone": ("Asia/Tokyo", None),
    "IntervalStyle": ("iso_8601", None),
    "default_transaction_isolation": ("serializable", None),
    "default_transaction_deferrable": ("on", None),
    "extra_float_digits": ("-15", None),
    "bytea_output": ("escape", None),
    "escape_string_warning": ("on", None),
}
WRONG = "the session that loads has"


def prescribe(target: Target, settings: Mapping[str, str]) -> None:
    with psycopg.connect(target.administrator, autocommit=True) as administrator:
        for name, value in settings.items():
            setting = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} TO {}")
            who = (sql.Identifier(OWNER), sql.Identifier(target.name))
            administrator.execute(setting.format(*who, sql.Identifier(name), sql.Literal(value)))


@pytest.fixture
def asking(order: Transfer, owner: Connection, target: Target) -> Transfer:
    """A target in which each row that is loaded asks its session for its settings."""
    wanted = {name: wanted for name, (_, wanted) in PRESCRIBED.items() if wanted is not None}
    found = " || ".join(
        f"CASE WHEN current_setting('{name}') <> '{value}' THEN ' {name} ' || current_setting('{name}') ELSE '' END"
        for name, value in wanted.items()
    )
    owner.execute(
        f"""CREATE FUNCTION asked() RETURNS boolean LANGUAGE plpgsql AS $$
            DECLARE wrong text := {found};
            BEGIN
                IF wrong <> '' THEN RAISE '{WRONG}%', wrong; END IF;
                RETURN true;
            END $$""".encode()
    )
    owner.execute("ALTER TABLE users ADD CONSTRAINT asking CHECK (asked()) NOT VALID")
    owner.execute("ALTER TABLE users VALIDATE CONSTRAINT asking")
    planned = replanned(order, owner)
    prescribe(target, {name: given for name, (given, _) in PRESCRIBED.items()})
    return planned


@both_engines
def test_each_session_of_a_load_has_what_it_relies_on(asking: Transfer, owner: Connection) -> None:
    assert transfer(asking).rows == ROWS
    assert difference(asking.plan.catalog.description, snapshot(owner).description) == []
    found = compare_file(asking.source, asking.target, load_profile(PROFILE).mapping, Options(b"key"))
    assert found.equal


@both_engines
def test_a_load_that_fails_is_taken_back_whatever_is_prescribed(asking: Transfer, owner: Connection) -> None:
    plant(asking, "UPDATE notifications SET userId = '00000000-0000-4000-8000-00000000dead' WHERE rowid = 4")
    with pytest.raises(MigrationError, match=r"notifications\.userId"):
        transfer(asking)
    # Here the server refuses, in the midst of it.
    plant(asking, "UPDATE notifications SET userId = (SELECT _id FROM users) WHERE rowid = 4")
    owner.execute("ALTER TABLE wallets ADD CONSTRAINT odd CHECK (md5(id::text || balance) < '1')")
    order = replanned(asking, owner)
    with pytest.raises(MigrationError, match=r"wallets\._id, balance at .*: against CHECK"):
        transfer(order)
    assert_empty_and_whole(order, owner)


def test_a_server_that_talks_too_much_for_pgloader_is_refused_first(order: Transfer, target: Target) -> None:
    prescribe(target, {"client_min_messages": "debug2"})
    with pytest.raises(MigrationError, match=r"client_min_messages = debug2, and pgloader .* or take the engine arrow"):
        transfer(order)
    assert transfer(replace(order, engine="arrow")).rows == ROWS


READ_ONLY = "may not write: default_transaction_read_only is on"


@pytest.fixture
def request_of(order: Transfer, tmp_path: Path) -> Request:
    mapping = load_profile(PROFILE).mapping
    return Request(order.target, mapping, tmp_path, "public", order.scratch, engine=order.engine)


@both_engines
def test_a_database_that_is_read_only_is_refused_before_anything_goes(
    order: Transfer, request_of: Request, owner: Connection, target: Target
) -> None:
    load(replace(request_of, engine="arrow"), order.source)
    prescribe(target, {"default_transaction_read_only": "on"})
    words = rf"{READ_ONLY} \(database user\).*ALTER ROLE \"{OWNER}\" IN DATABASE \"{target.name}\" RESET"
    for verb in (check, load):
        with pytest.raises(MigrationError, match=words):
            verb(request_of, order.source)
    with pytest.raises(MigrationError, match=words):
        transfer(order)
    with pytest.raises(MigrationError, match=words):
        empty(request_of)
    options = Assessing(request_of.root)
    found = assess_file(order.source, order.target, request_of.mapping, options, lambda *_: None)
    assert found.verdict is Verdict.NOT_READY
    (obstacle,) = found.obstacles
    assert READ_ONLY in obstacle.fact
    assert sum(row_counts(owner, "public", order.tables).values()) == ROWS


@both_engines
def test_a_database_that_becomes_read_only_in_the_midst_of_a_load_is_empty_and_whole(
    order: Transfer, owner: Connection, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgloader, "TICK_SECONDS", 0.0)

    def fill_the_disk(said: Mapping[str, Any]) -> None:
        if said["line"].startswith("load: "):
            prescribe(target, {"default_transaction_read_only": "on"})

    # The server refuses pgloader's next session; when it has all of them already, our own next one is refused.
    words = {"arrow": READ_ONLY, "pgloader": f"25006.*Let the target's sessions write again|{READ_ONLY}"}[order.engine]
    with pytest.raises(MigrationError, match=words) as refusal:
        transfer(order, fill_the_disk)
    assert "not empty and whole" not in str(refusal.value)
    assert_empty_and_whole(order, owner)
