"""What a mapping says reaches the code that reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.contralock.database.plugins.module_utils import profile
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.naming import NamingRule
from ansible_collections.contralock.database.plugins.module_utils.profile import (
    ColumnMapping,
    Condition,
    Default,
    EmptyTextAsNull,
    Epoch,
    EpochUnit,
    Lower,
    MapTexts,
    Profile,
    Quarantine,
    Trim,
    Truncate,
    load_profile,
    parse_mapping,
)
from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding

PROFILES = Path(__file__).parents[3] / "files" / "profiles"
SCHEMA: dict[str, Any] = json.loads((PROFILES / "mapping.schema.json").read_text())
Load = Callable[[str | bytes], Profile]

EVERYTHING = """\
version: 1
naming: snake_case
written_by: rails
key: {type: uuid, otherwise: other}
renames: {_id: id}
tables:
  users:
    source: [users, People]
    columns:
      email: {rules: [trim, lower, {truncate: 255}, quarantine]}
      is_verified: {source: emailVerified}
      state: {source: [state, status], rules: [empty_text_as_null, {map: {no: null, yes: active}}]}
      born: {rules: [{epoch: milliseconds}], when_absent: target_default, when_unmatched: accept}
      active: {written_by: rails_5_1}
      settings:
        sensitive: true
        rules:
          - default: {value: {a: [1, 2.5, true]}, when: is_not_json}
          - default: {value: {}, when: is_null}
  people: {columns: {old_id: {source: _id}}}
left_behind:
  tables: {SequelizeMeta: Replaced by the schema changes}
  columns: {users: {oldScore: Computed anew each night}}
