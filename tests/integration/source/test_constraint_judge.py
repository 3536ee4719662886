"""What an assessment cannot judge itself PostgreSQL judges, on rows that it has for a moment only."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options, assess_file
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import (
    Assessment,
    Verdict,
    as_document,
    as_lines,
)
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.constraint_judge import judge_constraints
from ansible_collections.contralock.database.plugins.module_utils.finding_cells import Finding
from ansible_collections.contralock.database.plugins.module_utils.findings import examine_file
from ansible_collections.contralock.database.plugins.module_utils.plan import make_plan
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema

from tests.integration.source.conftest import mapping
from tests.throwaway_cluster import Database

SCHEMA = """
CREATE FUNCTION alone(t text) RETURNS boolean IMMUTABLE LANGUAGE sql RETURN t <> 'two';
CREATE TABLE people (
    id int PRIMARY KEY, email text CONSTRAINT short CHECK (length(email) < 20), pin text,
    bio text, code text, age int, tags text[] CONSTRAINT tagged UNIQUE, kind text DEFAULT 'person', born date,
    CONSTRAINT pinned CHECK (char_length(pin) = 4), CONSTRAINT known CHECK (alone(email)),
    CONSTRAINT ratio CHECK (10 / age >= 0), CONSTRAINT kinds CHECK (length(kind) > 3),
    CONSTRAINT days EXCLUDE USING btree (born WITH =));
CREATE UNIQUE INDEX folded ON people (lower(email));
CREATE UNIQUE INDEX of_grown_ups ON people (pin) WHERE age >= 18;
CREATE INDEX lives ON people (bio); CREATE INDEX codes ON people ((code::int));
CREATE TABLE "odd ""1"" one" (id int PRIMARY KEY, "wert" text);
CREATE UNIQUE INDEX "o'dd" ON "odd ""1"" one" (upper("wert")) INCLUDE (id);
"""
#: One of each that fits: folding meets no other, the pins of those under 18 do.
ROWS = """
CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, pin TEXT, age INTEGER, tags TEXT, born TEXT,
    bio TEXT, code TEXT);
