"""Arrays of another shape than a list: PostgreSQL tells them apart, and so does a comparison."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.profile import Mapping, NamingRule

from tests.integration.comparison.loaded_target import Pair
from tests.throwaway_cluster import Database

FIRST = "0a000000-0000-4000-8000-00000000000f"

#: type of the array -> the source's text, what is planted in place of it, and how both are shown
ARRAYS: dict[str, tuple[str, str, str]] = {
    "integer[]": ("[38, 80]", "{{38,80}}", "{38,80}"),
    "text[]": ('["a b", "NULL", "", "é"]', '[5:8]={"a b","NULL","",é}', '{"a b","NULL","",é}'),
    "numeric(5,2)[]": ("[1.5]", "{{1.50}}", "{1.50}"),
    "double precision[]": ("[0.0, 2.5]", "{-0,2.5}", "{0,2.5}"),
    "boolean[]": ("[true, false]", "{{t},{f}}", "{t,f}"),
    "uuid[]": (f'["{FIRST}", null]', f"[0:1]={{{FIRST},NULL}}", f"{{{FIRST},NULL}}"),
    "varchar(9)[]": ("[]", "{NULL}", "{}"),
    "timestamptz[]": (
        '["2024-01-03T09:10:55.791Z"]',
        '{{"2024-01-03 09:10:55.791+00"}}',
        '{"2024-01-03 09:10:55.791+00"}',
    ),
    "date[]": ("NULL", "[2:2]={2024-01-03}", "NULL"),
}


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
def test_an_array_of_another_shape_is_another_value(tmp_path: Path, database: Database, key: str) -> None:
    """PostgreSQL tells them apart, and so does who indexes or measures them; the driver gives the elements alone."""
    path = tmp_path / "arrays.sqlite"
    names = [f"c{number}" for number in range(len(ARRAYS))]
    rows = range(len(ARRAYS) + 1)
    texts = [None if source == "NULL" else source for source, _, _ in ARRAYS.values()]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE g (id INTEGER {key}, {', '.join(f'{name} JSON' for name in names)})")
        marks = ", ".join("?" * (1 + len(names)))
        connection.executemany(f"INSERT INTO g VALUES ({marks})", [(row, *texts) for row in rows])
    pair = Pair(path, database.conninfo, Mapping(NamingRule.KEEP))
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, ARRAYS, strict=True))
    pair.sql(f"CREATE TABLE g (id bigint {key}, {columns})")
    pair.load()
    assert pair.compare().equal
    planted = list(enumerate(ARRAYS.values()))
    pair.sql(*(f"UPDATE g SET c{row} = '{other}' WHERE id = {row}" for row, (_, other, _) in planted))
    found = pair.compare()
    if key:
        assert [(each.key, each.column, each.source, each.target) for each in found.differences] == [
            (f"id={row}", f"c{row}", shown, other) for row, (_, other, shown) in planted
        ]
    else:
        numbers = [(each.missing, each.extra, each.differing) for each in found.tables]
        assert numbers == [(len(ARRAYS), len(ARRAYS), 0)]
        shown = [each.key for each in found.differences if each.kind == "only in the target"]
        assert [f"c{row}={other}" in key for key, (row, (_, other, _)) in zip(shown, planted[:5], strict=False)] == [
            True
        ] * 5
