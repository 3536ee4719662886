"""The pages of the modules that care for the file say what the modules take."""

from __future__ import annotations

import importlib

import pytest
import yaml
from ansible_collections.contralock.database.plugins.doc_fragments.run import ModuleDocFragment

MODULES = ["sqlite_backup", "sqlite_fence", "sqlite_holders", "sqlite_restore"]


@pytest.mark.parametrize("name", MODULES)
def test_options_and_arguments_agree(name):
    module = importlib.import_module(f"ansible_collections.contralock.database.plugins.modules.{name}")
    page = yaml.safe_load(module.DOCUMENTATION)
    assert page["module"] == name
    of_runs = {*yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]}
    assert page["options"].keys() == module.ARGUMENTS.keys() - of_runs
    assert ("contralock.database.run" in page.get("extends_documentation_fragment", [])) == ("run" in module.ARGUMENTS)
    for option, given in page["options"].items():
        argument = module.ARGUMENTS[option]
        assert given["description"]
        for key in ("type", "default", "choices"):
            assert given.get(key) == argument.get(key), (option, key)
        assert given.get("required", False) == argument.get("required", False)


@pytest.mark.parametrize("name", MODULES)
def test_examples_and_answers_can_be_read(name):
    module = importlib.import_module(f"ansible_collections.contralock.database.plugins.modules.{name}")
    for task in yaml.safe_load(module.EXAMPLES):
        assert task[f"contralock.database.{name}"].keys() <= module.ARGUMENTS.keys() | {"step"}
    assert all(answer["description"] for answer in yaml.safe_load(module.RETURN).values())
