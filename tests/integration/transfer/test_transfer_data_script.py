"""The transfer for a shell: both engines, exit codes, what a check says, the way back."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Order, Ticker, write_source

from tests.throwaway_cluster import Database

PROJECT = Path(__file__).parents[3]
ROWS = 600


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "app.sqlite"
    write_source(Order(path, ROWS), Ticker(sys.stderr, quiet=True))
    with closing(sqlite3.connect(path)) as application:
        application.execute("PRAGMA journal_mode = wal")
    return path


@pytest.fixture
def target(database: Database) -> str:
    script("apply_schema.py", "--profile", "contralock", "--target", database.conninfo, "--quiet", expected=0)
    return database.conninfo


@pytest.fixture
def state() -> Iterator[Path]:
    """A short path: PostgreSQL's client takes a socket's name of 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="state-") as folder:
        yield Path(folder) / "state"


def script(name: str, *arguments: str, expected: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "scripts" / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=120)
    assert done.returncode == expected, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def rows_in(target: str) -> int:
    with psycopg.connect(target) as connection:
        return connection.execute("SELECT count(*) FROM users").fetchone()[0]


@pytest.mark.parametrize("engine", ["pgloader", "arrow"])
def test_loads_says_what_and_takes_back(source: Path, target: str, state: Path, engine: str) -> None:
    common = (str(source), "--profile", "contralock", "--target", target, "--directory", str(state))
    check = script("transfer_data.py", *common, "--engine", engine, "--check", expected=0)
    assert check.stdout == f"would load {ROWS} rows with {engine}\n"
    assert rows_in(target) == 0
    assert list(source.parent.iterdir()) == [source]

    done = script("transfer_data.py", *common, "--engine", engine, expected=0)
    *lines, last = done.stdout.splitlines()
    assert last.startswith(f"loaded {ROWS} rows with {engine} ")
    assert sum(line.split()[0] == "users" for line in lines) == 1
    assert list(source.parent.iterdir()) == [source]
    assert state.stat().st_mode & 0o777 == 0o700
    script("compare_databases.py", str(source), "--profile", "contralock", "--target", target, expected=0)

    assert "changes nothing" not in done.stderr

    profile = state.with_name("profile")
    shutil.copytree(PROJECT / "files" / "profiles" / "contralock", profile)
    mapping = (profile / "mapping.yml").read_text()
    line = "      password: {sensitive: true}\n"
    (profile / "mapping.yml").write_text(mapping.replace(line, f"{line}      first_name: {{rules: [trim]}}\n", 1))
    other = ("--profile", str(profile), *common[3:])
    again = script("transfer_data.py", str(source), *other, "--engine", engine, "--json", expected=0)
    answer = json.loads(again.stdout)
    assert sum(table["rows"] for table in answer["tables"].values()) == ROWS
    assert "users.first_name: trim changes nothing. Remove the rules " in " ".join(answer["notes"])

    checked = script("transfer_data.py", *common, "--take-back", "--check", "--json", expected=0)
    assert json.loads(checked.stdout)["would_change"] is True
    assert rows_in(target)
    back = script("transfer_data.py", *common, "--take-back", expected=0)
    assert re.search(r"^users: \d+ rows taken out$", back.stdout, re.MULTILINE)
    assert rows_in(target) == 0
    assert script("transfer_data.py", *common, "--take-back", expected=0).stdout == "nothing to take back\n"


def test_a_row_that_the_server_refuses_is_told_in_a_line(source: Path, target: str, state: Path) -> None:
    with psycopg.connect(target) as connection:
        # Without the record of its changes the schema may be what it is.
        connection.execute("DROP SCHEMA contralock_migration CASCADE")
        connection.execute("ALTER TABLE wallets ADD CONSTRAINT odd CHECK (md5(id::text) < '1')")
    common = (str(source), "--profile", "contralock", "--target", target, "--directory", str(state))
    refused = script("transfer_data.py", *common, "--engine", "arrow", expected=2)
    line = refused.stderr.splitlines()[-1]
    assert re.match(r"refused: \d+ values of the source do not fit the target: wallets._id at \S+ and \d+ more, ", line)
    assert "against CHECK ((md5((id)::text) < '1'::text))" in line


def test_rows_of_others_are_refused_and_stay(source: Path, target: str, state: Path) -> None:
    with psycopg.connect(target) as connection:
        connection.execute(
            "INSERT INTO users (id, email, password, first_name, last_name, role, created_at, updated_at)"
            " VALUES (gen_random_uuid(), 'a@b', 'x', 'a', 'b', 'client', now(), now())"
        )
    common = (str(source), "--profile", "contralock", "--target", target, "--directory", str(state))
    refused = script("transfer_data.py", *common, expected=2)
    assert refused.stderr.startswith("refused: the target holds rows that this run did not load (users 1)")
    other = script("transfer_data.py", str(source), "--profile", "contralock_deployed", *common[3:], expected=2)
    assert other.stderr.startswith("refused: the target has the schema of the profile contralock, and")
    assert rows_in(target) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--profile", "absent"), "there is no profile 'absent'. Give one of contralock, contralock_deployed"),
        (("--profile", ""), "there is no profile ''"),
        (("--profile", "contralock", "--engine", "copy"), "invalid choice: 'copy'"),
        (("--profile", "contralock", "--target", "host=/nowhere password=s3cret"), "holds a secret"),
    ],
)
def test_2_when_nothing_can_be_loaded(source: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    target = () if "--target" in arguments else ("--target", "host=/nowhere")
    directory = ("--directory", str(tmp_path))
    refused = script("transfer_data.py", str(source), *arguments, *target, *directory, expected=2)
    assert words in refused.stderr
    assert "s3cret" not in refused.stdout + refused.stderr


def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines(source: Path, target: str, state: Path) -> None:
    common = [str(source), "--profile", "contralock", "--target", target, "--directory", str(state)]
    command = [sys.executable, str(PROJECT / "scripts/transfer_data.py"), *common, "--engine", "arrow"]
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env={**os.environ, "TERM": "xterm"}) as run:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the last of its writers has closed it
                break
            shown += part
        assert run.wait(timeout=60) == 0
    os.close(leader)
    assert b"\xe2\x94\x81" in shown  # a piece of the bar
    assert f"/{ROWS}".encode() in shown
