"""The assessment for a shell: one command on a laptop, exit codes, JSON, a page that holds no secret and no script."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import (
    Assessment,
    LeftBehind,
    Obstacle,
    as_document,
    as_lines,
)
from ansible_collections.contralock.database.plugins.module_utils.constraint_judge import Unjudged
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.finding_cells import Finding
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_wait import (
    no_side_files_left,
    reading_source,
    wait_until_readable,
)

PROJECT = Path(__file__).parents[3]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROJECT / "scripts" / "assess_source.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=120)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "app.sqlite"
    write_source(Order(path, rows=600))
    return path


def test_0_when_ready_without_any_server(source: Path) -> None:
    done = run(source, "--profile", "contralock")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("ready with rules: ")


def test_a_file_in_wal_mode_is_left_as_it_was(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "wal.sqlite"
    path.write_bytes(source.read_bytes())
    with closing(sqlite3.connect(path)) as application:
        assert application.execute("PRAGMA journal_mode = wal").fetchone() == ("wal",)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    quiet = run(path, "--profile", "contralock", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert [each.name for each in tmp_path.iterdir()] == ["wal.sqlite"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    # What was there before is its owner's, also while he has it open.
    with closing(sqlite3.connect(path)) as application, no_side_files_left(path):
        application.execute("SELECT * FROM users").fetchone()
        open_source(path).close()
    assert {each.suffix for each in tmp_path.iterdir()} == {".sqlite"}


def test_what_a_locked_file_waits_for_is_told(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    said: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as application:
        application.execute("CREATE TABLE t (a)")
        application.execute("BEGIN EXCLUSIVE")

        def hear(line: str) -> None:
            said.append(line)
            application.execute("ROLLBACK")

        begun = time.monotonic()
        wait_until_readable(path, hear)
        assert time.monotonic() - begun < 2
        application.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MigrationError, match=r"is locked by another process .* It is in use by "):
            wait_until_readable(path, said.append, wait_seconds=0.1)
        application.execute("ROLLBACK")
        with (
            pytest.raises(MigrationError, match=r"is locked by another process .* It is in use by "),
            reading_source(path, said.append, said.append),
        ):
            application.execute("BEGIN EXCLUSIVE")
            open_source(path, wait_seconds=0.1)
    assert len(said) == 1
    assert said[0].startswith(f"waiting for {path}, which is locked: ")
    assert " of 30 s. It is in use by " in said[0]


def test_1_when_not_ready_and_the_page_says_it_without_secrets(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    path.write_bytes(source.read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as application:
        application.execute("UPDATE users SET password = x'5365637265743132' WHERE rowid = 1")
        application.execute("UPDATE projects SET budget = '<script>alert(1)</script>' WHERE rowid = 1")
        application.execute("UPDATE messages SET content = hex(zeroblob(6000000)) WHERE rowid = 1")
    page = tmp_path / "assessment.html"
    done = run(path, "--profile", "contralock", "--json", "--html", page)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    # What loads by default carries no such row.
    (obstacle,) = document["obstacles"]
    assert obstacle["fact"].startswith("the source has rows that are too large for pgloader")
    assert (document["verdict"], document["misfits"]) == ("not ready", 2)
    text = page.read_text()
    assert page.stat().st_mode & 0o777 == 0o600
    assert "Secret12" not in text + done.stdout
    assert "5365637265743132" not in text + done.stdout
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for finding in document["findings"]:
        assert finding["keys"][0] in text
    seen = Elements()
    seen.feed(text)
    assert {"h1", "h2", "table", "details"} <= seen.names
    assert not seen.names & {"script", "link", "img", "iframe"}


def page_of(assessment: Assessment) -> str:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(PROJECT / "files" / "reports"), autoescape=True)
    return environment.get_template("assessment.html.j2").render(assessment=as_document(assessment))


def test_what_was_not_judged_and_what_stays_behind_is_on_the_page_beside_the_verdict() -> None:
    unjudged = (Unjudged("trigger public.t.<b>", "it acts on each row"),)
    behind = (LeftBehind("u", None, 1, "A <b>copy</b>"), LeftBehind("t", "c", 1234, "Nobody reads it"))
    ready = page_of(Assessment("app.sqlite", 1, rows={"t": 1}, unjudged=unjudged, left_behind=behind))
    assert "<code>u</code></strong>, 1 row: A &lt;b&gt;copy&lt;/b&gt;</div>" in ready
    assert "<code>t.c</code></strong>, 1,234 values: Nobody reads it</div>" in ready
    assert "1 row in 1 table," in ready
    assert ">Ready, but for what only the load will tell</p>" in ready
    assert "<code>trigger public.t.&lt;b&gt;</code></strong>: it acts on each row." in ready
    obstacle = Obstacle("the file is damaged", "Restore it")
    refused = page_of(Assessment("app.sqlite", 1, obstacles=(obstacle,), unjudged=unjudged))
    assert ">Not ready</p>" in refused
    assert "Its rows were not read" in refused
    assert "0 rows" not in refused
    bare = page_of(Assessment("app.sqlite", 1, rows={"t": 1}))
    assert "What was not judged" not in bare
    assert "What stays behind" not in bare


def test_a_name_is_shown_in_one_line_on_screen_and_page() -> None:
    name = "odd\n\x1b[31m'ä"
    finding = Finding(name, name, f"{name}.c", "no", "Mend it", 1, ("1",))
    found = Assessment(
        "app.sqlite", 1, rows={name: 1}, findings=(finding,), left_behind=(LeftBehind(name, name, 1, "x"),)
    )
    for shown in (page_of(found).partition("</style>")[2], str(finding)):
        assert "\x1b" not in shown
        assert "odd\n" not in shown
    assert page_of(found).count("odd\\n\\x1b[31m&#39;ä") == 6
    assert next(line for line in as_lines(found) if line.startswith("  odd")).startswith("  odd\\n\\x1b[31m'ä  ")


class Elements(HTMLParser):
    """The elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("/nowhere.sqlite", "--profile", "contralock"), "there is no file /nowhere.sqlite"),
        (("{source}", "--profile", "absent"), "there is no profile 'absent'"),
        (("{source}", "--profile", "contralock", "--target", "host=/nowhere"), "cannot connect to PostgreSQL"),
        (("{source}",), "--profile"),
    ],
)
def test_2_when_it_cannot_be_told(source: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(*(each.format(source=source) for each in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
