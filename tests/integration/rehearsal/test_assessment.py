"""A source is assessed from a snapshot or at rest: what is ready, what is not and why; and nothing is left of it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment import (
    FIXED_SECONDS,
    RATES,
    SNAPSHOT,
    Options,
    assess_file,
    assess_running,
    estimated,
)
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import (
    Verdict,
    as_document,
    as_lines,
)
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.findings import raise_findings
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_schema, read_yaml
from ansible_collections.contralock.database.plugins.module_utils.profile import load_profile, parse_mapping
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes
from ansible_collections.contralock.database.plugins.module_utils.transfer_step import Request as Load
from ansible_collections.contralock.database.plugins.module_utils.transfer_step import check, load

PROFILES = Path(__file__).parents[3] / "files" / "profiles"
PROFILE = PROFILES / "contralock"
MAPPING = load_profile(PROFILE).mapping


@pytest.fixture
def target(database):
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        for up in sorted(PROFILE.glob("schema/*.up.sql")):
            connection.execute(up.read_text())
    return database.conninfo


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "data" / "contralock.sqlite"
    path.parent.mkdir()
    write_source(Order(path, rows=600))
    return path


def change(source, *statements):
    with closing(sqlite3.connect(source, isolation_level=None)) as application:
        for statement in statements:
            application.execute(statement)


def assess(source, target, tmp_path, mapping=MAPPING):
    """Both ways, which have to agree."""
    running = assess_running(source, target, mapping, Options(tmp_path), lambda *_: None)
    resting = assess_file(source, target, mapping, Options(tmp_path), lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert running.verdict is resting.verdict
    assert (running.findings, running.obstacles) == (resting.findings, resting.obstacles)
    assert (running.columns, running.rules) == (resting.columns, resting.rules)
    assert running.left_behind == resting.left_behind
    return running


def test_a_source_that_fits_is_ready_with_rules_while_it_is_open(source, target, tmp_path):
    change(
        source,
        "CREATE TABLE users_backup (_id TEXT)",
        "INSERT INTO users_backup VALUES ('a'), (NULL)",
        "ALTER TABLE users ADD COLUMN nickname TEXT",
        "ALTER TABLE users ADD COLUMN oldScore INTEGER",
        "UPDATE users SET nickname = 'x' WHERE rowid = 1",
    )
    columns = {"users": {"nickname": "Nobody reads it", "oldScore": "Computed anew"}, "wallets": {"gone": "Not there"}}
    mapping = replace(MAPPING, columns_left_behind=columns)
    before = source.read_bytes()
    with closing(sqlite3.connect(source)) as application:
        wanted = dict(application.execute("SELECT 'users', count(*) FROM users").fetchall())
        empty = application.execute("SELECT count(*) FROM disputes WHERE appeal = ''").fetchone()[0]
        nulls = application.execute("SELECT count(*) FROM disputes WHERE appeal IS NULL").fetchone()[0]
        found = assess(source, target, tmp_path, mapping)
    assert found.verdict is Verdict.READY_WITH_RULES
    copy = MAPPING.tables_left_behind["users_backup"]
    assert as_document(found)["left_behind"] == [
        {"table": "users_backup", "column": None, "count": 2, "reason": copy},
        {"table": "users", "column": "nickname", "count": 1, "reason": "Nobody reads it"},
        {"table": "users", "column": "oldScore", "count": 0, "reason": "Computed anew"},
    ]
    assert [line for line in as_lines(found) if line.startswith("left behind: ")] == [
        f"left behind: table users_backup, 2 rows: {copy}",
        "left behind: column users.nickname, 1 value: Nobody reads it",
        "left behind: column users.oldScore, 0 values: Computed anew",
    ]
    assert sum(found.rows.values()) == 600
    assert found.rows["users"] == wanted["users"]
    counts = {(each.table, each.column): each.count for each in found.rules if each.rule == "empty_text_as_null"}
    assert counts["disputes", "appeal"] == empty > 0
    appeal = next(each for each in found.columns if each.target == "disputes.appeal")
    assert (appeal.nulls, appeal.misfits) == (nulls + empty, 0)
    assert appeal.fits == found.rows["disputes"] - nulls - empty
    assert source.read_bytes() == before
    assert list(as_lines(found))[-1].startswith("ready with rules: ")


def test_what_does_not_fit_is_counted_and_named(source, target, tmp_path):
    change(source, "UPDATE projects SET budget = 'much' WHERE rowid IN (SELECT rowid FROM projects LIMIT 12)")
    with closing(sqlite3.connect(source)) as application:
        keys = {key for (key,) in application.execute("SELECT _id FROM projects WHERE budget = 'much'")}
    assert len(keys) == 12
    found = assess(source, target, tmp_path)
    assert found.verdict is Verdict.NOT_READY
    (finding,) = found.findings
    assert (finding.table, finding.column, finding.count, finding.shown) == ("projects", "budget", 12, "'much'")
    assert len(finding.keys) == 10
    assert set(finding.keys) < keys
    assert next(each.misfits for each in found.columns if each.target == "projects.budget") == 12
    with pytest.raises(MigrationError) as refusal:
        found.raise_unless_ready()
    for part in ("not ready: 12 values or rows that do not fit", "projects", "budget", finding.keys[0], "much"):
        assert part in str(refusal.value)
    assert refusal.value.details == as_document(found)


def test_no_obstacle_hides_another_or_what_can_still_be_judged(source, database, tmp_path):
    change(
        source,
        "CREATE TABLE invoices (id TEXT PRIMARY KEY)",
        "INSERT INTO invoices VALUES ('a'), ('b')",
        "ALTER TABLE users ADD COLUMN nickname TEXT",
        "UPDATE projects SET budget = 'much' WHERE rowid = 1",
        "PRAGMA foreign_keys = off",
        "UPDATE wallets SET userId = '00000000-0000-4000-8000-000000000000' WHERE rowid = 1",
    )
    with closing(sqlite3.connect(source)) as application:
        ((users,),) = application.execute("SELECT count(*) FROM users")
    with connect(database.conninfo, "test") as connection:
        perform(connection, Request(load_changes(PROFILE / "schema")))
        connection.execute("ALTER TABLE projects DROP CONSTRAINT projects_budget_check, ALTER title TYPE varchar(90)")
    found = assess(source, database.conninfo, tmp_path)
    drift, places = found.obstacles
    for part in (
        "constraint public.projects.projects_budget_check: missing, was CHECK",
        "column public.projects.title: was character varying(255) not null, is now character varying(90) not null",
    ):
        assert part in drift.fact
    assert drift.mend.startswith("Undo what was changed by hand")
    assert "invoices" in places.fact
    assert "users.nickname" in places.fact
    assert "left_behind" in places.mend
    assert [each.column for each in found.findings] == ["budget", "userId"]
    assert (found.verdict, found.rows["users"], found.estimate) == (Verdict.NOT_READY, users, None)
    assert [str(each) for each in found.unjudged] == [
        "table invoices of the source: it has no place in the plan, so that its 2 rows were not read",
        "column users.nickname of the source: it has no place in the plan",
    ]
    assert f"not judged: {found.unjudged[0]}" in list(as_lines(found))


def test_of_a_file_that_cannot_be_read_no_rows_are_told(source, target, tmp_path):
    with closing(sqlite3.connect(source)) as application:
        ((page,),) = application.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'")
        ((size,),) = application.execute("PRAGMA page_size")
    with source.open("rb+") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    found = assess(source, target, tmp_path)
    assert (found.verdict, found.findings) == (Verdict.NOT_READY, ())
    assert "integrity check" in found.obstacles[0].fact
    assert [each.object for each in found.unjudged] == ["the source"]
    assert as_document(found)["rows"] is None
    assert " 0 rows" not in "\n".join(as_lines(found))


def test_what_is_written_meanwhile_is_refused_and_an_interruption_ends_the_checks(source, target, tmp_path):
    def write(*_):
        change(source, "UPDATE users SET email = email WHERE rowid = 1")

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assess_file(source, target, MAPPING, Options(tmp_path), interrupt)
    with pytest.raises(MigrationError, match="the source was written while it was assessed"):
        assess_file(source, target, MAPPING, Options(tmp_path), write)


def test_duplicates_under_the_target_are_found(source, target, tmp_path):
    change(
        source,
        "PRAGMA foreign_keys = off",
        "UPDATE users SET email = (SELECT ' ' || upper(email) FROM users ORDER BY _id LIMIT 1)"
        " WHERE _id = (SELECT _id FROM users ORDER BY _id DESC LIMIT 1)",
    )
    found = assess(source, target, tmp_path)
    (finding,) = found.findings
    assert (finding.target, finding.count) == ("users.email", 2)


def test_rows_in_the_target_are_judged_as_a_load_judges_them(source, target, tmp_path):
    mapping = replace(MAPPING, columns_left_behind={})
    loads = tmp_path.parent / f"{tmp_path.name}-loads"
    loads.mkdir(mode=0o700)
    request = Load(target, mapping, loads, "public", loads / "scratch", engine="arrow")
    words = {"discard_rows": "more"}

    def assessed(**given):
        options = Options(loads, spoken=words, **given)
        running = assess_running(source, target, mapping, options, lambda *_: None)
        assert assess_file(source, target, mapping, options, lambda *_: None).obstacles == running.obstacles
        return running

    def refused():
        with pytest.raises(MigrationError) as refusal:
            check(request, source)
        refusal.value.speak(words)
        (obstacle,) = assessed().obstacles
        assert (obstacle.fact, obstacle.mend) == (refusal.value.fact, refusal.value.mend)
        assert assessed(discard_rows=True).verdict is Verdict.READY_WITH_RULES
        return obstacle

    with psycopg.connect(target, autocommit=True) as owner:
        user = "INSERT INTO users (email, password, first_name, last_name, role) VALUES ('', '', '', '', 'client')"
        owner.execute(user)
        assert refused().fact == "the target holds rows that this run did not load (users 1)"
        owner.execute("TRUNCATE users CASCADE")
        load(request, source)
        # They are this migration's, and go with the next load.
        assert assessed().verdict is Verdict.READY_WITH_RULES
        elsewhere = assess_file(source, target, mapping, Options(tmp_path), lambda *_: None)
        assert elsewhere.verdict is Verdict.NOT_READY
        owner.execute(user)
        assert refused().mend == "Look at these rows first; when they may go, say so with more"


ORPHANS = """
CREATE TABLE p (id INTEGER PRIMARY KEY, "a, b" INTEGER, UNIQUE (id, "a, b"));
CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), q INTEGER REFERENCES p (id), n INTEGER,
    m INTEGER, FOREIGN KEY (n, m) REFERENCES p ("a, b", id));
