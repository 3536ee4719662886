"""Every fault in a mapping is found, with the place, the value seen and the mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.profile import Profile, load_profile

HEAD = "version: 1\nnaming: snake_case\n"
Load = Callable[[str | bytes], Profile]


def email(rules: str) -> str:
    """A mapping whose only entry is the rules of users.email."""
    return HEAD + f"tables: {{users: {{columns: {{email: {{rules: {rules}}}}}}}}}\n"


RULES = "tables.users.columns.email.rules"

BROKEN: dict[str, tuple[str, str, str]] = {
    # name: document, what the fact says, what the mend says
    "empty file": ("", "the file: null is not a mapping", "Write a mapping there"),
    "a list": ("- version: 1\n", 'the file: [{"version": 1}] is not a mapping', "Write a mapping"),
    "no version": ("naming: keep\n", "the file: 'version' is missing", "Add 'version'"),
    "no naming": ("version: 1\n", "the file: 'naming' is missing", "Add 'naming'"),
    "other version": ("version: 2\nnaming: keep\n", "version: 2 is unknown", "Write 1"),
    "version as text": ("version: '1'\nnaming: keep\n", 'version: "1" is unknown', "Write 1"),
    "misspelt naming": (
        "version: 1\nnaming: snakecase\n",
        'naming: "snakecase" is unknown',
        "Did you mean 'snake_case'?",
    ),
    "misspelt maker": (HEAD + "written_by: djngo\n", 'written_by: "djngo" is unknown', "Did you mean 'django'?"),
    "misspelt maker of a column": (
        HEAD + "tables: {users: {columns: {a: {written_by: Prisma}}}}\n",
        'tables.users.columns.a.written_by: "Prisma" is unknown',
        "Did you mean 'prisma'?",
    ),
    "another word for unmatched rules": (
        HEAD + "tables: {users: {columns: {a: {rules: [trim], when_unmatched: ignore}}}}\n",
        'tables.users.columns.a.when_unmatched: "ignore" is unknown',
        "accept",
    ),
    "misspelt key": (HEAD + "left_behnd: {}\n", "the file: 'left_behnd' is unknown", "Did you mean 'left_behind'?"),
    "key like no other": (
        HEAD + "xyz: 1\n",
        "the file: 'xyz' is unknown",
        "Known here: version, naming, written_by, key",
    ),
    "unknown key type": (HEAD + "key: {type: integer}\n", 'key.type: "integer" is unknown', "uuid"),
    "profile's name": (
        HEAD + "key: {type: uuid, otherwise: ../x}\n",
        'key.otherwise: "../x" breaks the limit pattern',
        "",
    ),
    "itself": (
        HEAD + "key: {type: uuid, otherwise: sample}\n",
        "key.otherwise: 'sample' is this profile itself",
        "Name another",
    ),
    "misspelt rule": (
        email("[trim, empty_text_as_nul]"),
        f'{RULES}[1]: "empty_text_as_nul" is unknown',
        "Did you mean 'empty_text_as_null'?",
    ),
    "misspelt rule with a value": (
        email("[{trunkate: 9}]"),
        f"{RULES}[0]: 'trunkate' is unknown",
        "Did you mean 'truncate'?",
    ),
    "rule without its value": (
        email("[truncate]"),
        f"{RULES}[0]: the rule 'truncate' needs a value",
        "Write '- truncate: ...'",
    ),
    "value for a rule without": (
        email("[{trim: true}]"),
        f"{RULES}[0]: the rule 'trim' takes no value",
        "Write it alone: '- trim'",
    ),
    "two rules in one item": (
        email("[{truncate: 9, epoch: seconds}]"),
        f'{RULES}[0]: {{"truncate": 9, "epoch": "seconds"}} holds more than one',
        "item of its own",
    ),
    "rule of another type": (email("[7]"), f"{RULES}[0]: 7 is not a text or a mapping", "Write a text or a mapping"),
    "rules not in a list": (email("trim"), f'{RULES}: "trim" is not a list', "Write a list"),
    "no rules": (email("[]"), f"{RULES}: [] says nothing", "Leave the entry out"),
    "truncate to nothing": (email("[{truncate: 0}]"), f"{RULES}[0].truncate: 0 breaks the limit minimum 1", "Correct"),
    "truncate by text": (
        email("[{truncate: 1_0}]"),
        f'{RULES}[0].truncate: "1_0" is not an integer',
        "Write an integer",
    ),
    "unit": (
        email("[{epoch: ms}]"),
        f'{RULES}[0].epoch: "ms" is unknown',
        "Known here: seconds, milliseconds",
    ),
    "empty map": (email("[{map: {}}]"), f"{RULES}[0].map: {{}} says nothing", "fill it"),
    "map to a number": (email("[{map: {a: 1}}]"), f"{RULES}[0].map.a: 1 is not a text or null", "Write a text or null"),
    "default without when": (
        email("[{default: {value: 1}}]"),
        f"{RULES}[0].default: 'when' is missing",
        "Add 'when'",
    ),
    "default by null": (
        email("[{default: {value: null, when: is_empty_text}}]"),
        f"{RULES}[0].default.value: null is not",
        "a list",
    ),
    "misspelt when": (
        email("[{default: {value: 1, when: not_json}}]"),
        f'{RULES}[0].default.when: "not_json" is unknown',
        "Did you mean 'is_not_json'?",
    ),
    "table without content": (HEAD + "tables: {users: {}}\n", "tables.users: {} says nothing", "Leave the entry out"),
    "column without content": (
        HEAD + "tables: {users: {columns: {email:}}}\n",
        "tables.users.columns.email: null is not a mapping",
        "Write a mapping",
    ),
    "misspelt word of a column": (
        HEAD + "tables: {users: {columns: {email: {sensitiv: true}}}}\n",
        "tables.users.columns.email: 'sensitiv' is unknown",
        "Did you mean 'sensitive'?",
    ),
    "yes is a text": (
        HEAD + "tables: {users: {columns: {email: {sensitive: yes}}}}\n",
        'tables.users.columns.email.sensitive: "yes" is unknown',
        "true",
    ),
    "source twice": (
        HEAD + "tables: {users: {source: [Users, Users]}}\n",
        'tables.users.source: ["Users", "Users"] says something twice',
        "once",
    ),
    "empty source": (HEAD + "tables: {users: {source: []}}\n", "tables.users.source: [] says nothing", ""),
    "reason too short": (
        HEAD + "left_behind: {tables: {users_backup: old}}\n",
        'left_behind.tables.users_backup: "old" is too short',
        "at least 10 characters",
    ),
    "no reason": (
        HEAD + "left_behind: {columns: {users: [legacy]}}\n",
        'left_behind.columns.users: ["legacy"] is not a mapping',
        "Write a mapping",
    ),
    "left behind in one word": (HEAD + "left_behind: [a]\n", 'left_behind: ["a"] is not a mapping', ""),
    "nothing behind": (HEAD + "left_behind: {}\n", "left_behind: {} says nothing", ""),
    "target's name too long": (
        HEAD + f"renames: {{a: {'b' * 64}}}\n",
        f"renames: the target's name, '{'b' * 64}', has 64 bytes",
        "shorter",
    ),
    "target's column too long": (
        HEAD + f"tables: {{users: {{columns: {{{'b' * 64}: {{sensitive: true}}}}}}}}\n",
        f"tables.users.columns: the target's name, '{'b' * 64}', has 64 bytes",
        "shorter",
    ),
}

CONTRADICTIONS: dict[str, tuple[str, str, str]] = {
    "two columns, one source": (
        HEAD + "tables: {users: {columns: {a: {source: x}, b: {source: [y, x]}}}}\n",
        "tables.users.columns.b.source: 'x' is claimed by tables.users.columns.a.source already",
        "Keep one",
    ),
    "two tables, one source": (
        HEAD + "tables: {users: {source: People}, people: {source: People}}\n",
        "tables.people.source: 'People' is claimed by tables.users.source already",
        "Keep one",
    ),
    "column taken and left": (
        HEAD + "tables: {users: {columns: {a: {source: x}}}}\nleft_behind: {columns: {users: {x: no longer used}}}\n",
        "left_behind.columns.users: 'x' is claimed by tables.users.columns.a.source already",
        "Keep one",
    ),
    "table taken and left": (
        HEAD + "tables: {users: {source: Users}}\nleft_behind: {tables: {Users: no longer used}}\n",
        "left_behind.tables: 'Users' is claimed by tables.users.source already",
        "Keep one",
    ),
    "renamed twice": (
        HEAD + "renames: {_id: id}\ntables: {users: {columns: {id: {source: [id, _id]}}}}\n",
        "tables.users.columns.id.source: '_id' becomes 'id' by 'renames' already",
        "Remove one",
    ),
    "rule twice": (email("[trim, lower, trim]"), f"{RULES}[2]: the rule 'trim' stands here twice", "Keep one"),
    "default twice": (
        email("[{default: {value: a, when: is_null}}, {default: {value: b, when: is_null}}]"),
        f"{RULES}[1]: the rule 'default is_null' stands here twice",
        "Keep one",
    ),
    "quarantine not last": (
        email("[quarantine, trim]"),
        f"{RULES}[0]: 'quarantine' is followed by 'trim', which would never be asked",
        "last",
    ),
    "nothing left to replace": (
        email("[empty_text_as_null, {default: {value: a, when: is_empty_text}}]"),
        f"{RULES}[1]: 'empty_text_as_null' before it leaves no empty text to replace",
        "Remove one",
    ),
    "unmatched without rules": (
        HEAD + "tables: {users: {columns: {a: {when_unmatched: accept}}}}\n",
        "tables.users.columns.a.when_unmatched is about rules, and the column has none",
        "Remove it",
    ),
    "text and time": (
        email("[{epoch: seconds}, {truncate: 5}]"),
        f"{RULES}[1]: 'truncate' is about texts and 'epoch' about times",
        "Remove one",
    ),
}

NO_YAML: dict[str, tuple[str | bytes, str, str]] = {
    "not UTF-8": (
        HEAD.encode() + b"# caf\xe9\n",
        "is not UTF-8: invalid continuation byte at byte",
        "Save it as UTF-8",
    ),
    "UTF-16": (HEAD.encode("utf-16"), "is not UTF-8: invalid start byte at byte 0", "Save it as UTF-8"),
    "syntax": (HEAD + "tables: {users: [\n", "line 4, column 1: ", "Correct the file"),
    "tab": (HEAD + "tables:\n\tusers: 1\n", "line 4, column 1: found character '\\t'", "Correct the file"),
    "control character": (HEAD + "a: \x07\n", "special characters are not allowed", "Correct the file"),
    "two documents": (HEAD + "---\n" + HEAD, "line 3, column 1: but found another document", "Correct the file"),
    "key twice": (HEAD + "naming: keep\n", "line 3, column 1: the key 'naming' stands on line 2 already", "Correct"),
    "key twice, deep": (
        HEAD + "tables:\n  users:\n    columns:\n      a: {sensitive: true}\n      b: {sensitive: true}\n"
        "      a: {rules: [trim]}\n",
        "line 8, column 7: the key 'a' stands on line 6 already",
        "Correct",
    ),
    "key of a number": (email("[{map: {1: one}}]"), "line 3, column 51: the key 1 is no text; put it in quotes", ""),
    "key of true": (email("[{map: {true: t}}]"), "the key True is no text", ""),
    "alias": (
        HEAD + "tables: &a {}\nleft_behind: *a\n",
        "line 3, column 9: anchors, aliases and tags have no place here",
        "",
    ),
    "Python's objects": (HEAD + "key: !!python/object/apply:os.getcwd []\n", "tags have no place here", ""),
    "a date": (
        email("[{default: {value: !!timestamp 2026-01-01, when: is_null}}]"),
        "line 3, column 62: anchors, aliases and tags have no place here",
        "Correct",
    ),
    "bytes": (email("[{default: {value: !!binary aGk=, when: is_null}}]"), "tags have no place here", "Correct"),
    "a rounded number": (
        email("[{default: {value: 12345678901234567.89, when: is_null}}]"),
        "line 3, column 62: 12345678901234567.89 would be rounded to 1.2345678901234568e+16",
        "Correct",
    ),
    "an exponent of twenty digits": (
        email("[{default: {value: 1e-99999999999999999999, when: is_null}}]"),
        "1e-99999999999999999999 would be rounded to 0.0",
        "Correct",
    ),
    "no number": (HEAD + "tables: !!int x\n", "tags have no place here", "Correct"),
    "nested too deeply": ("[" * 3000, "is nested too deeply", "Correct the file"),
}


@pytest.mark.parametrize(
    ("document", "fact", "mend"),
    [pytest.param(*case, id=name) for name, case in {**BROKEN, **CONTRADICTIONS, **NO_YAML}.items()],
)
def test_a_fault_is_refused(load: Load, profile_folder: Path, document: str | bytes, fact: str, mend: str) -> None:
    with pytest.raises(MigrationError) as refused:
        load(document)
    assert refused.value.fact.startswith(str(profile_folder / "mapping.yml"))
    assert fact in refused.value.fact
    assert mend in refused.value.mend
    assert refused.value.mend, "every fault has a mend"


def test_all_faults_are_in_the_details(load: Load) -> None:
    with pytest.raises(MigrationError, match=r"'xyz' is unknown \(and 1 more\)") as refused:
        load(HEAD + "xyz: 1\ntables: {}\n")
    assert refused.value.details["faults"] == [
        "the file: 'xyz' is unknown. "
        "Known here: version, naming, written_by, key, renames, tables, left_behind, never_carried.",
        "tables: {} says nothing. Leave the entry out, or fill it.",
    ]


def test_a_missing_mapping_is_named(profile_folder: Path) -> None:
    with pytest.raises(MigrationError, match=r"sample/mapping\.yml does not exist"):
        load_profile(profile_folder)


def test_a_folder_in_place_of_the_mapping_is_named(profile_folder: Path) -> None:
    (profile_folder / "mapping.yml").mkdir()
    with pytest.raises(MigrationError, match=r"sample/mapping\.yml cannot be read: Is a directory. Put the profile's"):
        load_profile(profile_folder)


@pytest.mark.parametrize("content", ["{", '{"type": 7}'], ids=["no JSON", "no schema"])
def test_a_broken_schema_is_named(load: Load, profile_folder: Path, content: str) -> None:
    (profile_folder.parent / "mapping.schema.json").write_text(content)
    with pytest.raises(MigrationError, match=r"mapping\.schema\.json is no JSON Schema"):
        load(HEAD)
