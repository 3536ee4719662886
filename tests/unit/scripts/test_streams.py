"""An answer that cannot be written is told from every other; progress that cannot be written ends nothing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TextIO

import pytest
from ansible_collections.contralock.database.plugins.module_utils import (
    assessment,
    compare,
    shell_screen,
    transfer_step,
)
from ansible_collections.contralock.database.plugins.module_utils.assessment_report import Assessment
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import Comparison
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.run_directory import create_run
from ansible_collections.contralock.database.plugins.module_utils.source_wait import lacks_log
from ansible_collections.contralock.database.plugins.module_utils.transfer_order import TransferReport

from tests.example_runs import benchmark
from tests.unit.scripts.conftest import NAMES, SCRIPTS, Said

FULL = "No space left on device"


@pytest.fixture
def full() -> Iterator[TextIO]:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        yield stream


@pytest.fixture
def left() -> Iterator[TextIO]:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield stream


@pytest.mark.parametrize("name", NAMES)
def test_help_and_refusals_of_every_script(
    play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, full: TextIO, left: TextIO, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        said = play(name, "--help")
        assert (said.code, said.err) == (2, f"the help could not be written: {FULL}\n")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", left)
        said = play(name, "--help")
        assert (said.code, said.err) == (0, "")
    with monkeypatch.context() as patch, Path("/dev/full").open("w", encoding="utf-8") as error:
        patch.setattr(sys, "stderr", error)
        said = play(name, "--no-such-option", "--json")
        assert said.code == 2
        assert "--help lists the options" in json.loads(said.out)["error"]


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_was_done_is_told_when_its_answer_cannot_be(
    tmp_path: Path, play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, full: TextIO, form: tuple[str, ...]
) -> None:
    run = create_run(tmp_path, "rehearse", {})
    monkeypatch.setattr(sys, "stdout", full)
    said = play("show_run.py", "--root", str(tmp_path), "--list", *form)
    assert said.code == 2
    assert said.err.startswith(
        f"show: ended, and the answer could not be written ({FULL}). It ends with: {run.id}  open"
    )
    assert said.err.count("\n") == 1
    # What nobody wanted to be told is not missed.
    assert play("show_run.py", "--root", str(tmp_path), "--list", "--quiet").code == 0


@pytest.mark.parametrize("yes", [True, False])
def test_lines_may_be_read_in_part_and_an_object_may_not(
    command_line: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, yes: bool
) -> None:
    def run_into_left(**given: bool) -> int:
        reading, writing = os.pipe()
        os.close(reading)
        with monkeypatch.context() as patch, os.fdopen(writing, "w", encoding="utf-8") as stream:
            patch.setattr(sys, "stdout", stream)
            answer = command_line.Answer({"a": 1}, ["one", "two"], yes)
            code = command_line.run(lambda *_: answer, Namespace(**given), name="look")
        return int(code)

    assert run_into_left(json=False, quiet=False) == (0 if yes else 1)
    assert capsys.readouterr().err == ""
    assert run_into_left(json=True, quiet=False) == 2
    assert capsys.readouterr().err == (
        "look: ended, and the answer could not be written (Broken pipe). It ends with: two\n"
    )


def test_what_is_not_printable_is_shown_escaped(
    command_line: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the source may have a line feed, or what moves a terminal's cursor."""
    monkeypatch.setattr(shell_screen, "SECONDS_BETWEEN_LINES", 0.0)

    def look(_given: Namespace, screen: shell_screen.Screen) -> object:
        screen("users\n\x1b[2J")
        screen.notes.append("a\tb")
        return command_line.Answer({}, ["one\ntwo ä", "three\r"], yes=True)

    def refuse(*_: object) -> object:
        raise MigrationError("a\rb", "", pairs=[("a\x1b", "one"), ("b", "two")], heading="h")

    assert command_line.run(look, Namespace(json=False, quiet=False), name="look") == 0
    assert capsys.readouterr() == ("one\\ntwo ä\nthree\\r\n", "look: users\\n\\x1b[2J\nnote: a\\tb\n")
    assert command_line.run(refuse, Namespace(json=False, quiet=False), name="look") == 2
    assert capsys.readouterr().err == "could not tell: h:\n- a\\x1b\n  one.\n- b\n  two.\n"


