"""docs/troubleshooting.md names the messages that the tool gives: none is missing, and none is invented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
PLUGINS = PROJECT / "collections/ansible_collections/contralock/database/plugins"
GUIDE = PROJECT / "docs/troubleshooting.md"
#: What the demo alone does is no operator's night.
PLAYBOOKS = ("prepare", "rehearse", "cut_over", "validate", "roll_back", "show_run")
#: Stands for what varies in a message; no message has this sign itself.
GAP = "\N{HORIZONTAL ELLIPSIS}"
#: A message with fewer fixed letters has no words of its own: they are the system's, or stand in TABLES.
FEWEST_LETTERS = 7

#: Calls -> which argument is a message, or a part of one that an operator would look for.
CALLS = {
    "MigrationError": 0,
    "UnsoundError": 0,
    "Reason": 0,
    "load_failure": 0,
    "fail_json": 0,
    "AnsibleFilterError": 0,
    "refused_politely": 0,
    "locked": 2,
    # Of examining rows: what the message lists.
    "_note": 1,
    "_finding": 3,
}
#: Where words of messages stand when no call has them: file, and the name of the assignment, class or function.
#: The number is that of the fact in each tuple; without one it is every text that is returned.
TABLES: dict[tuple[str, str], int | None] = {
    ("source_file.py", "_CODES"): 1,
    ("stunnel.py", "REFUSALS"): 1,
    ("schema_files.py", "_TEXT_FAULTS"): 1,
    ("plan_problems.py", "Problem"): 0,
    ("service_health.py", "_ask"): None,
    ("service_health.py", "no_answer"): None,
    ("assessment_report.py", "_not_ready"): None,
    ("followed_module.py", "_died"): None,
}

_BY_PLAYBOOK = "the playbooks give this themselves, rightly: only a changed playbook can say it"
#: Messages that no operator meets at night -> why they have no heading.
EXCLUDED = {
    "... (row ... of the batch)": "an examination has told the same value before, with its key",
    "... is no name of a variable": _BY_PLAYBOOK,
    "the value of ... is neither text, whole number nor boolean": _BY_PLAYBOOK,
    "... would be shown, and its name tells of a secret": _BY_PLAYBOOK,
    "the run ... is closed": _BY_PLAYBOOK,
    "... cannot be closed as ...": _BY_PLAYBOOK,
    "the step that is ... is not named": _BY_PLAYBOOK,
    "... has no step ...": _BY_PLAYBOOK,
    "there is no verb ...": _BY_PLAYBOOK,
    "... is no id of a run": _BY_PLAYBOOK,
    "... is no label for a load": _BY_PLAYBOOK,
    "there is no engine ...": _BY_PLAYBOOK,
    "source_fence_path is ...": _BY_PLAYBOOK,
    "The run's id is ...": _BY_PLAYBOOK,
    "source_restore_sha256 is ...": _BY_PLAYBOOK,
    "... is ... on .... Make it a directory of mode 0700": _BY_PLAYBOOK,
    "lock_wait is ...": "no variable of a role sets it: it is a parameter of scripts/apply_schema.py",
}


LISTS = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


@dataclass(frozen=True)
class Message:
    """One message of the tool. ``spellings``: with GAP for what varies; several where fixed words are chosen from."""

    place: str
    spellings: tuple[str, ...]

    def has_words(self) -> bool:
        return any(letters(spelling) >= FEWEST_LETTERS for spelling in self.spellings)


def letters(text: str) -> int:
    return len(re.findall(r"\w", text.replace(GAP, "")))


def normal(text: str) -> str:
    """One space for any white space, and one GAP for several."""
    return re.sub(f"{GAP}+", GAP, " ".join(text.split()))


@cache
def expression(pattern: str) -> re.Pattern[str]:
    """What finds a heading's pattern in a message: its words from the beginning, and anything for each ``...``."""
    parts = [re.escape(" ".join(part.split())) for part in pattern.split("...")]
    # The end of a heading may be the middle of a message; its beginning has to be one.
    return re.compile(("" if not parts[0] else r"^") + r".*".join(part for part in parts if part))


# ---- Python ----------------------------------------------------------------------------------------------------------


