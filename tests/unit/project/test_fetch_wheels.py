"""roles/migration_toolkit/files/fetch_wheels.py, with real pip and a wheel made here instead of an index."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "roles/migration_toolkit/files/fetch_wheels.py"


@pytest.fixture
def wheel(tmp_path) -> Path:
    """The smallest wheel there can be."""
    path = tmp_path / "index" / "tiny-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def start(tmp_path, wheel):
    """Start the script with a lock of this text."""

    def run(lock_text: str) -> subprocess.Popen[str]:
        lock = tmp_path / "lock.txt"
        lock.write_text(lock_text, encoding="utf-8")
        options = [f"--lock={lock}", "--python=3.11", "--platforms=manylinux2014_x86_64", f"--cache={tmp_path}/cache"]
        environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}
        return subprocess.Popen(
            [sys.executable, SCRIPT, *options],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return run


def pinned(wheel: Path) -> str:
    return f"tiny==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def test_fetches_once_and_then_uses_the_cache(start, wheel, tmp_path):
    answers = []
    for _ in range(2):
        process = start(pinned(wheel))
        output, error = process.communicate()
        assert process.returncode == 0, error
        answers.append(json.loads(output))
    assert [answer["fetched"] for answer in answers] == [True, False]
    assert answers[0]["archive"] == answers[1]["archive"]
    with tarfile.open(answers[0]["archive"]) as archive:
        members = [(member.name, member.uid, member.uname, oct(member.mode)) for member in archive]
    assert members == [(wheel.name, 0, "root", "0o644")]


def test_two_at_once_leave_one_whole_cache(start, wheel, tmp_path):
    processes = [start(pinned(wheel)) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    archives = {json.loads(output)["archive"] for output in outputs}
    assert len(archives) == 1
    assert [str(path) for path in (tmp_path / "cache").iterdir()] == list(archives)


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        ("tiny==1.0 --hash=sha256:" + "0" * 64 + "\n", "DO NOT MATCH THE HASHES"),
        ("nobody==1.0 --hash=sha256:" + "0" * 64 + "\n", "nobody==1.0"),
    ],
    ids=["wrong hash", "not in the index"],
)
def test_a_refusal_says_why_and_leaves_no_half_cache(start, tmp_path, lock, words):
    process = start(lock)
    _, error = process.communicate()
    assert process.returncode == 1
    assert words in error
    assert "The controller needs to reach a Python package index" in error
    assert list((tmp_path / "cache").iterdir()) == []
