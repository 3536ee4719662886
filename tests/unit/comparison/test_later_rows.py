"""The list of the rows that a way back would lose."""

from __future__ import annotations

import json

from ansible_collections.contralock.database.plugins.module_utils.comparison_report import (
    Comparison,
    Difference,
    Kind,
    TableComparison,
)
from ansible_collections.contralock.database.plugins.module_utils.later_rows import shortened, write_later_rows


def table(name, changed=0, missing=0, extra=0):
    return TableComparison(name, 10, 10, 100, changed * 2, changed, missing, extra, 0.1)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_row_is_listed_once_with_what_became_of_it(tmp_path):
    found = (
        Difference("users", "id=1", "name", Kind.DIFFERS, "a secret", "another"),
        Difference("users", "id=1", "bio", Kind.DIFFERS, "x", "y"),
        Difference("users", "id=2", "bio", Kind.DIFFERS, "x", "y"),
        Difference("users", "id=3", None, Kind.MISSING),
        # A table without a key: the same row twice is two rows.
        Difference("log", "text=ü", None, Kind.EXTRA),
        Difference("log", "text=ü", None, Kind.EXTRA),
    )
    file = write_later_rows(Comparison((table("users", 2, 1), table("log", extra=2)), found), tmp_path)
    assert read(file) == [
        {"table": "users", "key": "id=1", "what": "changed", "columns": ["name", "bio"]},
        {"table": "users", "key": "id=2", "what": "changed", "columns": ["bio"]},
        {"table": "users", "key": "id=3", "what": "removed"},
        {"table": "log", "key": "text=ü", "what": "added"},
        {"table": "log", "key": "text=ü", "what": "added"},
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    assert "a secret" not in file.read_text(encoding="utf-8")


def test_rows_that_are_left_out_are_counted(tmp_path):
    found = (Difference("users", "id=1", None, Kind.EXTRA),)
    assert read(write_later_rows(Comparison((table("users", extra=5),), found), tmp_path))[1:] == [{"more": 4}]


def test_without_a_row_there_is_no_list_and_an_earlier_one_is_gone(tmp_path):
    (tmp_path / "later_rows.jsonl").write_text("old")
    assert write_later_rows(Comparison((table("users"),)), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_answered_is_short_and_counts_all():
    found = tuple(Difference("users", f"id={number}", None, Kind.EXTRA) for number in range(5))
    short = shortened(Comparison((table("users", extra=5),), found), 2)
    assert (short.differences, short.number) == (found[:2], 5)
