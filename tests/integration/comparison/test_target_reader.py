"""Columns of PostgreSQL, with a real server: types, batches, one moment for everything, refusals as sentences."""

from __future__ import annotations

import datetime as dt

import psycopg
import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils import target_reader
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.target_moment import open_moment
from ansible_collections.contralock.database.plugins.module_utils.target_reader import (
    BlockRange,
    open_target,
    select_columns,
)
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.integration.schema.test_connection import SECRET
from tests.throwaway_cluster import Database
from tests.tls_server import TlsServer

NAME = "contralock test"

#: column type, a value as SQL, the array's type, the value in it
VALUES = [
    ("smallint", "-5", pa.int16(), -5),
    ("integer", "2147483647", pa.int32(), 2**31 - 1),
    ("bigint", "-9223372036854775808", pa.int64(), -(2**63)),
    ("numeric(5,2)", "97.5", pa.string(), "97.50"),
    ("real", "1.5", pa.float32(), 1.5),
    ("double precision", "0.1", pa.float64(), 0.1),
    ("boolean", "true", pa.bool_(), True),
    ("text", r"E'a\n\\N '", pa.string(), "a\n\\N "),
    ("varchar(3)", "'abc'", pa.string(), "abc"),
    ("char(3)", "'a'", pa.string(), "a  "),
    ("mood", "'so so'", pa.string(), "so so"),
    ("uuid", "'0AB00000-0000-4000-8000-00000000000F'", pa.binary(16), b"\x0a\xb0\0\0\0\0\x40\0\x80\0\0\0\0\0\0\x0f"),
    ("date", "'2024-02-29'", pa.date32(), dt.date(2024, 2, 29)),
    ("timestamp(3)", "'2024-02-29 1:2:3.456'", pa.timestamp("us"), dt.datetime(2024, 2, 29, 1, 2, 3, 456000)),
    (
        "timestamptz(3)",
        "'2024-02-29 1:2:3.456+01'",
        pa.timestamp("us", "UTC"),
        dt.datetime(2024, 2, 29, 0, 2, 3, 456000, dt.UTC),
    ),
    ("json", """'{"b":1.0,  "a":2}'""", pa.string(), '{"b":1.0,  "a":2}'),
    ("jsonb", """'{"bb":1.0,  "a":2}'""", pa.string(), '{"a": 2, "bb": 1.0}'),
    ("bytea", r"'\x00ff'", pa.binary(), b"\0\xff"),
]  # fmt: skip


def execute(database: Database, *commands: str) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        for command in commands:
            connection.execute(command)


def test_every_type_arrives_as_it_is(database: Database) -> None:
    names = [f"c{number}" for number in range(len(VALUES))]
    columns = ", ".join(f"{name} {value[0]}" for name, value in zip(names, VALUES, strict=True))
    execute(
        database,
        "CREATE TYPE mood AS ENUM ('so so')",
        f"CREATE TABLE t (n int PRIMARY KEY, {columns})",
        "INSERT INTO t (n) VALUES (1)",
        f"INSERT INTO t VALUES (2, {', '.join(value[1] for value in VALUES)})",
    )
    with open_target(database.conninfo, NAME) as target:
        query = select_columns("public", "t", names)
        (batch,) = target.read(query, "table public.t")
    for array, (kind, _, arrow_type, value) in zip(batch, VALUES, strict=True):
        assert (kind, array.type) == (kind, arrow_type)
        assert (kind, array.to_pylist()) == (kind, [None, value])


@pytest.mark.parametrize(("rows", "sizes"), [(0, []), (1, [1]), (7, [7]), (8, [7, 1]), (100, [7] * 14 + [2])])
def test_batches_have_the_rows_asked_for(database: Database, rows: int, sizes: list[int]) -> None:
    execute(database, "CREATE TABLE t (n int)", f"INSERT INTO t SELECT generate_series(1, {rows})")
    with open_target(database.conninfo, NAME) as target:
        batches = list(target.read("SELECT n, n::text AS text FROM t ORDER BY n", "t", batch_rows=7))
    assert [len(batch[0]) for batch in batches] == sizes
    assert [n for batch in batches for n in batch[0].to_pylist()] == list(range(1, rows + 1))