INSERT INTO people (id, email, pin, age, tags, born) VALUES (1, 'a@x', '1111', 20, '["a"]', '2001-01-01'),
    (2, 'b@x', '1111', 17, '["b"]', '2001-01-02'), (3, NULL, NULL, NULL, NULL, NULL), (4, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE "odd ""1"" one" (id INTEGER PRIMARY KEY, wert TEXT); INSERT INTO "odd ""1"" one" VALUES (1, 'ä'), (2, 'b');
"""
TABLES = {"people": {"columns": {"kind": {"when_absent": "target_default"}, "pin": {"sensitive": True}}}}


@pytest.fixture
def target(database: Database) -> str:
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(SCHEMA.encode())
    return database.conninfo


def assess(tmp_path: Path, target: str, script: str, **document: Any) -> Assessment:
    path = tmp_path / "source.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(ROWS + script)
    entries = {"tables": TABLES, **document}
    given = mapping(**{name: entry for name, entry in entries.items() if entry})
    # pgloader cannot spell all of these names.
    return assess_file(path, target, given, Options(tmp_path, engine="arrow"), lambda *_: None)


def one(found: Assessment) -> Finding:
    (finding,) = found.findings
    assert found.verdict is Verdict.NOT_READY
    assert found.unjudged == ()
    return finding


def test_what_fits_is_ready_and_nothing_stays(tmp_path: Path, target: str) -> None:
    found = assess(tmp_path, target, "")
    assert (found.verdict, found.findings, found.unjudged) == (Verdict.READY, (), ())
    with psycopg.connect(target) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'").fetchone() == (0,)


def test_the_targets_tables_are_neither_locked_nor_waited_for(tmp_path: Path, target: str) -> None:
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{ROWS} UPDATE people SET email = 'two' WHERE id = 2")
    with connect(target, "test") as asking, psycopg.connect(target) as other:
        with closing(open_source(path)) as source:
            plan = make_plan(mapping(tables=TABLES), read_schema(source), snapshot(asking))
        waiting = examine_file(path, plan).waiting
        other.execute('LOCK TABLE people, "odd ""1"" one" IN ACCESS EXCLUSIVE MODE')
        asking.execute("SET statement_timeout = '5s'")
        judged = judge_constraints(asking, path, plan, waiting)
    assert [each.keys for each in judged.findings] == [("2",)]
    assert len(waiting) == 11


@pytest.mark.parametrize(
    ("script", "columns", "keys", "reason"),
    [
        # SQLite's lower() leaves Ä as it is.
        ("INSERT INTO people (id, email) VALUES (5, 'Ärger'), (6, 'ärger')", "email", "5 6", "(lower(email)"),
        ("INSERT INTO people (id, email) VALUES (5, 'much too long for this')", "email", "5", "(length(email) < 20)"),
        ("UPDATE people SET age = 18 WHERE id = 2", "age, pin", "1 2", "(pin) among the rows with (age >= 18)"),
        ("INSERT INTO people (id, email) VALUES (5, 'two')", "email", "5", "against CHECK (public.alone(email))"),
        # No B-tree takes more than 2,704 bytes that cannot be compressed; unique or not.
        ("INSERT INTO people (id, bio) VALUES (5, hex(randomblob(4000))), (6, 'b')", "bio", "5", "index row size"),
        (
            "INSERT INTO people (id, code) VALUES (5, '12'), (6, 'x')",
            "code",
            "6",
            "cannot compute: Database error 22P02",
        ),
        ("INSERT INTO people (id, tags) VALUES (5, '[\"a\"]')", "tags", "1 5", "wants each once (tags)"),
        ("UPDATE people SET born = '2001-01-01'", "born", "", "exclusion constraint"),
        ("INSERT INTO people (id, age) VALUES (5, 0), (6, 0)", "age", "5", "cannot compute: Database error 22012"),
        ('UPDATE "odd ""1"" one" SET wert = \'B\' WHERE id = 1', "id, wert", "1 2", "wants each once (upper(wert))"),
    ],
)
def test_what_would_be_refused_is_named_with_its_key(  # noqa: PLR0917 (a case has that many sides)
    tmp_path: Path, target: str, script: str, columns: str, keys: str, reason: str
) -> None:
    finding = one(assess(tmp_path, target, script))
    assert (finding.column, finding.keys) == (columns, tuple(keys.split()) or ("a row that PostgreSQL does not name",))
    assert finding.count == max(1, len(keys.split()))
    assert reason in finding.reason
    assert finding.mend


def test_a_default_that_breaks_a_check_and_a_secret(tmp_path: Path, target: str) -> None:
    """The column is not in the source; the pin's length is told, and no more."""
    with psycopg.connect(target) as connection:
        connection.execute("ALTER TABLE people ALTER kind SET DEFAULT 'me'")
    assert one(assess(tmp_path, target, "")).target == "people.kind"
    with psycopg.connect(target) as connection:
        connection.execute("ALTER TABLE people ALTER kind SET DEFAULT 'mine'")
    found = assess(tmp_path, target, "UPDATE people SET pin = '98765' WHERE id = 2")
    assert (one(found).shown, one(found).keys) == ("length 5", ("2",))
    assert "98765" not in str(as_document(found))


def test_a_cell_that_does_not_fit_is_found_once(tmp_path: Path, target: str) -> None:
    """Its row is no row of PostgreSQL's: a check that wants a value would be broken by the missing one."""
    with psycopg.connect(target) as connection:
        connection.execute("ALTER TABLE people ADD CHECK (num_nulls(age) = 0 OR id IN (3, 4))")
    found = assess(tmp_path, target, "UPDATE people SET age = 'old' WHERE id = 2")
    assert [each.shown for each in found.findings] == ["'old'"]


def test_what_only_the_load_can_tell_is_said_beside_ready(tmp_path: Path, target: str) -> None:
    with psycopg.connect(target) as connection:
        connection.execute(
            "CREATE FUNCTION few() RETURNS boolean STABLE LANGUAGE sql RETURN (SELECT count(*) < 3 FROM people);"
            "ALTER TABLE people ADD CONSTRAINT not_many CHECK (few());"
            "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER acts BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION act();"
            "CREATE SEQUENCE counted; CREATE FUNCTION counts(t text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql"
            " AS 'BEGIN RETURN nextval(''public.counted'') > 0; END';"
            "ALTER TABLE people ADD CONSTRAINT sly CHECK (counts(pin));"
            "ALTER TABLE people ADD number serial, ADD CONSTRAINT low CHECK (number % 2 < 9)"
        )
    absent = {"when_absent": "target_default"}
    columns = {"kind": absent, "number": absent, "pin": {"sensitive": True}}
    found = assess(tmp_path, target, "", tables={"people": {"columns": columns}})
    assert found.verdict is Verdict.READY
    assert {each.object: each.why for each in found.unjudged} == {
        "constraint public.people.not_many": "it calls public.few(), which may look at more than the row",
        "constraint public.people.low": "it looks at number, which the source does not fill",
        "constraint public.people.sly": "PostgreSQL could not be asked (Database error 25006: cannot execute"
        " nextval() in a read-only transaction)",
        "trigger public.people.acts": "it acts on each row that is loaded",
    }
    assert list(as_lines(found))[-1].startswith("ready, but for 4 things that only the load will tell")
    assert [each["object"] for each in as_document(found)["unjudged"]] == [each.object for each in found.unjudged]
    with psycopg.connect(target) as connection:
        for sequence in ("people_number_seq", "counted"):
            assert connection.execute(f"SELECT is_called FROM {sequence}".encode()).fetchone() == (False,)


def test_an_event_trigger_that_a_load_fires_is_named(tmp_path: Path, target: str, database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION ''not in business hours''; END';"
            "CREATE EVENT TRIGGER others ON ddl_command_start WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION refuse();"
            "CREATE EVENT TRIGGER of_rewrites ON table_rewrite EXECUTE FUNCTION refuse();"
            "CREATE EVENT TRIGGER off ON ddl_command_end EXECUTE FUNCTION refuse(); ALTER EVENT TRIGGER off DISABLE;"
            "CREATE EVENT TRIGGER drops ON sql_drop WHEN TAG IN ('DROP INDEX') EXECUTE FUNCTION refuse();"
            "CREATE EVENT TRIGGER all_of_it ON ddl_command_start EXECUTE FUNCTION refuse()"
        )
    found = assess(tmp_path, target, "")
    said = {each.object: each.why for each in found.unjudged}
    why = "it acts when a load takes keys and indexes away and builds them again"
    triggers = {name: each for name, each in said.items() if name.startswith("event trigger")}
    assert triggers == {"event trigger all_of_it": why, "event trigger drops": why}
    # Neither is a row accused of what the trigger refuses.
    assert (found.verdict, found.findings) == (Verdict.READY, ())
    assert "not in business hours" in said["constraint public.people.short"]


def test_a_role_that_may_make_no_temporary_table_is_told_so(tmp_path: Path, target: str, database: Database) -> None:
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as connection:
        owner = psycopg.conninfo.conninfo_to_dict(target)["user"]
        name = connection.info.dbname
        connection.execute(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC, "{owner}"'.encode())
    found = assess(tmp_path, target, "")
    assert found.verdict is Verdict.READY
    assert len(found.unjudged) == 11
    assert all("permission denied to create temporary tables" in each.why for each in found.unjudged)


COMPUTING = """DROP TABLE people; DROP TABLE "odd ""1"" one";
    CREATE TABLE g (id int PRIMARY KEY, i bigint, r double precision, later bigint GENERATED ALWAYS AS (i * 4) STORED,
        said text GENERATED ALWAYS AS (r || 'x') STORED, twice bigint GENERATED ALWAYS AS (i * 2) STORED,
        doc json GENERATED ALWAYS AS (i::text::json) STORED)"""
COMPUTED = """DROP TABLE people; DROP TABLE "odd ""1"" one";
    CREATE TABLE g (id INTEGER PRIMARY KEY, i INTEGER, r REAL, said TEXT AS (r || 'x'), twice INTEGER AS (i * 2) STORED,
        doc JSON AS (CAST(i AS TEXT)));
    INSERT INTO g (id, i, r) VALUES (1, 5, 0.5), (2, NULL, NULL);"""
SECRET = {"g": {"columns": {"later": {"sensitive": True}}}}
BY_POSTGRESQL = {"g": dict.fromkeys(("said", "twice", "doc"), "PostgreSQL computes it")}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("", []),
        # SQLite writes a whole REAL as 2.0, PostgreSQL as 2.
        (
            "INSERT INTO g (id, r) VALUES (3, 2.0)",
            ["g.r, said at 3, value (2.0, 2.0x): against the computed column said"],
        ),
        (
            "INSERT INTO g (id, i) VALUES (3, 3000000000000000000)",
            ["g.i at 3, value 3000000000000000000: against the computed column later, which PostgreSQL "],
        ),
        # 9.2e18 is no bigint: SQLite goes on with a REAL.
        (
            "INSERT INTO g (id, i) VALUES (3, 4611686018427387904)",
            ["which PostgreSQL cannot compute: Database error 22003: bigint out of range"] * 2,
        ),
    ],
)
def test_what_postgresql_computes_is_held_against_what_sqlite_does(
    tmp_path: Path, target: str, script: str, told: list[str]
) -> None:
    with psycopg.connect(target) as connection:
        connection.execute(COMPUTING.encode())
    found = assess(tmp_path, target, COMPUTED + script, tables=SECRET, left_behind={"columns": BY_POSTGRESQL})
    assert found.unjudged == ()
    assert len(found.findings) == len(told)
    for finding, expected in zip(found.findings, told, strict=True):
        assert expected in str(finding)
        assert (finding.keys, finding.count) == (("3",), 1)


