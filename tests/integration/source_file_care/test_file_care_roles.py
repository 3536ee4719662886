"""The roles, run by ansible-playbook on this machine: out and back again."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.source_file_care.source_files import checksum, make_database
from tests.playbooks import keep_facts, play, role


def test_out_and_back_again(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "run").mkdir(mode=0o700)
    path = make_database(tmp_path / "data" / "app.sqlite")
    before, backup = checksum(path), tmp_path / "run" / "source.sqlite"
    back = {
        "source_restore_backup": backup,
        "source_restore_sha256": "{{ source_fence_result.sha256 }}",
        "source_restore_path": path,
    }
    done = play(
        tmp_path,
        [
            role(
                "sqlite_backup",
                "running",
                sqlite_backup_source=path,
                sqlite_backup_destination=tmp_path / "run" / "snapshot.sqlite",
                sqlite_backup_pause_limit_ms=5000,
            ),
            role("source_fence", source_fence_path=path, source_fence_run_id="first"),
            role(
                "sqlite_backup",
                sqlite_backup_source="{{ source_fence_result.moved_to }}",
                sqlite_backup_destination=backup,
                sqlite_backup_expected_sha256="{{ source_fence_result.sha256 }}",
            ),
            role("source_restore", "test", **back),
            role("source_restore", **back),
            keep_facts(tmp_path / "facts", "source_fence_result", "sqlite_backup_result", "source_restore_result"),
            role("source_fence", "lower", source_fence_path=path),
        ],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "writers were held up for" in done.stdout
    facts = json.loads((tmp_path / "facts").read_text())
    assert facts["source_fence_result"]["moved_to"].endswith("/app.sqlite.before-first")
    assert facts["source_fence_result"]["mode"] == "0640"
    assert facts["sqlite_backup_result"]["sha256"] == before
    assert facts["source_restore_result"]["original"] == "removed"
    assert [entry.name for entry in path.parent.iterdir()] == ["app.sqlite"]
    assert checksum(path) == checksum(backup) == before


def test_a_check_changes_nothing_and_says_what_it_cannot_see(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.sqlite")
    before = sorted(entry.name for entry in tmp_path.iterdir())
    done = play(
        tmp_path,
        [
            role("source_fence", source_fence_path=path, source_fence_run="/runs/first"),
            role(
                "sqlite_backup",
                sqlite_backup_source="{{ source_fence_result.moved_to }}",
                sqlite_backup_destination=tmp_path / "run" / "source.sqlite",
            ),
        ],
        "--check",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "app.sqlite.before-first is not there yet. A run would back it up" in done.stdout
    assert {entry.name for entry in tmp_path.iterdir()} <= {*before, "play.yml", "tmp"}


def test_an_open_directory_is_no_place_for_a_backup(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.sqlite")
    (tmp_path / "open").mkdir(mode=0o755)
    wanted = {"sqlite_backup_source": path, "sqlite_backup_destination": tmp_path / "open" / "source.sqlite"}
    done = play(tmp_path, [role("sqlite_backup", **wanted)])
    assert done.returncode != 0
    assert "of mode 0755" in done.stdout
    assert list((tmp_path / "open").iterdir()) == []
