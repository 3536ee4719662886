"""The module and the lookup, run for real by ansible-playbook in the interpreter that has psycopg."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.schema.steps import BIO, NAMES, TYPES, USERS, changes_of, recorded, three, write_profile
from tests.throwaway_cluster import PASSWORD_ROLE, Cluster, Database

ROOT = Path(__file__).parents[3]
SECRET = "s3cret-Pa55word"
BINARIES = Path(sys.executable).parent

TASK = {
    "contralock.database.pg_schema": {
        "target": "{{ target }}",
        "changes": "{{ lookup('contralock.database.profile', profile).changes }}",
    },
    "register": "result",
}


@dataclass(frozen=True)
class Project:
    """A project in a temporary folder: playbooks beside files/profiles."""

    folder: Path
    target: str

    def write(self, name: str, changes: list[Any]) -> None:
        write_profile(self.folder / "files" / "profiles" / name, changes)

    def play(
        self, *options: str, profile: str = "small", environment: Mapping[str, str] | None = None, **task: Any
    ) -> Run:
        """Run one task of the module three words apart from its defaults, and return what it answered."""
        (self.folder / "playbooks").mkdir(exist_ok=True)
        module = {**TASK["contralock.database.pg_schema"], **task}  # type: ignore[dict-item]
        answer = self.folder / "answer.json"
        answer.unlink(missing_ok=True)
        tasks = [
            {**TASK, "contralock.database.pg_schema": module, "ignore_errors": True},
            {
                "ansible.builtin.copy": {"content": "{{ result | to_json }}", "dest": str(answer), "mode": "0600"},
                "check_mode": False,
                "diff": False,
                "no_log": True,
            },
        ]
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
        (self.folder / "playbooks" / "play.yml").write_text(json.dumps([play]))
        variables = {"target": self.target, "profile": profile, "ansible_python_interpreter": sys.executable}
        done = subprocess.run(
            [
                BINARIES / "ansible-playbook",
                "-i",
                "localhost,",
                "playbooks/play.yml",
                "-e",
                json.dumps(variables),
                *options,
            ],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            timeout=120,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_REMOTE_TEMP": str(self.folder / "tmp"),
                **(environment or {}),
            },
        )
        assert answer.exists(), done.stdout + done.stderr
        return Run(json.loads(answer.read_text()), done.stdout + done.stderr)


@dataclass(frozen=True)
class Run:
    """What the module answered, and everything that ansible-playbook printed."""

    answer: dict[str, Any] = field(default_factory=dict)
    output: str = ""


@pytest.fixture
def project(tmp_path: Path, database: Database) -> Project:
    made = Project(tmp_path, database.conninfo)
    made.write("small", three())
    return made


def test_check_mode_three_runs_and_the_way_back(project: Project, database: Database) -> None:
    check = project.play("--check", "--diff")
    assert (check.answer["changed"], check.answer["pending"], check.answer["version"]) == (True, NAMES, None)
    assert "-- 0002_users.up.sql\nCREATE TABLE users (" in check.output
    assert recorded(database.conninfo) is None

    first, second, third = (project.play("--diff") for _ in range(3))
    assert [run.answer["changed"] for run in (first, second, third)] == [True, False, False]
    assert (first.answer["applied"], first.answer["version"]) == (NAMES, "0003_bio")
    assert list(first.answer["durations"]) == NAMES
    assert "CREATE TABLE users (" in first.output
    assert "CREATE TABLE users (" not in second.output
    assert project.play("--check").answer["changed"] is False

    would = project.play("--check", "--diff", state="reverted", to=2)
    assert (would.answer["changed"], would.answer["pending"]) == (True, ["0003_bio"])
    assert "DROP COLUMN bio" in would.output
    back = project.play(state="reverted", to="0002_users")
    assert (back.answer["reverted"], back.answer["version"]) == (["0003_bio"], "0002_users")
    assert project.play(state="reverted").answer["version"] is None
    assert project.play(state="reverted").answer["changed"] is False
    assert recorded(database.conninfo) is None


def test_a_failure_says_why_and_leaves_nothing(project: Project, database: Database) -> None:
    project.write("faulty", changes_of(TYPES, USERS, (f"{BIO[0]}\nALTER TABLE users ADD x nothing;", "--")))
    failed = project.play(profile="faulty").answer
    assert failed["failed"]
    assert failed["msg"].startswith("0003_bio.up.sql, line 2 (ALTER TABLE users ADD x nothing;): type")
    assert failed["msg"].endswith("Mend the file and run again.")
    assert failed["details"]["applied"] == NAMES[:2]
    assert recorded(database.conninfo) == NAMES[:2]
    with psycopg.connect(database.conninfo) as connection, pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute("SELECT bio FROM users")


def test_refusals_come_as_sentences(project: Project, database: Database) -> None:
    project.play()
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("INSERT INTO users VALUES (1, 'client')")
    for task, words in (
        ({"state": "reverted"}, "table public.users (1 rows)"),
        ({"to": "1"}, "says how far to go back, and nothing is to go back"),
        ({"schema": "nowhere"}, "there is no schema 'nowhere'"),
        ({"changes": [{"name": "x", "up": "x", "down": "x"}]}, "'x' is no name of a schema change"),
        ({"changes": [{"name": "0001_types", "up": "x"}]}, "missing required arguments: down"),
        ({"target": "host=/nowhere"}, "cannot connect to PostgreSQL"),
    ):
        answer = project.play("--check", **task).answer
        assert words in answer["msg"]
        assert "Traceback" not in json.dumps(answer)
    assert project.play(state="reverted", allow_data_loss=True).answer["reverted"] == NAMES[::-1]


@pytest.mark.parametrize("way", ["environment", "passfile"])
def test_a_password_shows_nowhere(project: Project, cluster: Cluster, database: Database, way: str) -> None:
    with psycopg.connect(cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"GRANT {PASSWORD_ROLE} TO {database.owner}")
        administrator.execute(f"ALTER ROLE {database.owner} PASSWORD '{SECRET}'")
    passfile = project.folder / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:{database.owner}:{SECRET}\n")
    environment = {"PGPASSWORD": SECRET} if way == "environment" else {"PGPASSFILE": str(passfile)}
    run = project.play("-vvvv", "--diff", environment=environment)
    assert run.answer["applied"] == NAMES
    assert SECRET not in run.output + json.dumps(run.answer)
    wrong = project.play("-vvvv", environment={"PGPASSWORD": f"not-{SECRET}"})
    assert "password authentication failed" in wrong.answer["msg"]
    assert SECRET not in wrong.output + json.dumps(wrong.answer)


def test_a_password_in_the_target_is_refused_and_hidden(project: Project, tmp_path: Path) -> None:
    # The target comes from a file, since an extra variable on a command line is Ansible's to print.
    (tmp_path / "target").write_text(f"{project.target} password={SECRET}")
    run = project.play("-vvvv", target="{{ lookup('ansible.builtin.file', '../target') }}")
    assert "holds a secret" in run.answer["msg"]
    assert SECRET not in run.output + json.dumps(run.answer)


def test_a_python_without_psycopg_is_told(project: Project, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    answer = project.play("-e", f"ansible_python_interpreter={bare}/bin/python").answer
    assert "Failed to import the required Python library (psycopg)" in answer["msg"]
    assert "ansible_python_interpreter" in answer["msg"]


def test_the_lookup_finds_a_profile_by_name_and_by_path(project: Project, tmp_path: Path) -> None:
    write_profile(tmp_path / "elsewhere" / "far", three())
    write_profile(tmp_path / "playbooks" / "files" / "profiles" / "near", three()[:1])
    for profile, expected in (
        ("small", NAMES),
        (str(tmp_path / "elsewhere" / "far"), NAMES),
        ("../elsewhere/far", NAMES),
        ("near", NAMES[:1]),
    ):
        assert project.play("--check", profile=profile).answer["pending"] == expected


def test_the_lookup_refuses_with_a_mend(project: Project, tmp_path: Path) -> None:
    (tmp_path / "files" / "profiles" / "small" / "schema" / "0003_bio.down.sql").unlink()
    for profile, words in (("small", "0003_bio has no down"), ("absent", "there is no profile 'absent'")):
        answer = project.play("--check", profile=profile).answer
        assert answer["failed"]
        assert words in answer["msg"]


@pytest.mark.parametrize(
    "options", [["contralock.database.pg_schema"], ["-t", "lookup", "contralock.database.profile"]], ids=" ".join
)
def test_ansible_doc_reads_the_documentation(options: list[str]) -> None:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    command = [BINARIES / "ansible-doc", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    documented = json.loads(done.stdout)[options[-1]]
    assert documented["examples"]
    assert documented["return"]
    assert set(documented["doc"]["options"]) >= ({"target", "changes", "to"} if len(options) == 1 else {"_terms"})
