"""What must hold in every generated file: each check returns the offences that it found, so none means well."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator

from ansible_collections.contralock.database.plugins.module_utils.sample_source import Form
from ansible_collections.contralock.database.plugins.module_utils.sample_source.ddl import (
    TABLES,
    column_name,
    columns,
    table_name,
)

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SEEDED = re.compile(r"user-[1-4]")
DATE = re.compile(r"20\d\d-[01]\d-[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d\.\d{3} \+00:00")

# The storage classes that the application's own file shows, where they are not just text.
INTEGERS = {
    "users": "emailVerified twoFactorEnabled twoFactorFailedAttempts isKycVerified",
    "projects": "budget",
    "milestones": "amount",
    "transactions": "amount",
    "notifications": "read",
    "arbitrators": "casesCompleted availability active",
    "conversations": "unreadCount isArchived",
    "messages": "isSystemMessage",
    "wallets": "balance lockedBalance totalDeposited totalWithdrawn",
    "wallet_transactions": "amount",
}
NULLABLE = {
    "users": "profile resetPasswordToken resetPasswordExpires emailVerificationToken twoFactorSecret"
    " twoFactorVerifiedAt twoFactorLockedUntil backupCodes googleId linkedinId avatar phone bio stripeCustomerId"
    " notificationPreferences deletedAt",
    "projects": "freelancer activityLog",
    "milestones": "submittedAt approvedAt revisionHistory deliverables",
    "transactions": "milestoneId disputeId from to providerTransactionId description processedAt failureReason"
    " metadata",
    "disputes": "aiAnalysis mediator arbitrator resolution",
    "notifications": "data readAt relatedEntity relatedEntityId scheduledFor",
    "messages": "conversationId parentId attachments readAt",
    "wallet_transactions": "fromWallet toWallet relatedEntity relatedEntityId processedAt",
    "audit_trails": "userId entityType entityId oldValues newValues",
}
ONLY_NULL = {"disputes": "evidenceSubmitted", "wallet_transactions": "fees failureReason", "audit_trails": "metadata"}
# JSON columns in which other text stands, as it does in real files.
NO_JSON = {("disputes", "appeal"): {""}, ("users", "notificationPreferences"): {"", "on"}}
# Ids outside foreign keys: column -> the tables in which a row must have that id.
LOOSE_IDS = {
    ("transactions", "disputeId"): ("disputes",),
    ("conversations", "lastMessageId"): ("messages",),
    ("messages", "parentId"): ("messages",),
    ("notifications", "relatedEntityId"): TABLES,
    ("wallet_transactions", "relatedEntityId"): TABLES,
    ("audit_trails", "entityId"): TABLES,
}


class Source:
    """A generated file, asked by the deployed names whatever its form is."""

    def __init__(self, database: sqlite3.Connection, form: Form) -> None:
        self.database = database
        self.form = form

    def quoted(self, table: str) -> str:
        return f"`{table_name(table, self.form)}`"

    def values(self, table: str, *names: str) -> list[tuple]:
        listed = ", ".join(f"`{column_name(name, self.form)}`" for name in names)
        return self.database.execute(f"SELECT {listed} FROM {self.quoted(table)}").fetchall()

    def column(self, table: str, name: str) -> list:
        return [value for (value,) in self.values(table, name)]

    def run(self, sql: str) -> None:
        """Runs SQL written with the deployed names in double quotes."""
        names = {name: column_name(name, self.form) for table in TABLES for name in self.names(table)}
        names |= {table: table_name(table, self.form) for table in TABLES}
        self.database.execute(re.sub(r'"(\w+)"', lambda found: f"`{names.get(found[1], found[1])}`", sql))

    def names(self, table: str) -> list[str]:
        return [column.name for column in columns(table, self.form)]


def integrity(source: Source) -> list[object]:
    try:
        found = source.database.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.DatabaseError as error:
        return [error]
    return [row for row in found if row != ("ok",)]


def foreign_keys(source: Source) -> list[object]:
    return source.database.execute("PRAGMA foreign_key_check").fetchall()


def storage_classes(source: Source) -> list[object]:
    def expected(table: str, name: str) -> set[str]:
        if (table, name) == ("arbitrators", "successRate"):
            return {"integer", "real"}
        if name in INTEGERS.get(table, "").split():
            return {"integer"}
        if name in ONLY_NULL.get(table, "").split():
            return {"null"}
        return {"text", "null"} if name in NULLABLE.get(table, "").split() else {"text"}

    offences: list[object] = []
    for table in TABLES:
        for name in source.names(table):
            column = f"`{column_name(name, source.form)}`"
            found = source.database.execute(f"SELECT DISTINCT typeof({column}) FROM {source.quoted(table)}")
            if {kind for (kind,) in found} != expected(table, name):
                offences.append((table, name))
    return offences


def shapes(source: Source) -> list[object]:
    """Keys are uuids (or seeded), dates are Sequelize's, booleans are 0 and 1, VARCHAR(255) holds no more."""
    rules = {
        "key": lambda value: UUID.fullmatch(value) or (source.form is Form.FROM_MIGRATIONS and SEEDED.fullmatch(value)),
        "date": DATE.fullmatch,
        "bool": {0, 1}.__contains__,
        "string": lambda value: len(value) <= 255,
    }
    return [
        (table, column.name, value)
        for table in TABLES
        for column in columns(table, source.form)
        if column.kind in rules
        for value in source.column(table, column.name)
        if value is not None and not rules[column.kind](value)
    ]