@pytest.fixture
def loading(command_line: ModuleType, here: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a load that loads nothing, and says twice how far it is."""
    assert command_line

    def load(_request: object, _source: Path, screen: Callable[[str], None]) -> SimpleNamespace:
        screen("preparing")
        screen("loading")
        return SimpleNamespace(report=TransferReport({}, (), "arrow", "1", 0.0, 0.0, 0.0), notes=())

    monkeypatch.setattr(transfer_step, "load", load)
    monkeypatch.setattr(shell_screen, "SECONDS_BETWEEN_LINES", 0.0)
    return [str(here / "source.sqlite"), "--profile", "contralock", "--directory", str(here / "state")]


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_that_cannot_be_shown_ends_no_load(
    loading: list[str], play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, full: TextIO, terminal: bool
) -> None:
    monkeypatch.setattr(full, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", full)
    said = play("transfer_data.py", *loading)
    assert said.code == 0
    assert said.out.startswith("loaded 0 rows with arrow 1, in ")


def test_a_signal_after_the_work_does_not_change_its_answer(
    command_line: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines() -> Iterator[str]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        yield "loaded"

    answer = command_line.Answer({}, lines(), yes=True)
    assert command_line.run(lambda *_: answer, Namespace(json=False, quiet=False), name="transfer") == 0
    assert capsys.readouterr() == ("loaded\n", "")


@pytest.mark.parametrize(("streams", "code"), [(">/dev/full 2>/dev/full", 2), (">&- 2>&-", 2), ("--quiet >&- 2>&-", 0)])
def test_python_has_no_last_word(tmp_path: Path, streams: str, code: int) -> None:
    file = tmp_path / "new.sqlite"
    command = f"'{sys.executable}' '{SCRIPTS / 'generate_source.py'}' '{file}' --rows 60 {streams}"
    assert subprocess.run(["bash", "-c", command], check=False, timeout=60).returncode == code
    with closing(sqlite3.connect(file)) as written:
        assert written.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_own_files_are_replaced(command_line: ModuleType, tmp_path: Path) -> None:
    own = tmp_path / "benchmark.json"
    for content in ("", json.dumps(benchmark(), indent=2)):
        own.write_text(content)
        assert command_line.new_file(str(own)) == own


def in_wal_mode(path: Path) -> None:
    with closing(sqlite3.connect(path)) as application:
        application.execute("PRAGMA journal_mode = wal")


def test_a_log_that_may_be_missing(here: Path) -> None:
    path = here / "source.sqlite"
    assert lacks_log(path) == ""
    assert lacks_log(here / "file") == lacks_log(here / "none") == lacks_log(here) == ""
    in_wal_mode(path)
    assert "is in WAL mode and has no -wal beside it" in lacks_log(path)
    with closing(sqlite3.connect(path)) as application:
        application.execute("SELECT * FROM t").fetchall()
        assert (here / "source.sqlite-wal").exists()
        assert lacks_log(path) == ""
    # A file that cannot be found is the next one's to refuse.
    (here / "loop").symlink_to(here / "loop")
    assert lacks_log(here / "loop") == ""


@pytest.mark.parametrize("name", ["assess_source.py", "compare_databases.py", "transfer_data.py"])
def test_a_log_that_may_be_missing_is_told_beside_the_answer(
    here: Path, loading: list[str], play: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def found(result: Any) -> Callable[..., Any]:
        return lambda *_: result

    monkeypatch.setattr(assessment, "assess_file", found(Assessment(str(here), 1, notes=("another",))))
    monkeypatch.setattr(compare, "compare_file", found(Comparison(())))
    given = [*loading[:3], "--target", "", *(loading[3:] if name == "transfer_data.py" else [])]
    words = "is in WAL mode and has no -wal beside it"
    assert words not in play(name, *given).err
    in_wal_mode(here / "source.sqlite")
    said = play(name, *given)
    assert (said.code, (said.out + said.err).count(words)) == (0, 1), said
    notes = json.loads(play(name, *given, "--json").out)["notes"]
    assert [words in each for each in notes] == ([False, True] if name == "assess_source.py" else [True])
