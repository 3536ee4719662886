"""The declarations, held against digests of what the application itself had left in its files."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

import pytest
from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form, ddl

from tests.unit.sample_source.source_checks import Source

# sha256 over sqlite_master ("type|name|tbl_name|sql", in the order of its rows) of databases that ContraLock had made.
REAL = {
    Form.DEPLOYED: "29abb72dcb1ee1f632c14232201da1a29cffbca236689374482ba825844468db",
    Form.LONGLIVED: "11f04435cb5d9f82fa8196bd24f74f0c4ad00f49f750f285ce920b5e4654adaf",
    Form.FROM_MIGRATIONS: "1abf55d6923500b8fbf5e8f5661f01e21975c1a7cf4cb9765f5d0aa540eeb76b",
}


def digest(database: sqlite3.Connection) -> str:
    rows = database.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY rowid")
    return hashlib.sha256("\n".join("|".join(row) for row in rows).encode()).hexdigest()


@pytest.mark.parametrize("form", REAL)
def test_the_schema_is_that_of_the_application(sample_paths, form):
    with closing(sqlite3.connect(sample_paths[form])) as database:
        assert digest(database) == REAL[form]


def test_another_default_is_another_schema(sample_paths, tmp_path):
    with closing(sqlite3.connect(":memory:")) as database:
        for table in ddl.TABLES:
            database.execute(ddl.create_table(table, Form.DEPLOYED).replace("DEFAULT 'USD'", "DEFAULT 'EUR'"))
        for _, sql in ddl.create_indexes(Form.DEPLOYED):
            database.execute(sql)
        assert digest(database) != REAL[Form.DEPLOYED]


def test_plan_tables_and_keys(sample_paths):
    with closing(sqlite3.connect(sample_paths[Form.PLAN])) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert " ".join(sorted(tables)) == (
        "Arbitrators AuditTrails Conversations Disputes Messages Milestones Notifications Projects Transactions Users"
        " WalletTransactions Wallets"
    )
    for table in ddl.TABLES:
        sql = ddl.create_table(table, Form.PLAN)
        assert "(`id` UUID NOT NULL PRIMARY KEY, " in sql
        assert "`created_at` DATETIME NOT NULL, `updated_at` DATETIME NOT NULL" in sql


@pytest.mark.parametrize(
    ("table", "declaration"),
    [
        ("users", "`first_name` VARCHAR(255) NOT NULL"),
        ("users", "`is_email_verified` TINYINT(1) DEFAULT 0"),
        ("users", "`is_kyc_verified` TINYINT(1) DEFAULT 0"),
        ("users", "`stripe_customer_id` VARCHAR(255)"),
        ("users", "`notification_preferences` JSON"),
        ("users", "`backup_codes` JSON"),
        ("users", "`bio` TEXT"),
        ("users", "`deleted_at` DATETIME)"),
        ("projects", "`client` UUID NOT NULL REFERENCES `Users` (`id`)"),
        ("projects", "`activity_log` JSON"),
        ("transactions", "`milestone_id` UUID REFERENCES `Milestones` (`id`)"),
        ("transactions", "`dispute_id` UUID,"),
        ("disputes", "`ai_analysis` JSON"),
        ("arbitrators", "`success_rate` DECIMAL(5,2) DEFAULT 0"),
        ("wallet_transactions", "`from_wallet` UUID REFERENCES `Wallets` (`id`)"),
        ("audit_trails", "`trace_id` VARCHAR(255)"),
    ],
)
def test_plan_columns(table, declaration):
    assert declaration in ddl.create_table(table, Form.PLAN)


def test_plan_has_no_camel_case_left(source: Source):
    if source.form is Form.PLAN:
        for table in ddl.TABLES:
            rows = source.database.execute(f"PRAGMA table_info(`{ddl.table_name(table, Form.PLAN)}`)").fetchall()
            assert all(row[1] == row[1].lower() for row in rows)


def test_migrations_are_recorded(sample_paths):
    with closing(sqlite3.connect(sample_paths[Form.FROM_MIGRATIONS])) as database:
        names = [name for (name,) in database.execute("SELECT name FROM SequelizeMeta")]
    assert len(names) == 11
    assert names[0] == "20250101000001-create-user.js"
    assert names[-1] == "20250101000011-create-wallet-transaction.js"


def test_the_stray_table_holds_copies_of_some_users(sample_paths):
    with closing(sqlite3.connect(sample_paths[Form.LONGLIVED])) as database:
        users = set(database.execute("SELECT * FROM users"))
        copies = database.execute("SELECT * FROM users_backup").fetchall()
    assert 0 < len(copies) < len(users)
    assert set(copies) < users


def test_every_column_has_a_known_kind():
    for form in Form:
        for table in ddl.TABLES:
            assert all(column.kind in ddl.KINDS for column in ddl.columns(table, form))