def json_values(source: Source) -> Iterator[tuple[str, str, object]]:
    """Every JSON value, parsed; raises where the text is none."""
    for table in TABLES:
        for column in columns(table, source.form):
            if column.holds_json:
                for value in source.column(table, column.name):
                    if value is not None and value not in NO_JSON.get((table, column.name), ()):
                        yield table, column.name, json.loads(value)


def json_texts(source: Source) -> list[object]:
    """Everything in a JSON column parses, and is compact as JSON.stringify writes it."""
    offences: list[object] = []
    for table in TABLES:
        for column in (column for column in columns(table, source.form) if column.holds_json):
            for value in set(source.column(table, column.name)) - {None} - NO_JSON.get((table, column.name), set()):
                try:
                    parsed = json.loads(value, parse_float=lambda text: f"\0{text}\0")
                except ValueError:
                    offences.append((table, column.name, value))
                    continue
                again = json.dumps(parsed, ensure_ascii=False, separators=(",", ":"))
                if re.sub(r'"\\u0000|\\u0000"', "", again) != value:
                    offences.append((table, column.name, value))
    return offences


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def ids_in_json(source: Source) -> list[object]:
    """Every uuid inside JSON is the id of a row."""
    known = {key for table in TABLES for key in source.column(table, "_id")}
    return [
        (table, name, text)
        for table, name, value in json_values(source)
        for text in strings(value)
        if UUID.fullmatch(text) and text not in known
    ]


def loose_ids(source: Source) -> list[object]:
    keys = {table: set(source.column(table, "_id")) for table in TABLES}
    return [
        (table, name, value)
        for (table, name), targets in LOOSE_IDS.items()
        for value in source.column(table, name)
        if value is not None and not any(value in keys[target] for target in targets)
    ]


def belonging(source: Source) -> list[object]:
    """What is about a project stays within it; answers stay in their conversation; one wallet for a user."""
    milestone_of = dict(source.values("milestones", "_id", "project"))
    talk_of = dict(source.values("messages", "_id", "conversationId"))
    parties = {key: people for key, *people in source.values("projects", "_id", "client", "freelancer")}
    listed = {key: json.loads(text) for key, text in source.values("projects", "_id", "milestones")}
    actual: dict[str, list[str]] = {key: [] for key in listed}
    for key, project in milestone_of.items():
        actual[project].append(key)
    named = {"User": "users", "Project": "projects", "Milestone": "milestones", "Transaction": "transactions"}
    keys = {kind: set(source.column(table, "_id")) for kind, table in {**named, "Dispute": "disputes"}.items()}
    wallet_owners = Counter(source.column("wallets", "userId"))
    return [
        *(("projects.milestones", key) for key in listed if sorted(listed[key]) != sorted(actual[key])),
        *(
            (table, milestone)
            for table, name in (("transactions", "projectId"), ("disputes", "project"))
            for project, milestone in source.values(table, name, "milestoneId" if name == "projectId" else "milestone")
            if milestone is not None and milestone_of[milestone] != project
        ),
        *(
            ("messages.parentId", parent)
            for talk, parent in source.values("messages", "conversationId", "parentId")
            if parent is not None and talk_of[parent] != talk
        ),
        *(
            ("conversations.lastMessageId", key)
            for key, last in source.values("conversations", "_id", "lastMessageId")
            if last is not None and talk_of[last] != key
        ),
        *(
            ("messages.senderId", sender)
            for project, sender in source.values("messages", "projectId", "senderId")
            if sender not in parties[project]
        ),
        *(
            (table, kind, key)
            for table, kinds, ids in (
                ("notifications", "relatedEntity", "relatedEntityId"),
                ("wallet_transactions", "relatedEntity", "relatedEntityId"),
                ("audit_trails", "entityType", "entityId"),
            )
            for kind, key in source.values(table, kinds, ids)
            if kind is not None and key is not None and key not in keys[kind]
        ),
        *(("wallets.userId", user) for user, count in wallet_owners.items() if count > 1),
    ]


CHECKS = (
    integrity,
    foreign_keys,
    storage_classes,
    shapes,
    json_texts,
    ids_in_json,
    loose_ids,
    belonging,
)