CREATE UNIQUE INDEX swapped ON p ("a, b", id);
INSERT INTO p VALUES (1, 1);
INSERT INTO c VALUES (1, 1, 1, 1, 1), (2, 7, 1, 1, 1), (3, 7, 7, -1, NULL), (4, 1, 1, 7, 1);
"""
TARGET = """
CREATE TABLE p (id bigint PRIMARY KEY, "a, b" bigint, UNIQUE (id, "a, b"));
CREATE TABLE c (id bigint PRIMARY KEY, p bigint REFERENCES p (id), q bigint, n bigint CHECK (n > 0), m bigint,
    FOREIGN KEY (m, n) REFERENCES p (id, "a, b"));
"""


def test_a_broken_reference_is_told_once_and_its_table_does_not_all_fit(database, tmp_path):
    """Where the target has the reference, as a finding; the others SQLite finds. Both are in the verdict, once."""
    source = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(source)) as application:
        application.executescript(ORPHANS)
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(TARGET)
    mapping = parse_mapping({"version": 1, "naming": "keep"}, read_schema(PROFILES / "mapping.schema.json"))
    found = assess_file(source, database.conninfo, mapping, Options(tmp_path), lambda *_: None)
    assert sorted((each.column, each.count, each.keys) for each in found.findings) == [
        ("m, n", 1, ("4",)),
        ("n", 1, ("3",)),
        ("p", 2, ("2", "3")),
    ]
    (of_sqlite,) = found.obstacles
    assert (
        of_sqlite.fact == "the source has 1 row that refers to a row that is not there: c id 3: q 7 is in no row of p"
    )
    lines = list(as_lines(found))
    assert [line.split(maxsplit=3) for line in lines[1:3]] == [
        ["p", "1", "row", "all fit"],
        ["c", "4", "rows", "4 values or rows that do not fit"],
    ]
    assert lines[-1].startswith("not ready: 1 obstacle, 4 values or rows that do not fit, in ")
    with pytest.raises(MigrationError, match=r"^4 values of the source do not fit the target"):
        raise_findings(found.findings)


def test_a_row_that_the_engine_cannot_carry_is_found_before_the_window(source, target, tmp_path):
    """The same words as the load's own, an hour earlier and with the application running."""
    change(source, "UPDATE messages SET content = hex(zeroblob(6000000)) WHERE rowid = 1")
    fact = "the source has rows that are too large for pgloader, which carries up to 12,000,000 bytes (messages 12,"
    found = {
        engine: assess_running(source, target, MAPPING, Options(tmp_path, engine=engine), lambda *_: None)
        for engine in ("pgloader", "arrow")
    }
    assert {engine: each.verdict for engine, each in found.items()} == {
        "pgloader": Verdict.NOT_READY,
        "arrow": Verdict.READY_WITH_RULES,
    }
    assert [each.fact[: len(fact)] for each in found["pgloader"].obstacles] == [fact]
    # Each is foretold by its own rates: arrow is the faster one, and pgloader loads from a copy.
    for engine, each in found.items():
        assert each.estimate.disk_bytes / each.bytes == pytest.approx(RATES[engine].disk)
        assert each.estimate.seconds["window"] > FIXED_SECONDS
    same = {engine: estimated(engine, 10, 10**9) for engine in found}
    assert same["arrow"].seconds["transfer"] * 2 < same["pgloader"].seconds["transfer"]
    assert same["arrow"].disk_bytes == 10**9 < same["pgloader"].disk_bytes


