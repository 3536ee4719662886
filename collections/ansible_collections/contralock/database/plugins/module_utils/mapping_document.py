"""Reading a mapping file strictly, and saying in sentences where it breaks its JSON Schema.

PyYAML takes the last of two equal keys without a word and reads ``no`` and ``on`` as booleans. Neither is good in a
file that decides about other people's data: here a key stands once, and scalars are read by the core schema of YAML
1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) with decimal integers only.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from .errors import MigrationError
from .exact_numbers import exact_number

_SHOWN_CHARACTERS = 60


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses equal keys, keys that are no text, anchors, aliases, tags and what it would round."""

    # A table of its own: SafeLoader's is that of YAML 1.1, with dates, octals and 'yes'.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own type)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 (PyYAML's)
        event = self.peek_event()  # type: ignore[no-untyped-call]  # because PyYAML has no types here
        if any(getattr(event, mark, None) is not None for mark in ("anchor", "tag")):
            raise yaml.constructor.ConstructorError(
                None, None, "anchors, aliases and tags have no place here", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is no text; put it in quotes", key_node.start_mark
                )
            line = key_node.start_mark.line + 1
            if key in lines:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands on line {lines[key]} already", key_node.start_mark
                )
            lines[key] = line
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        number = exact_number(node.value, whole=False)
        if number is None:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value} would be rounded to {float(node.value)!r}", node.start_mark
            )
        return number


_StrictLoader.add_constructor("tag:yaml.org,2002:float", _StrictLoader.construct_yaml_float)
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"^[-+]?[0-9]+(?:\.[0-9]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)$", list("-+0123456789")),
):
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def read_yaml(path: Path) -> object:
    """Return what a YAML file says, as JSON types only.

    Raises:
        MigrationError: It cannot be read, is not UTF-8 or not YAML, or says something twice.
    """
    text = read_text(path)
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise MigrationError(f"{path}: {_yaml_fault(error)}", "Correct the file") from error
    except RecursionError as error:
        raise MigrationError(f"{path} is nested too deeply", "Correct the file") from error


def _yaml_fault(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


def read_text(path: Path) -> str:
    """Return a UTF-8 file's text, or a MigrationError that says why not."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise MigrationError(f"{path} does not exist", "Name the folder of a profile, with its mapping.yml") from error
    except OSError as error:
        is_folder = isinstance(error, IsADirectoryError)
        mend = "Put the profile's file in its place" if is_folder else "Give this user the right to read it"
        raise MigrationError(f"{path} cannot be read: {error.strerror}", mend) from error
    except UnicodeDecodeError as error:
        raise MigrationError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}", "Save it as UTF-8"
        ) from error


def read_schema(path: Path) -> dict[str, Any]:
    """Return a JSON Schema from a file.

    Raises:
        MigrationError: The file is missing or holds no JSON Schema.
    """
    try:
        schema = json.loads(read_text(path))
        jsonschema.Draft202012Validator.check_schema(schema)
    except (json.JSONDecodeError, jsonschema.SchemaError) as error:
        raise MigrationError(
            f"{path} is no JSON Schema: {error}", "Restore the file that this project ships"
        ) from error
    return dict(schema)


def assert_valid(document: object, schema: Mapping[str, Any], where: str) -> None:
    """Hold a document against a JSON Schema.

    Args:
        document: JSON types only.
        schema: A JSON Schema, draft 2020-12.
        where: The document's file, for the message.

    Raises:
        MigrationError: The first fault with its path, the value seen and the mend; all of them in ``details``.
    """
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
    by_place = sorted(errors, key=lambda error: [str(part) for part in error.absolute_path])
    faults = [_fault(error, schema) for error in by_place]
    if not faults:
        return
    fact, mend = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    details: dict[str, object] = {"faults": [f"{fact}. {mend}." for fact, mend in faults]}
    raise MigrationError(f"{where}: {fact}{more}", mend, details)


def path_text(parts: Iterable[object]) -> str:
    """Write a path as an operator would: ``tables.users.columns.email.rules[1]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or "the file"


def shown(value: object) -> str:
    """Return a value as JSON, shortened to what fits in a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """Return the mend for a misspelt word: the nearest known one, or all of them."""
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}"


_Fault = tuple[str, str]
_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True)
class _Error:
    """One error of the validator, with what a sentence about it needs."""

    path: str
    value: Any
    limit: Any
    keyword: str
    known_keys: list[str]
    #: The rules that stand alone and those that take a value, when the error is about an item of ``rules``.
    bare_rules: list[str]
    valued_rules: list[str]


def _fault(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> _Fault:
    parts = list(error.absolute_path)
    rule = schema.get("$defs", {}).get("rule", {}) if parts[-2:-1] == ["rules"] else {}
    parent = error.schema if isinstance(error.schema, dict) else {}
    seen = _Error(
        path=path_text(parts),
        value=error.instance,
        limit=error.validator_value,
        keyword=str(error.validator),
        known_keys=list(parent.get("properties", {})),
        bare_rules=list(rule.get("then", {}).get("enum", [])),
        valued_rules=list(rule.get("else", {}).get("properties", {})),
    )
    fact, mend = _SENTENCES.get(seen.keyword, _other)(seen)
    return f"{seen.path}: {fact}", mend


def _unknown_key(error: _Error) -> _Fault:
    unknown = next(key for key in error.value if key not in error.known_keys)
    if unknown in error.bare_rules:
        return f"the rule {unknown!r} takes no value", f"Write it alone: '- {unknown}'"
    return f"{unknown!r} is unknown", did_you_mean(unknown, [*error.bare_rules, *error.known_keys])


def _not_listed(error: _Error) -> _Fault:
    if error.value in error.valued_rules:
        return f"the rule {error.value!r} needs a value", f"Write '- {error.value}: ...'"
    listed = [item if isinstance(item, str) else json.dumps(item) for item in error.limit]
    return f"{shown(error.value)} is unknown", did_you_mean(error.value, [*listed, *error.valued_rules])


def _wrong_type(error: _Error) -> _Fault:
    wanted = error.limit if isinstance(error.limit, list) else [error.limit]
    names = " or ".join(_TYPE_NAMES[name] for name in wanted)
    return f"{shown(error.value)} is not {names}", f"Write {names} there"


def _missing(error: _Error) -> _Fault:
    missing = next(key for key in error.limit if key not in error.value)
    return f"{missing!r} is missing", f"Add {missing!r}"


def _too_short(error: _Error) -> _Fault:
    if not error.value:
        return f"{shown(error.value)} says nothing", "Leave the entry out, or fill it"
    return f"{shown(error.value)} is too short", f"Write at least {error.limit} characters"


def _too_many(error: _Error) -> _Fault:
    return f"{shown(error.value)} holds more than one", "Write each as an item of its own"


def _twice(error: _Error) -> _Fault:
    return f"{shown(error.value)} says something twice", "Write each item once"


def _not_constant(error: _Error) -> _Fault:
    return f"{shown(error.value)} is unknown", f"Write {shown(error.limit)}"


def _other(error: _Error) -> _Fault:
    return f"{shown(error.value)} breaks the limit {error.keyword} {shown(error.limit)}", "Correct the value"


_SENTENCES: Mapping[str, Callable[[_Error], _Fault]] = {
    "additionalProperties": _unknown_key,
    "enum": _not_listed,
    "type": _wrong_type,
    "required": _missing,
    "minProperties": _too_short,
    "minItems": _too_short,
    "minLength": _too_short,
    "maxProperties": _too_many,
    "uniqueItems": _twice,
    "const": _not_constant,
}
