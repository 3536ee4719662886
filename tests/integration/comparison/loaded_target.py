"""A target that holds what the source gives: loaded by psycopg's COPY, independent of the transfer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.contralock.database.plugins.module_utils.catalog import snapshot
from ansible_collections.contralock.database.plugins.module_utils.compare import Options, compare_file
from ansible_collections.contralock.database.plugins.module_utils.comparison_report import Comparison, Difference
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.plan import Plan, make_plan
from ansible_collections.contralock.database.plugins.module_utils.profile import Mapping, load_profile
from ansible_collections.contralock.database.plugins.module_utils.rules_applied import apply_rules
from ansible_collections.contralock.database.plugins.module_utils.run_step import Progress, no_progress
from ansible_collections.contralock.database.plugins.module_utils.source_file import open_source
from ansible_collections.contralock.database.plugins.module_utils.source_reader import read_table
from ansible_collections.contralock.database.plugins.module_utils.source_schema import read_schema
from psycopg import sql

PROJECT = Path(__file__).parents[3]
#: What a comparison says first of a target that no schema change of ours made.
UNRECORDED = "no change of this schema is recorded in the target: its structure was held against the source alone"
CONTRALOCK = PROJECT / "files" / "profiles" / "contralock"


@dataclass(frozen=True)
class Pair:
    """A source and a target that belong together, with the mapping between them."""

    source: Path
    target: str
    mapping: Mapping

    def compare(self, limit: int = 100, progress: Progress = no_progress, **options: Any) -> Comparison:
        made = Options(b"key of the tests", limit, **options)
        return compare_file(self.source, self.target, self.mapping, made, progress)

    def sql(self, *commands: str) -> None:
        """Change the target."""
        with psycopg.connect(self.target, autocommit=True) as connection:
            for command in commands:
                connection.execute(command)

    def sqlite(self, *commands: str) -> None:
        """Change the source."""
        with closing(sqlite3.connect(self.source)) as connection, connection:
            for command in commands:
                connection.execute(command)

    def plan(self) -> Plan:
        with closing(open_source(self.source)) as source, connect(self.target, "plan") as target:
            return make_plan(self.mapping, read_schema(source), snapshot(target))

    def load(self) -> None:
        """Fill the target from the source, with foreign keys out of the way."""
        plan = self.plan()
        with closing(open_source(self.source)) as source, psycopg.connect(self.target) as target:
            for table in plan.tables:
                columns = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in table.columns)
                copy = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.target), columns)
                with target.cursor() as cursor, cursor.copy(copy) as stream:
                    for batch in read_table(source, table.source.name, table.source_columns):
                        texts = []
                        for column, cells in zip(table.columns, batch, strict=True):
                            applied = apply_rules(column.rules, cells, column.conversion).cells
                            values = column.conversion.forward(applied)
                            texts.append(column.conversion.render(values).to_pylist())
                        for row in zip(*texts, strict=True):
                            stream.write_row(row)


def contralock_mapping() -> Mapping:
    return load_profile(CONTRALOCK).mapping


def run_files(conninfo: str, files: Iterable[Path]) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for file in files:
            connection.execute(file.read_text(encoding="utf-8"))  # type: ignore[arg-type]


def told(differences: Iterable[Difference]) -> list[tuple[str, str, str | None, str]]:
    """What a test expects: table, key, column, kind."""
    return [(each.table, each.key, each.column, each.kind.value) for each in differences]
