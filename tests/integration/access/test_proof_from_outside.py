"""What goes through the application, and what its processes have open, against what it says: each lie is planted."""

from __future__ import annotations

import sqlite3
import subprocess
from dataclasses import replace

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import application_proof
from ansible_collections.contralock.database.plugins.module_utils.application_proof import (
    Application,
    prove_postgresql,
    prove_sqlite,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.file_holders import Holder
from ansible_collections.contralock.database.plugins.module_utils.proof_canary import (
    Canary,
    assert_could_arrive,
    assert_stays_away,
)

from tests.integration.access.as_application import as_application, canaries, runs

#: Where nobody listens.
NOBODY = Canary("http://127.0.0.1:1/", "migration_canary")


def test_a_canary_is_found_and_leaves_nothing(target, fenced, serving):
    told = prove_postgresql(*target, serving(), fenced).told
    assert told["health check"] == "says postgresql"
    assert told["canary"].endswith("/canary into migration_canary, and was taken out again")
    assert canaries(target) == 0


def test_a_canary_that_does_not_come_is_told_whatever_is_answered(target, fenced, serving):
    with pytest.raises(MigrationError, match=r"canary that was sent .* is not in .*; the application answered 201"):
        prove_postgresql(*target, serving(writes=False), fenced, patience=0.3)


def test_a_canary_without_a_table_is_told_with_its_mend(target, fenced, serving):
    application = serving()
    for table in ("no_such_table", "pg_class"):
        canary = replace(application.canary, table=table)
        with pytest.raises(MigrationError, match=f"table {table} cannot be used .*application_service_canary_table"):
            prove_postgresql(*target, replace(application, canary=canary), fenced, patience=0.3)


#: What is wrong before the move -> the SQL that makes it so, and what is said.
UNREADY = [
    ("", ""),
    ("REVOKE INSERT ON migration_canary FROM {role}", "role '{role}' may not write into the canary's table migration_"),
    (
        "ALTER TABLE migration_canary RENAME token TO name",
        "table migration_canary cannot be used in PostgreSQL: column",
    ),
    ("DROP TABLE migration_canary", "table migration_canary cannot be used in PostgreSQL: relation"),
]


def test_a_canary_that_could_not_arrive_is_told_before_the_move_and_none_is_sent(target, serving):
    conninfo, role = target
    canary = serving().canary
    for statement, said in UNREADY:
        with psycopg.connect(conninfo, autocommit=True) as owner:
            owner.execute(statement.format(role=role))
        if said:
            with pytest.raises(MigrationError) as refused:
                assert_could_arrive(conninfo, role, canary)
            assert said.format(role=role) in str(refused.value)
        else:
            assert assert_could_arrive(conninfo, role, canary).startswith("answered 200 (")
            assert canaries(target) == 0


def test_an_address_where_nobody_is_is_told_before_the_move(target):
    with pytest.raises(
        MigrationError, match=r"canary's address http://127\.0\.0\.1:1/ did not answer .*leave it empty"
    ):
        assert_could_arrive(*target, NOBODY)


def test_an_application_that_is_slow_to_answer_is_asked_again(target, fenced, serving):
    assert "and was taken out again" in prove_postgresql(*target, serving(busy=2), fenced).told["canary"]
    with pytest.raises(MigrationError, match="came into PostgreSQL's migration_canary"):
        assert_stays_away(target[0], serving(busy=2).canary, patience=9)


def test_a_canary_that_nobody_has_taken_has_not_stayed_away(target, serving):
    for canary, said in ((NOBODY, "did not answer ("), (serving(busy=9).canary, "answered 503 (")):
        with pytest.raises(MigrationError, match="whether a canary comes into PostgreSQL cannot be seen") as refused:
            assert_stays_away(target[0], canary, patience=0.3)
        assert f"{canary.url} {said}" in str(refused.value)
        assert " for 0.3 s. " in str(refused.value)
    assert "did not come" in assert_stays_away(target[0], serving(writes=False).canary, patience=0.3)


def test_without_a_canary_a_table_has_to_be_read_when_the_application_is_asked(target, fenced, serving):
    application = replace(serving(), canary=None)
    told = prove_postgresql(*target, application, fenced).told["activity"]
    assert told == f"sessions of {target[1]} worked while {application.health.url} was asked (users)"


#: What moves no table of the application's, and what is said of it.
NO_WORK = [
    (None, "no session of role '{role}' does anything when {url} is asked, for 0.5 s"),
    ("SELECT 1", "a session of role '{role}' does something when {url} is asked, and none of its tables is read or"),
    ("SELECT count(*) FROM pg_class", "a session of role '{role}' does something when {url} is asked, and none of its"),
]


@pytest.mark.parametrize(("query", "said"), NO_WORK)
def test_without_a_canary_a_pool_that_only_pings_is_no_proof(query, said, target, fenced, serving):
    conninfo, role = target

    def somebody_else():
        with psycopg.connect(conninfo) as owner:
            owner.execute("SELECT 1 FROM closed")

    application = replace(serving(asks=query, meanwhile=somebody_else), canary=None)
    with pytest.raises(MigrationError) as refused:
        prove_postgresql(*target, application, fenced, patience=0.5)
    for part in (said.format(role=role, url=application.health.url), 'it answered 200 ({"details"'):
        assert part in str(refused.value)


def test_where_health_only_pings_another_address_may_be_asked(target, fenced, serving):
    pings, works = (serving(asks=query) for query in ("SELECT 1", "SELECT 1 FROM users"))
    application = replace(pings, canary=None, work_url=works.health.url)
    assert "(users)" in prove_postgresql(*target, application, fenced).told["activity"]


def test_an_application_that_fails_behind_its_first_query_is_no_proof(target, fenced, serving):
    application = serving()
    broken = application.health.url.rpartition("/")[0] + "/broken"
    with pytest.raises(
        MigrationError, match=r"worked \(users\), and http.*/broken is not answered as before: it answered 500 \("
    ) as refused:
        prove_postgresql(*target, replace(application, canary=None, work_url=broken), fenced, patience=3)
    assert "correct application_service_work_url" in str(refused.value)


def test_a_health_check_that_says_sqlite_is_told(target, fenced, serving):
    with pytest.raises(MigrationError, match="says that the application uses sqlite, and it should use postgresql"):
        prove_postgresql(*target, serving(says="sqlite"), fenced)


def test_a_session_with_another_name_or_from_elsewhere_is_told(target, fenced):
    with as_application(target, application_name="psql"), pytest.raises(MigrationError) as refused:
        application = Application(session_name="app", addresses=("192.0.2.0/24",))
        # Our own session comes by the socket, and so may the application's.
        prove_postgresql(*target, application, fenced)
    assert "1 of 1 sessions of role" in str(refused.value)
    assert "are not called 'app' (pid" in str(refused.value)
    assert "elsewhere" not in str(refused.value)
    with as_application(target, host="127.0.0.1", sslmode="disable"):
        with pytest.raises(MigrationError, match=r"come from elsewhere than 192\.0\.2\.0/24, the socket \(pid"):
            prove_postgresql(*target, application, fenced)
        with pytest.raises(MigrationError, match="'home' in application_service_addresses is no address"):
            prove_postgresql(*target, Application(addresses=("home",)), fenced)


def test_all_that_was_seen_is_said_each_with_its_mend(target, fenced, serving):
    with sqlite3.connect(fenced.moved_to) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    (fenced.path / "new.sqlite").write_bytes(b"")
    fenced.path.with_name("other.db").write_bytes(b"")
    application = replace(serving(writes=False, says="sqlite"), session_name="another")
    with pytest.raises(MigrationError) as refused:
        prove_postgresql(*target, application, fenced, patience=0.3)
    for part in (
        "says that the application uses sqlite",
        "are not called 'another'",
        "canary that was sent",
        "in the fence",
        "new.sqlite",
        "have appeared since the fence was raised",
        "other.db",
        "was written: its sha256",
    ):
        assert part in str(refused.value)
    assert str(refused.value).count("application's log") == 2


# ---- what its processes have open ------------------------------------------------------------------------------------


def test_a_database_that_a_process_of_the_service_has_open_is_told(target, fenced, holding, tmp_path, monkeypatch):
    (tmp_path / "else").mkdir()
    made, empty, before, text = (tmp_path / "else" / name for name in ("made", "empty.db", "before.db", "text.db"))
    for path in (made, before):
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (a)")
        connection.close()
    empty.write_bytes(b"")
    text.write_text("SQLite is spoken of")
    application = Application("app.service", known_databases=(str(before),))
    runs(monkeypatch, *map(holding, (before, text)))
    with as_application(target):
        told = prove_postgresql(*target, application, fenced).told
        expected = f"2 of its processes looked into: no other SQLite database open but {before}, as before"
        assert told["service"] == expected
        pids = [holding(path) for path in (made, empty)]
        runs(monkeypatch, *pids, holding(before))
        with pytest.raises(MigrationError) as refused:
            prove_postgresql(*target, application, fenced)
    listed = f"open that it had not open before: {empty} (process {pids[1]}); {made} (process {pids[0]})."
    assert listed in str(refused.value)


def test_a_database_that_was_removed_while_it_was_open_is_one(target, fenced, holding, tmp_path, monkeypatch):
    made = tmp_path / "made.db"
    made.write_bytes(b"")
    runs(monkeypatch, holding(made))
    made.unlink()
    with as_application(target), pytest.raises(MigrationError, match=r"made\.db \(deleted\)"):
        prove_postgresql(*target, Application("app.service"), fenced)


def test_a_process_that_has_ended_has_nothing_open(target, fenced, monkeypatch):
    ended = subprocess.Popen(["true"])
    ended.wait()
    runs(monkeypatch, ended.pid)
    with as_application(target):
        assert "1 of its processes" in prove_postgresql(*target, Application("app.service"), fenced).told["service"]


def test_back_on_sqlite_nothing_else_is_open_and_no_canary_comes_to_postgresql(
    target, serving, holding, tmp_path, monkeypatch
):
    conninfo, role = target
    path = tmp_path / "app.sqlite"
    path.write_bytes(b"")
    # Its session goes on while it may not connect: both are told.
    lying = serving(says="sqlite")
    application = replace(lying, unit="app.service", health=replace(lying.health, expected="sqlite"))
    own = Holder(holding(path), "node", "app", "app.service", ("app.sqlite",))
    monkeypatch.setattr(application_proof, "find_holders", lambda _path: [own])
    other = tmp_path / "other.db"
    other.write_bytes(b"")
    runs(monkeypatch, own.pid, holding(other))
    with psycopg.connect(conninfo, autocommit=True) as owner:
        owner.execute(f"REVOKE CONNECT ON DATABASE {owner.info.dbname} FROM {role}")
    with pytest.raises(MigrationError) as refused:
        prove_sqlite(conninfo, role, path, application)
    for part in ("still has sessions in PostgreSQL", "other.db (process", "came into PostgreSQL's migration_canary"):
        assert part in str(refused.value)
    assert canaries(target) == 0
    runs(monkeypatch, own.pid)
    proof = prove_sqlite(conninfo, "", path, application)
    assert proof.seen == [own]
    assert proof.told["health check"] == "says sqlite"
