"""Which changes are pending, which go back, and which histories are refused: no database needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from ansible_collections.contralock.database.plugins.module_utils.catalog import difference
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import (
    changes_to_revert,
    pending_changes,
)
from ansible_collections.contralock.database.plugins.module_utils.schema_files import Change, order_changes
from ansible_collections.contralock.database.plugins.module_utils.schema_history import Record

CHANGES = order_changes({"name": name, "up": f"-- {name}", "down": "--"} for name in ("0001_a", "0002_b", "0003_c"))


def recorded(*changes: Change) -> list[Record]:
    applied_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return [Record(each.name, each.number, each.checksum, applied_at, "owner", 1, {}, {}) for each in changes]


def names(changes: list[Change]) -> list[str]:
    return [change.name for change in changes]


@pytest.mark.parametrize("applied", [0, 1, 2, 3])
def test_what_is_not_recorded_is_pending(applied: int) -> None:
    assert pending_changes(CHANGES, recorded(*CHANGES[:applied])) == CHANGES[applied:]


def test_an_edited_change_is_refused_with_both_checksums() -> None:
    edited = [replace(CHANGES[0], up="-- other"), *CHANGES[1:]]
    for verb in (
        lambda: pending_changes(edited, recorded(*CHANGES)),
        lambda: changes_to_revert(edited, recorded(*CHANGES), None),
    ):
        with pytest.raises(MigrationError) as refusal:
            verb()
        for word in ("0001_a was edited", edited[0].checksum, CHANGES[0].checksum, "write the edit as a new change"):
            assert word in str(refusal.value)


def test_a_mended_down_file_is_no_edit() -> None:
    mended = [replace(change, down="-- mended") for change in CHANGES]
    assert pending_changes(mended, recorded(*CHANGES)) == []
    assert changes_to_revert(mended, recorded(*CHANGES), "2") == [mended[2]]


def test_an_applied_change_without_files_is_refused() -> None:
    with pytest.raises(
        MigrationError, match="0003_c was applied at 2026-01-02 03:04:05 UTC by owner, and its files are"
    ):
        pending_changes(CHANGES[:2], recorded(*CHANGES))


def test_a_change_that_comes_late_is_refused() -> None:
    with pytest.raises(MigrationError, match="0002_b stand before 0003_c") as refusal:
        pending_changes(CHANGES, recorded(CHANGES[0], CHANGES[2]))
    assert "Number them after 0003_c" in refusal.value.mend


@pytest.mark.parametrize(
    ("to", "expected"),
    [(None, ["0003_c", "0002_b", "0001_a"]), ("0001_a", ["0003_c", "0002_b"]), ("2", ["0003_c"]), ("0003", [])],
)
def test_the_way_back_runs_from_the_last(to: str | None, expected: list[str]) -> None:
    assert names(changes_to_revert(CHANGES, recorded(*CHANGES), to)) == expected


def test_the_way_back_takes_only_what_was_applied() -> None:
    assert names(changes_to_revert(CHANGES, recorded(*CHANGES[:2]), None)) == ["0002_b", "0001_a"]
    assert changes_to_revert(CHANGES, [], None) == []
    with pytest.raises(MigrationError, match="0003_c cannot stay: it is not applied"):
        changes_to_revert(CHANGES, recorded(*CHANGES[:2]), "3")
    with pytest.raises(MigrationError, match="there is no schema change '9'"):
        changes_to_revert(CHANGES, recorded(*CHANGES), "9")


def test_a_difference_names_each_object_with_both_definitions() -> None:
    before = {"column public.users.bio": "text", "type public.role": "enum ('a')", "table public.same": "x"}
    after = {
        "column public.users.bio": "character varying(10)",
        "index public.i": "CREATE INDEX",
        "table public.same": "x",
    }
    assert difference(before, after) == [
        "column public.users.bio: was text, is now character varying(10)",
        "index public.i: new, is CREATE INDEX",
        "type public.role: missing, was enum ('a')",
    ]
    assert difference(before, before) == []


def test_a_difference_of_long_texts_shows_where_they_part() -> None:
    before, after = "begin " + "x " * 300 + "return 1", "begin " + "x " * 300 + "return 2"
    (sentence,) = difference({"function public.f()": before}, {"function public.f()": after})
    assert "return 1" in sentence
    assert "return 2" in sentence
    assert len(sentence) < 500
    (longer,) = difference({"function public.f()": before}, {"function public.f()": before + "; end"})
    assert "return 1; end" in longer
