"""The sample source against its target: equal, and then each cell of a kind planted wrong."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import compare
from ansible_collections.contralock.database.plugins.module_utils.catalog import Catalog, Column
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
    LaterWrites,
    as_lines,
    later_writes,
    raise_unless_equal,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan
from ansible_collections.contralock.database.plugins.module_utils.sample_source import (
    Form,
    Order,
    Ticker,
    write_source,
)

from tests.integration.comparison.loaded_target import (
    CONTRALOCK,
    UNRECORDED,
    Pair,
    contralock_mapping,
    run_files,
    told,
)
from tests.throwaway_cluster import Database


def test_equal_databases_are_equal(pair: Pair) -> None:
    found = pair.compare()
    assert found.differences == ()
    assert (found.equal, found.number, found.catalog_faults) == (True, 0, ())
    # What the profile leaves out on purpose is no loss: indexes that another one begins with.
    assert found.notes == (UNRECORDED,)
    plan = pair.plan()
    assert {table.table: table.source_rows for table in found.tables} == {
        table.target: table.source.rows for table in plan.tables
    }
    assert found.rows == sum(table.target_rows for table in found.tables) == 600
    columns = {table.target: len(table.columns) for table in plan.tables}
    assert {table.table: table.cells for table in found.tables} == {
        table.table: table.source_rows * columns[table.table] for table in found.tables
    }


#: What changes a value of a type, and what stands in for NULL.
SPOILT = {
    "uuid": ("gen_random_uuid()", "gen_random_uuid()"),
    "varchar": ("{} || ' '", "''"),
    "text": ("{} || ' '", "''"),
    "bool": ("NOT {}", "false"),
    "int4": ("{} + 1", "0"),
    "int8": ("{} + 1", "0"),
    "numeric": ("{} - 0.01", "0"),
    "timestamptz": ("{} + interval '1 ms'", "now()"),
    "jsonb": ("jsonb_build_array({})", "'null'"),
}
#: Commands that lift what would keep a test from planting a fault.
LIFTED = """
DO $$ DECLARE k record;
BEGIN
  FOR k IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
            WHERE contype IN ('f', 'c') AND connamespace = 'public'::regnamespace
  LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', k.t, k.conname); END LOOP;
END $$"""


def quoted(name: str) -> str:
    return f'"{name}"'


def spoilt(column: Column, catalog: Catalog) -> str:
    name = quoted(column.name)
    labels = {enum.name: enum.labels for enum in catalog.enums}.get(column.type_name)
    if labels:
        following = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
        cases = " ".join(f"WHEN '{label}' THEN '{other}'" for label, other in following.items())
        return f"(CASE {name}::text {cases} ELSE '{labels[0]}' END)::{column.type}"
    change, instead = SPOILT[column.type_name]
    return f"CASE WHEN {name} IS NULL THEN {instead} ELSE {change.format(name)} END"


def without(plan: Plan, columns: Collection[tuple[str, str]]) -> Plan:
    """The plan as it is, but for some columns of the target's tables."""
    tables = [
        replace(table, columns=tuple(each for each in table.columns if (table.target, each.target.name) not in columns))
        for table in plan.tables
    ]
    return replace(plan, tables=tuple(tables))


