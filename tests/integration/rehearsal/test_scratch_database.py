"""The database of a rehearsal: ours is made anew and dropped, anybody else's is left alone."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.scratch_database import (
    create_scratch,
    drop_scratch,
    scratch_exists,
    scratch_target,
)

from tests.unit.run.kills import in_a_process, wait


@pytest.fixture
def scratch(database):
    with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
        administrator.execute(f"ALTER ROLE {database.owner} CREATEDB")
        name = f"{database.name}_scratch"
        yield name
        administrator.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_it_is_made_like_the_real_one_and_dropped(database, scratch):
    create_scratch(database.conninfo, scratch)
    with psycopg.connect(scratch_target(database.conninfo, scratch)) as connection:
        query = "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = %s"
        assert connection.execute(query, [scratch]).fetchone() == ("UTF8", "C.UTF-8", "C.UTF-8")
    assert scratch_exists(database.conninfo, scratch)
    assert drop_scratch(database.conninfo, scratch) > 1_000_000
    assert not scratch_exists(database.conninfo, scratch)
    assert drop_scratch(database.conninfo, scratch) is None


def test_what_a_killed_rehearsal_left_is_made_anew_whoever_is_connected(database, scratch):
    create_scratch(database.conninfo, scratch)
    with psycopg.connect(scratch_target(database.conninfo, scratch), autocommit=True) as left:
        left.execute("CREATE TABLE t (a int)")
        create_scratch(database.conninfo, scratch)
    with psycopg.connect(scratch_target(database.conninfo, scratch)) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_somebody_elses_database_is_left_alone(database, scratch):
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {scratch}")
        for verb in (create_scratch, drop_scratch, scratch_exists):
            with pytest.raises(MigrationError, match="no rehearsal made it"):
                verb(database.conninfo, scratch)
        assert connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [scratch]).fetchone() == (1,)


@pytest.mark.parametrize("statement", ["REVOKE", "COMMENT"])
@pytest.mark.parametrize("verb", [create_scratch, drop_scratch])
def test_killed_before_it_is_marked_it_is_ours_all_the_same(database, scratch, statement, verb):
    def killed() -> None:
        execute = psycopg.Connection.execute

        def execute_or_die(connection, query, *more, **options):
            text = query if isinstance(query, str) else query.as_string(connection)
            if text.startswith(statement):
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(connection, query, *more, **options)

        psycopg.Connection.execute = execute_or_die
        create_scratch(database.conninfo, scratch)

    assert wait(in_a_process(killed)) == -signal.SIGKILL
    with psycopg.connect(database.conninfo) as connection:
        assert connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [scratch]).fetchone() == (1,)
    verb(database.conninfo, scratch)
    assert scratch_exists(database.conninfo, scratch) == (verb is create_scratch)


@pytest.mark.parametrize(
    "content",
    [
        "CREATE TABLE t (a int)",
        "CREATE SCHEMA theirs",
        "CREATE TYPE mood AS ENUM ('ok')",
        "CREATE FUNCTION f() RETURNS int RETURN 1",
        "SELECT lo_create(0)",
    ],
)
def test_an_unmarked_database_with_something_in_it_is_left_alone(database, scratch, content):
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {scratch} TEMPLATE template0 CONNECTION LIMIT 20")
        with psycopg.connect(scratch_target(database.conninfo, scratch), autocommit=True) as theirs:
            theirs.execute(content)
        for verb in (create_scratch, drop_scratch):
            with pytest.raises(MigrationError, match="no rehearsal made it"):
                verb(database.conninfo, scratch)


def test_an_empty_database_with_a_comment_of_its_own_is_left_alone(database, scratch):
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {scratch} TEMPLATE template0 CONNECTION LIMIT 20")
        connection.execute(f"COMMENT ON DATABASE {scratch} IS 'for tomorrow'")
        with pytest.raises(MigrationError, match="no rehearsal made it"):
            create_scratch(database.conninfo, scratch)


def test_the_target_itself_is_refused(database):
    for verb in (create_scratch, drop_scratch):
        with pytest.raises(MigrationError, match="is the target itself"):
            verb(database.conninfo, database.name)


def test_an_owner_who_may_not_create_databases_is_told_so(database):
    with pytest.raises(MigrationError, match=f"ALTER ROLE {database.owner} CREATEDB"):
        create_scratch(database.conninfo, f"{database.name}_scratch")
