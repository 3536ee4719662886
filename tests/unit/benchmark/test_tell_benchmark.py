"""The figures of docs and README: written between their marks, all of them and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.example_runs import benchmark
from tests.playbooks import PROJECT

DOCUMENTS = ("README.md", "docs/benchmark.md")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    (tmp_path / "docs/images").mkdir(parents=True)
    for name in DOCUMENTS:
        shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


def tell(root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROJECT / "benchmarks/tell_benchmark.py", "--commit", "abc", "--root", root, *more]
    document = json.dumps({**benchmark(), "notes": ["Each lasted 10 s."]})
    return subprocess.run(command, input=document, capture_output=True, text=True, check=False, timeout=120)


def test_all_figures_are_written_anew_and_nothing_else(copies: Path) -> None:
    around = [(copies / name).read_text().split("<!-- measured")[::2] for name in DOCUMENTS]
    done = tell(copies, "--remark", "It was **busy**.")
    assert (done.returncode, done.stderr) == (0, "")
    readme, docs = ((copies / name).read_text() for name in DOCUMENTS)
    assert [text.split("<!-- measured")[::2] for text in (readme, docs)] == around
    # 900 and 700 operations a second with 1 client; 950 and 2,100 with 8, 940 and 2,900 with 64.
    line = "- Mixed, directly: PostgreSQL 2.2 to 3.1 times with 8 and 64 clients; SQLite 1.3 times with 1 client."
    for text in (readme, docs):
        assert line in text.splitlines()
        assert text.count("It was **busy**.") == 1
    assert "### Mixed, through the application" in docs
    assert "| 64 | 940 (24 busy) | 34.0 / 136.2 / 272.3 | 2,900 | 11.0 / 44.1 / 88.3 | PostgreSQL 3.1 times |" in docs
    assert "2 cores.\nEach lasted 10 s. No money was lost or doubled: all of it was there before" in docs
    # Nothing that a measurement before this one has found is left.
    assert docs.count("| 64 |") == 2
    assert (copies / "docs/images/benchmark.png").read_bytes().startswith(b"\x89PNG")


def test_a_document_without_its_marks_is_told(copies: Path) -> None:
    (copies / "docs/benchmark.md").write_text("no marks")
    done = tell(copies)
    assert done.returncode == 1
    assert "docs/benchmark.md has not both marks" in done.stderr