def test_no_column_is_left_out(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell of every column of every table, each found in its place, and nothing else.

    A comparison that passes over some columns misses what is planted in them, and that alone.
    """
    plan = pair.plan()
    expected = set()
    changes = [LIFTED]
    for table in plan.tables:
        assert table.key == ("id",)
        carried = [column.target for column in table.columns if column.target.name != "id"]
        by_default = [column for column in plan.catalog.columns_of(table.target) if column.name in table.defaulted]
        with psycopg.connect(pair.target) as connection:
            keys = [str(key) for (key,) in connection.execute(f"SELECT id FROM {table.target} ORDER BY id LIMIT 3")]
        for number, column in enumerate([*carried, *by_default]):
            key = keys[number % len(keys)]
            value = spoilt(column, plan.catalog)
            changes.append(f"UPDATE {table.target} SET {quoted(column.name)} = {value} WHERE id = '{key}'")
            expected.add((table.target, f"id={key}", column.name, "differs"))
    pair.sql(*changes)
    found = pair.compare(limit=10_000)
    assert sorted(told(found.differences)) == sorted(expected)
    assert found.number == len(expected)
    assert found.number >= 180
    for half in (0, 1):
        left_out = {(table.target, each.target.name) for table in plan.tables for each in table.columns[half::2]}
        left_out -= {(table.target, "id") for table in plan.tables}
        monkeypatch.setattr(compare, "make_plan", lambda *_, those=left_out: without(plan, those))
        noticed = told(pair.compare(limit=10_000).differences)
        assert sorted(noticed) == sorted(each for each in expected if (each[0], each[2]) not in left_out)
        assert len(left_out) > 60


def test_the_first_are_described_and_all_are_counted(pair: Pair) -> None:
    pair.sql(LIFTED, "UPDATE messages SET content = content || '!', read_at = now()", "DELETE FROM notifications")
    found = pair.compare(limit=7)
    assert len(found.differences) == 7
    tables = {table.table: table for table in found.tables}
    messages, notifications = tables["messages"], tables["notifications"]
    assert (messages.differing, messages.changed) == (2 * messages.source_rows, messages.source_rows)
    assert (notifications.missing, notifications.target_rows) == (notifications.source_rows, 0)
    assert found.number == messages.differing + notifications.missing
    assert as_lines(found)[-2:] == [
        f"... and {found.number - 7} more",
        f"not the same: {found.cells:,} cells in 600 rows of 12 tables, {found.number:,} differences,"
        f" in {found.seconds:.1f} s",
    ]


def test_later_writes_are_counted_by_table(pair: Pair) -> None:
    pair.sql(
        LIFTED,
        "INSERT INTO notifications SELECT (n).* FROM (SELECT json_populate_record(t, json_build_object('id',"
        " gen_random_uuid())) AS n FROM notifications t LIMIT 3) AS copies",
        "UPDATE notifications SET read = NOT read, title = title || '!' WHERE id IN"
        " (SELECT id FROM notifications WHERE created_at < now() ORDER BY created_at LIMIT 1)",
        "DELETE FROM wallets WHERE id = (SELECT min(id::text)::uuid FROM wallets)",
        "UPDATE users SET status = 'suspended' WHERE id IN (SELECT id FROM users WHERE status <> 'suspended' LIMIT 2)",
    )
    assert later_writes(pair.compare()) == {
        "notifications": LaterWrites(added=3, changed=1, removed=0),
        "users": LaterWrites(added=0, changed=2, removed=0),
        "wallets": LaterWrites(added=0, changed=0, removed=1),
    }


def test_the_catalog_is_held_against_the_expected_one(pair: Pair) -> None:
    expected = pair.plan().catalog.description
    assert pair.compare(expected=expected).equal
    pair.sql(
        "ALTER TABLE users ALTER first_name DROP NOT NULL",
        "DROP INDEX idx_users_role",
        "ALTER TABLE wallets DROP CONSTRAINT wallets_user_id_fkey",
        "ALTER TABLE wallets ADD CONSTRAINT wallets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID",
    )
    found = pair.compare(expected=expected)
    assert not found.equal
    assert found.number == 0
    unproven, *others = found.catalog_faults
    assert unproven == "constraint public.wallets.wallets_user_id_fkey: is not validated"
    assert [fault.split(":")[0] for fault in others] == [
        "column public.users.first_name",
        "constraint public.wallets.wallets_user_id_fkey",
        "index public.users.idx_users_role",
    ]
    assert pair.compare().catalog_faults == (unproven,)
    with pytest.raises(MigrationError, match="4 faults in the catalog"):
        raise_unless_equal(found)


@pytest.mark.parametrize("form", [Form.PLAN, Form.LONGLIVED])
def test_other_forms_of_the_source(form: Form, tmp_path: Path, database: Database) -> None:
    path = tmp_path / "source.sqlite"
    write_source(Order(path, 200, 3, form, False), Ticker(sys.stderr, quiet=True))
    run_files(database.conninfo, sorted((CONTRALOCK / "schema").glob("*.up.sql")))
    loader = Pair(
        path, f"{database.superuser_conninfo} options='-c session_replication_role=replica'", contralock_mapping()
    )
    loader.load()
    pair = Pair(path, database.conninfo, contralock_mapping())
    found = pair.compare()
    assert (found.differences, found.notes, len(found.tables)) == ((), (UNRECORDED,), 12)
    assert found.equal
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("UPDATE messages SET content = content || '.' WHERE id = (SELECT id FROM messages LIMIT 1)")
    assert pair.compare().number == 1
