"""What every test may ask for: a private PostgreSQL cluster, and a fresh database in it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.throwaway_cluster import Cluster, Database, throwaway_cluster

#: In memory, where Linux has it always: a database made or dropped there costs a tenth of what it costs on a disk.
MEMORY = Path("/dev/shm")
#: What two workers' clusters may need; containers often have less there.
MEMORY_BYTES = 4 * 1024**3

# Without its compiled files Python reads the whole library anew for each program that the tests start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


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
def _modules_built_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let Ansible keep the modules that it has built from one play to the next: that is most of a short play's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(Path(__file__).parents[1] / "molecule/shared/callback_plugins"))
        patch.setenv("ANSIBLE_CALLBACKS_ENABLED", "built_modules")
        patch.setenv("CONTRALOCK_BUILT_MODULES", str(tmp_path_factory.mktemp("built_modules")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _short_lived_files_in_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put the clusters and other short-lived files into memory; tests' own folders stay on a real filesystem."""
    tmp_path_factory.getbasetemp()
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(MEMORY))
        patch.setattr(tempfile, "tempdir", str(MEMORY))
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
