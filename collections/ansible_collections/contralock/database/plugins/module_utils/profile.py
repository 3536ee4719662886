"""A profile: everything that knows one application, read and held against its published schema.

A profile is a folder of SQL (``schema/``, read by ``schema_changes``) and one ``mapping.yml``. It is read on the
controller; to a host goes the document itself, and ``parse_mapping`` makes the same objects of it there.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from .errors import MigrationError
from .mapping_checks import assert_meaningful
from .mapping_document import (
    assert_valid,
    read_schema,
    read_yaml,
)
from .naming import (
    NamingRule,
    assert_no_collision,
    checked_identifier,
    target_name,
)
from .source_encoding import Encoding

MAPPING_FILE = "mapping.yml"
SCHEMA_FILE = "mapping.schema.json"
#: Where the project has its own profiles.
PROFILES = "files/profiles"


class Condition(StrEnum):
    """Which values a ``default`` replaces."""

    IS_NULL = "is_null"
    IS_EMPTY_TEXT = "is_empty_text"
    IS_NOT_JSON = "is_not_json"
    IS_NOT_IN_ENUM = "is_not_in_enum"


class EpochUnit(StrEnum):
    """What an integer that stands for a time counts."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


@dataclass(frozen=True)
class EmptyTextAsNull:
    """'' becomes NULL."""

    name: ClassVar[str] = "empty_text_as_null"


@dataclass(frozen=True)
class Trim:
    """ECMAScript's String.prototype.trim."""

    name: ClassVar[str] = "trim"


@dataclass(frozen=True)
class Lower:
    """ECMAScript's String.prototype.toLowerCase."""

    name: ClassVar[str] = "lower"


@dataclass(frozen=True)
class Truncate:
    """Cuts a text to ``length`` code points."""

    name: ClassVar[str] = "truncate"
    length: int


@dataclass(frozen=True)
class MapTexts:
    """Replaces exact texts by others, or by NULL (``None``)."""

    name: ClassVar[str] = "map"
    texts: collections.abc.Mapping[str, str | None]


@dataclass(frozen=True)
class Epoch:
    """Reads an integer as a time."""

    name: ClassVar[str] = "epoch"
    unit: EpochUnit


@dataclass(frozen=True)
class Default:
    """Replaces the values that ``when`` names by ``value`` (JSON types, never None)."""

    name: ClassVar[str] = "default"
    value: Any
    when: Condition


@dataclass(frozen=True)
class Quarantine:
    """Reserved for rows to be set aside; a plan refuses it, because nothing carries it out."""

    name: ClassVar[str] = "quarantine"


Rule = EmptyTextAsNull | Trim | Lower | Truncate | MapTexts | Epoch | Default | Quarantine

_BARE_RULES: dict[str, Rule] = {rule.name: rule for rule in (EmptyTextAsNull(), Trim(), Lower(), Quarantine())}
_VALUED_RULES: dict[str, Callable[[Any], Rule]] = {
    Truncate.name: Truncate,
    MapTexts.name: lambda texts: MapTexts(dict(texts)),
    Epoch.name: lambda unit: Epoch(EpochUnit(unit)),
    Default.name: lambda default: Default(default["value"], Condition(default["when"])),
}


@dataclass(frozen=True)
class ColumnMapping:
    """The exceptions of one target column; without any, the naming rule and the catalog say everything.

    Attributes:
        source: The source's names, of which a source has exactly one; empty: the naming rule finds it.
        may_be_absent: The source may lack the column; the target's DEFAULT fills it then.
        sensitive: Its values appear nowhere but in the databases.
        rules: What is done to its values, in order.
        may_match_nothing: Its rules may find no value to change; otherwise an assessment asks what they are for.
        written_by: Who wrote its values, when that is somebody else than the rest of the source.
    """

    source: tuple[str, ...] = ()
    may_be_absent: bool = False
    sensitive: bool = False
    rules: tuple[Rule, ...] = ()
    may_match_nothing: bool = False
    written_by: Encoding | None = None