def test_a_name_that_pgloader_cannot_spell_is_found_before_the_window(database, tmp_path):
    source = tmp_path / "source.sqlite"
    change(source, """CREATE TABLE "it's" (id INTEGER PRIMARY KEY)""")
    with connect(database.conninfo, "test") as connection:
        connection.execute("""CREATE TABLE "it's" (id bigint PRIMARY KEY)""")
    mapping = parse_mapping({"version": 1, "naming": "keep"}, read_schema(PROFILES / "mapping.schema.json"))
    fact = "pgloader cannot spell the target's names \"it's\""
    found = {
        engine: assess_file(source, database.conninfo, mapping, Options(tmp_path, engine=engine), lambda *_: None)
        for engine in ("pgloader", "arrow")
    }
    assert [each.fact for each in found["pgloader"].obstacles] == [fact]
    assert found["pgloader"].obstacles[0].mend.startswith("Take the engine arrow")
    assert {engine: each.verdict for engine, each in found.items()} == {
        "pgloader": Verdict.NOT_READY,
        "arrow": Verdict.READY,
    }
    assert found["arrow"].notes == ()


@pytest.mark.parametrize(("accept", "verdict"), [(False, Verdict.NOT_READY), (True, Verdict.READY_WITH_RULES)])
def test_a_rule_that_matches_nothing_is_no_small_thing(source, target, tmp_path, accept, verdict):
    document = read_yaml(PROFILE / "mapping.yml")
    first_name = {"rules": [{"map": {"Jhon": "John"}}]} | ({"when_unmatched": "accept"} if accept else {})
    document["tables"]["users"]["columns"]["first_name"] = first_name
    found = assess(source, target, tmp_path, parse_mapping(document, read_schema(PROFILES / "mapping.schema.json")))
    assert found.verdict is verdict
    assert found.unmatched == (() if accept else ("users.first_name: map",))
    if not accept:
        with pytest.raises(MigrationError, match=r"users\.first_name: map changes nothing"):
            found.raise_unless_ready()