@pytest.mark.parametrize("beside", ["", ", whole TEXT AS (one || two) STORED"])
def test_a_computed_column_that_is_not_null_gets_no_null(tmp_path: Path, target: str, beside: str) -> None:
    """SQLite computes NULL of it, too, or has no such column."""
    with psycopg.connect(target) as connection:
        connection.execute(
            """DROP TABLE people; DROP TABLE "odd ""1"" one"; CREATE TABLE g (id int PRIMARY KEY, one text, two text,
            whole text NOT NULL GENERATED ALWAYS AS (one || two) STORED)"""
        )
    script = f"""DROP TABLE people; DROP TABLE "odd ""1"" one";
        CREATE TABLE g (id INTEGER PRIMARY KEY, one TEXT, two TEXT{beside}); INSERT INTO g (id, one, two) VALUES"""
    left = {"left_behind": {"columns": {"g": {"whole": "PostgreSQL computes it"}}}}
    finding = one(assess(tmp_path, target, f"{script} (1, 'a', 'b'), (2, 'a', NULL)", **left, tables=None))
    assert (finding.keys, finding.target) == (("2",), "g.whole")
    assert finding.reason == "against the computed column whole: PostgreSQL computes NULL, and it is NOT NULL"
    assert assess(tmp_path, target, f"{script} (1, 'a', 'b')", **left, tables=None).verdict is Verdict.READY