def test_large_rows_make_small_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_reader, "MAX_BATCH_BYTES", 3 << 20)
    execute(database, "CREATE TABLE t AS SELECT n, repeat('x', 1 << 20) AS v FROM generate_series(1, 20) n")
    with open_target(database.conninfo, NAME) as target:
        batches = [batch[1] for batch in target.read("SELECT n, v FROM t ORDER BY n", "t")]
    assert sum(map(len, batches)) == 20
    assert max(map(len, batches)) <= 6


def test_all_reads_see_one_moment_and_nothing_can_be_written(database: Database) -> None:
    execute(database, "CREATE TABLE t (n int)", "CREATE TABLE u (n int)", "INSERT INTO t VALUES (1)")
    with open_target(database.conninfo, NAME) as target:
        assert len(next(target.read("SELECT n FROM t", "t"))[0]) == 1
        execute(database, "INSERT INTO u VALUES (1)", "UPDATE t SET n = 2")
        assert list(target.read("SELECT n FROM u", "u")) == []
        (settings,) = target.read("SELECT current_setting('application_name'), current_setting('row_security')", "it")
        assert [array.to_pylist() for array in settings] == [[NAME], ["off"]]
        with pytest.raises(MigrationError, match=r"it cannot be read .* read-only transaction"):
            list(target.read("INSERT INTO t VALUES (3)", "it"))


def test_readers_of_a_moment_see_it_whatever_is_written_since(database: Database) -> None:
    execute(database, "CREATE TABLE t (n int)", "INSERT INTO t SELECT generate_series(1, 3)")
    with open_moment(database.conninfo, NAME) as moment:
        execute(database, "DELETE FROM t WHERE n = 1", "CREATE TABLE u (n int)")
        with moment.reader() as first:
            execute(database, "UPDATE t SET n = 20 WHERE n = 2")
            with moment.reader() as second:
                for reader in (first, second):
                    ((found,),) = reader.read("SELECT n FROM t ORDER BY n", "t")
                    assert found.to_pylist() == [1, 2, 3]
    with pytest.raises(MigrationError, match="reading transaction cannot be opened"), moment.reader():
        pass


def test_a_reader_of_a_moment_begins_with_the_settings_of_every_session(database: Database) -> None:
    """Not only after its first question: a short limit for statements would end that."""
    prescribed = {"statement_timeout": "20s", "idle_in_transaction_session_timeout": "20s", "datestyle": "SQL, DMY"}
    execute(database, *(f"ALTER ROLE {database.owner} SET {name} = '{each}'" for name, each in prescribed.items()))
    own = r"-c work_mem=5MB -c search_path=public,\ \ pg_temp"
    with open_moment(make_conninfo(database.conninfo, options=own), NAME) as moment, moment.reader() as reader:
        query = "SELECT reset_val FROM pg_settings WHERE lower(name) = ANY (ARRAY[{}]) ORDER BY lower(name)"
        names = [*prescribed, "work_mem", "search_path", "lock_timeout"]
        ((found,),) = reader.read(query.format(", ".join(f"'{name}'" for name in names)), "settings")
    assert dict(zip(sorted(names), found.to_pylist(), strict=True)) == {
        "datestyle": "ISO, DMY",
        "idle_in_transaction_session_timeout": "0",
        "lock_timeout": "0",
        "search_path": "public,  pg_temp",
        "statement_timeout": "0",
        "work_mem": "5120",
    }
    execute(database, *(f"ALTER ROLE {database.owner} RESET {name}" for name in prescribed))
    with open_moment(database.conninfo, NAME) as moment:
        assert moment.options == ""


