"""What the role application_database refuses, before it has changed anything."""

from __future__ import annotations

import pytest

PASSWORD = "application_database_{}_password"
SURVEY = """
SELECT json_build_array(
    (SELECT json_agg(a ORDER BY a.rolname) FROM pg_authid AS a),
    (SELECT json_agg(d ORDER BY d.datname) FROM pg_database AS d),
    (SELECT json_agg(s) FROM pg_db_role_setting AS s))
"""


@pytest.fixture
def unchanged(administer):
    before = administer(SURVEY)
    yield
    assert administer(SURVEY) == before


def test_variables(refusals, unchanged):
    cases = [
        ({PASSWORD.format("owner"): "elevenchars"}, "application_database_owner_password has 11 characters. Put"),
        ({PASSWORD.format("user"): ""}, "application_database_user_password has 0 characters. Put"),
        ({PASSWORD.format("user"): "Straßenbahn-Nummer"}, "has 18 characters, and not all of them are printable ASCII"),
        (
            {PASSWORD.format("owner"): "two-of-them\ntwo-of-them"},
            "has 23 characters, and not all of them are printable",
        ),
        ({PASSWORD.format(role): "one and the same" for role in ("owner", "user")}, "are the same; whoever reads"),
        ({"application_database_user": "contralock_owner"}, 'are both "contralock_owner"'),
        ({"application_database_name": "Contralock"}, 'application_database_name is "Contralock". Use lower-case'),
        ({"application_database_owner": "9th"}, 'application_database_owner is "9th"'),
        ({"application_database_user": "a; DROP ROLE b"}, 'application_database_user is "a; DROP ROLE b"'),
        ({"application_database_user": "x" * 64}, "at most 63"),
        ({"application_database_owner": "postgres"}, "are PostgreSQL's own"),
        ({"application_database_user": "pg_monitor"}, "are PostgreSQL's own"),
        (
            {"application_database_port": 5999},
            "run the role postgresql_server before this one, or set postgresql_managed",
        ),
    ]
    messages = refusals("application_database", "database", [case for case, _ in cases])
    for message, (case, expected) in zip(messages, cases, strict=True):
        assert expected in message, case


def test_what_is_there(refusals, planted, administer):
    planted("CREATE ROLE planted_master SUPERUSER; CREATE ROLE planted_other")
    planted("CREATE ROLE planted_between IN ROLE contralock_owner; CREATE ROLE planted_member IN ROLE planted_between")
    planted("CREATE DATABASE planted_a OWNER planted_other TEMPLATE template0")
    planted("CREATE DATABASE planted_b OWNER contralock_owner TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'")
    # libc's collation is as asked; and yet the database sorts by ICU.
    planted("CREATE DATABASE planted_c OWNER contralock_owner TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'")
    exists = "The database {} exists with {}, where {} is needed. Nothing was changed."
    cases = [
        ({"application_database_owner": "planted_master"}, ["planted_master may do everything on this server"]),
        ({"application_database_user": "planted_master"}, ["planted_master may do everything on this server"]),
        (
            {"application_database_user": "planted_member"},
            [
                "planted_member is a member of contralock_owner, so the application could change the schema.",
                '"REVOKE contralock_owner FROM planted_member"',
            ],
        ),
        (
            {"application_database_name": "planted_a"},
            [
                exists.format("planted_a", "owner = planted_other", "contralock_owner"),
                'give it away with "ALTER DATABASE planted_a OWNER TO contralock_owner"',
            ],
        ),
        (
            {"application_database_name": "planted_b"},
            [
                exists.format("planted_b", "encoding = SQL_ASCII", "UTF8"),
                "made anew with ENCODING UTF8 TEMPLATE template0",
                exists.format("planted_b", "collation = C", "C.UTF-8"),
                "set application_database_collation to the one it has",
            ],
        ),
        (
            {"application_database_name": "planted_c"},
            [exists.format("planted_c", "collation = ICU de", "C.UTF-8")],
        ),
    ]
    # Had the refusal come late, the role's limit would have been set.
    before = administer(SURVEY)
    limit = {"application_database_user_connection_limit": 7}
    messages = refusals("application_database", "database", [{**case, **limit} for case, _ in cases])
    for message, (case, expected) in zip(messages, cases, strict=True):
        assert [text for text in expected if text not in message] == [], case
    assert administer(SURVEY) == before


def test_a_role_that_may_do_more_than_it_should(refusals, planted):
    """This is seen when everything is set: what somebody else granted is not this role's to take back."""
    planted("CREATE ROLE planted_user IN ROLE pg_write_all_data VALID UNTIL '2020-01-01'")
    planted("CREATE DATABASE planted_z OWNER contralock_owner TEMPLATE template0 ENCODING UTF8 LOCALE 'C.UTF-8'")
    planted("GRANT TEMPORARY ON DATABASE planted_z TO planted_user")
    case = {"application_database_name": "planted_z", "application_database_user": "planted_user"}
    (message,) = refusals("application_database", "database", [case])
    for fact, mend in [
        ("user_is_member_of", "REVOKE pg_write_all_data FROM planted_user"),
        ("user_password_expires", "ALTER ROLE planted_user VALID UNTIL 'infinity'"),
        ("user_may_create", "Revoke CREATE and TEMPORARY on the database"),
    ]:
        assert f"In the database planted_z, planted_user has {fact} =" in message
        assert mend in message
