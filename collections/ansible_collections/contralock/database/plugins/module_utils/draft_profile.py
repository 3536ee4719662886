"""Drafts a profile for any SQLite file, from its declarations and its data.

The draft is a proposal with its reasons: the schema changes, the mapping, and a page of open questions. What it
proposes was held against every cell by the conversions that the move uses.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .draft_profile_columns import ColumnMaker
from .draft_profile_expressions import implied
from .draft_profile_links import Place, choose_all
from .draft_profile_makers import RECORDS, Maker, find_maker, left_over_of
from .draft_profile_model import Draft, DraftColumn, DraftTable, Quote
from .draft_profile_names import FreeNames, natural_name, place_names
from .draft_profile_pieces import PieceMaker
from .draft_profile_source import TableDetail, pairs_of, read_detail, read_texts
from .draft_profile_study import Study, study_table
from .draft_profile_types import Facts, candidates_of
from .errors import MigrationError
from .naming import NamingRule
from .pgloader import unspeakable
from .run_step import counted
from .source_file import Progress, open_source, quote_identifier
from .source_schema import SourceSchema, read_schema

#: MaxHeapAttributeNumber in PostgreSQL's src/include/access/htup_details.h.
_MOST_COLUMNS = 1600


@dataclass(frozen=True)
class DraftOrder:
    """How to draft.

    Attributes:
        naming: How names come over.
        maker: Who made the database, a value of ``written_by`` or ``plain``; None: its habits tell.
        by_data: Whether the data may propose a type that the declaration does not name.
        quote: How names are spelled in SQL; all in quotes unless somebody knows better.
        reserved: Names of PostgreSQL's own catalog, which it finds before those of any schema.
    """

    naming: NamingRule = NamingRule.KEEP
    maker: str | None = None
    by_data: bool = True
    quote: Quote = quote_identifier
    reserved: frozenset[str] = frozenset()


def draft_profile(path: Path, order: DraftOrder, progress: Progress | None = None) -> Draft:
    """Draft a profile.

    Args:
        path: The SQLite file, which nobody writes meanwhile.
        order: How.
        progress: Called with the source's table, its rows so far, and all of them.

    Raises:
        MigrationError: The source cannot be read, has virtual tables, or has no table that would move.
    """
    with closing(open_source(path)) as connection:
        return _Drafter(path, connection, order, progress or (lambda *_: None)).draft()


class _Drafter:
    """Drafts one profile, step by step."""

    def __init__(self, path: Path, connection: sqlite3.Connection, order: DraftOrder, progress: Progress) -> None:
        self._path = path
        self._connection = connection
        self._order = order
        self._progress = progress
        self._schema = read_schema(connection)
        details = {table.name: read_detail(connection, table) for table in self._schema.tables}
        maker = find_maker(self._schema, {name: detail.sql for name, detail in details.items()}, order.maker)
        views, triggers = read_texts(connection, "view"), read_texts(connection, "trigger")
        self._draft = Draft(maker, order.naming, order.quote, views=views, triggers=triggers)
        self._left = dict(self._left_behind(self._schema, maker))
        self._details = {name: detail for name, detail in details.items() if name not in self._left}
        if not self._details:
            raise MigrationError(
                "the source has no table that would move: all are the accounts of tools",
                "Name the SQLite file that the application uses",
            )
        self._assert_narrow()
        self._targets = place_names(self._details, order.naming, order.reserved)

    def draft(self) -> Draft:
        """Draft everything."""
        draft = self._draft
        draft.left_behind = self._left
        studies = {place: study for name in self._details for place, study in self._study(name)}
        choices = choose_all(studies, self._links())
        # Tables, indexes and types share one namespace.
        free = FreeNames([*self._targets.values(), *self._order.reserved])
        columns = ColumnMaker(draft, free, studies, choices)
        for name, detail in self._details.items():
            target = self._targets[name]
            draft.tables.append(
                DraftTable(
                    source=name,
                    target=target,
                    columns=columns.make(detail, target),
                    rows=detail.table.rows,
                    renamed=natural_name(name, self._order.naming) != target,
                )
            )
        pieces = PieceMaker(draft, free, self._details, studies, choices)
        for table in draft.tables:
            pieces.make(table)
        self._ask_about_the_rest()
        return draft

    def _assert_narrow(self) -> None:
        """Refuse a table that PostgreSQL cannot have."""
        wide = {name: len(detail.table.columns) for name, detail in self._details.items()}
        wide = {name: count for name, count in wide.items() if count > _MOST_COLUMNS}
        if wide:
            shown = ", ".join(f"{name} {count:,}" for name, count in wide.items())
            raise MigrationError(
                f"the source has tables with more columns than the {_MOST_COLUMNS:,} that PostgreSQL takes ({shown})",
                "Split them, or keep the columns that nobody searches in one JSON column",
            )

    def _left_behind(self, schema: SourceSchema, maker: Maker) -> Iterator[tuple[str, str]]:
        """Yield the tables that stay, with the reason."""
        for table in schema.tables:
            record = RECORDS.get(table.name.lower())
            original = left_over_of(table.name, schema) if maker.name == "sequelize" else None
            if record is not None and record.moves:
                self._draft.notes.append(f"{table.name} ({record.title}) comes along: {record.reason}")
            elif record is not None:
                yield table.name, record.reason
            elif original is not None:
                yield table.name, f"A copy of {original} that Sequelize leaves when altering that table fails half-way"
                self._draft.ask(table.name, self._left_over_question(table.name, original))

    def _left_over_question(self, copy: str, original: str) -> str:
        """Say how many rows of a copy are in its original no more."""
        key = [name for name in self._schema.table(original).key if name in _names(self._schema, copy)]
        if not key:
            return f"looks like a copy of {original} that Sequelize left: see that nobody needs it"
        one, other = quote_identifier(copy), quote_identifier(original)
        same = " AND ".join(f"o.{quote_identifier(name)} IS c.{quote_identifier(name)}" for name in key)
        query = f"SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM {other} o WHERE {same}))"
        rows, lost = self._connection.execute(f"{query} FROM {one} c").fetchone()
        held = counted(rows, "row")
        found = f"a copy of {original} that Sequelize left, with {held}, {lost} of them not in {original}"
        return f"{found}: is it of no use any more?"

    def _study(self, name: str) -> Iterator[tuple[Place, Study]]:
        detail = self._details[name]
        facts = [self._facts(detail, column.name) for column in detail.table.columns]
        candidates = [candidates_of(column, fact) for column, fact in zip(detail.table.columns, facts, strict=True)]
        found = study_table(self._path, detail.table, self._targets[name], candidates, self._progress)
        for column, study in found.items():
            yield (name, column), study

    def _facts(self, detail: TableDetail, column: str) -> Facts:
        told = (implied(check.expression) for check in detail.text.checks)
        evidence = frozenset(each.evidence for each in told if each and each.column == column.lower())
        refers = any(column in reference.key.columns for reference in detail.references)
        keyed = refers or column == detail.numbered or bool(re.fullmatch(r".+_id", column))
        return Facts(self._draft.maker, self._order.by_data, evidence, keyed, column == detail.numbered)

    def _links(self) -> Iterator[tuple[Place, Place]]:
        for name, detail in self._details.items():
            for reference in detail.references:
                for column, referred in pairs_of(self._details, detail, reference):
                    yield (name, column), (reference.key.table, referred)

    def _ask_about_the_rest(self) -> None:
        for kind, texts in (("view", self._draft.views), ("trigger", self._draft.triggers)):
            for name in texts:
                self._draft.ask(name, f"the {kind} is not moved: write it in PostgreSQL's words if it is needed")
        self._ask_about_names(
            self._draft.tables, "PostgreSQL's own catalog has a table of this name, which it finds first"
        )
        for table in self._draft.tables:
            self._ask_about_names(
                table.columns, "every table of PostgreSQL has a column of this name", f"{table.source}."
            )
            if refusal := unspeakable("public", {table.target: [column.target for column in table.columns]}):
                self._draft.ask(table.source, f"{refusal.fact}: use the engine arrow, or rename them")

    def _ask_about_names(
        self, named: Sequence[DraftTable] | Sequence[DraftColumn], taken: str, before: str = ""
    ) -> None:
        """Ask about what could not have the name that the naming rule gives it: its name is what is looked for."""
        holders = {each.target: each.source for each in named}
        for each in named:
            if each.renamed:
                natural = natural_name(each.source, self._order.naming)
                why = f"the naming rule makes {natural} of {holders[natural]}, too" if natural in holders else taken
                why = why if natural else "PostgreSQL does not take the whole name"
                question = f"{why}: here it is {each.target}; does the application find it there?"
                self._draft.ask(f"{before}{each.source}", question)


def _names(schema: SourceSchema, table: str) -> set[str]:
    return {column.name for column in schema.table(table).columns}
