"""The same verb for a shell: exit codes, lines, JSON, secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.comparison.loaded_target import CONTRALOCK, PROJECT, UNRECORDED, Pair

SCRIPT = PROJECT / "scripts" / "compare_databases.py"


def run(pair: Pair, *arguments: str, source: str = "", target: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), source or str(pair.source), "--target", target or pair.target, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=60)


def test_0_when_all_is_the_same(pair: Pair) -> None:
    pair.sqlite("PRAGMA journal_mode = wal")
    beside = set(pair.source.parent.iterdir())
    done = run(pair, "--profile", "contralock")
    assert done.returncode == 0
    (note,) = done.stderr.splitlines()
    assert "is in WAL mode and has no -wal beside it" in note
    *tables, unrecorded, last = done.stdout.splitlines()
    assert unrecorded == f"note: {UNRECORDED}"
    assert len(tables) == 12
    assert all(line.endswith("  the same") for line in tables)
    assert last.startswith("the same: ")
    assert " cells in 600 rows of 12 tables, no difference, in " in last
    quiet = run(pair, "--profile", str(CONTRALOCK), "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert set(pair.source.parent.iterdir()) == beside


def test_1_when_something_differs(pair: Pair) -> None:
    pair.sql("UPDATE users SET first_name = first_name || ' ', password = password || 'Pl4nted'")
    done = run(pair, "--profile", "contralock", "--limit", "3")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert sum(line.startswith("difference: users id=") for line in lines) == 3
    assert lines[-1].startswith("not the same: ")
    as_json = run(pair, "--profile", "contralock", "--json")
    document = json.loads(as_json.stdout)
    assert (as_json.returncode, document["equal"]) == (1, False)
    assert document["number"] == 2 * next(
        each["target_rows"] for each in document["tables"] if each["table"] == "users"
    )
    assert "Pl4nted" not in done.stdout + done.stderr + as_json.stdout


@pytest.mark.parametrize(
    ("arguments", "given", "words"),
    [
        (["--profile", "absent"], {}, "absent"),
        (["--profile", "contralock"], {"source": "/nowhere.sqlite"}, "/nowhere.sqlite"),
        (["--profile", "contralock"], {"target": "host=/nowhere"}, "cannot connect to PostgreSQL"),
        (["--profile", "contralock"], {"target": "host=/nowhere password=s3cret"}, "holds a secret"),
        (["--profile", "contralock", "--schema", "none"], {}, "there is no schema 'none'"),
        ([], {}, "--profile"),
    ],
)
def test_2_when_it_cannot_be_told(pair: Pair, arguments: list[str], given: dict[str, str], words: str) -> None:
    done = run(pair, *arguments, **given)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


def test_2_when_the_unexpected_happens(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import pyarrow\n\ndef broken(*_):\n    raise RuntimeError('planted')\n\npyarrow.concat_tables = broken\n"
    )
    command = [sys.executable, str(SCRIPT), str(pair.source), "--target", pair.target, "--profile", "contralock"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert (done.returncode, "RuntimeError: planted" in done.stderr) == (2, True)


def test_cut_off_by_head_the_exit_code_stays(pair: Pair) -> None:
    pair.sql("UPDATE wallets SET currency = 'EUR'")
    command = f"{sys.executable} {SCRIPT} {pair.source} --profile contralock --target '{pair.target}'"
    shell = f"set -o pipefail; {command} | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
