"""Drafted profiles: of a maker's database, and moved with nothing changed by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils.connection import connect
from ansible_collections.contralock.database.plugins.module_utils.draft_profile import DraftOrder, draft_profile
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_model import Draft
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_pages import write_profile
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_proof import prove
from ansible_collections.contralock.database.plugins.module_utils.draft_profile_trial import (
    Proof,
    catalog_names,
    quoted_by,
    try_pieces,
)
from ansible_collections.contralock.database.plugins.module_utils.mapping_document import read_yaml

from tests.integration.draft.makers import write
from tests.throwaway_cluster import Cluster

DOCUMENT_SCHEMA = Path(__file__).parents[3] / "files" / "profiles" / "mapping.schema.json"


@dataclass(frozen=True)
class Drafted:
    """A source, the draft for it, and the profile's folder."""

    source: Path
    draft: Draft
    proof: Proof
    folder: Path

    def sql(self) -> str:
        return "\n".join(path.read_text() for path in sorted((self.folder / "schema").glob("*.up.sql")))

    def types(self) -> dict[str, str]:
        """Source column to type."""
        tables = self.draft.tables
        return {f"{table.source}.{each.source}": each.type for table in tables for each in table.columns}

    def questions(self) -> dict[str, list[str]]:
        asked: dict[str, list[str]] = {}
        for question in self.draft.questions:
            for place in question.places:
                asked.setdefault(place, []).append(question.text)
        return asked

    def mapping(self) -> Any:
        return read_yaml(self.folder / "mapping.yml")


@pytest.fixture(scope="session")
def drafted_from(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Drafted]:
    """Draft a profile for a file."""

    def make(source: Path, **order: Any) -> Drafted:
        folder = tmp_path_factory.mktemp("profiles") / "drafted"
        with cluster.database() as fresh, connect(fresh.conninfo, "draft") as connection:
            draft = draft_profile(
                source, DraftOrder(quote=quoted_by(connection), reserved=catalog_names(connection), **order)
            )
            try_pieces(connection, draft)
            proof = prove(connection, source, draft, DOCUMENT_SCHEMA)
        write_profile(folder, draft, proof, source.name, DOCUMENT_SCHEMA)
        return Drafted(source, draft, proof, folder)

    return make


@pytest.fixture(scope="session")
def drafted(drafted_from: Callable[..., Drafted], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Drafted]:
    """Draft a profile for a maker's database, once."""
    made: dict[str, Drafted] = {}

    def of(maker: str) -> Drafted:
        if maker not in made:
            made[maker] = drafted_from(write(maker, tmp_path_factory.mktemp("made") / f"{maker}.sqlite"))
        return made[maker]

    return of


@pytest.fixture
def drafted_script(drafted_from: Callable[..., Drafted], tmp_path: Path) -> Callable[..., Drafted]:
    """Draft a profile for the database that a script makes."""

    def make(script: str, **order: Any) -> Drafted:
        source = tmp_path / "source.sqlite"
        source.unlink(missing_ok=True)
        with closing(sqlite3.connect(source, isolation_level=None)) as database:
            database.executescript(script)
        return drafted_from(source, **order)

    return make
