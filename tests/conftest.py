"""What every test may ask for: a private PostgreSQL cluster, and a fresh database in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.throwaway_cluster import Cluster, Database, throwaway_cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the long campaigns be longer (``make test-all``)."""
    parser.addoption("--examples", type=int, default=200, help="tables that the round trips make for each engine")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_machine() -> Iterator[None]:
    """Keep PGHOST, PGPASSWORD and their like out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PG")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Let the programs that the tests start hear Ctrl-C, even where a shell's background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of this session (of each worker under pytest-xdist), socket only, gone afterwards."""
    with throwaway_cluster() as running:
        yield running


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """A fresh database, owned by a fresh role that is no superuser."""
    with cluster.database() as fresh:
        yield fresh
