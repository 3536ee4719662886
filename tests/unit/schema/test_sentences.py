"""How a refusal ends: with one full stop, or with the end that the server's own words bring along."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_collections.contralock.database.plugins.module_utils import edge
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.modules import data_transfer, pg_schema

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("fact", "mend", "said"),
    [
        ("the file is missing", "", "the file is missing."),
        ("the file is missing", "Bring it", "the file is missing. Bring it."),
        ("is the server running there?", "Start it", "is the server running there? Start it."),
        ("it said: no such thing.", "Look there.", "it said: no such thing. Look there."),
    ],
)
def test_a_refusal_ends_once(fact: str, mend: str, said: str) -> None:
    assert str(MigrationError(fact, mend)) == said


def test_several_facts_have_each_its_mend() -> None:
    pairs = [("a is wrong", "Mend a"), ("b is wrong", "Mend both"), ("c is too", "Mend both with discard_rows")]
    refusal = MigrationError("a, b and c", "Mend all", pairs=pairs, heading="not ready")
    refusal.add_note("Nothing was changed")
    refusal.speak({"discard_rows": "--discard-rows"})
    assert str(refusal).splitlines() == [
        "not ready:",
        "- a is wrong",
        "  Mend a.",
        "- b is wrong",
        "  Mend both.",
        "- c is too",
        "  Mend both with --discard-rows.",
        "Nothing was changed.",
    ]


def test_facts_that_share_a_mend_are_told_together() -> None:
    refusal = MigrationError("two are wrong:\n- a\n- b", "Mend both", pairs=[("a", "Mend both"), ("b", "Mend both")])
    assert str(refusal) == "two are wrong:\n- a\n- b. Mend both."


@pytest.mark.parametrize(("module", "role"), [(data_transfer, "data_transfer"), (pg_schema, "database_schema")])
def test_a_playbook_reads_the_role_s_variable(module: ModuleType, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(module, "run_module", lambda *_, **options: given.update(options))
    module.main()
    assert given["spoken"].keys() <= module.ARGUMENTS.keys()
    options = yaml.safe_load((PROJECT / "roles" / role / "meta/argument_specs.yml").read_text())
    assert {words.partition("=")[0] for words in given["spoken"].values()} <= options["argument_specs"]["main"][
        "options"
    ].keys()

    def refused(_: object) -> dict[str, object]:
        raise MigrationError("they may go", f"Say so with {' or '.join(given['spoken'])}")

    with pytest.raises(MigrationError) as refusal:
        edge._speaking(refused, given["spoken"])(None)
    assert refusal.value.mend == f"Say so with {' or '.join(given['spoken'].values())}"
