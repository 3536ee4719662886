"""The stand-in on SQLite: both forms of the source, its settings, its end."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, Order, write_source

from tests.stand_in import refusal, running

SEQUELIZE_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+00:00"
TABLES = {"deployed": ("notifications", "_id", "userId"), "plan": ("Notifications", "id", "user_id")}


@pytest.fixture(scope="module", params=["deployed", "plan"])
def source(request, tmp_path_factory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp(request.param) / "source.sqlite"
    write_source(Order(path, 200, 1, Form(request.param), False))
    return request.param, path


@pytest.fixture
def folder(source, tmp_path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "contralock.sqlite").write_bytes(source[1].read_bytes())
    return tmp_path


def query(path: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return connection.execute(sql).fetchall()


def test_answers_and_writes_what_the_application_would(source, folder):
    table, key, user = TABLES[source[0]]
    path = folder / "data" / "contralock.sqlite"
    with running(folder) as stand_in:
        assert stand_in.get("/health") == (
            200,
            {"status": "healthy", "details": {"type": "sqlite", "message": "SQLite answers", "tls": None}},
        )
        _, before = stand_in.get("/counts")
        status, answer = stand_in.post("/notifications", '{"message": "Grüße 🔒"}')
        _, after = stand_in.get("/counts")
        assert stand_in.get("/else")[0] == stand_in.post("/else")[0] == 404
        assert stand_in.post("/notifications", "[]")[0] == 400
    assert (status, answer["type"]) == (201, "sqlite")
    assert sum(before["counts"].values()) == 200
    assert after["counts"] == {**before["counts"], table: before["counts"][table] + 1}
    ((user_id, message, typeof, read, *times),) = query(
        path,
        f'SELECT "{user}", message, typeof("{key}"), read, "{"createdAt" if key == "_id" else "created_at"}" '
        f"FROM {table} WHERE \"{key}\" = '{answer['id']}'",
    )
    assert (message, typeof, read) == ("Grüße 🔒", "text", 0)
    assert query(path, f"SELECT count(*) FROM users WHERE \"{key}\" = '{user_id}'") == [(1,)]
    assert re.fullmatch(SEQUELIZE_TIME, times[0])
    assert query(path, "PRAGMA foreign_key_check") == []


def test_keeps_its_file_open_and_ends_at_once(folder):
    path = folder / "data" / "contralock.sqlite"
    with running(folder) as stand_in:
        opened = {link.resolve() for link in Path(f"/proc/{stand_in.process.pid}/fd").iterdir()}
        assert path in opened
        began = time.monotonic()
        stand_in.process.terminate()
        assert stand_in.process.wait(5) == 0
        assert time.monotonic() - began < 2


def test_writes_in_the_background(folder):
    path = folder / "data" / "contralock.sqlite"
    with running(folder, {"WRITE_EVERY_MS": "5"}) as stand_in:
        deadline = time.monotonic() + 10
        while query(path, "SELECT count(*) FROM notifications WHERE title = 'Stand-in'")[0][0] < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert stand_in.get("/health")[0] == 200
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def test_many_clients_at_once(folder):
    with running(folder) as stand_in:
        statuses: list[int] = []
        clients = [
            threading.Thread(target=lambda: statuses.append(stand_in.post("/notifications")[0])) for _ in range(12)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert statuses == [201] * 12


def test_unhealthy_when_the_database_is_gone(folder):
    with running(folder) as stand_in:
        with sqlite3.connect(folder / "data" / "contralock.sqlite") as other:
            other.execute("PRAGMA foreign_keys = OFF")
            other.execute("PRAGMA legacy_alter_table = ON")
            other.execute("ALTER TABLE users RENAME TO gone")
        status, answer = stand_in.get("/health")
    assert (status, answer["status"]) == (503, "unhealthy")
    assert "no such table" in answer["details"]["error"]


def test_the_env_file_is_read_as_dotenv_reads_it(folder, source):
    (folder / "else where").mkdir()
    (folder / "else where" / "a#b.sqlite").write_bytes(source[1].read_bytes())
    (folder / ".env").write_text(
        "# settings\nDB_TYPE=nonsense\nDB_TYPE = 'sqlite' # the last counts\n"
        'DB_PATH="./else where/a#b.sqlite"\nHOST=127.0.0.1\n'
    )
    with running(folder) as stand_in:
        opened = {link.resolve() for link in Path(f"/proc/{stand_in.process.pid}/fd").iterdir()}
    assert folder / "else where" / "a#b.sqlite" in opened


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ("DB_TYPE=mysql\n", 2, "cannot start: DB_TYPE is 'mysql'; it has to be sqlite or postgresql"),
        ("DB_TYPE=postgres\n", 2, "DB_TYPE is 'postgres'"),
        ("WRITE_EVERY_MS=often\n", 2, "WRITE_EVERY_MS is 'often'; it has to be a whole number"),
        ("DB_PATH=nowhere/at/all.sqlite\n", 1, "cannot start: unable to open database file"),
        ("DB_PATH=data\n", 1, "cannot start: unable to open database file"),
        ("DB_PATH=data/new.sqlite\n", 1, "data/new.sqlite has no table notifications and no table users"),
        ("DB_TYPE=postgresql\nDB_HOST=/nowhere\n", 1, "cannot start: connection"),
    ],
    ids=["mysql", "postgres", "no number", "no folder", "a folder", "no tables", "no server"],
)
def test_does_not_start_and_says_why(tmp_path, settings, code, words):
    (tmp_path / "data").mkdir()
    (tmp_path / ".env").write_text(settings)
    returncode, said = refusal(tmp_path)
    assert words in said
    assert returncode == code
    assert "Traceback" not in said


def test_its_own_environment_wins_over_the_file(folder):
    (folder / ".env").write_text("DB_TYPE=mysql\n")
    with running(folder, {"DB_TYPE": "sqlite"}) as stand_in:
        assert stand_in.get("/health")[0] == 200
