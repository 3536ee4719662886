"""A script of the shell, played in this process."""

from __future__ import annotations

import importlib
import runpy
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
NAMES = sorted(path.name for path in SCRIPTS.glob("*.py") if path.name != "command_line.py")


@dataclass(frozen=True)
class Said:
    code: object
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    with closing(sqlite3.connect(tmp_path / "source.sqlite")) as source:
        source.execute("CREATE TABLE t (a)")
    return tmp_path


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A script takes signals for itself, as it is a process of its own elsewhere."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def play(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs a script in this process, which has imported most of what it needs."""

    def played(name: str, *arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.syspath_prepend(str(SCRIPTS))
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        return Said(end.value.code, *capsys.readouterr())

    return played


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the scripts share; it asks no server here."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    shared = importlib.import_module("command_line")
    monkeypatch.setattr(shared, "assert_own_schema", lambda _: None)
    return shared
