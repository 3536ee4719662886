"""The same verb for a shell: exit codes, lines and secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.integration.schema.steps import BIO, NAMES, TYPES, USERS, changes_of, recorded, three, write_profile
from tests.throwaway_cluster import PASSWORD_ROLE, Cluster, Database

ROOT = Path(__file__).parents[3]
SECRET = "s3cret-Pa55word"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "apply_schema.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd="/", env={**os.environ, **environment}, check=False, timeout=60
    )


@pytest.fixture
def profile(tmp_path: Path) -> str:
    return str(write_profile(tmp_path / "small", three()))


def test_the_whole_journey(profile: str, database: Database) -> None:
    target = ("--target", database.conninfo)
    check = run("--profile", profile, *target, "--check", "--diff")
    assert check.returncode == 1, check.stderr
    assert check.stdout.splitlines()[0] == "-- 0001_types.up.sql"
    assert check.stdout.endswith(
        "would apply 0001_types\nwould apply 0002_users\nwould apply 0003_bio\nversion: none\n"
    )
    assert recorded(database.conninfo) is None

    done = run("--profile", f"{profile}/schema", *target)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" in ")[0] for line in done.stdout.splitlines()] == [
        *(f"applied {name}" for name in NAMES),
        "version: 0003_bio",
    ]
    again = run("--profile", profile, *target)
    assert (again.returncode, again.stdout) == (0, "version: 0003_bio, nothing to do\n")
    assert run("--profile", profile, *target, "--check").returncode == 0

    assert run("--profile", profile, *target, "--state", "reverted", "--check", "--to", "2").stdout.startswith(
        "would take back 0003"
    )
    back = run("--profile", profile, *target, "--state", "reverted", "--to", "2")
    assert back.stdout.endswith("version: 0002_users\n")
    assert run("--profile", profile, *target, "--state", "reverted", "--quiet").stdout == ""
    assert recorded(database.conninfo) is None


def test_json_is_one_document(profile: str, database: Database) -> None:
    done = run("--profile", profile, "--target", database.conninfo, "--json")
    report = json.loads(done.stdout)
    assert (report["changed"], report["applied"], report["version"]) == (True, NAMES, "0003_bio")
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("DROP INDEX users_role")
    drifted = run("--profile", profile, "--target", database.conninfo, "--json", "--check")
    assert drifted.returncode == 2
    assert "users_role: missing" in json.loads(drifted.stdout)["details"]["drift"][0]
    assert "as a schema change of its own after 0003_bio.up.sql." in json.loads(drifted.stdout)["error"]


def test_refusals_have_exit_code_2(profile: str, database: Database, tmp_path: Path) -> None:
    target = ("--target", database.conninfo)
    faulty = write_profile(tmp_path / "faulty", changes_of(TYPES, USERS, ("ALTER TABLE no ADD x text;", "--")))
    failed = run("--profile", str(faulty), *target)
    assert failed.returncode == 2
    assert failed.stdout.count("applied ") == 2
    assert 'refused: 0003_bio.up.sql: relation "no" does not exist' in failed.stderr
    assert "(applied in this run and kept: 0001_types, 0002_users)" in failed.stderr
    for arguments, words in (
        (("--profile", str(tmp_path / "none"), *target), "there is no profile"),
        (("--profile", profile, "--target", f"host=/tmp password={SECRET}"), "holds a secret"),
        (("--profile", profile, "--target", "host=/nowhere"), "cannot connect to PostgreSQL"),
        # Refused before anything is asked: there is no such server.
        (
            ("--profile", "", "--target", "host=/nowhere"),
            "there is no profile ''. Give one of contralock, contralock_deployed, or a profile's folder.",
        ),
        (("--profile", profile, "--target", "host=/nowhere", "--to", "1"), "'to' ('1') says how far"),
        (("--profile", profile, "--target", "host=/nowhere", "--lock-wait", "-1"), "--lock-wait: -1 is less than 0"),
        ((), "arguments are required: --profile"),
    ):
        refused = run(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert words in refused.stderr
        assert SECRET not in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_reader_that_goes_away_stops_no_change(profile: str, database: Database, tmp_path: Path) -> None:
    script, said = ROOT / "scripts" / "apply_schema.py", tmp_path / "said"
    options = f"--profile {profile} --target '{database.conninfo}'"
    command = f"{sys.executable} {script} {options} 2>{said} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], check=False, timeout=60)
    assert (done.returncode, said.read_text()) == (0, "")
    assert recorded(database.conninfo) == NAMES


def test_a_profile_is_found_by_name_and_libpq_finds_the_database(cluster: Cluster, database: Database) -> None:
    places = {"PGHOST": str(cluster.folder), "PGDATABASE": database.name, "PGUSER": database.owner}
    checked = run("--profile", "contralock", "--check", **places)
    assert checked.returncode == 1, checked.stderr
    assert checked.stdout.startswith("would apply 0001_")


def test_data_loss_has_to_be_allowed(profile: str, database: Database) -> None:
    back = ("--profile", profile, "--target", database.conninfo, "--state", "reverted")
    run("--profile", profile, "--target", database.conninfo)
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("INSERT INTO users VALUES (1, 'client')")
    refused = run(*back)
    assert refused.returncode == 2
    assert "table public.users (1 row)" in refused.stderr
    assert run(*back, "--allow-data-loss").returncode == 0


def test_a_folder_may_be_given_without_schema(tmp_path: Path, database: Database) -> None:
    folder = write_profile(tmp_path, changes_of(TYPES, USERS, BIO)) / "schema"
    assert run("--profile", str(folder), "--target", database.conninfo, "--quiet").returncode == 0
    assert recorded(database.conninfo) == NAMES


@pytest.mark.parametrize("right", [True, False])
def test_a_password_shows_nowhere(profile: str, cluster: Cluster, database: Database, right: bool) -> None:
    with psycopg.connect(cluster.conninfo(), autocommit=True) as administrator:
        administrator.execute(f"GRANT {PASSWORD_ROLE} TO {database.owner}")
        administrator.execute(f"ALTER ROLE {database.owner} PASSWORD '{SECRET if right else 'another'}'")
    done = run("--profile", profile, "--target", database.conninfo, "--diff", PGPASSWORD=SECRET)
    assert done.returncode == (0 if right else 2), done.stderr
    assert right or "password authentication failed" in done.stderr
    assert SECRET not in done.stdout + done.stderr
