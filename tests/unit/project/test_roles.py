"""What every role promises about its variables: defaults, argument_specs and README say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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
