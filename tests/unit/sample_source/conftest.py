from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source

from tests.unit.sample_source.source_checks import Source

ROWS = 6000


@pytest.fixture(scope="session")
def sample_paths(tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    """One file of each form."""
    directory = tmp_path_factory.mktemp("samples")
    return {form: write_source(Order(directory / f"{form}.sqlite", ROWS, 1, form)).order.path for form in Form}


@pytest.fixture(params=list(Form))
def source(request: pytest.FixtureRequest, sample_paths: dict[Form, Path]):
    """A sample of each form, read only."""
    path = sample_paths[request.param]
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        yield Source(database, request.param)


@pytest.fixture(params=[Form.DEPLOYED, Form.PLAN])
def spoilable(request: pytest.FixtureRequest, sample_paths: dict[Form, Path], tmp_path: Path):
    """A copy of a sample, to plant a fault in."""
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(sample_paths[request.param].read_bytes())
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        yield Source(database, request.param)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Source]:
    """Writes a small sample and opens it."""
    opened: list[sqlite3.Connection] = []

    def make(rows: int, form: Form = Form.DEPLOYED, seed: int = 1) -> Source:
        path = tmp_path / f"{form}-{rows}-{seed}.sqlite"
        write_source(Order(path, rows, seed, form))
        opened.append(sqlite3.connect(path))
        return Source(opened[-1], form)

    yield make
    for database in opened:
        database.close()
