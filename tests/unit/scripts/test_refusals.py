"""Whatever is wrong with a call, a script says it in a line, with --json as an object too, and exits with 2 or 130."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.contralock.database.plugins.module_utils import (
    connection,
    private_cluster,
    schema_changes,
    transfer_step,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.run_directory import create_run

from tests.unit.scripts.conftest import NAMES, SCRIPTS, Said

MOVE = ("{source}", "--profile", "contralock", "--target", "host=/nowhere")

#: Scripts, with what else they need, and the options that name a file to write.
WRITERS = [
    ("assess_source.py", MOVE, "--html"),
    ("show_run.py", (), "--html"),
    ("benchmark_application.py", ("--no-live-application",), "--html"),
    ("benchmark_application.py", ("--no-live-application",), "--output"),
]

#: Script, its options, and what is said. {here} is a folder, {file} an empty file in it, {source} a SQLite file,
#: {strange} a page that somebody else has written.
CASES = [
    *((name, ("--no-such-option",), "--help lists the options") for name in NAMES),
    *(
        (f"{name}.py", ("", *MOVE[1:]), "'' names no file")
        for name in ("assess_source", "transfer_data", "compare_databases")
    ),
    ("benchmark_application.py", ("--clients", "0,x"), "'0,x' is no list of whole numbers"),
    ("assess_source.py", (*MOVE, "--html", "{here}/" + "x" * 300), "cannot be looked at: File name too long"),
    ("transfer_data.py", (*MOVE, "--directory", "{here}/" + "x" * 300), "cannot be looked at: File name too long"),
    ("draft_profile.py", ("/", "--output", "{here}/draft"), "'/' names no file"),
    ("assess_source.py", (*MOVE, "--html", "{here}/none/page.html"), "--html: there is no folder"),
    ("assess_source.py", (*MOVE, "--html", "{here}"), "--html: '{here}' is a folder"),
    ("assess_source.py", (*MOVE, "--workers", "0"), "--workers: 0 is less than 1"),
    ("assess_source.py", (*MOVE, "--workers", "two"), "--workers: invalid"),
    ("assess_source.py", MOVE, "cannot connect to PostgreSQL"),
    ("transfer_data.py", (*MOVE, "--directory", "{file}"), "--directory: '{file}' is a file"),
    ("transfer_data.py", (*MOVE, "--directory", "{file}/below/it"), "--directory: '{file}' is a file"),
    ("transfer_data.py", (*MOVE, "--directory", "/proc/none"), "the directory /proc/none cannot be made: "),
    ("transfer_data.py", (*MOVE, "--workers", "0"), "--workers: 0 is less than 1"),
    ("transfer_data.py", (*MOVE, "--time-limit", "0"), "--time-limit: '0' is no time"),
    ("transfer_data.py", (*MOVE, "--time-limit", "nan"), "--time-limit: 'nan' is no time"),
    ("transfer_data.py", (*MOVE, "--engine", "copy"), "--engine: invalid choice: 'copy'"),
    ("transfer_data.py", (*MOVE[:1], "--profile", "absent", "--directory", "{here}/d"), "there is no profile 'absent'"),
    ("compare_databases.py", (*MOVE, "--limit", "-1"), "--limit: -1 is less than 0"),
    ("compare_databases.py", (*MOVE, "--workers", "-2"), "--workers: -2 is less than 1"),
    ("compare_databases.py", MOVE[:1], "arguments are required: --profile"),
    ("apply_schema.py", (*MOVE[1:], "--lock-wait", "-1"), "--lock-wait: -1 is less than 0"),
    ("apply_schema.py", (*MOVE[1:], "--state", "gone"), "--state: invalid choice"),
    ("draft_profile.py", ("{source}", "--written-by", "nobody"), "--written-by: invalid choice"),
    ("draft_profile.py", ("{source}", "--target", "host=/nowhere"), "cannot connect to PostgreSQL"),
    ("generate_source.py", ("{here}/none/a.sqlite",), "is not a directory"),
    ("generate_source.py", ("{source}",), "exists"),
    ("generate_source.py", ("{here}/new.sqlite", "--rows", "-1"), "-1 rows cannot be written"),
    ("show_run.py", ("--root", "{here}/none"), "there is no run in {here}/none"),
    ("show_run.py", ("--html", "{here}/none/page.html"), "--html: there is no folder"),
    *(
        (name, (*given, option, file), f"{option}: '{file}' is there already, and holds what this tool has not written")
        for name, given, option in WRITERS
        for file in ("{source}", "{strange}", "/dev/null")
    ),
]


@pytest.mark.parametrize(("name", "arguments", "words"), CASES)
def test_a_bad_call_is_refused_in_a_line(
    here: Path, play: Callable[..., Said], name: str, arguments: tuple[str, ...], words: str
) -> None:
    places = {"here": here, "file": here / "file", "source": here / "source.sqlite", "strange": here / "index.html"}
    (here / "index.html").write_text("<!DOCTYPE html>\n<title>Mine</title>")
    given = [each.format(**places) for each in arguments]
    said = play(name, *given)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said
    assert words.format(**places) in said.err
    as_json = play(name, *given, "--json")
    assert as_json.code == 2
    assert words.format(**places) in json.loads(as_json.out)["error"]
    assert "Traceback" not in said.err + as_json.err


INTERRUPTER = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.endswith("module_utils.errors"):
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_script_that_is_interrupted_while_it_imports(tmp_path: Path, name: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTER)
    command = [sys.executable, str(SCRIPTS / name), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (130, "interrupted: nothing was begun\n")
    assert json.loads(done.stdout) == {"error": "interrupted: nothing was begun"}


@pytest.mark.usefixtures("command_line")
def test_a_verb_that_is_interrupted(here: Path, play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        interruption = KeyboardInterrupt()
        interruption.add_note("The target is empty and whole again")
        raise interruption

    monkeypatch.setattr(transfer_step, "load", interrupted)
    given = [str(here / "source.sqlite"), "--profile", "contralock", "--directory", str(here / "state"), "--json"]
    said = play("transfer_data.py", *given)
    assert said.code == 130
    assert said.err == "interrupted: nothing was loaded. The target is empty and whole again\n"
    assert json.loads(said.out)["error"] in said.err


@pytest.mark.usefixtures("command_line")
def test_an_error_of_the_system_says_what_is_left(
    here: Path, play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        error = OSError(errno.ENOSPC, "No space left on device", "/full")
        error.add_note("3 rows that stood there before are gone")
        raise error

    monkeypatch.setattr(transfer_step, "load", failing)
    given = [str(here / "source.sqlite"), "--profile", "contralock", "--directory", str(here / "state")]
    said = play("transfer_data.py", *given)
    assert said.err == "refused: /full: No space left on device. 3 rows that stood there before are gone\n"


@pytest.mark.usefixtures("command_line")
def test_a_mend_names_the_option_as_it_is_typed(
    here: Path, play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise MigrationError("rows have changed", "When they may go, say so with discard_rows")

    monkeypatch.setattr(transfer_step, "load", refused)
    given = [str(here / "source.sqlite"), "--profile", "contralock", "--directory", str(here / "state")]
    said = play("transfer_data.py", *given)
    assert said.err == "refused: rows have changed. When they may go, say so with --discard-rows.\n"


def test_without_a_home_a_directory_has_to_be_named(play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    said = play("transfer_data.py", "--profile", "contralock", "source.sqlite")
    assert said.code == 2
    assert "arguments are required: --directory" in said.err
    # What keeps no record of loads needs none.
    assert play("compare_databases.py", "--help").code == 0


def test_a_damaged_run_is_listed_beside_the_others(tmp_path: Path, play: Callable[..., Said]) -> None:
    good, damaged = create_run(tmp_path, "rehearse", {}), create_run(tmp_path, "cut_over", {})
    (damaged.path / "journal.jsonl").write_text("nonsense\n" * 2)
    said = play("show_run.py", "--root", str(tmp_path), "--list")
    assert (said.code, said.err) == (0, "")
    lines = dict(line.split("  ", 1) for line in said.out.splitlines())
    assert lines[good.id].startswith("open, at ")
    assert lines[damaged.id].startswith("damaged: ")
    listed = json.loads(play("show_run.py", "--root", str(tmp_path), "--list", "--json").out)["runs"]
    assert {each["run"]: each["outcome"] for each in listed} == {good.id: None, damaged.id: "damaged"}


def test_a_private_cluster_keeps_nothing(
    here: Path, play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise MigrationError("no such type (applied in this run and kept: 0001)") from MigrationError("no such type")

    cluster = SimpleNamespace(database=lambda: nullcontext(SimpleNamespace(conninfo="")))
    monkeypatch.setattr(private_cluster, "private_cluster", lambda: nullcontext(cluster))
    monkeypatch.setattr(connection, "connect", lambda *_: nullcontext())
    monkeypatch.setattr(schema_changes, "perform", failing)
    said = play("assess_source.py", str(here / "source.sqlite"), "--profile", "contralock")
    assert (said.code, said.err) == (2, "could not tell: no such type.\n")
