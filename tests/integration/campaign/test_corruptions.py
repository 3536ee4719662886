"""The comparison is proven: what is planted is found, all of it, nothing else, and where it was planted."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ansible_collections.contralock.database.plugins.module_utils import compare
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_schema
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan
from ansible_collections.contralock.database.plugins.module_utils.profile import parse_mapping
from psycopg import sql

from tests.integration.campaign.corruptions import CORRUPTIONS, MOODS, PLANTED, ROWS, TYPES
from tests.integration.comparison.loaded_target import PROJECT, Pair, told
from tests.throwaway_cluster import Cluster

MAPPING_SCHEMA = PROJECT / "files" / "profiles" / "mapping.schema.json"
#: Rows of it have no key: they are the same when there are as many of each.
BAG = "bag"
LIMIT = 100_000


def made_source(path: Path, key: str) -> None:
    chance = random.Random(20260301)
    with closing(sqlite3.connect(path)) as source, source:
        for table, kind in TYPES.items():
            source.execute(f"CREATE TABLE {table} (id BIGINT {key}, v {kind.declared}, beside TEXT)")
            rows = [(key, None if chance.random() < 0.2 else kind.make(chance), f"b{key}") for key in range(ROWS)]
            source.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        source.execute(f"CREATE TABLE {BAG} (v TEXT, n INTEGER)")
        source.executemany(f"INSERT INTO {BAG} VALUES (?, ?)", [(f"v{n % 100}", n % 10) for n in range(ROWS)])


def loaded(folder: Path, target: str, key: str = "PRIMARY KEY") -> Pair:
    source = folder / "types.sqlite"
    made_source(source, key)
    made = Pair(source, target, parse_mapping({"version": 1, "naming": "keep"}, read_schema(MAPPING_SCHEMA)))
    made.sql(f"CREATE TYPE mood AS ENUM {MOODS!r}", f"CREATE TABLE {BAG} (v text, n integer)")
    made.sql(
        *(f"CREATE TABLE {table} (id bigint {key}, v {kind.target}, beside text)" for table, kind in TYPES.items())
    )
    made.load()
    return made


@pytest.fixture(scope="module")
def pair(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with cluster.database() as database:
        made = loaded(tmp_path_factory.mktemp("campaign"), database.conninfo)
        made.sql("CREATE SCHEMA kept", *(f"CREATE TABLE kept.{each} AS TABLE public.{each}" for each in (*TYPES, BAG)))
        yield made


@pytest.fixture(autouse=True)
def _as_it_was(pair: Pair) -> Iterator[None]:
    yield
    tables = ", ".join((*TYPES, BAG))
    pair.sql(f"TRUNCATE {tables}", *(f"INSERT INTO {each} TABLE kept.{each}" for each in (*TYPES, BAG)))


def chosen(pair: Pair, table: str, where: str, number: int = PLANTED) -> list[int]:
    with psycopg.connect(pair.target) as connection:
        query = sql.SQL("SELECT id FROM {} WHERE {} ORDER BY md5(id::text)").format(
            sql.Identifier(table), sql.SQL(where)
        )
        keys = [key for (key,) in connection.execute(query).fetchall()][:number]
    assert len(keys) == number, (table, where, len(keys))
    return keys


def found(pair: Pair) -> set[tuple[str, str, str | None, str]]:
    """Two workers and small batches, so that the places lie in different parts."""
    comparison = pair.compare(LIMIT, batch_rows=64, workers=2)
    listed = told(comparison.differences)
    assert len(set(listed)) == len(listed) == comparison.number
    return set(listed)


def plant(pair: Pair, kind: str) -> set[tuple[str, str, str | None, str]]:
    """Spoil 50 values of each type that the kind can spoil; return what has to be found."""
    expected = set()
    for table, expression in CORRUPTIONS[kind].spoiled.items():
        keys = chosen(pair, table, CORRUPTIONS[kind].wheres.get(table, CORRUPTIONS[kind].where))
        listed = ", ".join(map(str, keys))
        pair.sql(f"UPDATE {table} SET v = {expression} WHERE id IN ({listed})")
        expected |= {(table, f"id={key}", "v", "differs") for key in keys}
    return expected


def test_equal_is_equal(pair: Pair) -> None:
    assert pair.compare(LIMIT, batch_rows=64).equal
    assert found(pair) == set()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_spoiled_value_is_found_in_its_place(pair: Pair, kind: str) -> None:
    expected = plant(pair, kind)
    assert found(pair) == expected


def test_the_last_bit_is_one_bit(pair: Pair) -> None:
    """What the corruptor calls the next number is the next one, so that a comparison that rounds would be seen."""
    plant(pair, "the last bit")
    for table, size in (("t_double", 8), ("t_real", 4)):
        bits = f"('x' || encode(float{size}send({{}}.v), 'hex'))::bit({size * 8})::bigint"
        query = (
            f"SELECT {bits.format('p')} - {bits.format('k')}, count(*) FROM {table} p JOIN kept.{table} k USING (id)"
        )
        with psycopg.connect(pair.target) as connection:
            steps = connection.execute(f"{query} WHERE p.v <> k.v GROUP BY 1".encode()).fetchall()
        assert steps == [(1, PLANTED)]


def different(pair: Pair, table: str) -> list[tuple[int, int]]:
    """Pairs of rows with different values: swapping two equal ones changes nothing."""
    with psycopg.connect(pair.target) as connection:
        query = sql.SQL("SELECT id, v::text FROM {} WHERE v IS NOT NULL ORDER BY 2, 1").format(sql.Identifier(table))
        rows = connection.execute(query).fetchall()
    halves = zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=False)
    pairs = [(one, other) for (one, value), (other, another) in halves if value != another][:PLANTED]
    assert len(pairs) == PLANTED, table
    return pairs


def test_cells_swapped_between_rows(pair: Pair) -> None:
    expected = set()
    for table in TYPES:
        pairs = different(pair, table)
        both = [*pairs, *((other, one) for one, other in pairs)]
        listed = ", ".join(map(str, both))
        pair.sql(
            f"UPDATE {table} a SET v = b.v FROM kept.{table} b, (VALUES {listed}) AS swapped (here, there)"
            " WHERE a.id = here AND b.id = there"
        )
        expected |= {(table, f"id={key}", "v", "differs") for key, _ in both}
    assert found(pair) == expected


def test_rows_missing_and_rows_doubled_under_another_key(pair: Pair) -> None:
    expected = set()
    for table in TYPES:
        keys = chosen(pair, table, "true", 2 * PLANTED)
        lost, doubled = keys[:PLANTED], keys[PLANTED:]
        pair.sql(
            f"DELETE FROM {table} WHERE id IN ({', '.join(map(str, lost))})",
            f"INSERT INTO {table} SELECT id + 1000000, v, beside FROM kept.{table}"
            f" WHERE id IN ({', '.join(map(str, doubled))})",
        )
        expected |= {(table, f"id={key}", None, "missing in the target") for key in lost}
        expected |= {(table, f"id={key + 1000000}", None, "only in the target") for key in doubled}
    assert found(pair) == expected


def keyless(pair: Pair, tables: Iterable[str]) -> dict[str, Counter[tuple[str, str]]]:
    """Kind and row of what was found in tables without a key: such a row is shown by its columns."""
    found: dict[str, Counter[tuple[str, str]]] = {table: Counter() for table in tables}
    for table, key, column, kind in told(pair.compare(LIMIT, batch_rows=64).differences):
        assert column is None
        found[table][kind, key] += 1
    return found


def test_rows_of_every_type_without_a_key_doubled_and_lost(cluster: Cluster, tmp_path: Path) -> None:
    def planted(pair: Pair, kind: str) -> None:
        ids = Counter((kind, f"id={key}") for key in range(PLANTED))
        for table, found in keyless(pair, (*TYPES, BAG)).items():
            by_id = Counter((what, key.split(",")[0]) for what, key in found.elements())
            assert by_id == (Counter() if table == BAG else ids), table

    with cluster.database() as database:
        pair = loaded(tmp_path, database.conninfo, key="")
        pair.sql(*(f"INSERT INTO {table} SELECT * FROM {table} WHERE id < {PLANTED}" for table in TYPES))
        planted(pair, "only in the target")
        # Of each that is there twice both go.
        pair.sql(*(f"DELETE FROM {table} WHERE id < {PLANTED}" for table in TYPES))
        planted(pair, "missing in the target")


#: What is done to the first rows; which row is missing then, and which one is too many.
FIRST = f"ctid IN (SELECT ctid FROM {BAG} ORDER BY ctid LIMIT {PLANTED})"
CHANGES: dict[str, tuple[str, str | None, str | None]] = {
    "doubled": (f"INSERT INTO {BAG} SELECT * FROM {BAG} WHERE {FIRST}", None, "v='v{}', n={}"),
    "lost": (f"DELETE FROM {BAG} WHERE {FIRST}", "v='v{}', n={}", None),
    "another number": (f"UPDATE {BAG} SET n = n + 100 WHERE {FIRST}", "v='v{}', n={}", "v='v{}', n=10{}"),
    "another text": (f"UPDATE {BAG} SET v = v || '!' WHERE {FIRST}", "v='v{}', n={}", "v='v{}!', n={}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_without_a_key_doubled_lost_and_changed(pair: Pair, change: str) -> None:
    command, missing, extra = CHANGES[change]
    pair.sql(command)
    places = (("missing in the target", missing), ("only in the target", extra))
    assert keyless(pair, [BAG])[BAG] == Counter(
        (kind, row.format(number, number % 10)) for kind, row in places if row for number in range(PLANTED)
    )


def numbers(pair: Pair) -> dict[str, tuple[int, int, int]]:
    """Rows that are missing, rows too many, and cells that differ, of each table."""
    return {each.table: (each.missing, each.extra, each.differing) for each in pair.compare(LIMIT).tables}


def test_a_column_that_is_left_out_is_noticed_here(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof itself is proven: a comparison that passes over any one column misses what is planted in it."""
    for table, spoiled in CORRUPTIONS["cell changed"].spoiled.items():
        first, second, third = chosen(pair, table, "v IS NOT NULL", 3)
        pair.sql(
            f"UPDATE {table} SET v = {spoiled} WHERE id = {first}",
            f"UPDATE {table} SET beside = beside || '!' WHERE id = {second}",
            f"UPDATE {table} SET id = id + 1000000 WHERE id = {third}",
        )
    pair.sql(
        f"UPDATE {BAG} SET n = n + 100 WHERE ctid = (SELECT min(ctid) FROM {BAG})",
        f"UPDATE {BAG} SET v = v || '!' WHERE ctid = (SELECT min(ctid) FROM {BAG})",
    )
    assert numbers(pair) == dict.fromkeys(TYPES, (1, 1, 2)) | {BAG: (2, 2, 0)}
    make_plan = compare.make_plan

    def without(*columns: str) -> dict[str, tuple[int, int, int]]:
        def forgetful(*given: Any) -> Plan:
            plan = make_plan(*given)
            kept = [[each for each in table.columns if each.source not in columns] for table in plan.tables]
            pairs = zip(plan.tables, kept, strict=True)
            return replace(plan, tables=tuple(replace(table, columns=tuple(rest)) for table, rest in pairs))

        monkeypatch.setattr(compare, "make_plan", forgetful)
        return numbers(pair)

    assert without("v") == dict.fromkeys(TYPES, (1, 1, 1)) | {BAG: (1, 1, 0)}
    assert without("beside", "n") == dict.fromkeys(TYPES, (1, 1, 1)) | {BAG: (1, 1, 0)}
    # Without its key a table's rows are the same by what else they hold.
    assert without("id") == dict.fromkeys(TYPES, (2, 2, 0)) | {BAG: (2, 2, 0)}