never_carried: {sessions: Users log in again}
"""


def test_everything_a_mapping_can_say(load: Load) -> None:
    profile = load(EVERYTHING)
    mapping = profile.mapping
    assert profile.name == "sample"
    assert mapping.naming is NamingRule.SNAKE_CASE
    assert (mapping.key_type, mapping.key_otherwise) == ("uuid", "other")
    assert mapping.encoding("users", "active") is Encoding.RAILS_5_1
    assert mapping.encoding("users", "email") is mapping.encoding("people", "any") is Encoding.RAILS
    assert mapping.tables["users"].source == ("users", "People")
    assert mapping.tables["users"].columns == {
        "email": ColumnMapping(rules=(Trim(), Lower(), Truncate(255), Quarantine())),
        "is_verified": ColumnMapping(source=("emailVerified",)),
        "state": ColumnMapping(
            source=("state", "status"), rules=(EmptyTextAsNull(), MapTexts({"no": None, "yes": "active"}))
        ),
        "born": ColumnMapping(may_be_absent=True, rules=(Epoch(EpochUnit.MILLISECONDS),), may_match_nothing=True),
        "active": ColumnMapping(written_by=Encoding.RAILS_5_1),
        "settings": ColumnMapping(
            sensitive=True,
            rules=(Default({"a": [1, 2.5, True]}, Condition.IS_NOT_JSON), Default({}, Condition.IS_NULL)),
        ),
    }
    assert mapping.tables_left_behind == {"SequelizeMeta": "Replaced by the schema changes"}
    assert mapping.columns_left_behind == {"users": {"oldScore": "Computed anew each night"}}
    assert mapping.never_carried == {"sessions": "Users log in again"}
    assert mapping.sensitive_columns() == {("users", "settings")}
    assert parse_mapping(json.loads(json.dumps(profile.document)), profile.document_schema) == mapping


def test_the_least_a_mapping_says(load: Load) -> None:
    mapping = load("version: 1\nnaming: keep\n").mapping
    assert mapping.key_type is None
    assert mapping.column("users", "email") == ColumnMapping()
    assert mapping.encoding("users", "email") is Encoding.SEQUELIZE
    assert mapping.target_tables(["Users"]) == {"Users": "Users"}
    assert mapping.target_columns("Users", ["_id", "firstName"]) == {"_id": "_id", "firstName": "firstName"}


def test_names_go_by_entry_then_renames_then_rule(load: Load) -> None:
    mapping = load(EVERYTHING).mapping
    assert mapping.target_tables(["People", "AuditTrails", "SequelizeMeta"]) == {
        "People": "users",
        "AuditTrails": "audit_trails",
    }
    assert mapping.target_columns("users", ["_id", "emailVerified", "lastName", "oldScore", "status"]) == {
        "_id": "id",
        "emailVerified": "is_verified",
        "lastName": "last_name",
        "status": "state",
    }
    assert mapping.target_columns("people", ["_id", "firstName"]) == {"_id": "old_id", "firstName": "first_name"}


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        (["_id", "id"], "'_id' and 'id' would both become 'id'"),
        (["state", "status"], "'state' and 'status' would both become 'state'"),
        (["emailVerified", "isVerified"], "'emailVerified' and 'isVerified' would both become 'is_verified'"),
    ],
)
def test_columns_that_meet_are_refused(load: Load, columns: list[str], fragment: str) -> None:
    with pytest.raises(MigrationError, match=f"the columns of users: {fragment}"):
        load(EVERYTHING).mapping.target_columns("users", columns)


def test_tables_that_meet_are_refused(load: Load) -> None:
    with pytest.raises(MigrationError, match="the source's tables: 'users' and 'People' would both become 'users'"):
        load(EVERYTHING).mapping.target_tables(["users", "People"])


def subschemas(node: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of the schema that is a mapping, with its place."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            if key not in ("examples", "enum", "const"):
                yield from subschemas(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from subschemas(value, f"{path}/{index}")


def test_the_schema_is_closed_everywhere() -> None:
    open_ones = [
        path for path, node in subschemas(SCHEMA) if "properties" in node and "additionalProperties" not in node
    ]
    assert open_ones == []
    assert list(subschemas({"a": {"properties": {}}}))[1] == ("/a", {"properties": {}}), "the walk sees what is nested"


def test_the_schema_describes_every_word() -> None:
    words = [
        (f"{path}/{word}", part)
        for path, node in subschemas(SCHEMA)
        if isinstance(node.get("properties"), dict)
        for word, part in node["properties"].items()
    ]
    assert len(words) > 20
    assert [path for path, part in words if "description" not in part and "$ref" not in part] == []


def test_the_schema_knows_every_maker() -> None:
    entry = SCHEMA["$defs"]["written_by"]
    assert entry["enum"] == [each.value for each in Encoding]
    assert [each.value for each in Encoding if f"{each.value}: " not in entry["description"]] == []


def test_no_text_offers_a_rule_that_is_refused() -> None:
    (told,) = [line for line in SCHEMA["$defs"]["rule"]["description"].split(". ") if line.startswith("quarantine: ")]
    assert "not carried out yet" in told
    for path in (path for kind in ("*.md", "*.yml", "*.sql") for path in PROFILES.rglob(kind)):
        assert "quarantine" not in path.read_text(encoding="utf-8"), path


def test_the_schema_s_examples_are_valid() -> None:
    for example in SCHEMA["examples"]:
        parse_mapping(example, SCHEMA)


@pytest.mark.parametrize("folder", sorted(file.parent.name for file in PROFILES.glob("*/mapping.yml")))
def test_the_profiles_of_this_project_load(folder: str) -> None:
    assert load_profile(PROFILES / folder).name == folder


def test_a_profile_that_was_copied_without_the_schema_loads(tmp_path: Path) -> None:
    copied = shutil.copytree(PROFILES / "contralock", tmp_path / "somewhere" / "mine")
    assert load_profile(copied).document_schema == SCHEMA


def test_a_schema_that_is_nowhere_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "PROFILES", "no/such/folder")
    (tmp_path / "mapping.yml").write_text("version: 1\nnaming: keep\n")
    with pytest.raises(MigrationError, match=r"has no mapping\.schema\.json.* Copy "):
        load_profile(tmp_path)
