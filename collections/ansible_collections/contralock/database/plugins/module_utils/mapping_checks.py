"""What a mapping's JSON Schema cannot say: entries that contradict one another.

These checks know the document only. Whether a table or column exists, and whether a rule suits its type, is decided
where the plan is made, with both databases at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .errors import MigrationError

#: A column holds texts or times, not both.
_TEXT_RULES = ("trim", "lower", "truncate")


def assert_meaningful(document: Mapping[str, Any], where: str) -> None:
    """Refuse entries that contradict one another.

    Args:
        document: A mapping that is valid by its schema.
        where: Its file, for the message.

    Raises:
        MigrationError: The first contradiction, with its place and the mend.
    """
    tables = document.get("tables", {})
    left_behind = document.get("left_behind", {})
    renames = document.get("renames", {})
    _assert_one_claim(
        where,
        [
            *_claims(tables, "tables"),
            *((name, "left_behind.tables") for name in left_behind.get("tables", {})),
        ],
    )
    left_columns = left_behind.get("columns", {})
    for table in {**tables, **left_columns}:
        columns = tables.get(table, {}).get("columns", {})
        claims = [
            *_claims(columns, f"tables.{table}.columns"),
            *((name, f"left_behind.columns.{table}") for name in left_columns.get(table, {})),
        ]
        _assert_one_claim(where, claims)
        _assert_renames_needed(where, renames, columns, f"tables.{table}.columns")
    for table, entry in tables.items():
        for column, exceptions in entry.get("columns", {}).items():
            place = f"tables.{table}.columns.{column}"
            _assert_rules(where, exceptions.get("rules", []), f"{place}.rules")
            if "when_unmatched" in exceptions and "rules" not in exceptions:
                raise MigrationError(
                    f"{where}: {place}.when_unmatched is about rules, and the column has none",
                    "Remove it, or add the rules",
                )


def _claims(entries: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield the source names that entries claim, with the place of the claim."""
    for target, entry in entries.items():
        source = entry.get("source", [])
        for name in [source] if isinstance(source, str) else source:
            yield name, f"{path}.{target}.source"


def _assert_one_claim(where: str, claims: list[tuple[str, str]]) -> None:
    places: dict[str, str] = {}
    for name, place in claims:
        if name in places:
            raise MigrationError(
                f"{where}: {place}: {name!r} is claimed by {places[name]} already", "Keep one of the two entries"
            )
        places[name] = place


def _assert_renames_needed(where: str, renames: Mapping[str, str], columns: Mapping[str, Any], path: str) -> None:
    """Refuse a column that says again what ``renames`` says for every table."""
    for name, place in _claims(columns, path):
        if name in renames and place == f"{path}.{renames[name]}.source":
            raise MigrationError(
                f"{where}: {place}: {name!r} becomes {renames[name]!r} by 'renames' already",
                "Remove one of the two entries",
            )


def _assert_rules(where: str, rules: list[Any], path: str) -> None:
    names = [_rule_key(rule) for rule in rules]
    for index, name in enumerate(names):
        place = f"{where}: {path}[{index}]"
        if name in names[:index]:
            raise MigrationError(f"{place}: the rule {name!r} stands here twice", "Keep one of them")
        if name == "quarantine" and index < len(names) - 1:
            raise MigrationError(
                f"{place}: 'quarantine' is followed by {names[index + 1]!r}, which would never be asked",
                "Put 'quarantine' last",
            )
        if name == "default is_empty_text" and "empty_text_as_null" in names[:index]:
            raise MigrationError(
                f"{place}: 'empty_text_as_null' before it leaves no empty text to replace", "Remove one of the two"
            )
        if name in _TEXT_RULES and "epoch" in names:
            raise MigrationError(
                f"{place}: {name!r} is about texts and 'epoch' about times; no column is both", "Remove one of the two"
            )


def _rule_key(rule: str | Mapping[str, Any]) -> str:
    """Return a rule's name; a default may stand several times, once for each condition."""
    if isinstance(rule, str):
        return rule
    ((name, value),) = rule.items()
    return f"default {value['when']}" if name == "default" else name