@dataclass(frozen=True)
class TableMapping:
    """The exceptions of one target table."""

    source: tuple[str, ...] = ()
    columns: collections.abc.Mapping[str, ColumnMapping] = field(default_factory=dict)


@dataclass(frozen=True)
class Mapping:
    """A mapping file's content. Reasons are sentences for the report.

    Attributes:
        naming: The rule for every name that no entry covers.
        written_by: Who wrote the source, and thereby how it spells values.
        key_type: ``uuid`` when every key has to be one, otherwise None.
        key_otherwise: The profile to name when the keys are none.
        renames: Source column to target column, in every table.
        tables: Target table to its exceptions.
        tables_left_behind: Source table to reason.
        columns_left_behind: Target table to source column to reason.
        never_carried: Target table to reason.
    """

    naming: NamingRule
    written_by: Encoding = Encoding.SEQUELIZE
    key_type: str | None = None
    key_otherwise: str | None = None
    renames: collections.abc.Mapping[str, str] = field(default_factory=dict)
    tables: collections.abc.Mapping[str, TableMapping] = field(default_factory=dict)
    tables_left_behind: collections.abc.Mapping[str, str] = field(default_factory=dict)
    columns_left_behind: collections.abc.Mapping[str, collections.abc.Mapping[str, str]] = field(default_factory=dict)
    never_carried: collections.abc.Mapping[str, str] = field(default_factory=dict)

    def column(self, table: str, column: str) -> ColumnMapping:
        """Return the exceptions of a target column; an empty entry when it has none."""
        return self.tables.get(table, TableMapping()).columns.get(column, ColumnMapping())

    def encoding(self, table: str, column: str) -> Encoding:
        """Return how the source of a target column spells its values."""
        return self.column(table, column).written_by or self.written_by

    def sensitive_columns(self) -> frozenset[tuple[str, str]]:
        """Return the pairs of target table and column whose values are secrets."""
        return frozenset(
            (table, column)
            for table, entry in self.tables.items()
            for column, exceptions in entry.columns.items()
            if exceptions.sensitive
        )

    def target_tables(self, source_tables: Iterable[str]) -> dict[str, str]:
        """Return source table to target table, without those left behind.

        Args:
            source_tables: The application's tables as SQLite spells them (not SQLite's own ``sqlite_...``).

        Raises:
            MigrationError: Two of them would become one, or PostgreSQL would not take a name as it is.
        """
        declared = {source: table for table, entry in self.tables.items() for source in entry.source}
        coming = [name for name in source_tables if name not in self.tables_left_behind]
        targets = {name: declared.get(name) or target_name(name, self.naming) for name in coming}
        assert_no_collision(targets.items(), "the source's tables")
        return targets

    def target_columns(self, table: str, source_columns: Iterable[str]) -> dict[str, str]:
        """Return source column to target column for a target table, without those left behind.

        A table's own entry goes before ``renames``, and these before the naming rule.

        Raises:
            MigrationError: Two of them would become one, or PostgreSQL would not take a name as it is.
        """
        left_behind = self.columns_left_behind.get(table, {})
        targets = {name: self.target_column(table, name) for name in source_columns if name not in left_behind}
        assert_no_collision(targets.items(), f"the columns of {table}")
        return targets

    def target_column(self, table: str, name: str) -> str:
        """Return what a source column of a target table is called there, or would be when it is left behind."""
        columns = self.tables.get(table, TableMapping()).columns
        declared = {source: column for column, entry in columns.items() for source in entry.source}
        return declared.get(name) or self.renames.get(name) or target_name(name, self.naming)


@dataclass(frozen=True)
class Profile:
    """A profile's folder, with its mapping and the documents that a host needs to read it again."""

    name: str
    path: Path
    mapping: Mapping
    document: collections.abc.Mapping[str, Any]
    document_schema: collections.abc.Mapping[str, Any]


