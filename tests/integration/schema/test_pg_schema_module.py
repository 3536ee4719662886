"""The module and the lookup, run for real by ansible-playbook in the interpreter that has psycopg."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform
from ansible_collections.contralock.database.plugins.module_utils.schema_files import load_changes

from tests.integration.schema.steps import BIO, NAMES, TYPES, USERS, changes_of, recorded, three, write_profile
from tests.playbooks import PROJECT, keep, play
from tests.throwaway_cluster import PASSWORD_ROLE, Cluster, Database

SECRET = "s3cret-Pa55word"
BINARIES = Path(sys.executable).parent


@dataclass(frozen=True)
class Project:
    """A project in a temporary folder: playbooks beside files/profiles."""

    folder: Path
    target: str

    def write(self, name: str, changes: list[Any]) -> None:
        write_profile(self.folder / "files" / "profiles" / name, changes)

    def play(self, *options: str, environment: Mapping[str, str] | None = None, **task: Any) -> Run:
        """Run one task of the module, and return what it answered; see ``play_all``."""
        (run,) = self.play_all([task], *options, environment=environment)
        return run

    def play_all(
        self, wanted: Sequence[Mapping[str, Any]], *options: str, environment: Mapping[str, str] | None = None
    ) -> list[Run]:
        """Run tasks of the module in one playbook: starting Ansible is what takes the time.

        Each is told by the module's arguments, where they are not the usual ones, and ``profile``, ``check`` and
        ``diff``.
        """
        tasks: list[dict[str, Any]] = []
        answers = [self.folder / f"answer_{number}.json" for number in range(len(wanted))]
        for each, answer in zip(wanted, answers, strict=True):
            answer.unlink(missing_ok=True)
            keywords = {"check_mode": each["check"]} if "check" in each else {}
            module = {name: value for name, value in each.items() if name not in ("profile", "check", "diff")}
            read = f"lookup('contralock.database.profile', '{each.get('profile', 'small')}')"
            given = {key: f"{{{{ {read}.{key} }}}}" for key in ("changes", "foreign_changes")}
            run = {
                "name": answer.stem,
                "contralock.database.pg_schema": {"target": self.target, **given, **module},
                "register": "result",
                "diff": each.get("diff", False),
                "ignore_errors": True,
            }
            tasks += [run | keywords, keep(answer, "result")]
        book = self.folder / "playbooks"
        done = play(book, tasks, *options, environment=environment)
        output = done.stdout + done.stderr
        assert all(answer.exists() for answer in answers), output
        # Of several, each has what was printed from its task on.
        head, *said = re.split(r"(?m)^TASK \[answer_\d+\]", output)
        said[0] = head + said[0]
        return [Run(json.loads(answer.read_text()), text) for answer, text in zip(answers, said, strict=True)]


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
    check = project.play("--check", diff=True)
    assert (check.answer["changed"], check.answer["pending"], check.answer["version"]) == (True, NAMES, None)
    assert "-- 0002_users.up.sql\nCREATE TABLE users (" in check.output
    assert recorded(database.conninfo) is None

    to_two = {"state": "reverted", "to": 2, "check": True, "diff": True}
    ways_back = [to_two, {"state": "reverted", "to": "0002_users"}, {"state": "reverted"}, {"state": "reverted"}]
    runs = project.play_all([*[{"diff": True}] * 3, {"check": True}, *ways_back])
    first, second, third, unchanged, would, back, rest, again = runs
    assert [run.answer["changed"] for run in (first, second, third)] == [True, False, False]
    assert (first.answer["applied"], first.answer["version"]) == (NAMES, "0003_bio")
    assert list(first.answer["durations"]) == NAMES
    assert "CREATE TABLE users (" in first.output
    assert "CREATE TABLE users (" not in second.output
    assert unchanged.answer["changed"] is False

    assert (would.answer["changed"], would.answer["pending"]) == (True, ["0003_bio"])
    assert "DROP COLUMN bio" in would.output
    assert (back.answer["reverted"], back.answer["version"]) == (["0003_bio"], "0002_users")
    assert rest.answer["version"] is None
    assert again.answer["changed"] is False
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


#: What is asked of a schema in place with a row in it -> what is said.
REFUSED = [
    ({"state": "reverted"}, "table public.users (1 row)"),
    ({"to": "1"}, "says how far to go back, and nothing is to go back"),
    ({"schema": "nowhere"}, "there is no schema 'nowhere'"),
    ({"changes": [{"name": "x", "up": "x", "down": "x"}]}, "'x' is no name of a schema change"),
    ({"changes": [{"name": "0001_types", "up": "x"}]}, "missing required arguments: down"),
    ({"target": "host=/nowhere"}, "cannot connect to PostgreSQL"),
]


def test_another_profile_s_schema_is_named_with_its_profile(project: Project, database: Database) -> None:
    """Also before the window; and what both profiles have, or neither, is no sign of the other."""
    other = changes_of(("CREATE TABLE others (id integer PRIMARY KEY);", "DROP TABLE others;"), USERS)
    project.write("other", other)
    project.write("longer", changes_of(TYPES, USERS, BIO, ("CREATE TABLE more ();", "DROP TABLE more;")))
    (project.folder / "files" / "profiles" / "broken" / "schema").mkdir(parents=True)
    applied, *wrong, longer = project.play_all(
        [{}, {"profile": "other"}, {"profile": "other", "state": "reverted", "check": True}, {"profile": "longer"}]
    )
    assert applied.answer["applied"] == NAMES
    for run in wrong:
        assert run.answer["msg"] == (
            "the target has the schema of the profile small, and another profile is given."
            " Give that profile, or a database with the schema of the one that you mean."
        )
    assert longer.answer["applied"] == ["0004_step"]


def test_the_roles_name_the_profile_whose_schema_the_target_has(tmp_path: Path, database: Database) -> None:
    profiles = PROJECT / "files" / "profiles"
    with connect(database.conninfo, "test") as connection:
        perform(connection, Request(load_changes(profiles / "contralock_deployed" / "schema")))
    parts = {"database_schema": "main", "source_assessment": "assess", "validation": "target"}
    said = "said | default([]) + [ansible_failed_result.msg]"
    tasks = [
        {
            "block": [{"ansible.builtin.include_role": {"name": name, "tasks_from": f"{part}.yml"}}],
            "rescue": [{"ansible.builtin.set_fact": {"said": f"{{{{ {said} }}}}"}}],
        }
        for name, part in parts.items()
    ]
    given = {
        **{f"{name}_profile": str(profiles / "contralock") for name in parts},
        "migration_toolkit_target": database.conninfo,
        "migration_toolkit_run_directory": str(tmp_path),
        "application_config_found": {"type": "sqlite", "path": "/nowhere.sqlite"},
    }
    done = play(tmp_path, [*tasks, keep(tmp_path / "said", "said")], **given)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "said").read_text())
    assert [words.partition(",")[0] for words in told] == [
        "the target has the schema of the profile contralock_deployed"
    ] * 3


def test_refusals_come_as_sentences(project: Project, database: Database) -> None:
    project.play()
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("INSERT INTO users VALUES (1, 'client')")
    *refused, allowed = project.play_all(
        [*({**task, "check": True} for task, _ in REFUSED), {"state": "reverted", "allow_data_loss": True}]
    )
    for run, (_, words) in zip(refused, REFUSED, strict=True):
        assert words in run.answer["msg"]
        assert "Traceback" not in json.dumps(run.answer)
    assert allowed.answer["reverted"] == NAMES[::-1]


@pytest.mark.parametrize("way", ["environment", "passfile"])
def test_a_password_shows_nowhere(project: Project, cluster: Cluster, database: Database, way: str) -> None:
    with psycopg.connect(cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"GRANT {PASSWORD_ROLE} TO {database.owner}")
        administrator.execute(f"ALTER ROLE {database.owner} PASSWORD '{SECRET}'")
    passfile = project.folder / "pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:{database.owner}:{SECRET}\n")
    environment = {"PGPASSWORD": SECRET} if way == "environment" else {"PGPASSFILE": str(passfile)}
    run = project.play("-vvvv", diff=True, environment=environment)
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
    expected = {
        "small": NAMES,
        str(tmp_path / "elsewhere" / "far"): NAMES,
        "../elsewhere/far": NAMES,
        "near": NAMES[:1],
    }
    runs = project.play_all([{"profile": profile} for profile in expected], "--check")
    assert [run.answer["pending"] for run in runs] == list(expected.values())


def test_the_lookup_refuses_with_a_mend(project: Project, tmp_path: Path) -> None:
    (tmp_path / "files" / "profiles" / "small" / "schema" / "0003_bio.down.sql").unlink()
    expected = {"small": "0003_bio has no down", "absent": "there is no profile 'absent'"}
    runs = project.play_all([{"profile": profile} for profile in expected], "--check")
    for run, words in zip(runs, expected.values(), strict=True):
        assert run.answer["failed"]
        assert words in run.answer["msg"]


@pytest.mark.parametrize(
    "options", [["contralock.database.pg_schema"], ["-t", "lookup", "contralock.database.profile"]], ids=" ".join
)
def test_ansible_doc_reads_the_documentation(options: list[str]) -> None:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(PROJECT / "collections")}
    command = [BINARIES / "ansible-doc", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    documented = json.loads(done.stdout)[options[-1]]
    assert documented["examples"]
    assert documented["return"]
    assert set(documented["doc"]["options"]) >= ({"target", "changes", "to"} if len(options) == 1 else {"_terms"})