@pytest.mark.parametrize(("stored", "unmatched"), [("NULL", ()), ("'x'", ("users.google_id: default is_null",))])
def test_a_default_matches_where_its_condition_holds(source, target, tmp_path, stored, unmatched):
    change(source, "UPDATE users SET googleId = 'x'", f"UPDATE users SET googleId = {stored} WHERE rowid = 1")
    document = read_yaml(PROFILE / "mapping.yml")
    document["tables"]["users"]["columns"]["google_id"] = {"rules": [{"default": {"value": "", "when": "is_null"}}]}
    found = assess(source, target, tmp_path, parse_mapping(document, read_schema(PROFILES / "mapping.schema.json")))
    assert found.unmatched == unmatched
    assert found.verdict is (Verdict.NOT_READY if unmatched else Verdict.READY_WITH_RULES)


def test_what_a_killed_assessment_left_goes_and_two_at_once_do_not_meet(source, target, tmp_path):
    (tmp_path / SNAPSHOT).mkdir()
    (tmp_path / SNAPSHOT / "source.sqlite").write_text("everything")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(MigrationError, match="another assessment is at work"):
        assess_running(source, target, MAPPING, Options(tmp_path), lambda *_: None)
    assert (tmp_path / SNAPSHOT / "source.sqlite").exists()
    os.close(descriptor)
    assert assess(source, target, tmp_path).verdict is Verdict.READY_WITH_RULES
