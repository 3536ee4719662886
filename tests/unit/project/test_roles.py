"""What every role promises about its variables: defaults, argument_specs and README say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.filter.urls import FilterModule
from ansible.plugins.filter.urlsplit import split_url
from jinja2 import Environment

PROJECT = Path(__file__).parents[3]
ROLES = sorted(path.name for path in (PROJECT / "roles").iterdir() if path.is_dir())
# Asked by several roles under the plan's own name.
SHARED = {"postgresql_managed", "rehearse_fraction"}


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def differences(defaults: dict, options: dict) -> list[str]:
    """Where a role's defaults and its argument_specs say different things."""
    found = [f"{name} is in defaults and not in argument_specs" for name in defaults.keys() - options.keys()]
    found += [
        f"{name} is in argument_specs and not in defaults"
        for name, option in options.items()
        if name not in defaults and not option.get("required")
    ]
    found += [
        f"{name}: the default is {defaults[name]!r}, argument_specs says {option.get('default')!r}"
        for name, option in options.items()
        if name in defaults and defaults[name] != option.get("default")
    ]
    found += [f"{name} has no description" for name, option in options.items() if not option.get("description")]
    found += [f"{name} has no type" for name, option in options.items() if not option.get("type")]
    return sorted(found)


def told_defaults(readme: str) -> dict[str, str]:
    """What a README's table of variables says in its second column, by the name in the first."""
    rows = (re.split(r"(?<!\\)\|", line) for line in readme.splitlines() if line.startswith("| `"))
    return {row[1].strip(" `"): row[2].strip() for row in rows if len(row) == 5}


def untrue(default: Any, told: str) -> bool:
    """Whether a cell says something else than the default. What is computed, or empty, may be told in words."""
    if "{{" in json.dumps(default):
        # A variable that stands for another one is told by that one's name.
        named = re.fullmatch(r"\{\{ (\w+) \}\}", str(default))
        return named is not None and told != f"`{named[1]}`"
    if default in ("", [], {}):
        return re.fullmatch(r"`[^`]*`|[\d.]+", told) is not None and told.strip("`") not in ('""', "[]", "{}")
    return told.strip("`") != (default if isinstance(default, str) else json.dumps(default))


def test_there_are_roles():
    assert {"application_database", "database_schema", "migration_toolkit", "postgresql_server"} <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_agree(role):
    directory = PROJECT / "roles" / role
    options = load(directory / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert differences(load(directory / "defaults/main.yml"), options) == []


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_roles_name_and_stand_in_its_readme(role):
    readme = (PROJECT / "roles" / role / "README.md").read_text(encoding="utf-8")
    for name in load(PROJECT / "roles" / role / "defaults/main.yml"):
        assert name.startswith(f"{role}_") or name in SHARED, name
        assert f"`{name}`" in readme, f"{name} is missing in the README of {role}"


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_tells_the_defaults(role):
    directory = PROJECT / "roles" / role
    told = told_defaults((directory / "README.md").read_text(encoding="utf-8"))
    defaults = load(directory / "defaults/main.yml")
    assert [name for name in defaults if name not in told] == []
    assert [f"{name}: {told[name]}" for name in defaults if untrue(defaults[name], told[name])] == []


@pytest.mark.parametrize(
    ("default", "told"),
    [
        (30, "`31`"),
        (30, "thirty"),
        (True, "`false`"),
        ("30s", "`10s`"),
        ([1, 2], "`[1]`"),
        ("", "`main`"),
        ("", "5"),
        ([], "`[1]`"),
        ("{{ migration_toolkit_target }}", "`migration_toolkit_python`"),
    ],
)
def test_a_readme_that_tells_another_default_is_found(default, told):
    assert untrue(default, told)


def test_a_table_s_row_is_read():
    assert told_defaults("| `a_b` | `1` | words |\n| a | b | c |\n") == {"a_b": "`1`"}


@pytest.mark.parametrize(
    ("given", "host", "port", "name", "owner"),
    [
        ("postgresql://me@db1.example.com:6432/app?sslmode=verify-full", "db1.example.com", "6432", "app", "me"),
        ("postgres://me@db1.example.com/app", "db1.example.com", "5432", "app", "me"),
        ("postgres://me%40tenant@db1.example.com/my%20app", "db1.example.com", "5432", "my app", "me@tenant"),
    ],
)
def test_the_readme_takes_a_connection_string_apart(given, host, port, name, owner):
    readme = (PROJECT / "roles/application_database/README.md").read_text(encoding="utf-8")
    (block,) = [found for found in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "urlsplit" in found]
    variables = {**yaml.safe_load(block), "provider_uri": given}
    jinja = Environment(autoescape=False)
    jinja.filters |= {
        "urlsplit": split_url,
        "urldecode": FilterModule().filters()["urldecode"],
        "regex_replace": lambda text, old, new: re.sub(old, new, text),
    }
    made = {each: jinja.from_string(str(text)).render(variables) for each, text in variables.items()}
    parts = ("host", "port", "name", "owner")
    assert [made[f"application_database_{part}"] for part in parts] == [host, port, name, owner]


@pytest.mark.parametrize(
    ("defaults", "options", "found"),
    [
        ({"r_a": 1}, {}, "r_a is in defaults and not in argument_specs"),
        ({}, {"r_a": {"type": "int", "description": "x"}}, "r_a is in argument_specs and not in defaults"),
        (
            {"r_a": 1},
            {"r_a": {"type": "int", "default": 2, "description": "x"}},
            "r_a: the default is 1, argument_specs says 2",
        ),
        ({"r_a": 1}, {"r_a": {"type": "int", "default": 1}}, "r_a has no description"),
        ({"r_a": 1}, {"r_a": {"default": 1, "description": "x"}}, "r_a has no type"),
    ],
)
def test_a_planted_difference_is_found(defaults, options, found):
    assert differences(defaults, options) == [found]