#: Hexadecimal digits hardly compress.
@pytest.mark.parametrize(
    ("column", "index", "value"),
    [
        ("text[]", "USING gin (v)", "json_array('a', hex(randomblob(2500)))"),
        ("text[]", "(v)", "json_array(hex(randomblob(2500)))"),
        ("bigint[]", "(v)", f"'{[7**number % 10**18 for number in range(600)]}'"),
        ("text", "USING brin (v)", "hex(randomblob(9000))"),
    ],
)
def test_a_value_that_is_too_long_for_an_index_is_named(
    tmp_path: Path, target: str, column: str, index: str, value: str
) -> None:
    with psycopg.connect(target) as connection:
        connection.execute(
            f"""DROP TABLE people; DROP TABLE "odd ""1"" one"; CREATE TABLE l (id int PRIMARY KEY, v {column});
            CREATE INDEX i ON l {index}""".encode()
        )
    script = f"""DROP TABLE people; DROP TABLE "odd ""1"" one";
        CREATE TABLE l (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO l VALUES (1, NULL), (2, {value})"""
    finding = one(assess(tmp_path, target, script, tables=None))
    assert (finding.keys, finding.target) == (("2",), "l.v")
    assert "exceeds" in finding.reason


def test_whether_a_partition_takes_each_row_is_not_judged(tmp_path: Path, target: str) -> None:
    with psycopg.connect(target) as connection:
        connection.execute(
            """DROP TABLE people; DROP TABLE "odd ""1"" one"; CREATE SCHEMA parts;
            CREATE TABLE events (year int) PARTITION BY RANGE (year);
            CREATE TABLE parts.new PARTITION OF events FOR VALUES FROM (2020) TO (2030)"""
        )
    script = """DROP TABLE people; DROP TABLE "odd ""1"" one"; CREATE TABLE events (year INTEGER);
        INSERT INTO events VALUES (2019)"""
    found = assess(tmp_path, target, script, tables=None)
    assert [str(each) for each in found.unjudged] == [
        "table public.events: whether its partitions take each of its rows, the load alone tells"
    ]


#: 8,160 bytes are 24 of the row's head, 4 of the key with as many after it, and 1,016 numbers of 8 bytes.
@pytest.mark.parametrize(("columns", "refused"), [(1016, False), (1017, True)])
def test_a_row_that_is_too_wide_for_a_page_is_named(tmp_path: Path, target: str, columns: int, refused: bool) -> None:
    names = [f"c{number}" for number in range(columns)]
    with psycopg.connect(target) as connection:
        connection.execute(f"""DROP TABLE people; DROP TABLE "odd ""1"" one";
            CREATE TABLE w (id int PRIMARY KEY, {", ".join(f"{name} bigint" for name in names)})""")
    sparse, wide = ", ".join(["NULL"] * columns), ", ".join(["1099511627776"] * columns)
    script = f"""DROP TABLE people; DROP TABLE "odd ""1"" one";
        CREATE TABLE w (id INTEGER PRIMARY KEY, {", ".join(f"{name} INTEGER" for name in names)});
        INSERT INTO w VALUES (1, {sparse}), (2, {sparse}), (3, {wide}), (4, {sparse}), (5, {wide})"""
    found = assess(tmp_path, target, script, tables={"w": {"columns": {"c0": {"sensitive": True}}}})
    assert found.unjudged == ()
    if refused:
        (finding,) = found.findings
        assert (finding.table, finding.keys) == ("w", ("3",))
        assert "against the room of a page: Database error 54000: row is too big: size 8168" in str(finding)
    else:
        assert found.findings == ()
