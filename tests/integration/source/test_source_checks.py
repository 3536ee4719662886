"""Checks that are decided before the load are decided as PostgreSQL decides them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.check_expressions import Check, parse_check

from tests.throwaway_cluster import Cluster

TABLE = """
    CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TYPE mood AS ENUM ('sad', 'Ok', 'happy');
    CREATE TABLE t (i int, j bigint, n numeric(5,2), s text, v varchar(9), m mood, b boolean, "from" text,
                    f double precision, w numeric, c text COLLATE loose, k text COLLATE "C",
                    fine numeric(30,20), coin numeric(36,18), sum numeric(36,8), CONSTRAINT tested {})
"""
ROWS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "i": (pa.int32(), [0, 1, -1, 5, None, 100, 7]),
    "j": (pa.int64(), [0, 2**62, -(2**62), None, 5, 100, 7]),
    "n": (pa.string(), ["0.00", "100.00", "100.01", "-0.01", None, "99.99", "5.00"]),
    "s": (pa.string(), ["a", "", "it's", None, "A", "b", "a"]),
    "v": (pa.string(), ["a", "b", None, "", "ä", "a", "c"]),
    "m": (pa.string(), ["sad", "Ok", "happy", None, "sad", "Ok", "happy"]),
    "b": (pa.bool_(), [True, False, None, True, False, True, False]),
    "k": (pa.string(), ["x", "X", None, "", "ä", "a", "c"]),
    "from": (pa.string(), ["x", "y", None, "x", "y", "x", "y"]),
    "fine": (pa.string(), [f"{sign}.{'0' * 19}1" for sign in ("0", "-0", "9999999999", "1", "-1", "0")] + [None]),
    "coin": (pa.string(), [f"{whole}.{'0' * 17}1" for whole in ("9" * 18, "0", "-1", "5", "7", "1")] + [None]),
    "sum": (pa.string(), [f"{whole}.{'0' * 8}" for whole in ("9" * 28, "0", "-1", "5", "8", "1")] + [None]),
}

DECIDED = [
    "i >= 0",
    "i > '-1'::int",
    "i > -1",
    "i <> 5",
    "0 < i",
    "i < j",
    "i >= 0 AND i <= 100",
    "i BETWEEN 0 AND 5",
    "n BETWEEN 0 AND 100",
    "n > 99.995",
    "n >= i",
    "i > 4.5",
    "i > 0.0000000000000000001",
    "fine > 0",
    "fine >= j",
    "fine <> 1.000000000000000001",
    "coin <= sum",
    "i >= 0 OR m = 'happy'",
    "i > 0 AND j > 0",
    "NOT (i > 0 OR j > 0)",
    "NOT (i = 5)",
    "NOT b",
    "b",
    "b OR i > 0",
    "b IS NULL OR b",
    "i IS NOT NULL",
    "s IS NULL",
    "s = 'it''s'",
    "s <> ''",
    "s IN ('a', 'b', '')",
    "v IN ('a', 'b')",
    "v = 'a'",
    "v = s",
    "k = 'x'",
    "m IN ('sad', 'Ok')",
    "m <> 'Ok'",
    "i IN (1, 5, 7)",
    "i IS NULL OR (j IS NOT NULL AND NOT (n < 0))",
    "\"from\" = 'x'",
    "(i > 0 AND j > 0) OR (i < 0 AND j < 0) OR s = ''",
    "(s)::text = v::text",
]
LEFT_TO_POSTGRESQL = [
    "length(s) > 3",
    "s ~ '^a'",
    "s < 'b'",
    "m > 'sad'",
    "i + 1 > 0",
    "f > 0",
    "w > 0",
    "c = 'a'",
    "i::text = '5'",
    "n::int = 5",
    "s LIKE 'a%'",
    "true",
    "b = true",
    "v::varchar(2) = 'a'",
    "i = ANY (ARRAY[1, NULL])",
    "coalesce(i, 0) = 0",
    "s = current_user",
    "i > 0.00000000000000000001",
    "j > 0.00000000000000000000000000000000000001",
]

Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def connection(cluster: Cluster) -> Iterator[Connection]:
    with cluster.database() as fresh, psycopg.connect(fresh.conninfo, autocommit=True) as opened:
        opened.execute("GRANT ALL ON SCHEMA public TO CURRENT_USER")
        yield opened


def parsed(connection: Connection, expression: str) -> Check | None:
    """Let PostgreSQL spell the check; leaves the table there."""
    connection.execute(TABLE.format(f"CHECK ({expression})").encode())
    catalog = snapshot(connection)
    (constraint,) = catalog.constraints
    return parse_check(constraint.text, catalog.columns_of("t"), ["public.mood"])


@pytest.mark.parametrize("expression", DECIDED)
def test_simple_checks_are_decided_as_postgresql_decides_them(connection: Connection, expression: str) -> None:
    arrays = {name: pa.array(values, arrow_type) for name, (arrow_type, values) in ROWS.items()}
    with connection.transaction(force_rollback=True):
        check = parsed(connection, expression)
        assert check is not None
        connection.execute("ALTER TABLE t DROP CONSTRAINT tested")
        names = ", ".join(f'"{name}"' for name in ROWS)
        for row in zip(*(values for _, values in ROWS.values()), strict=True):
            connection.execute(f"INSERT INTO t ({names}) VALUES ({', '.join(['%s'] * len(row))})".encode(), row)
        answers = connection.execute(f"SELECT ({expression}) IS FALSE FROM t ORDER BY ctid".encode()).fetchall()
    assert check.broken(arrays).to_pylist() == [answer for (answer,) in answers]
    assert set(check.columns) <= set(ROWS)


@pytest.mark.parametrize("expression", LEFT_TO_POSTGRESQL)
def test_what_is_not_understood_is_left_to_postgresql(connection: Connection, expression: str) -> None:
    with connection.transaction(force_rollback=True):
        assert parsed(connection, expression) is None


@pytest.mark.parametrize(
    "text", ["", "CHECK", "CHECK ((i >= ", "CHECK ((i >= 0)) whatever", "CHECK ((i ?? 0))", "CHECK ((x > 0))"]
)
def test_other_texts_are_no_checks(connection: Connection, text: str) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(TABLE.format("CHECK (true)").encode())
        assert parse_check(text, snapshot(connection).columns_of("t"), []) is None


def test_an_empty_table_breaks_nothing(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        check = parsed(connection, "i > 0 OR s = 'x'")
    assert check is not None
    assert check.broken({"i": pa.array([], pa.int32()), "s": pa.array([], pa.string())}).to_pylist() == []
