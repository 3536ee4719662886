"""What the role application_config refuses before anything is changed, by ansible-playbook on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.playbooks import keep, play, role

TEXT = "DB_TYPE=sqlite\nJWT_SECRET=of-the-application\n"
UNQUOTABLE = "every'kind`of\"quotes#and-a-comment"
#: What is wrong -> variables, the file's mode, what is said.
REFUSALS = [
    ("nothing", {}, 0o640, ""),
    ("a password that no .env can hold", {"application_config_password": UNQUOTABLE}, 0o640, "no kind of quotes"),
    ("a file that everybody reads", {}, 0o644, "has the mode 0644, and a password is to be written into it"),
    (
        "no certificate",
        {"application_config_ca_certificate": "/nowhere/ca.crt"},
        0o640,
        "application_config_ca_certificate is /nowhere/ca.crt, and there is no such file on the controller",
    ),
]


def test_the_preflight_finds_what_the_window_would(tmp_path: Path) -> None:
    """All cases in one play: starting Ansible is what takes the time."""
    certificate = tmp_path / "ca.crt"
    certificate.write_text("a certificate")
    tasks = []
    for number, (_, variables, mode, _) in enumerate(REFUSALS):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".env").write_text(TEXT)
        (folder / ".env").chmod(mode)
        known = {
            "application_config_working_directory": str(folder),
            "application_config_host": "db1.example.org",
            "application_config_password": "of#the'database",
            "application_config_ca_certificate": str(certificate),
        }
        # Included, so that a failure can be kept as a fact of its own.
        include = {"name": "application_config", "tasks_from": "preflight.yml"}
        failure = {f"said_{number}": "{{ ansible_failed_result | contralock.database.failure_text }}"}
        tasks.append(
            {
                "block": [{"ansible.builtin.include_role": include, "vars": known | variables}],
                "rescue": [{"ansible.builtin.set_fact": failure}],
            }
        )
    names = ", ".join(f"'{number}': said_{number} | default('')" for number in range(len(REFUSALS)))
    done = play(tmp_path, [*tasks, keep(tmp_path / "facts", "{" + names + "}")], "--diff")
    assert done.returncode == 0, done.stdout
    said = json.loads((tmp_path / "facts").read_text())
    for number, (what, _, _, expected) in enumerate(REFUSALS):
        assert (expected in said[str(number)]) and bool(expected) == bool(said[str(number)]), (what, said)
        assert (tmp_path / str(number) / ".env").read_text() == TEXT
    assert "of#the'database" not in done.stdout
    assert UNQUOTABLE not in done.stdout
    # What the preflight asks is no change, and shows none.
    assert "changed=0 " in done.stdout
    assert "DB_HOST" not in done.stdout


@pytest.mark.parametrize("tasks_from", ["preflight", "main"])
def test_a_check_refuses_the_same(tmp_path: Path, tasks_from: str) -> None:
    (tmp_path / ".env").write_text(TEXT)
    (tmp_path / ".env").chmod(0o644)
    (tmp_path / "ca.crt").write_text("a certificate")
    known = {
        "application_config_working_directory": str(tmp_path),
        "application_config_host": "db1.example.org",
        "application_config_password": "of#the'database",
        "application_config_ca_certificate": str(tmp_path / "ca.crt"),
        "application_config_ca_path": str(tmp_path / "etc" / "ca.crt"),
    }
    done = play(tmp_path, [role("application_config", tasks_from, **known)], "--check")
    assert done.returncode == 2
    assert "has the mode 0644, and a password is to be written into it" in " ".join(done.stdout.split())
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize(
    ("there", "kept"), [(True, (1000, 1000, 0o700)), (False, (0, 0, 0o755))], ids=["there", "not there"]
)
def test_a_directory_for_the_certificate_stays_its_owners(tmp_path: Path, there: bool, kept: object) -> None:
    """It may be the application's own, with the SQLite file in it: SQLite writes beside that."""
    (tmp_path / "ca.crt").write_text("a certificate")
    data = tmp_path / "data"
    if there:
        data.mkdir(mode=0o700)
        os.chown(data, 1000, 1000)
    known = {"application_config_ca_certificate": tmp_path / "ca.crt", "application_config_ca_path": data / "ca.crt"}
    done = play(tmp_path, [role("application_config", "ca", **known)])
    assert done.returncode == 0, done.stdout
    status = data.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == kept
    assert (data / "ca.crt").read_text() == "a certificate"
