"""What a message shows of two values that differ: the place where they part, what cannot be seen, never a secret."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.value_display import Display, common_prefix

SHOW = Display(b"key")
LONG = "x" * 500


@pytest.mark.parametrize(
    ("left", "right", "shown"),
    [
        ("a", "b", ("'a'", "'b'")),
        ("a", "a ", ("'a'", "'a '")),
        (None, "", ("NULL", "''")),
        ("NULL", None, ("'NULL'", "NULL")),
        ("a\n", "a\r\n", (r"'a\n'", r"'a\r\n'")),
        ("a\u200b", "a", (r"'a\u200b'", "'a'")),
        ("\u00e9", "e\u0301", (r"'\xe9'", r"'e\u0301'")),
        ("\u00e9", "e", ("'é'", "'e'")),
        ("😀", "😁", ("'😀'", "'😁'")),
        (f"{LONG}a", f"{LONG}b", (f"'...{'x' * 20}a'", f"'...{'x' * 20}b'")),
        (f"a{LONG}", "b", (f"'a{'x' * 79}...'", "'b'")),
        (LONG, f"{LONG}y", (f"'...{'x' * 20}'", f"'...{'x' * 20}y'")),
    ],
)
def test_the_place_where_they_part_is_seen(left, right, shown):
    assert SHOW.pair(left, right, sensitive=False) == shown
    assert SHOW.pair(right, left, sensitive=False) == shown[::-1]


def test_numbers_are_not_quoted():
    assert SHOW.pair("1.50", "1.51", sensitive=False, quoted=False) == ("1.50", "1.51")


def test_a_secret_is_its_length_and_a_keyed_hash():
    left, right = SHOW.pair("secret", "secreT", sensitive=True)
    assert left is not None
    assert right is not None
    assert left.startswith("6 characters, hmac:")
    assert left != right
    assert SHOW.hidden("secret") == left != Display(b"other key").hidden("secret")
    assert SHOW.hidden(None) == "NULL"


@pytest.mark.parametrize(
    ("left", "right", "length"), [("", "", 0), ("a", "", 0), ("ab", "ab", 2), ("abc", "abd", 2), ("xbc", "abc", 0)]
)
def test_the_common_prefix(left, right, length):
    assert common_prefix(left, right) == length