def spellings(node: ast.expr | None) -> list[str]:
    """Each way in which an expression of text can be spelled."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.FormattedValue):
        return spellings(node.value) if isinstance(node.value, ast.IfExp) else [GAP]
    if isinstance(node, ast.IfExp):
        return [*spellings(node.body), *spellings(node.orelse)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(parts) for parts in product(*map(spellings, node.values))]
    if isinstance(node, ast.BinOp):
        return ["".join(parts) for parts in product(spellings(node.left), spellings(node.right))]
    return [GAP]


def told_by(path: Path) -> Iterator[Message]:
    """The messages of a Python file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            texts.setdefault(node.targets[0].id, []).extend(spellings(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (position := CALLS.get(ast.unparse(node.func).split(".")[-1])) is not None:
            named = (keyword.value for keyword in node.keywords if keyword.arg == "msg")
            first = node.args[position] if len(node.args) > position else next(named, None)
            found = texts.get(first.id, [GAP]) if isinstance(first, ast.Name) else spellings(first)
            for spelling in found if isinstance(first, ast.Name) else [None]:
                ways = (spelling,) if spelling else tuple(found)
                yield Message(f"{path.name}:{node.lineno}", tuple(map(normal, ways)))
        if isinstance(node, LISTS):
            yield from listed_in(path, node)


def node_name(node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    return ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else ast.unparse(node.targets[0])


def listed_in(path: Path, node: ast.AST) -> Iterator[Message]:
    """The messages in a table, an enumeration or a function that TABLES names."""
    if (path.name, node_name(node)) not in TABLES:
        return
    position = TABLES[path.name, node_name(node)]
    # A variable's type may be written as a tuple, too.
    for inner in ast.walk(node.value if isinstance(node, ast.AnnAssign) else node):
        if position is None and isinstance(inner, ast.Return):
            value = inner.value.elts[0] if isinstance(inner.value, ast.Tuple) else inner.value
            yield Message(f"{path.name}:{inner.lineno}", tuple(map(normal, spellings(value))))
        if position is not None and isinstance(inner, ast.Tuple) and not isinstance(inner.elts[0], ast.Tuple):
            fact = re.sub(r"\{\w+(!r)?\}", GAP, spellings(inner.elts[position])[0])
            yield Message(f"{path.name}:{inner.lineno}", (normal(fact),))


# ---- Roles -----------------------------------------------------------------------------------------------------------


def from_jinja(text: str, variables: dict[str, Any]) -> tuple[str, ...]:
    """A template's spellings, with GAP for its expressions; the role's own internal variables are looked up."""
    for name, value in variables.items():
        if name.startswith("__") and isinstance(value, str):
            text = re.sub(r"\{\{\s*" + name + r"\s*\}\}", value.replace("\\", r"\\"), text)
    plain = normal(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", GAP, text, flags=re.DOTALL))
    if letters(plain) >= FEWEST_LETTERS:
        return (plain,)
    # The words are in the expression, which chooses between sentences.
    words = normal(GAP.join(re.findall(r"'([^']*)'", text)))
    return tuple(re.split(f"{GAP}(?=[A-Z])", words))


def said_in(node: object) -> Iterator[str]:
    """The texts of a role's tasks that end a play: of assert and of fail, not of debug."""
    if isinstance(node, list):
        for item in node:
            yield from said_in(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "ansible.builtin.assert":
                yield str(value["fail_msg"])
            elif key == "ansible.builtin.fail":
                yield str(value["msg"])
            else:
                yield from said_in(value)


def told_by_role(role: Path) -> Iterator[Message]:
    variables_file = role / "vars/main.yml"
    variables = yaml.safe_load(variables_file.read_text(encoding="utf-8")) if variables_file.exists() else {}
    for path in sorted(role.glob("tasks/*.yml")):
        for text in said_in(yaml.safe_load(path.read_text(encoding="utf-8"))):
            yield Message(f"{role.name}/{path.name}", from_jinja(text, variables))


# ---- What the playbooks use ------------------------------------------------------------------------------------------


def used() -> tuple[set[str], set[Path]]:
    """The roles that the playbooks lead to, and the Python files that their modules, lookups and filters do."""
    roles: set[str] = set()
    files: set[Path] = {*PLUGINS.glob("plugin_utils/*.py")}
    # The sample's generator is no part of a move.
    files |= {path for path in PROJECT.glob("scripts/*.py") if path.name != "generate_source.py"}
    waiting = [PROJECT / f"playbooks/{name}.yml" for name in PLAYBOOKS]
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        for name in re.findall(r"(?:role|name): ([a-z_]+)$", text, re.MULTILINE):
            if name not in roles and (PROJECT / "roles" / name).is_dir():
                roles.add(name)
                waiting += [*(PROJECT / "roles" / name).glob("*/*.yml")]
        for name in re.findall(r"contralock\.database\.(\w+)", text):
            files |= {path for path in PLUGINS.glob(f"*/{name}.py") if path.parent.name != "module_utils"}
    left = list(files)
    while left:
        text = left.pop().read_text(encoding="utf-8")
        named = re.findall(r"^ *from (?:\S*module_utils)?\.(\w+) import|^from \. import (\w+)", text, re.MULTILINE)
        for name in map("".join, named):
            path = PLUGINS / "module_utils" / f"{name}.py"
            if path.is_file() and path not in files:
                files.add(path)
                left.append(path)
    return roles, files


@cache
def messages() -> tuple[Message, ...]:
    roles, files = used()
    of_files = [message for path in sorted(files) for message in told_by(path)]
    return (*of_files, *(message for role in sorted(roles) for message in told_by_role(PROJECT / "roles" / role)))


@cache
def fitting(pattern: str) -> frozenset[Message]:
    found = expression(pattern)
    return frozenset(message for message in messages() if any(map(found.search, message.spellings)))


def headings(guide: str) -> list[str]:
    """The patterns of the headings: what stands between backticks there."""
    return [
        pattern for line in guide.splitlines() if line.startswith("### ") for pattern in re.findall("`([^`]+)`", line)
    ]


def uncovered(patterns: list[str]) -> list[str]:
    """The messages that no pattern fits, the excluded ones left out."""
    known: set[Message] = set().union(*map(fitting, [*patterns, *EXCLUDED]))
    return [
        f"{message.place}: {message.spellings[0]}"
        for message in messages()
        if message.has_words() and message not in known
    ]


def invented(patterns: list[str]) -> list[str]:
    """The patterns that fit no message of the tool."""
    return [pattern for pattern in patterns if not fitting(pattern)]


# ---- The guide -------------------------------------------------------------------------------------------------------

TEXT = GUIDE.read_text(encoding="utf-8")


def test_every_message_of_the_playbooks_has_a_heading():
    assert uncovered(headings(TEXT)) == []


def test_every_heading_is_a_message_of_the_tool():
    assert invented(headings(TEXT)) == []


def test_the_search_for_messages_finds_what_the_playbooks_use():
    roles, files = used()
    assert {"cutover", "rollback", "rehearsal", "validation", "postgresql_server", "data_transfer"} <= roles
    assert {"pgloader.py", "schema_loss.py", "sqlite_restore.py", "profile.py", "followed_module.py"} <= {
        path.name for path in files
    }
    assert "sample_application" not in roles
    assert len(messages()) > 300


@pytest.mark.parametrize("entry", TABLES, ids=lambda entry: entry[1])
def test_each_table_of_words_is_found(entry):
    (path,) = PLUGINS.glob(f"*/{entry[0]}")
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, LISTS)]
    listed = [message for node in nodes if node_name(node) == entry[1] for message in listed_in(path, node)]
    assert any(message.has_words() for message in listed)


def test_every_heading_has_words_enough_and_stands_once():
    patterns = headings(TEXT)
    assert [pattern for pattern in patterns if letters(pattern) < 4] == []
    assert [pattern for pattern in patterns if patterns.count(pattern) > 1] == []


def test_every_entry_is_short():
    entries = re.findall(r"^### (.+)\n((?:(?!#).+\n)*)", TEXT, re.MULTILINE)
    assert len(entries) == TEXT.count("\n### ")
    assert [heading for heading, body in entries if not 2 <= body.count("\n") <= 4] == []


@pytest.mark.parametrize("excluded", EXCLUDED)
def test_what_is_excluded_exists_and_has_no_heading(excluded):
    assert fitting(excluded) - frozenset().union(*map(fitting, headings(TEXT)))


@pytest.mark.parametrize(
    ("heading", "place"),
    [
        ("... is still in use by ...", "file_holders.py"),
        ("The target lacks ...", "cutover/preflight_target.yml"),
        ("pgloader failed with exit code ...", "pgloader.py"),
        ("PostgreSQL has ... from the backup of the cut-over", "rollback/count.yml"),
        ("has a hot rollback journal", "source_file.py"),
        ("refers to no row of ...", "finding_rows.py"),
    ],
)
def test_a_heading_that_is_missing_is_noticed(heading, place):
    left = [pattern for pattern in headings(TEXT) if pattern != heading]
    assert len(left) == len(headings(TEXT)) - 1
    assert any(missing.startswith(place) for missing in uncovered(left))


@pytest.mark.parametrize("heading", ["the moon is in ...", "is still in use by ...", "... is still used by ..."])
def test_a_heading_that_no_message_has_is_noticed(heading):
    assert invented([heading]) == [heading]
