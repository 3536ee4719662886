"""A run looks more often for what a load has left than it loads, so that the look must not cost a load's start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COLLECTIONS = Path(__file__).parents[3] / "collections"
MODULE = "ansible_collections.contralock.database.plugins.modules.data_transfer"
LOOK = f"import sys, {MODULE} as module; print(module.IMPORT_ERROR, 'psycopg' in sys.modules, 'pyarrow' in sys.modules)"


def test_a_look_at_the_target_does_not_wait_for_the_libraries_that_load() -> None:
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, env={"PYTHONPATH": str(COLLECTIONS)}, text=True, capture_output=True, check=True)
    assert done.stdout.split() == ["None", "True", "False"]
