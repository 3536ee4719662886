"""Small SQLite files made by hand, and samples of ContraLock's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a SQLite file with a script."""

    def write(script: str = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", name: str = "source.sqlite") -> Path:
        path = tmp_path / name
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.executescript(script)
        return path

    return write


@pytest.fixture
def opened(make: Callable[..., Path]) -> Iterator[Callable[..., sqlite3.Connection]]:
    """Write a SQLite file with a script and open it as the source."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(closing(open_source(make(*arguments))))


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    """One small file of each form."""
    folder = tmp_path_factory.mktemp("sources")
    return {form: write_source(Order(folder / f"{form}.sqlite", 1500, 1, form)).order.path for form in Form}
