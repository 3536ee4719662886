"""How source names become the target's."""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.naming import (
    NamingRule,
    assert_no_collision,
    checked_identifier,
    snake_case,
    target_name,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("firstName", "first_name"),
        ("FirstName", "first_name"),
        ("first_name", "first_name"),
        ("first_Name", "first_name"),
        ("isKYCVerified", "is_kyc_verified"),
        ("HTMLParser", "html_parser"),
        ("parseHTML", "parse_html"),
        ("HTML", "html"),
        ("aB", "a_b"),
        ("A", "a"),
        ("Users", "users"),
        ("WalletTransactions", "wallet_transactions"),
        ("AuditTrails", "audit_trails"),
        ("_id", "_id"),
        ("__v", "__v"),
        ("_createdAt", "_created_at"),
        ("address1Line", "address1_line"),
        ("oauth2Token", "oauth2_token"),
        ("sha256", "sha256"),
        ("line2", "line2"),
        ("X2Ab", "x2_ab"),
        ("from", "from"),
        ("two words", "two words"),
        ('it"s', 'it"s'),
        ("ÄrgerNummer", "Ärger_nummer"),
        ("naïveName", "naïve_name"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected
    assert snake_case(expected) == expected, "the rule applied to its own result changes nothing"


def test_keep_changes_nothing() -> None:
    assert target_name("isKYCVerified", NamingRule.KEEP) == "isKYCVerified"


@pytest.mark.parametrize(
    ("name", "size"),
    [("a" * 63, None), ("a" * 64, 64), ("aB" * 31, 93), ("ü" * 31 + "a", None), ("ü" * 32, 64)],
    ids=["63", "64", "64 after the rule", "63 of two-byte letters", "64 of two-byte letters"],
)
def test_names_longer_than_postgresql_takes_are_refused(name: str, size: int | None) -> None:
    if size is None:
        assert target_name(name, NamingRule.SNAKE_CASE) == name
        return
    with pytest.raises(MigrationError, match=f"has {size} bytes; PostgreSQL would cut it after 63") as refused:
        target_name(name, NamingRule.SNAKE_CASE)
    assert repr(name) in refused.value.fact
    assert "shorter name" in refused.value.mend


@pytest.mark.parametrize(
    ("name", "fragment"), [("", "is no identifier"), ("a\0b", "is no identifier"), ("a\ud800", "is not Unicode text")]
)
def test_names_that_are_none(name: str, fragment: str) -> None:
    with pytest.raises(MigrationError, match=fragment):
        checked_identifier(name, "the column")


def test_two_names_that_become_one_are_named() -> None:
    assert_no_collision([("firstName", "first_name"), ("lastName", "last_name")], "users")
    with pytest.raises(MigrationError) as refused:
        assert_no_collision([("firstName", "first_name"), ("first_name", "first_name")], "users")
    assert str(refused.value) == (
        "users: 'firstName' and 'first_name' would both become 'first_name'. "
        "Rename one of them in the profile, or leave it behind with a reason."
    )
