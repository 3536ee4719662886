"""What does not fit is found before anything is loaded, with its place, its value and the mend."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.findings import (
    Examination,
    Finding,
    RuleCount,
    TableExaminer,
    examine,
)
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_reader import read_table

Planned = Callable[..., tuple[sqlite3.Connection, Plan]]
Examined = Callable[..., Examination]

GOOD = "00000000-0000-4000-8000-00000000000"


@pytest.fixture
def examined(planned: Planned) -> Examined:
    return lambda *scripts, **document: examine(*planned(*scripts, **document))


def one(examination: Examination) -> Finding:
    (finding,) = examination.findings
    assert not examination.ready
    assert finding.mend
    return finding


def rules(table: str, **columns: Any) -> dict[str, Any]:
    return {table: {"columns": columns}}


def test_a_clean_source_is_ready(examined: Examined) -> None:
    sqlite = "CREATE TABLE t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)"
    found = examined(sqlite, "CREATE TABLE t (a int PRIMARY KEY)")
    assert (found.ready, found.findings, found.rule_counts, found.rows, found.notes) == (True, (), (), {"t": 2}, ())
    assert found.duration_seconds > 0
    found.raise_unless_ready()


def test_an_empty_source_is_ready(examined: Examined) -> None:
    sqlite = "CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER)"
    postgresql = "CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE REFERENCES t)"
    assert (examined(sqlite, postgresql).ready, examined(sqlite, postgresql).rows) == (True, {"t": 0})


def test_a_misfit_is_named_with_key_value_reason_and_mend(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE Things (k TEXT PRIMARY KEY, howMany INTEGER);"
        "INSERT INTO Things VALUES ('a', 1), ('b', 'many'), ('c', 3), ('d', 'few')",
        "CREATE TABLE things (k text PRIMARY KEY, how_many integer)",
        naming="snake_case",
    )
    finding = one(found)
    assert (finding.table, finding.column, finding.target) == ("Things", "howMany", "things.how_many")
    assert (finding.count, finding.keys, finding.shown) == (2, ("b", "d"), "'many'")
    assert str(finding) == "Things.howMany at b and 1 more, value 'many': text in a whole-number column"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("'5'", "'5'"),
        ("5.5", "5.5"),
        ("x'00ff'", "x'00ff'"),
        ("'a' || char(10, 27) || 'b'", r"'a\n\x1bb'"),
        ("CAST(x'ff' AS TEXT)", r"'\xff'"),
        (f"'{'x' * 200}'", f"'{'x' * 80}...'"),
        ("zeroblob(1000)", f"x'{'0' * 80}...'"),
    ],
)
def test_values_are_shown_as_they_are_stored(examined: Examined, stored: str, shown: str) -> None:
    found = examined(f"CREATE TABLE t (a); INSERT INTO t VALUES ({stored})", "CREATE TABLE t (a boolean)")
    assert one(found).shown == shown


def test_of_a_secret_only_the_length_is_shown(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (k TEXT PRIMARY KEY, token INTEGER); INSERT INTO t VALUES ('Sésame', 'hunter2')",
        "CREATE TABLE t (k text PRIMARY KEY, token int)",
        tables=rules("t", token={"sensitive": True}, k={"sensitive": True}),
    )
    assert (one(found).shown, one(found).keys) == ("length 7", ("length 6",))
    with pytest.raises(MigrationError) as refused:
        found.raise_unless_ready()
    told = f"{refused.value} {refused.value.details}"
    assert "hunter2" not in told
    assert "Sésame" not in told


def test_secrets_stay_hidden_in_findings_between_rows(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (k TEXT, p TEXT); INSERT INTO t VALUES ('hunter2', 'hunter3'), ('hunter2', NULL)",
        "CREATE TABLE t (k text PRIMARY KEY, p text REFERENCES t)",
        tables=rules("t", k={"sensitive": True}, p={"sensitive": True}),
    )
    assert [finding.shown for finding in found.findings] == ["length 7", "length 7"]
    assert "hunter" not in str(found)


@pytest.mark.parametrize(
    ("sqlite", "postgresql", "keys"),
    [
        ("t (a, b, v, PRIMARY KEY (b, a)); INSERT INTO t VALUES (1, 'x', 'bad')", "PRIMARY KEY (a, b)", ("(1, x)",)),
        ("t (a, b, v); INSERT INTO t VALUES (1, 'x', 5), (1, 'x', 'bad')", "CHECK (true)", ("row 2",)),
    ],
)
def test_keys_of_every_kind_lead_to_the_row(examined: Examined, sqlite: str, postgresql: str, keys: tuple[str]) -> None:
    assert one(examined(f"CREATE TABLE {sqlite}", f"CREATE TABLE t (a int, b text, v int, {postgresql})")).keys == keys


COUNTED = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT"


def test_all_are_counted_and_ten_are_listed_over_all_batches(examined: Examined) -> None:
    finding = one(
        examined(
            f"CREATE TABLE t (k INTEGER PRIMARY KEY, v); {COUNTED} i, iif(i % 100 = 7 OR i > 990, 'bad', 1) FROM n",
            "CREATE TABLE t (k int PRIMARY KEY, v int)",
        )
    )
    assert finding.count == 20
    assert finding.keys == ("7", "107", "207", "307", "407", "507", "607", "707", "807", "907")


def test_rows_without_a_key_are_counted_over_all_batches(examined: Examined) -> None:
    found = examined(f"CREATE TABLE t (v); {COUNTED} iif(i = 777, 'bad', 1) FROM n", "CREATE TABLE t (v int)")
    assert one(found).keys == ("row 777",)


@pytest.mark.parametrize("constraint", ["NOT NULL", "PRIMARY KEY"])
def test_null_where_it_may_not_be_is_found(examined: Examined, constraint: str) -> None:
    found = examined(
        "CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES ('a'), (NULL), (NULL)",
        f"CREATE TABLE t (k text PRIMARY KEY {constraint.removeprefix('PRIMARY KEY')})",
    )
    finding = one(found)
    assert (finding.reason, finding.shown, finding.count) == ("NULL in a column that is NOT NULL", "NULL", 2)
    assert finding.keys == ("NULL", "NULL")
    assert "tables.t.columns.k" in finding.mend


def test_a_rule_that_makes_null_of_a_value_is_held_against_not_null(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, ''), (2, 'x')",
        "CREATE TABLE t (k int PRIMARY KEY, v text NOT NULL)",
        tables=rules("t", v={"rules": ["empty_text_as_null"]}),
    )
    assert (one(found).reason, one(found).shown) == ("NULL in a column that is NOT NULL", "''")


def test_what_rules_change_is_counted(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE Users (k INTEGER PRIMARY KEY, eMail TEXT);"
        "INSERT INTO Users VALUES (1, ' A@x '), (2, 'b@x'), (3, 'C@x'), (4, NULL)",
        "CREATE TABLE users (k int PRIMARY KEY, e_mail text)",
        naming="snake_case",
        tables=rules("users", e_mail={"rules": ["lower", "trim", "empty_text_as_null"]}),
    )
    assert found.ready
    assert found.rule_counts == (RuleCount("users", "e_mail", "lower", 2), RuleCount("users", "e_mail", "trim", 1))


@pytest.mark.parametrize(
    ("values", "postgresql", "keys", "shown"),
    [
        ("(1, 'a'), (2, 'A'), (3, 'b')", "v text UNIQUE", ("1", "2"), "a"),
        ("(1, 'a'), (2, 'A'), (3, 'b')", "v varchar(5), CONSTRAINT c UNIQUE (v, v2)", (), None),
        ("(1, NULL), (2, NULL), (3, 'b')", "v text UNIQUE", (), None),
        ("(1, NULL), (2, NULL), (3, 'b')", "v text UNIQUE NULLS NOT DISTINCT", ("1", "2"), "NULL"),
    ],
)
def test_what_should_be_unique_and_is_not_is_found(
    examined: Examined, values: str, postgresql: str, keys: tuple[str, ...], shown: str | None
) -> None:
    found = examined(
        f"CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT, v2 TEXT); INSERT INTO t (k, v) VALUES {values}",
        f"CREATE TABLE t (k int PRIMARY KEY, v2 text, {postgresql})",
        tables=rules("t", v={"rules": ["lower"]}),
    )
    assert [(finding.keys, finding.shown) for finding in found.findings] == ([(keys, shown)] if keys else [])


def test_a_key_that_occurs_twice_is_found_and_a_quoted_name_too(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (\"from\" TEXT, b INTEGER); INSERT INTO t VALUES ('a', 1), ('b', 1), ('a', 1), ('a', 2)",
        'CREATE TABLE t ("from" text, b int, PRIMARY KEY ("from", b))',
    )
    finding = one(found)
    assert (finding.column, finding.keys, finding.shown, finding.count) == ("from, b", ("(a, 1)",) * 2, "(a, 1)", 2)


def test_uuids_in_two_spellings_are_one_key(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES ('0000abcd-0000-4000-8000-000000000001'),"
        "('0000ABCD-0000-4000-8000-000000000001')",
        "CREATE TABLE t (k uuid PRIMARY KEY)",
    )
    assert one(found).count == 2


def test_what_only_postgresql_can_decide_waits_for_it(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (a TEXT, b TEXT); INSERT INTO t VALUES ('x', 'y'), ('X', 'y')",
        "CREATE TABLE t (a text, b text, CONSTRAINT long CHECK (length(a) > 3));"
        "CREATE UNIQUE INDEX folded ON t (lower(a)); CREATE UNIQUE INDEX part ON t (b) WHERE a = 'z'",
    )
    assert [each.name for each in found.waiting] == ["folded", "long", "part"]
    assert found.ready


def test_a_row_that_breaks_a_check_is_found(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE Wallets (k INTEGER PRIMARY KEY, cents INTEGER, kind TEXT);"
        f"{COUNTED.replace('INTO t', 'INTO Wallets')}"
        " i, iif(i IN (300, 500, 700), -i, i), iif(i = 500, 'loan', 'cash') FROM n",
        "CREATE TABLE wallets (k int PRIMARY KEY, cents int, kind text, CHECK (cents >= 0 OR kind = 'loan'))",
        naming="snake_case",
    )
    finding = one(found)
    assert (finding.table, finding.column, finding.target) == ("Wallets", "cents, kind", "wallets.cents, kind")
    assert (finding.keys, finding.count, finding.shown) == (("300", "700"), 2, "(-300, cash)")
    assert finding.reason == "against CHECK (((cents >= 0) OR (kind = 'loan'::text)))"
    assert found.waiting == ()


def test_of_a_secret_that_breaks_a_check_the_length_is_shown(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (k TEXT, pin INTEGER); INSERT INTO t VALUES ('a', 123)",
        "CREATE TABLE t (k text, pin int CHECK (pin > 1000))",
        tables=rules("t", pin={"sensitive": True}),
    )
    assert (one(found).shown, one(found).keys) == ("length 3", ("row 1",))


def test_what_a_collation_of_ones_own_calls_equal_is_left_to_postgresql(examined: Examined) -> None:
    loose = "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
    found = examined(
        "CREATE TABLE p (a TEXT PRIMARY KEY, b TEXT, c TEXT); INSERT INTO p VALUES ('a', 'x', 'A'), ('b', 'X', 'a')",
        f"{loose} CREATE TABLE p (a text COLLATE loose, b text, c text COLLATE loose, CONSTRAINT k PRIMARY KEY (a),"
        " CONSTRAINT f FOREIGN KEY (c) REFERENCES p); CREATE UNIQUE INDEX u ON p (b COLLATE loose)",
    )
    assert (found.findings, [each.name for each in found.waiting]) == ((), ["f", "k", "u"])


def test_postgresqls_own_collations_are_exact(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (a TEXT, b TEXT); INSERT INTO t VALUES ('a', 'x'), ('A', 'x')",
        'CREATE TABLE t (a text COLLATE "C" PRIMARY KEY, b text); CREATE UNIQUE INDEX u ON t (b COLLATE "POSIX")',
    )
    assert (one(found).column, found.waiting) == ("b", ())


def test_rows_of_nulls_and_values_of_megabytes_are_taken(examined: Examined) -> None:
    types = "int int, f double precision, n numeric(5,2), b boolean, t text, u uuid, z timestamptz(3), j jsonb, y bytea"
    names = [each.split()[0] for each in types.split(", ")]
    found = examined(
        f"CREATE TABLE t (k INTEGER PRIMARY KEY, {', '.join(names)});"
        "INSERT INTO t (k) VALUES (1), (2);"
        "INSERT INTO t (k, t, y, j)"
        " SELECT 3, hex(v), v, json_quote(hex(v)) FROM (SELECT zeroblob(5000000) AS v)",
        f"CREATE TABLE t (k int PRIMARY KEY, {types})",
    )
    assert (found.ready, found.rows) == (True, {"t": 3})


PARENTS = "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);"


def test_a_row_without_its_parent_is_found(examined: Examined) -> None:
    found = examined(
        f"{PARENTS} CREATE TABLE c (k TEXT PRIMARY KEY, parentId INTEGER);"
        "INSERT INTO c VALUES ('x', 1), ('y', 3), ('z', NULL), ('w', 4)",
        "CREATE TABLE p (id bigint PRIMARY KEY); CREATE TABLE c (k text PRIMARY KEY, parent_id int REFERENCES p)",
        naming="snake_case",
    )
    finding = one(found)
    assert (finding.table, finding.column, finding.reason) == ("c", "parentId", "refers to no row of p (id)")
    assert (finding.keys, finding.shown, finding.count) == (("y", "w"), "3", 2)


def test_references_over_several_columns_and_to_the_own_table_are_followed(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE t (a TEXT, b INTEGER, pa TEXT, pb INTEGER, PRIMARY KEY (a, b));"
        "INSERT INTO t VALUES ('x', 1, 'x', 1), ('x', 2, 'x', 3), ('y', 1, 'y', NULL), ('y', 2, 'x', 2)",
        "CREATE TABLE t (a text, b int, pa text, pb int, PRIMARY KEY (a, b), FOREIGN KEY (pa, pb) REFERENCES t)",
    )
    assert (one(found).column, one(found).keys, one(found).shown) == ("pa, pb", ("(x, 2)",), "(x, 3)")


def test_cycles_of_references_are_followed(examined: Examined) -> None:
    found = examined(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, p INTEGER); CREATE TABLE b (id INTEGER PRIMARY KEY, p INTEGER);"
        "INSERT INTO a VALUES (1, 5); INSERT INTO b VALUES (5, 1), (6, 2)",
        "CREATE TABLE a (id int PRIMARY KEY, p int); CREATE TABLE b (id int PRIMARY KEY, p int REFERENCES a);"
        "ALTER TABLE a ADD FOREIGN KEY (p) REFERENCES b",
    )
    assert (one(found).table, one(found).keys) == ("b", ("6",))


UUIDS = {"key": {"type": "uuid", "otherwise": "other_keys"}}
OTHER_KEYS = """
    CREATE TABLE p (id TEXT PRIMARY KEY); INSERT INTO p VALUES ('user-1');
    CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT, other TEXT);