def load_profile(path: Path) -> Profile:
    """Read a profile from its folder; the schema of its mapping lies there, in the folder above, or in the project.

    Raises:
        MigrationError: A file is missing or cannot be read, or the mapping is wrong; the message names the file, the
            place in it, the value and the mend.
    """
    file = path / MAPPING_FILE
    document = read_yaml(file)
    # A profile that lives elsewhere, such as a drafted one, may bring it along; one that was copied by hand forgets it.
    places = [path, path.parent, *(folder / PROFILES for folder in Path(__file__).resolve().parents)]
    found = next((place / SCHEMA_FILE for place in places if (place / SCHEMA_FILE).is_file()), None)
    if found is None:
        raise MigrationError(f"{path} has no {SCHEMA_FILE}", f"Copy {PROFILES}/{SCHEMA_FILE} of the project into it")
    schema = read_schema(found)
    mapping = parse_mapping(document, schema, str(file))
    if mapping.key_otherwise == path.name:
        raise MigrationError(
            f"{file}: key.otherwise: {path.name!r} is this profile itself", "Name another profile there, or none"
        )
    assert isinstance(document, dict)  # noqa: S101 (the schema asks for a mapping)
    return Profile(path.name, path, mapping, document, schema)


def parse_mapping(document: object, schema: collections.abc.Mapping[str, Any], where: str = MAPPING_FILE) -> Mapping:
    """Make a mapping of a document, after holding it against the schema.

    Args:
        document: What ``mapping.yml`` says; JSON types only.
        schema: The published JSON Schema (``mapping.schema.json``).
        where: The document's file, for the messages.

    Raises:
        MigrationError: The document breaks the schema, or says what cannot be meant.
    """
    assert_valid(document, schema, where)
    assert isinstance(document, dict)  # noqa: S101 (the schema asks for a mapping)
    assert_meaningful(document, where)
    for names, what in _target_names(document):
        for name in names:
            checked_identifier(name, f"{where}: {what}")
    key = document.get("key", {})
    left_behind = document.get("left_behind", {})
    return Mapping(
        naming=NamingRule(document["naming"]),
        written_by=Encoding(document.get("written_by", Encoding.SEQUELIZE)),
        key_type=key.get("type"),
        key_otherwise=key.get("otherwise"),
        renames=document.get("renames", {}),
        tables={name: _table(entry) for name, entry in document.get("tables", {}).items()},
        tables_left_behind=left_behind.get("tables", {}),
        columns_left_behind=left_behind.get("columns", {}),
        never_carried=document.get("never_carried", {}),
    )


def _target_names(document: dict[str, Any]) -> Iterable[tuple[Iterable[str], str]]:
    yield document.get("renames", {}).values(), "renames: the target's name"
    yield document.get("tables", {}), "tables: the target's name"
    yield document.get("never_carried", {}), "never_carried: the target's name"
    for table, entry in document.get("tables", {}).items():
        yield entry.get("columns", {}), f"tables.{table}.columns: the target's name"


def _names(source: str | list[str]) -> tuple[str, ...]:
    return (source,) if isinstance(source, str) else tuple(source)


def _table(entry: dict[str, Any]) -> TableMapping:
    columns = {name: _column(column) for name, column in entry.get("columns", {}).items()}
    return TableMapping(_names(entry.get("source", [])), columns)


def _column(entry: dict[str, Any]) -> ColumnMapping:
    return ColumnMapping(
        source=_names(entry.get("source", [])),
        may_be_absent="when_absent" in entry,
        sensitive="sensitive" in entry,
        rules=tuple(_rule(rule) for rule in entry.get("rules", [])),
        may_match_nothing="when_unmatched" in entry,
        written_by=Encoding(entry["written_by"]) if "written_by" in entry else None,
    )


def _rule(rule: str | dict[str, Any]) -> Rule:
    if isinstance(rule, str):
        return _BARE_RULES[rule]
    ((name, value),) = rule.items()
    return _VALUED_RULES[name](value)
