"""The schema of the profile `contralock` on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.integration.profile.contralock_target import (
    COLUMNS,
    COLUMNS_QUERY,
    DEFAULTS,
    ENUMS,
    FOREIGN_KEYS,
    PROFILE,
    UPS,
    Connection,
    expected_columns,
    run_change,
)
from tests.throwaway_cluster import Database

#: Foreign keys whose columns are not the first ones of any whole index.
UNSUPPORTED_KEYS_QUERY = """
    SELECT k.conrelid::regclass || '.' || k.conname FROM pg_constraint k
    WHERE k.contype = 'f' AND NOT EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = k.conrelid AND i.indpred IS NULL AND i.indisvalid
          AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)
"""

#: Plain indexes that are the beginning of another one, or its double, and enforce nothing that it does not.
REDUNDANT_INDEXES_QUERY = """
    SELECT less.indexrelid::regclass::text
    FROM pg_index less
    JOIN pg_index more ON more.indrelid = less.indrelid AND more.indexrelid <> less.indexrelid
    JOIN pg_class less_class ON less_class.oid = less.indexrelid
    JOIN pg_class more_class ON more_class.oid = more.indexrelid AND more_class.relam = less_class.relam
    WHERE less.indexprs IS NULL AND more.indexprs IS NULL AND less.indpred IS NULL AND more.indpred IS NULL
      AND (NOT less.indisunique OR (more.indisunique AND less.indnkeyatts = more.indnkeyatts AND NOT less.indisprimary))
      AND (more.indkey::int2[])[0:less.indnkeyatts - 1] = (less.indkey::int2[])[0:less.indnkeyatts - 1]
      AND (more.indclass::oid[])[0:less.indnkeyatts - 1] = (less.indclass::oid[])[0:less.indnkeyatts - 1]
      AND less.indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
"""

#: Everything that a change may leave in the schema, as lines of text.
CATALOG_QUERY = """
    SELECT 'object ' || pg_describe_object(classid, objid, objsubid) FROM pg_depend
    WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'column', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                     a.attnotnull, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', 'label', enumtypid::regtype, enumlabel, enumsortorder) FROM pg_enum
    UNION ALL
    SELECT concat_ws(' ', 'comment', oid::regclass, obj_description(oid, 'pg_class')) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
