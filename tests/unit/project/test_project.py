"""What the project promises about itself: pins, ranges, the commands of the README."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[3]
COLLECTIONS = Path(str(distribution("ansible").locate_file("ansible_collections")))
RANGES = yaml.safe_load((PROJECT / "requirements.yml").read_text(encoding="utf-8"))["collections"]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=PROJECT, capture_output=True, text=True, check=True)
    return [PROJECT / name for name in listed.stdout.splitlines() if (PROJECT / name).is_file()]


def installed_version(collection: str) -> str:
    manifest = COLLECTIONS / collection.replace(".", "/") / "MANIFEST.json"
    return json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]


@pytest.mark.parametrize("entry", RANGES, ids=lambda entry: entry["name"])
def test_installed_collections_are_in_the_ranges_of_requirements_yml(entry):
    assert installed_version(entry["name"]) in SpecifierSet(entry["version"])


def test_requirements_yml_lists_exactly_the_collections_that_are_used():
    names = "|".join(path.parent.name + r"\." + path.name for path in COLLECTIONS.glob("*/*") if path.is_dir())
    used = set()
    for path in tracked("playbooks/*.yml", "roles/*.yml", "molecule/*.yml", "molecule/*.py", "inventory/*.yml"):
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(rf"\b({names})\.[a-z_]+\b", text))
    assert used == {entry["name"] for entry in RANGES}


@pytest.mark.parametrize("name", ["requirements", "requirements-hosts"])
def test_every_requirement_is_pinned_with_hashes(name):
    lock = (PROJECT / f"{name}.txt").read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n(?=\S)", lock) if not block.startswith("#")]
    pinned = {}
    for block in blocks:
        requirement, *rest = block.split(" \\\n")
        assert "==" in requirement, block
        assert any("--hash=sha256:" in line for line in rest), block
        pinned[canonicalize_name(Requirement(requirement).name)] = requirement
    wanted = [
        canonicalize_name(Requirement(line).name)
        for line in (PROJECT / f"{name}.in").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "-"))
    ]
    assert set(wanted) <= set(pinned)


def test_hosts_and_controller_share_the_library_s_versions():
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (PROJECT / name).read_text(encoding="utf-8")))

    controller, hosts = pins("requirements.txt"), pins("requirements-hosts.txt")
    shared = controller.keys() & hosts.keys()
    assert {"psycopg", "pyyaml", "jsonschema"} <= shared
    assert {name: controller[name] for name in shared} == {name: hosts[name] for name in shared}


def test_the_readmes_make_targets_exist():
    targets = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8")))
    named = set()
    for page in tracked("*.md"):
        named |= set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_ci_runs_the_readmes_test_command_and_nothing_else():
    lines = (PROJECT / ".ci/run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_no_page_links_to_a_file_that_is_not_there():
    for page in tracked("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(PROJECT)} links to {link}"


def test_one_file_of_the_library_imports_ansible():
    library = "collections/ansible_collections/contralock/database/plugins/module_utils/*.py"
    importing = [
        path.name for path in tracked(library) if re.search(r"(?m)^\s*(from|import) ansible\b", path.read_text())
    ]
    assert importing == ["edge.py"]


@pytest.mark.parametrize("inventory", ["demo", "production.example"])
def test_inventories_name_variables_and_groups_that_exist(inventory):
    options = {
        name
        for specs in tracked("roles/*/meta/argument_specs.yml")
        for name in yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    }
    roles = tuple(f"{path.name}_" for path in (PROJECT / "roles").iterdir())
    command = ["ansible-inventory", "--inventory", f"inventory/{inventory}", "--list"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    parsed = json.loads(listed.stdout)
    assert {"application", "database"} <= parsed.keys()
    variables = {name for values in parsed["_meta"]["hostvars"].values() for name in values}
    of_roles = {name for name in variables if name.startswith(roles)}
    assert "application_database_host" in of_roles
    assert of_roles <= options


def test_the_example_inventory_keeps_its_secrets_in_the_vault():
    directory = PROJECT / "inventory/production.example/group_vars/all"
    variables = yaml.safe_load((directory / "main.yml").read_text(encoding="utf-8"))
    vault = yaml.safe_load((directory / "vault.yml.example").read_text(encoding="utf-8"))
    secrets = {name: value for name, value in variables.items() if re.search("pass(word|phrase)$", name)}
    assert len(secrets) == 3
    assert {value.strip("{} ") for value in secrets.values()} == set(vault)


def test_what_the_playbooks_write_beside_an_inventory_is_not_read_as_one(tmp_path):
    (tmp_path / "hosts.yml").write_text("all: {hosts: {app1: {}}}")
    for name in ("reports/run.html", "assessment-app1.html", "assessment-app1.json", "tls/ca.crt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"words": {"hosts": {"stranger": {}}}}')
    command = ["ansible-inventory", "--inventory", tmp_path, "--list"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert (list(json.loads(listed.stdout)["all"]["children"]), listed.stderr) == (["ungrouped"], "")


@pytest.mark.parametrize("playbook", ["prepare", "cut_over", "roll_back"])
def test_a_playbook_without_its_hosts_does_not_end_well(playbook):
    command = ["ansible-playbook", f"playbooks/{playbook}.yml"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Could not match supplied host pattern, ignoring: application" in done.stderr


@pytest.mark.parametrize("module", tracked("collections/**/plugins/modules/*.py"), ids=lambda path: path.stem)
def test_a_modules_documentation_can_be_read(module):
    names = ("DOCUMENTATION", "EXAMPLES", "RETURN")
    texts = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names
    }
    for name in names:
        assert yaml.safe_load(texts[name]), name
