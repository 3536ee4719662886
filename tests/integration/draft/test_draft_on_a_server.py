"""What the server refuses does not stand in a draft; what does not fit is told; the script says it by its exit code."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_report import as_lines
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source

from tests.integration.draft.conftest import Drafted
from tests.integration.draft.makers import write
from tests.throwaway_cluster import Cluster, Database

Scripted = Callable[..., Drafted]
SCRIPT = Path(__file__).parents[3] / "scripts" / "draft_profile.py"


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd="/", env={**os.environ, **environment}, check=False, timeout=120
    )


def asked(made: Drafted) -> str:
    return "\n".join(question.text for question in made.draft.questions)


def statements(made: Drafted) -> str:
    """The SQL without its comments."""
    return "\n".join(line.partition("--")[0] for line in made.sql().splitlines())


#: What stands in a table -> what is asked about it, and what does not stand in the SQL.
REFUSED = {
    "a check between a number and a text": ("a INTEGER, CHECK (a <> 'x')", "the check CHECK (a <> 'x')", "CHECK"),
    "a check that PostgreSQL cannot say": ("a TEXT CHECK (a LIKE 'x%')", "CHECK (a LIKE 'x%') is not taken", "CHECK"),
    "an index on json": ("a JSON); CREATE INDEX i ON t (a", "the index i is not taken over (data type json", "INDEX"),
    "an expression of several types": (
        "a INTEGER, b TEXT, c TEXT AS (a || b || 'x') STORED",
        "PostgreSQL computes it from now on",
        "WHERE",
    ),
    "a computed column that computes with one": (
        "a INTEGER, b INTEGER AS (a + 1) STORED, c INTEGER AS (b + 1) STORED",
        "here it is an ordinary column with today's values",
        "GENERATED ALWAYS AS (b + 1)",
    ),
}


@pytest.mark.parametrize(("columns", "question", "absent"), REFUSED.values(), ids=REFUSED)
def test_what_the_server_refuses_is_asked_about(
    drafted_script: Scripted, columns: str, question: str, absent: str
) -> None:
    made = drafted_script(f"CREATE TABLE t ({columns});", maker="sequelize")
    assert question in asked(made)
    assert absent not in statements(made)
    assert made.proof.ready


def test_what_postgresql_computes_otherwise_is_an_ordinary_column(drafted_script: Scripted) -> None:
    made = drafted_script("""
        CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, i INTEGER, same TEXT AS (i || 'x'), other TEXT AS (r || 'x'),
            twice INTEGER AS (i * 2) STORED);
        INSERT INTO t (id, r, i) VALUES (1, 0.5, 5), (2, 2.0, 4611686018427387904)""")
    assert made.proof.ready
    told = {name: " ".join(made.questions()[f"t.{name}"]) for name in ("same", "other", "twice")}
    ordinary = {name for name, text in told.items() if "here it is an ordinary column with today's values" in text}
    computed = {name for name, text in told.items() if "PostgreSQL computes it from now on" in text}
    assert (ordinary, computed) == ({"other", "twice"}, {"same"})
    assert "at 2: against the computed column other: PostgreSQL computes another value" in told["other"]
    assert made.sql().count("GENERATED ALWAYS AS (i || 'x')") == made.sql().count("STORED") == 1
    assert made.mapping()["left_behind"]["columns"]["t"].keys() == {"same"}


def test_rows_that_postgresql_would_refuse_are_told_with_their_keys(drafted_script: Scripted) -> None:
    made = drafted_script("""CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE t (id TEXT PRIMARY KEY, p INTEGER REFERENCES p (id), n INTEGER, secret INTEGER);
        WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 30)
        INSERT INTO t SELECT 'k' || value, NULL, value, value FROM n;
        UPDATE t SET p = 7 WHERE id = 'k3'; UPDATE t SET n = 'abc', secret = 'hidden' WHERE id = 'k5';
        INSERT INTO t VALUES (NULL, NULL, 0, 0)""")
    assert not made.proof.ready
    told = " | ".join(map(str, made.proof.findings))
    assert "t.n at k5, value 'abc': text in a whole-number column" in told
    assert "t.secret at k5, value length 6" in told
    assert "t.p at k3, value 7: refers to no row of p (id)" in told
    assert "NULL in a column that is NOT NULL" in told
    questions = made.questions()
    assert any("1 row has NULL in the primary key" in text for text in questions["t.id"])
    assert any("1 value does not fit bigint" in text for text in questions["t.n"])
    everything = made.sql() + "".join(path.read_text() for path in made.folder.glob("*.*"))
    assert "hidden" not in everything


def test_lower_and_upper_fold_what_they_fold_in_sqlite(drafted_script: Scripted) -> None:
    """Rows that an index of SQLite's keeps apart stay apart: its lower() leaves the Ä alone, PostgreSQL's does not."""
    made = drafted_script(
        "CREATE TABLE t (a TEXT, CHECK (upper(a) <> 'Ä')); CREATE UNIQUE INDEX low ON t (lower(a));"
        "INSERT INTO t VALUES ('Ärger'), ('ärger'), ('ä')"
    )
    assert (made.proof.ready, made.draft.questions) == (True, [])
    assert 'ON t ((lower(a COLLATE "C")))' in statements(made)
    assert "CHECK (upper(a COLLATE \"C\") <> 'Ä')" in statements(made)
    assert made.sql().count("in SQLite lower() and upper() know ASCII letters only") == 2


def test_a_table_that_postgresql_would_look_for_in_its_own_catalog_gets_another_name(drafted_script: Scripted) -> None:
    made = drafted_script(
        "CREATE TABLE pg_class (id INTEGER PRIMARY KEY, pg_type TEXT); INSERT INTO pg_class VALUES (1, 'x');"
        "CREATE TABLE pg_mine (id INTEGER PRIMARY KEY); CREATE INDEX pg_class_oid_index ON pg_mine (id)"
    )
    assert made.proof.ready
    assert [table.target for table in made.draft.tables] == ["pg_class_2", "pg_mine"]
    assert made.mapping()["tables"] == {"pg_class_2": {"source": "pg_class"}}
    assert "the catalog has a table of this name" in asked(made).replace("PostgreSQL's own catalog", "the catalog")


def test_a_table_that_is_too_wide_is_named(drafted_script: Scripted) -> None:
    columns = ", ".join(f"c{number}" for number in range(1601))
    with pytest.raises(MigrationError, match=r"more columns than the 1,600 that PostgreSQL takes \(wide 1,601\)"):
        drafted_script(f"CREATE TABLE narrow (a); CREATE TABLE wide ({columns})")


def test_the_reasons_are_true_where_values_do_not_fit(drafted_script: Scripted) -> None:
    many = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99) INSERT INTO t SELECT"
    made = drafted_script(
        "CREATE TABLE t (n INTEGER, d DATETIME, u, b BOOLEAN, ok INTEGER);"
        f"{many} iif(i = 7, 'abc', i), iif(i < 50, 'never', '2024-01-03 09:10:55.791 +00:00'),"
        " iif(i < 50, 'x', x'00'), iif(i = 1, 'no', 1), i FROM n"
    )
    reasons = {column.source: column.why for column in made.draft.tables[0].columns}
    assert reasons == {
        "n": "declared INTEGER, and holds values that do not fit",
        "d": "declared DATETIME, holds other values",
        "u": "no declared type, holds texts, and holds values that do not fit",
        "b": "declared BOOLEAN, and holds values that do not fit",
        "ok": "declared INTEGER",
    }
    text = (made.folder / "mapping.yml").read_text()
    assert (
        "# plain: no framework has left its signs. Read as sequelize writes, which demands the most of a time" in text
    )


def test_faults_are_told_beside_questions(drafted_script: Scripted) -> None:
    made = drafted_script(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE t (p INTEGER REFERENCES p (id));INSERT INTO t VALUES (7)"
    )
    assert made.draft.questions == []
    lines = list(as_lines(made.folder, made.draft, made.proof))
    assert lines[3].startswith("no open questions, and 1 kind of values that does not fit: see ")
    assert "None; but not everything fits, see below." in (made.folder / "README.md").read_text()
    whole = replace(made.proof, findings=())
    assert list(as_lines(made.folder, made.draft, whole))[3].startswith("no open questions: see ")
    unplanned = replace(whole, problem="the two do not go together:\n- one\n- another")
    assert list(as_lines(made.folder, made.draft, unplanned))[-3:] == [
        "no plan can be made yet: the two do not go together:",
        "- one",
        "- another",
    ]


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (9223372036854775807)", "9223372036854775807"),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (1);"
            "UPDATE sqlite_sequence SET seq = 9223372036854775807",
            "sqlite_sequence",
        ),
    ],
)
def test_a_key_that_has_no_next_number_does_not_fit(drafted_script: Scripted, script: str, place: str) -> None:
    made = drafted_script(script)
    assert not made.proof.ready
    (told,) = map(str, made.proof.findings)
    assert told.startswith(f"t.id at {place}: the sequence public.t_id_seq has no value left")
    page = (made.folder / "README.md").read_text()
    assert "has no value left" in page
    assert "Everything fits" not in page


def test_a_row_that_refers_to_nothing_is_told_where_the_reference_is_not_drafted(drafted_script: Scripted) -> None:
    """An assessment has it as an obstacle; where the reference is drafted the row is a misfit, and told once."""
    made = drafted_script(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, g INTEGER REFERENCES nowhere (id), h INTEGER REFERENCES t (id));"
        "INSERT INTO t VALUES (1, 5, 1), (2, NULL, 7)"
    )
    assert not made.proof.ready
    assert [each.column for each in made.proof.findings] == ["h"]
    fact = "the source has 1 row that refers to a row that is not there: t id 1: g 5 is in no row of nowhere"
    lines = list(as_lines(made.folder, made.draft, made.proof))
    assert lines[3].startswith("1 open question, and 1 kind of values that does not fit, and 1 obstacle: see ")
    assert lines[4].startswith(f"obstacle: {fact}. Mend these rows")
    page = (made.folder / "README.md").read_text()
    assert f"- {fact}. Mend these rows" in page
    assert "Everything fits" not in page


def test_long_texts_keep_out_an_index_that_no_server_could_fill(drafted_script: Scripted) -> None:
    made = drafted_script(f"CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a); INSERT INTO t VALUES ('{'x' * 9000}')")
    assert "texts that are too long for one" in asked(made)
    assert "CREATE INDEX" not in statements(made)


def test_a_draft_can_be_read_and_repeats_itself(drafted: Callable[[str], Drafted], drafted_from: Scripted) -> None:
    made = drafted("plain")
    again = drafted_from(made.source)
    for path in sorted(made.folder.rglob("*.*")):
        assert path.read_text() == (again.folder / path.relative_to(made.folder)).read_text(), path
    readme = (made.folder / "README.md").read_text()
    numbers = [line for line in readme.splitlines() if line.partition(".")[0].isdecimal() and "**" in line]
    assert len(numbers) == len(made.draft.questions) > 5
    for number in range(1, len(numbers) + 1):
        text = made.sql() + (made.folder / "mapping.yml").read_text()
        places = made.draft.questions[number - 1].places
        # Views and triggers stand in the README alone.
        assert f"OPEN QUESTION {number}" in text or places in (["admins"], ["line_log"])


def test_the_sample_fits_its_draft(drafted_from: Scripted, tmp_path: Path) -> None:
    made = drafted_from(write_source(Order(tmp_path / "app.sqlite", 400, 1, Form.LONGLIVED)).order.path)
    assert (made.proof.problem, made.proof.findings, made.proof.rows) == ("", (), 400)
    assert made.types()["users._id"] == "uuid"
    assert list(made.draft.left_behind) == ["users_backup"]


def test_one_command_drafts_and_says_so(tmp_path: Path) -> None:
    source = write("sequelize", tmp_path / "my App-1.sqlite")
    before = source.read_bytes()
    folder = tmp_path / "drafted"
    done = run(source, "--output", folder, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["profile"], told["made_by"], told["ready"]) == (str(folder), "sequelize", True)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "mapping.schema.json",
        "mapping.yml",
        "schema",
    ]
    again = run(source, "--output", folder)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_exit_codes_tell_what_does_not_fit_from_what_cannot_be_told(cluster: Cluster, tmp_path: Path) -> None:
    source = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(source)) as database, database:
        database.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        database.executemany("INSERT INTO t (n) VALUES (?)", [*[(number,) for number in range(99)], ("abc",)])
    before = _databases(cluster)
    with cluster.database() as fresh:
        _let_create(cluster, fresh)
        given: list[Any] = [source, "--output", tmp_path / "drafted", "--target", fresh.conninfo]
        done = run(*given)
        assert done.returncode == 1, done.stderr
        assert "does not fit: t.n at 100, value 'abc'" in done.stdout
    assert _databases(cluster) == before
    nothing = run(tmp_path / "missing.sqlite", "--output", tmp_path / "other", "--quiet")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "nothing was drafted" in nothing.stderr
    assert not (tmp_path / "other").exists()
    unwritable = run(source, "--output", "/proc/drafted")
    assert (unwritable.returncode, "cannot be written to /proc/drafted" in unwritable.stderr) == (2, True)
    # Before the work, not after it.
    assert "draft: " not in unwritable.stderr


def _databases(cluster: Cluster) -> set[str]:
    with psycopg.connect(cluster.conninfo()) as connection:
        return {str(name) for (name,) in connection.execute("SELECT datname FROM pg_database")}


def _let_create(cluster: Cluster, database: Database) -> None:
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {database.owner} CREATEDB")