"""


def one_column(connection: Connection, query: str) -> list[Any]:
    return sorted(row[0] for row in connection.execute(query.encode()))


def test_the_twelve_tables_have_the_promised_columns(installed: Connection) -> None:
    assert set(installed.execute(COLUMNS_QUERY.encode())) == expected_columns()
    assert len(COLUMNS) == 12


def test_every_key_is_a_uuid_named_id(installed: Connection) -> None:
    keys = installed.execute("""
        SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'p' AND connamespace = 'public'::regnamespace
    """)
    assert dict(keys.fetchall()) == {
        **dict.fromkeys(COLUMNS, "PRIMARY KEY (id)"),
        "migration_canary": "PRIMARY KEY (token)",
    }


def test_the_enumerations_have_the_promised_values(installed: Connection) -> None:
    labels = installed.execute("SELECT enumtypid::regtype::text, array_agg(enumlabel::text) FROM pg_enum GROUP BY 1")
    found = {name: set(values) for name, values in labels.fetchall()}
    assert found == {name: set(values.split()) for name, values in ENUMS.items()}


def test_the_defaults(installed: Connection) -> None:
    found = installed.execute("""
        SELECT c.relname || '.' || a.attname, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE c.relnamespace = 'public'::regnamespace
    """)
    everywhere = {"id": "gen_random_uuid()", "created_at": "now()", "updated_at": "now()"}
    general = {f"{table}.{column}": default for table in COLUMNS for column, default in everywhere.items()}
    assert dict(found.fetchall()) == {**general, **DEFAULTS, "migration_canary.written_at": "now()"}


def test_the_foreign_keys(installed: Connection) -> None:
    found = installed.execute("""
        SELECT k.conrelid::regclass || '.' || a.attname || '>' || k.confrelid::regclass, pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
        WHERE k.contype = 'f'
    """)
    definitions: dict[str, str] = dict(found.fetchall())
    assert sorted(definitions) == sorted(FOREIGN_KEYS.split())
    assert [text for text in definitions.values() if "ON " in text or "DEFERRABLE" in text] == []


def test_every_foreign_key_has_an_index(installed: Connection) -> None:
    assert one_column(installed, UNSUPPORTED_KEYS_QUERY) == []


@pytest.mark.parametrize(
    ("index", "key"),
    [
        ("idx_messages_sender", "messages.messages_sender_id_fkey"),
        ("idx_projects_client_status", "projects.projects_client_fkey"),
    ],
)
def test_a_foreign_key_without_an_index_is_seen(installed: Connection, index: str, key: str) -> None:
    installed.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(index)))
    assert one_column(installed, UNSUPPORTED_KEYS_QUERY) == [key]


def test_an_index_whose_second_column_is_the_key_supports_nothing(installed: Connection) -> None:
    installed.execute("DROP INDEX idx_messages_sender")
    installed.execute("CREATE INDEX ON messages (type, sender_id)")
    installed.execute("CREATE INDEX ON messages (sender_id) WHERE type = 'TEXT'")
    assert one_column(installed, UNSUPPORTED_KEYS_QUERY) == ["messages.messages_sender_id_fkey"]


def test_no_index_is_redundant(installed: Connection) -> None:
    assert one_column(installed, REDUNDANT_INDEXES_QUERY) == []


@pytest.mark.parametrize(
    "definition",
    [
        "INDEX planted ON users (email)",
        "UNIQUE INDEX planted ON users (email)",
        "INDEX planted ON projects (client)",
        "INDEX planted ON messages (type)",
        "INDEX planted ON conversations USING gin (participants jsonb_path_ops)",
    ],
)
def test_a_redundant_index_is_seen(installed: Connection, definition: str) -> None:
    installed.execute(f"CREATE {definition}".encode())
    assert "planted" in one_column(installed, REDUNDANT_INDEXES_QUERY)


@pytest.mark.parametrize(
    "definition",
    [
        "INDEX planted ON conversations USING gin (participants)",
        "INDEX planted ON projects (title)",
        "UNIQUE INDEX planted ON wallets (user_id, currency)",
    ],
)
def test_an_index_that_serves_is_let_be(installed: Connection, definition: str) -> None:
    installed.execute(f"CREATE {definition}".encode())
    assert "planted" not in one_column(installed, REDUNDANT_INDEXES_QUERY)


def test_the_plan_s_indexes_on_users(installed: Connection) -> None:
    found = installed.execute("""
        SELECT array_agg(a.attname::text), i.indisunique FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
        WHERE i.indrelid = 'users'::regclass GROUP BY i.indexrelid, i.indisunique
    """).fetchall()
    assert {(("email",), True), (("role",), False), (("created_at",), False)} <= {(tuple(c), u) for c, u in found}


IDS = {name: f"00000000-0000-4000-8000-00000000000{digit}" for digit, name in enumerate(("user", "project", "wallet"))}


@pytest.fixture
def filled(installed: Connection) -> Connection:
    """A user, a project and a wallet, by raw SQL that leaves everything to the defaults."""
    installed.execute(
        "INSERT INTO users (id, email, password, first_name, last_name, role)"
        " VALUES (%(user)s, 'a@b.test', 'x', 'A', 'B', 'client')",
        IDS,
    )
    installed.execute(
        "INSERT INTO projects (id, title, description, category, budget, deadline, client)"
        " VALUES (%(project)s, 't', 'd', 'Other', 0, now(), %(user)s)",
        IDS,
    )
    installed.execute("INSERT INTO wallets (id, user_id) VALUES (%(wallet)s, %(user)s)", IDS)
    return installed


def test_the_defaults_reach_the_rows(filled: Connection) -> None:
    row = filled.execute("""
        SELECT notification_preferences, status::text, is_email_verified, deleted_at,
               created_at = date_trunc('milliseconds', created_at) FROM users
    """).fetchone()
    preferences = {"email": True, "push": True, "projectUpdates": True, "paymentNotifications": True}
    assert row == (preferences, "pending", False, None, True)


MILESTONE = "INSERT INTO milestones (title, description, amount, deadline, acceptance_criteria, project)"
TRANSACTION = "INSERT INTO transactions (project_id, type, provider, amount)"
ARBITRATOR = 'INSERT INTO arbitrators ("user"'
MOVEMENT = "INSERT INTO wallet_transactions (wallet_id, type, amount)"
TAKEN = [
    "UPDATE projects SET budget = 9223372036854775807",
    MILESTONE + " VALUES ('t', 'd', 0, now(), 'c', %(project)s)",
    TRANSACTION + " VALUES (%(project)s, 'DEPOSIT', 'stripe', -482578)",
    TRANSACTION + " VALUES (%(project)s, 'ADMIN_ADJUSTMENT', 'stripe', 0)",
    MOVEMENT + " VALUES (%(wallet)s, 'ADMIN_ADJUSTMENT', -5)",
    MOVEMENT + " VALUES (%(wallet)s, 'FEE', 5)",
    "UPDATE wallets SET locked_balance = 5",
    "UPDATE wallets SET locked_balance = NULL, total_deposited = NULL",
    ARBITRATOR + ", success_rate) VALUES (%(user)s, 100), (%(user)s, 33.33), (%(user)s, NULL)",
    "UPDATE users SET status = 'active'",
    "INSERT INTO conversations (project_id, participants) VALUES (%(project)s, '[]')",
]
REFUSED = [
    ("UPDATE projects SET budget = -1", "projects_budget_check"),
    (MILESTONE + " VALUES ('t', 'd', -1, now(), 'c', %(project)s)", "milestones_amount_check"),
    ("UPDATE wallets SET balance = -1", "wallets_balance_check"),
    ("UPDATE wallets SET locked_balance = -1", "wallets_locked_balance_check"),
    ("UPDATE wallets SET total_deposited = -1", "wallets_total_deposited_check"),
    ("UPDATE wallets SET total_withdrawn = -1", "wallets_total_withdrawn_check"),
    (MOVEMENT + " VALUES (%(wallet)s, 'FEE', -1)", "wallet_transactions_amount_check"),
    ("UPDATE users SET two_factor_failed_attempts = -1", "users_two_factor_failed_attempts_check"),
    (ARBITRATOR + ", success_rate) VALUES (%(user)s, 100.01)", "arbitrators_success_rate_check"),
    (ARBITRATOR + ", success_rate) VALUES (%(user)s, -0.01)", "arbitrators_success_rate_check"),
    (ARBITRATOR + ", cases_completed) VALUES (%(user)s, -1)", "arbitrators_cases_completed_check"),
    (
        "INSERT INTO conversations (project_id, participants, unread_count) VALUES (%(project)s, '[]', -1)",
        "conversations_unread_count_check",
    ),
    ("INSERT INTO users (email, password, first_name, last_name, role)"
     " VALUES ('a@b.test', 'x', 'A', 'B', 'client')", "users_email_key"),
    ("UPDATE users SET status = 'gone'", "enum_users_status"),
    ("INSERT INTO wallets (user_id) VALUES (%(wallet)s)", "wallets_user_id_fkey"),
    ("DELETE FROM users", "projects_client_fkey"),
    ("UPDATE users SET created_at = NULL", "created_at"),
    ("UPDATE users SET profile = ''", "invalid input syntax for type json"),
]  # fmt: skip


@pytest.mark.parametrize("statement", TAKEN)
def test_values_that_occur_are_taken(filled: Connection, statement: str) -> None:
    filled.execute(statement.encode(), IDS)


@pytest.mark.parametrize(("statement", "fragment"), REFUSED)
def test_values_that_must_not_occur_are_refused(filled: Connection, statement: str, fragment: str) -> None:
    with pytest.raises(psycopg.Error, match=fragment), filled.transaction():
        filled.execute(statement.encode(), IDS)


def test_every_check_has_a_case_that_it_refuses(installed: Connection) -> None:
    checks = one_column(installed, "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0")
    assert [name for name in checks if name not in {fragment for _, fragment in REFUSED}] == []


def test_a_conversation_is_found_by_its_participant_through_the_index(filled: Connection) -> None:
    filled.execute('INSERT INTO conversations (project_id, participants) VALUES (%(project)s, \'["u", "v"]\')', IDS)
    filled.execute("SET LOCAL enable_seqscan = off")
    query = b"SELECT participants FROM conversations WHERE participants @> '[\"v\"]'"
    assert filled.execute(query).fetchall() == [(["u", "v"],)]
    assert "idx_conversations_participants" in str(filled.execute(b"EXPLAIN " + query).fetchall())


def snapshot(connection: Connection) -> list[str]:
    lines = one_column(connection, CATALOG_QUERY)
    return [str(line) for line in lines]


def test_each_down_undoes_its_up(database: Database) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        states = [snapshot(connection)]
        for up in UPS:
            run_change(connection, up.read_text())
            states.append(snapshot(connection))
        assert states[0] == []
        assert len({len(state) for state in states}) == len(UPS) + 1, "every change adds something"
        for up, before in zip(reversed(UPS), reversed(states[:-1]), strict=True):
            run_change(connection, up.with_name(up.name.replace(".up.", ".down.")).read_text())
            assert snapshot(connection) == before, up.name


def test_a_down_that_forgets_something_is_seen(database: Database) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        run_change(connection, UPS[0].read_text())
        down = UPS[0].with_name(UPS[0].name.replace(".up.", ".down.")).read_text().splitlines()
        run_change(connection, "\n".join(down[:-1]))
        assert [line for line in snapshot(connection) if line.startswith("object")] == ["object type enum_users_role"]


def test_every_change_has_both_directions() -> None:
    stems = {path.name.split(".")[0] for path in UPS}
    assert {path.name for path in (PROFILE / "schema").iterdir()} == {
        f"{stem}.{direction}.sql" for stem in stems for direction in ("up", "down")
    }