def test_the_pages_of_a_table_are_read_apart(database: Database) -> None:
    """Each row is in one range, in the order of the heap; and its key says on which page it stands."""
    execute(database, "CREATE TABLE t (id uuid PRIMARY KEY, n int, pad text)")
    execute(
        database,
        "INSERT INTO t SELECT gen_random_uuid(), n, repeat('x', 500) FROM generate_series(1, 1000) n",
        "CREATE VIEW v AS SELECT 1",
    )
    with open_moment(database.conninfo, NAME) as moment, moment.reader() as reader:
        catalog = moment.catalog("public")
        blocks = moment.blocks_of(catalog, "t")
        assert blocks is not None
        assert blocks > 50
        borders = [0, 7, 7, 30, blocks - 1]
        found = []
        for first, end in zip(borders, [*borders[1:], None], strict=True):
            query = select_columns("public", "t", ["n"], blocks=BlockRange(first, end))
            found += [n for (array,) in reader.read(query, "t") for n in array.to_pylist()]
        assert found == list(range(1, 1001))
        key = catalog.columns_of("t")[:1]
        assert moment.block_of(key, ["00000000-0000-4000-8000-000000000000"]) is None
        ((ids,),) = reader.read("SELECT id::text FROM t WHERE n IN (1, 1000) ORDER BY n", "t")
        assert [moment.block_of(key, [each]) for each in ids.to_pylist()] == [0, blocks - 1]
        assert moment.blocks_of(catalog, "v") is None


def test_hidden_rows_are_refused_instead_of_left_out(database: Database) -> None:
    execute(
        database,
        "CREATE TABLE t (n int)",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    )
    with (
        open_target(database.conninfo, NAME) as target,
        pytest.raises(MigrationError, match="would be affected by row-level security policy"),
    ):
        list(target.read("SELECT n FROM t", "table public.t"))


def test_names_are_quoted() -> None:
    query = select_columns("a", 'o"dd', ["Select", "x"], [sql.SQL("1 = 1")])
    assert query == 'SELECT "Select", "x", 1 = 1 FROM "a"."o""dd"'


def test_refusals_are_sentences(database: Database) -> None:
    with open_target(database.conninfo, NAME) as target, pytest.raises(MigrationError) as caught:
        list(target.read("SELECT nothing FROM pg_class", "table public.users"))
    assert str(caught.value) == (
        'table public.users cannot be read from PostgreSQL: column "nothing" does not exist.'
        " Mend that (see the server's log) and run again; nothing was written."
    )
    for conninfo, words in (
        ("host=/nowhere", "(host '/nowhere')"),
        (f"{database.conninfo} dbname=absent", "Create the database"),
        ("host=db1.example.org password=s3cret", "holds a secret (password)"),
        ("host=db1.example.org sslmode=require", "does not prove who answers"),
    ):
        with pytest.raises(MigrationError) as caught, open_target(conninfo, NAME):
            pass
        assert words in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_tls_is_verified_by_this_driver_too(server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver brings a libpq of its own: it gets the same parameters, and a password file."""
    monkeypatch.setenv("PGSSLMODE", "disable")
    with open_target(server.conninfo(), NAME) as target:
        seen = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ((encrypted, version),) = target.read(seen, "pg_stat_ssl")
    assert (encrypted.to_pylist(), version.to_pylist()) == ([True], ["TLSv1.3"])
    for changes, words in (
        ({"host": "127.0.0.1"}, "does not match host name"),
        ({"sslrootcert": str(server.other_authority)}, "certificate verify failed"),
        ({"passfile": "/nowhere/pgpass"}, "no password supplied"),
    ):
        with pytest.raises(MigrationError) as caught, open_target(server.conninfo(**changes), NAME):
            pass
        assert words in str(caught.value)
        assert SECRET not in str(caught.value)


def test_a_lost_connection_is_told(database: Database) -> None:
    execute(database, "CREATE TABLE t AS SELECT n, repeat('x', 1000) AS v FROM generate_series(1, 50000) n")
    with open_target(database.conninfo, NAME) as target:
        batches = target.read("SELECT n, v FROM t", "table public.t", batch_rows=1000)
        next(batches)
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        with psycopg.connect(database.superuser_conninfo, autocommit=True) as administrator:
            administrator.execute(end, [NAME])
        with pytest.raises(MigrationError, match=r"table public\.t cannot be read"):
            list(batches)
