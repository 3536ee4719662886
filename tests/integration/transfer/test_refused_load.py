"""Rows that only the server refuses are named as an assessment names them, whichever engine loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.assessment import Options, assess_file
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.transfer import Transfer, transfer

from tests.integration.transfer.small_targets import mapping, planned, small_source, small_target
from tests.integration.transfer.transfer_server import Server, both_engines

NAMES = [f"c{number}" for number in range(1017)]
#: Twice 2^62 is no bigint. A page takes 1,016 bigints beside a key.
SOURCE = f"""
CREATE TABLE g (id INTEGER PRIMARY KEY, i INTEGER, twice INTEGER AS (i * 2) STORED);
INSERT INTO g (id, i) VALUES (1, 5), (2, 4611686018427387904), (3, NULL);
CREATE TABLE h (id INTEGER PRIMARY KEY, i INTEGER, t TEXT);
INSERT INTO h VALUES (4, 4611686018427387904, hex(randomblob(4000)));
CREATE TABLE w (id INTEGER PRIMARY KEY, {", ".join(f"{name} INTEGER" for name in NAMES)});
INSERT INTO w VALUES (7, {", ".join(["1099511627776"] * len(NAMES))});
"""
TARGET = f"""
CREATE TABLE g (id bigint PRIMARY KEY, i bigint, twice bigint GENERATED ALWAYS AS (i * 2) STORED);
CREATE TABLE h (id bigint PRIMARY KEY, i bigint, t text, CONSTRAINT little CHECK (i * 3 <> 7));
CREATE INDEX doubled ON h ((i * 4)); CREATE INDEX few ON h (id) WHERE i * 5 > 0; CREATE INDEX texts ON h (t);
CREATE TABLE w (id bigint PRIMARY KEY, {", ".join(f"{name} bigint" for name in NAMES)});
"""
PROFILE = {"left_behind": {"columns": {"g": {"twice": "PostgreSQL computes it"}}}}
OVERFLOW = "which PostgreSQL cannot compute: Database error 22003: bigint out of range"
NAMED = (
    "g.i, twice at 2, value (4611686018427387904, 9.223372036854776e+18): "
    f"against the computed column twice, {OVERFLOW}",
    f"h.i at 4, value 4611686018427387904: against CHECK (((i * 3) <> 7)), {OVERFLOW}",
    f"(((i * 4))), {OVERFLOW}",
    f"WHERE ((i * 5) > 0), {OVERFLOW}",
    "(t): Database error 54000: index row size",
    " at 7: against the room of a page: Database error 54000: row is too big: size 8168",
    "or change the expression in the schema",
)


@both_engines
def test_what_the_server_refuses_has_table_key_column_value_and_mend(
    server: Server, scratch: Path, tmp_path: Path, engine: str
) -> None:
    file = small_source(tmp_path / "refused.sqlite", SOURCE)
    with small_target(server, TARGET) as target:
        plan, record = planned(file, target, PROFILE), tmp_path / "record.json"
        order = Transfer(file, target.conninfo, plan, scratch, record, "refused", engine=engine)
        with pytest.raises(MigrationError) as refused:
            transfer(order)
        assessed = assess_file(file, target.conninfo, mapping(PROFILE), Options(tmp_path), lambda *_: None)
    said = str(refused.value)
    for words in NAMED:
        assert words in said
    assert [str(each) for each in assessed.findings] == [fact for fact, _ in refused.value.pairs]
