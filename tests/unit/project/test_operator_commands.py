"""What the texts for the night tell the operator to type is there, and does what they say."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from ansible_collections.contralock.database.plugins.module_utils.sqlite_fence import lower_fence, raise_fence

PROJECT = Path(__file__).parents[3]
DOCS = PROJECT / "docs"
FOR_THE_NIGHT = ("troubleshooting.md", "runbook.md")


def not_there(text: str) -> list[str]:
    """What a text for the operator names and the project does not have: playbooks, variables, tags, files."""
    options = {
        name
        for path in PROJECT.glob("roles/*/meta/argument_specs.yml")
        for name in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    }
    known = [*PROJECT.glob("playbooks/*"), *PROJECT.glob("files/profiles/*/*"), *PROJECT.glob("inventory/**/*")]
    files = {path.name.removesuffix(".example") for path in known}
    tags = set(re.findall(r"tags: \[(\w+)\]", (PROJECT / "playbooks/prepare.yml").read_text(encoding="utf-8")))
    roles = "|".join(path.name for path in PROJECT.glob("roles/*/"))
    named = set(re.findall(rf"\b(?:{roles})_\w+", text))
    wrong = [name for name in sorted(named) if not any(option.startswith(name.rstrip("_")) for option in options)]
    wrong += [name for name in re.findall(r"-e (\w+)=", text) if name not in options]
    wrong += [name for found in re.findall(r"--tags ([\w,]+)", text) for name in found.split(",") if name not in tags]
    wrong += [name for name in re.findall(r"playbooks/\w+\.yml", text) if not (PROJECT / name).is_file()]
    wrong += [name for name in re.findall(r"\b(\w+\.yml)`", text) if name not in files]
    wrong += [name for name in re.findall(r"\b\w+\.py\b", text) if not (PROJECT / "scripts" / name).is_file()]
    wrong += [name for name in re.findall(r"\]\(([^)#]+)\)", text) if not (DOCS / name).is_file()]
    return wrong


@pytest.mark.parametrize("name", FOR_THE_NIGHT)
def test_what_the_operator_types_exists(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    assert not_there(text) == []
    assert "/opt/contralock-migration/show_run.py" not in text


@pytest.mark.parametrize(
    "text",
    [
        "run playbooks/show_runs.yml",
        "-e rollback_discard_row=1",
        "`sqlite_backup_pause_ms`",
        "--tags servers",
        "[here](missing.md)",
        "python shown.py",
    ],
)
def test_what_does_not_exist_is_noticed(text):
    assert not_there(text) != []


def test_what_is_done_by_hand_is_what_the_way_back_finds(tmp_path):
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"^    file=.*\n((?:    .*\n)*?)    systemctl", text, re.MULTILINE)
    file = tmp_path / "app.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE users (id)")
    before = file.read_bytes()
    raise_fence(file, "run1", watch=0.0)
    assert file.is_dir()
    subprocess.run(["sh", "-eu", "-c", commands], env={"file": str(file), "run": "run1"}, check=True)
    assert file.read_bytes() == before
    assert not lower_fence(file, "run1").changed
