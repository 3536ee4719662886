"""The module as Ansible runs it: a process that reads its arguments and prints its answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]
MODULE = "ansible_collections.contralock.database.plugins.modules.env_file"
TEXT = "# mine\nDB_TYPE=sqlite\nJWT_SECRET=of-the-application\nPORT=5000\n"


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def run(path: Path, check: bool = False, **options: Any) -> tuple[dict[str, Any], str]:
    """The answer, and all that was printed."""
    internal = {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(path.parent)}
    code = f"import json, sys; from {MODULE} import main\n"
    code += "from ansible.module_utils.testing import patch_module_args\n"
    code += "with patch_module_args(json.load(sys.stdin)): main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps({"path": str(path), **internal, **options}),
        env={**os.environ, "PYTHONPATH": str(PROJECT / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout), done.stdout + done.stderr


def test_sets_once_and_says_what_it_did(env, tmp_path):
    options = {
        "values": {"DB_TYPE": "postgresql", "DB_SSL": True, "DB_PORT": 5432},
        "secrets": {"DB_PASS": "of#the'database"},
        "read": ["DB_TYPE", "DB_PATH"],
        "backup_to": str(tmp_path / "before"),
    }
    predicted, _ = run(env, check=True, **options)
    assert env.read_text() == TEXT
    assert not (tmp_path / "before").exists()
    assert (predicted["changed"], predicted["found"]["DB_TYPE"]) == (True, "sqlite")

    done, output = run(env, **options)
    assert done["keys"] == predicted["keys"] == ["DB_TYPE", "DB_SSL", "DB_PORT", "DB_PASS"]
    assert done["diff"] == predicted["diff"]
    assert done["found"] == {"DB_TYPE": "postgresql", "DB_PATH": None}
    assert 'DB_SSL=true\nDB_PORT=5432\nDB_PASS="of#the\'database"\n' in env.read_text()
    assert (tmp_path / "before").read_text() == TEXT
    assert "the'database" not in output
    assert "of-the-application" not in output

    again, _ = run(env, **options)
    assert (again["changed"], again["keys"]) == (False, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": {"DB_PASS": "x"}}, "DB_PASS under 'values' would be shown"),
        ({"read": ["JWT_SECRET"]}, "JWT_SECRET under 'read' would be shown"),
        ({"values": {"A": 1.5}}, "the value of A is neither text"),
        ({"values": {"A": ["x"]}}, "the value of A is neither text"),
        ({"values": {"A B": "x"}}, "'A B' is no name of a variable"),
    ],
)
def test_refuses(env, options, message):
    answer, _ = run(env, **options)
    assert answer["failed"]
    assert message in answer["msg"]
    assert env.read_text() == TEXT


def test_a_missing_file_is_refused(tmp_path):
    answer, _ = run(tmp_path / "missing", values={"A": "1"})
    assert "there is no file" in answer["msg"]


@pytest.mark.parametrize("check", [True, False], ids=["asked", "done"])
@pytest.mark.parametrize(("mode", "refused"), [(0o644, True), (0o602, True), (0o641, True), (0o640, False)])
def test_a_password_goes_into_no_file_that_everybody_may_open(env, check, mode, refused):
    env.chmod(mode)
    answer, _ = run(env, check, secrets={"DB_PASS": "hidden-word"})
    assert bool(answer.get("failed")) == refused
    assert ("hidden-word" in env.read_text()) == (not refused and not check)
    if refused:
        assert f"{env} has the mode {mode:04o}" in answer["msg"]
        assert f"chmod o= {env}" in answer["msg"]
    assert not run(env, check, values={"DB_TYPE": "postgresql"})[0].get("failed")
