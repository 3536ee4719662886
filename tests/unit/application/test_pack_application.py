"""roles/sample_application/files/pack_application.py, with a stand-in for npm; and what the application's lock says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
SCRIPT = PROJECT / "roles/sample_application/files/pack_application.py"
APPLICATION = PROJECT / "files/application"
#: Notes each call, takes its time, and makes a package.
NPM = """#!/bin/sh
echo "$*" >> {calls}
sleep 0.2
mkdir -p node_modules/tiny && echo 'module.exports = 1;' > node_modules/tiny/index.js
"""
FAILING = "#!/bin/sh\nmkdir node_modules\necho 'code ENOTFOUND' >&2\nexit 1\n"


@pytest.fixture
def application(tmp_path) -> Path:
    folder = tmp_path / "application"
    (folder / "src/deep").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "test").mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc", "src/deep/a.js", "bin/contralock", "test/a.test.js"):
        (folder / name).write_text(f"{name}\n")
    return folder


@pytest.fixture
def start(tmp_path, application):
    """Start the script with this npm; without one, none is found."""

    def run(npm: str | None = NPM) -> subprocess.Popen[str]:
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        for name in ("tar", "gzip", "sh", "mkdir", "sleep"):
            (tools / name).unlink(missing_ok=True)
            (tools / name).symlink_to(f"/bin/{name}")
        if npm:
            (tools / "npm").write_text(npm.format(calls=tmp_path / "calls"))
            (tools / "npm").chmod(0o755)
        return subprocess.Popen(
            [sys.executable, SCRIPT, f"--application={application}", f"--cache={tmp_path}/cache"],
            env={**os.environ, "PATH": str(tools)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return run


def packed(process: subprocess.Popen[str]) -> dict[str, dict[str, str]]:
    output, error = process.communicate()
    assert process.returncode == 0, error
    return json.loads(output)


def members(archive: str) -> list[str]:
    with tarfile.open(archive) as opened:
        assert {(member.uid, member.gid, member.mode & 0o022) for member in opened} == {(0, 0, 0)}
        return [member.name for member in opened if member.isfile()]


def test_packs_what_runs_and_nothing_else_with_the_mark_at_the_end(start):
    made = packed(start())
    name = made["modules"]["name"]
    assert name in made["modules"]["archive"]
    found = members(made["modules"]["archive"])
    assert f"{name}/node_modules/tiny/index.js" in found
    assert found[-1] == f"{name}/complete"
    name = made["program"]["name"]
    assert members(made["program"]["archive"]) == [
        f"{name}/{each}" for each in ("bin/contralock", "package.json", "src/deep/a.js", "complete")
    ]


def test_fetches_once_and_follows_what_changes(start, application, tmp_path):
    first = packed(start())
    assert packed(start()) == first
    (application / "test/a.test.js").write_text("another\n")
    assert packed(start()) == first
    (application / "src/deep/a.js").write_text("another\n")
    second = packed(start())
    assert (second["modules"], second["program"] != first["program"]) == (first["modules"], True)
    assert (tmp_path / "calls").read_text() == "ci --ignore-scripts --omit=dev --no-audit --no-fund\n"
    (application / "package-lock.json").write_text("another\n")
    assert packed(start())["modules"] != first["modules"]


def test_two_at_once_leave_one_whole_cache(start, tmp_path):
    processes = [start(), start()]
    first, second = (packed(process) for process in processes)
    assert first == second
    assert sorted(str(path) for path in (tmp_path / "cache").iterdir()) == sorted(
        each["archive"] for each in first.values()
    )


@pytest.mark.parametrize(
    ("npm", "words"),
    [
        (FAILING, ["npm ci failed", "code ENOTFOUND", "needs to reach a registry of npm packages, or a cache"]),
        (None, ["the controller has no command npm. Install nodejs and npm there."]),
    ],
    ids=["npm fails", "no npm"],
)
def test_a_refusal_says_why_and_leaves_no_half_cache(start, tmp_path, npm, words):
    process = start(npm)
    _, error = process.communicate()
    assert process.returncode == 1
    for each in words:
        assert each in error
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_lock_pins_everything_and_names_no_place():
    lock = json.loads((APPLICATION / "package-lock.json").read_text())
    wanted = json.loads((APPLICATION / "package.json").read_text())["dependencies"]
    packages = {name.removeprefix("node_modules/"): each for name, each in lock["packages"].items() if name}
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert packages[name]["version"] == version
    for name, each in packages.items():
        assert each["integrity"].startswith("sha512-"), name
        assert "resolved" not in each, name
        assert "hasInstallScript" not in each, name