"""
UUID_KEYS = (
    "CREATE TABLE p (id uuid PRIMARY KEY); CREATE TABLE c (id uuid PRIMARY KEY, p uuid REFERENCES p, other uuid)"
)


def test_keys_that_are_no_uuids_name_the_profile_for_them(examined: Examined) -> None:
    row = f"INSERT INTO c VALUES ('{GOOD}1', 'user-1', 'user-1')"
    found = examined(OTHER_KEYS + row, UUID_KEYS, **UUIDS)
    named = {finding.target for finding in found.findings if "'other_keys'" in finding.mend}
    assert named == {"p.id", "c.p"}
    assert {finding.target for finding in found.findings} == {"p.id", "c.p", "c.other"}
    with pytest.raises(MigrationError) as refused:
        found.raise_unless_ready()
    assert refused.value.mend == "Use the profile 'other_keys', which takes keys that are no UUIDs"


def test_without_such_a_profile_the_conversions_mend_stands(examined: Examined) -> None:
    finding = one(examined(OTHER_KEYS, UUID_KEYS))
    assert not finding.mend.startswith("Use the profile")


def test_the_refusal_says_it_all_for_ten_kinds(examined: Examined) -> None:
    names = [f"c{number:02}" for number in range(12)]
    found = examined(
        f"CREATE TABLE t (k INTEGER PRIMARY KEY, {', '.join(names)});"
        f"INSERT INTO t VALUES (7, {', '.join(['x' + repr('00')] * 12)}), (8, {', '.join(['1'] * 11)}, 'y')",
        f"CREATE TABLE t (k int PRIMARY KEY, {', '.join(f'{name} int' for name in names)})",
    )
    with pytest.raises(MigrationError) as refused:
        found.raise_unless_ready()
    lines = refused.value.fact.splitlines()
    assert lines[0] == "13 values of the source do not fit the target:"
    assert lines[1] == "- t.c00 at 7, value x'00': binary data in a whole-number column"
    assert (len(lines), lines[11]) == (12, "- and 3 more kinds, with 3 of them")
    assert refused.value.details["count"] == 13
    assert len(refused.value.details["findings"]) == 13


def test_one_finding_fits_into_one_sentence(examined: Examined) -> None:
    found = examined("CREATE TABLE t (a); INSERT INTO t VALUES ('x')", "CREATE TABLE t (a int)")
    fact = "1 value of the source does not fit the target: t.a at row 1, value 'x': text in a whole-number column"
    with pytest.raises(MigrationError) as refused:
        found.raise_unless_ready()
    assert refused.value.fact == fact


def test_progress_tells_rows_of_rows(planned: Planned) -> None:
    seen: list[tuple[str, int, int]] = []
    source, plan = planned(f"CREATE TABLE t (v); {COUNTED} i FROM n", "CREATE TABLE t (v int)")
    examine(source, plan, lambda *step: seen.append(step))
    assert seen == [("t", 0, 1000), ("t", 256, 1000), ("t", 1000, 1000)]


def test_all_tables_are_read_as_they_were_at_one_moment(planned: Planned, tmp_path: Any) -> None:
    script = "PRAGMA journal_mode = WAL; CREATE TABLE a (v); CREATE TABLE b (v); INSERT INTO a VALUES (1)"
    _, plan = planned(script, "CREATE TABLE a (v int); CREATE TABLE b (v int)")

    def write(table: str, *_: int) -> None:
        with closing(sqlite3.connect(tmp_path / "source.sqlite", isolation_level=None)) as writer:
            writer.execute("INSERT INTO b VALUES (2)")

    with closing(open_source(tmp_path / "source.sqlite")) as reader:
        assert examine(reader, plan, write).rows == {"a": 1, "b": 0}
        assert not reader.in_transaction
        assert examine(reader, plan).rows == {"a": 1, "b": 3}


def test_batches_can_be_examined_one_by_one(planned: Planned) -> None:
    source, plan = planned("CREATE TABLE t (v); INSERT INTO t VALUES (1), ('x'), (3)", "CREATE TABLE t (v int)")
    examiner = TableExaminer(plan.tables[0])
    converted = [examiner.add(batch) for batch in read_table(source, "t", ["v"], batch_rows=1)]
    assert [values[0].to_pylist() for values in converted] == [[1], [None], [3]]
    assert (examiner.rows, [finding.keys for finding in examiner.findings]) == (3, [("row 2",)])
