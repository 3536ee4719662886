"""The tables of ContraLock in the four forms in which a SQLite file of it is met.

One description of the twelve tables; each form is a way to write it down. The texts of the deployed forms are those
that Sequelize 6 left in ``sqlite_master`` of databases which the application itself had made: by ``sync()``
(`deployed`, `longlived`) and by its migration files followed by ``sync({alter: true})`` (`from_migrations`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache


class Form(StrEnum):
    """How the source came to be."""

    DEPLOYED = "deployed"
    PLAN = "plan"
    LONGLIVED = "longlived"
    FROM_MIGRATIONS = "from_migrations"


# What a column holds -> how the deployed application declares it, how the migration plan's models do.
KINDS: dict[str, tuple[str, str]] = {
    "key": ("VARCHAR(255)", "UUID"),
    "ref": ("VARCHAR(255)", "UUID"),  # a foreign key
    "id": ("VARCHAR(255)", "UUID"),  # the id of a row without a foreign key
    "string": ("VARCHAR(255)", "VARCHAR(255)"),
    "text": ("TEXT", "TEXT"),
    "enum": ("TEXT", "TEXT"),
    "json": ("JSON", "JSON"),
    "jtext": ("TEXT", "JSON"),  # JSON that the deployed application keeps in TEXT
    "bool": ("TINYINT(1)", "TINYINT(1)"),
    "int": ("INTEGER", "INTEGER"),
    "decimal": ("DECIMAL(5,2)", "DECIMAL(5,2)"),
    "date": ("DATETIME", "DATETIME"),
}

# name kind[!][=default] [unique] [>referenced table]; "!" is NOT NULL.
_DESCRIPTION = {
    "users": """_id key, email string! unique, password string!, firstName string!, lastName string!, role enum!,
        status enum='pending', profile json, resetPasswordToken string, resetPasswordExpires date,
        emailVerificationToken string, emailVerified bool=0, twoFactorEnabled bool=0, twoFactorSecret string,
        twoFactorVerifiedAt date, twoFactorLockedUntil date, twoFactorFailedAttempts int=0, backupCodes jtext,
        googleId string, linkedinId string, createdAt date, updatedAt date""",
    "projects": """_id key, title string!, description text!, category enum!, budget int!, deadline date!,
        status enum='DRAFT', client ref! >users, freelancer ref >users, milestones jtext, progress jtext, escrow jtext,
        currency string='USD', paymentSchedule jtext, activityLog jtext, createdAt date, updatedAt date""",
    "milestones": """_id key, title string!, description text!, amount int!, deadline date!, acceptanceCriteria text!,
        project ref! >projects, status enum='PENDING', submittedAt date, approvedAt date, revisionHistory jtext,
        currency string='USD', deliverables jtext, createdAt date, updatedAt date""",
    "transactions": """_id key, projectId ref! >projects, milestoneId ref >milestones, disputeId id, type enum!,
        amount int!, currency string='USD', from ref >users, to ref >users, status enum='PENDING', provider string!,
        providerTransactionId string, description string, fees jtext, processedAt date, failureReason string,
        metadata jtext, createdAt date, updatedAt date""",
    "disputes": """_id key, project ref! >projects, milestone ref! >milestones, raisedBy ref! >users, reason text!,
        evidence jtext, status enum='PENDING_FEE', aiAnalysis jtext, mediator ref >users, arbitrator ref >users,
        resolution jtext, messages jtext, disputeFee jtext, evidenceSubmitted jtext, timeline jtext, appeal jtext,
        createdAt date, updatedAt date""",
    "notifications": """_id key, userId ref! >users, type enum!, title string!, message text!, data jtext, read bool=0,
        readAt date, relatedEntity enum, relatedEntityId id, priority enum='NORMAL', sentVia jtext, scheduledFor date,
        createdAt date, updatedAt date""",
    "arbitrators": """_id key, user ref! >users, specialties jtext, rating jtext, casesCompleted int=0,
        successRate decimal=0, availability bool=1, active bool=1, verification jtext, earnings jtext, createdAt date,
        updatedAt date""",
    "conversations": """_id key, projectId ref! >projects, participants jtext!, unreadCount int=0, lastMessageId id,
        lastMessage text, lastMessageAt date, status enum='ACTIVE', isArchived bool=0, createdAt date,
        updatedAt date""",
    "messages": """_id key, projectId ref! >projects, conversationId ref >conversations, senderId ref! >users,
        senderRole enum!, content text!, type enum='TEXT', status enum='SENT', isSystemMessage bool=0, parentId id,
        attachments jtext, readBy jtext='[]', sentAt date, readAt date, createdAt date, updatedAt date""",
    "wallets": """_id key, userId ref! >users, balance int!=0, currency string!='USD', status enum='ACTIVE',
        lockedBalance int=0, totalDeposited int=0, totalWithdrawn int=0, createdAt date, updatedAt date""",
    "wallet_transactions": """_id key, walletId ref! >wallets, type enum!, amount int!, currency string='USD',
        fromWallet ref >wallets, toWallet ref >wallets, relatedEntity enum, relatedEntityId id, description string,
        status enum='PENDING', fees jtext, processedAt date, failureReason string, metadata jtext, createdAt date,
        updatedAt date""",
    "audit_trails": """_id key, action string!, userId ref >users, entityType string, entityId id, oldValues jtext,
        newValues jtext, ipAddress string, userAgent text, traceId string, metadata jtext, createdAt date,
        updatedAt date""",
}

# The plan's users have these beside the deployed ones; deletedAt makes the model "paranoid" (Sequelize's soft delete).
_PLAN_USERS = """avatar string, phone string, bio text, isKycVerified bool=0, stripeCustomerId string,
    notificationPreferences json, deletedAt date"""
_PLAN_NAMES = {"_id": "id", "emailVerified": "is_email_verified"}

# Columns that a later migration file added: they stand at the end of a table made by migrations.
_ADDED_LATER = {
    "projects": ("currency",),
    "milestones": ("currency",),
    "disputes": ("disputeFee", "evidenceSubmitted", "timeline", "appeal"),
}

# In the order in which the application creates them: table: name(columns), "!" is UNIQUE. The groups are its age:
# a file that was made by migrations lacks the last two, a long-lived one the last.
_INDEXES = (
    """users: email(email) email_unique!(email) role(role) status(status) verification_status(emailVerified)
        email_status(email,status)
    projects: client(client) freelancer(freelancer) status(status) client_status(client,status)
        freelancer_status(freelancer,status) deadline(deadline) created_at(createdAt) category(category)
    milestones: project(project) status(status) project_status(project,status) deadline(deadline) created_at(createdAt)
    disputes: project(project) milestone(milestone) status(status) project_status(project,status) raised_by(raisedBy)
        created_at(createdAt)
    transactions: project(projectId) dispute(disputeId) type(type) status(status) project_type(projectId,type)
        project_status(projectId,status) created_at(createdAt) amount(amount)
    notifications: user(userId) type(type) read_status(read) user_read_status(userId,read) user_type(userId,type)
        created_at(createdAt)
    messages: conversation(conversationId) project(projectId) sender(senderId) type(type) status(status)
        conversation_timestamp(conversationId,createdAt) project_timestamp(projectId,createdAt) created_at(createdAt)
    conversations: project(projectId) participants(participants) status(status) project_status(projectId,status)
        created_at(createdAt)""",
    "users: role_status(role,status) created_at(createdAt)",
    """transactions: project_id(projectId) milestone_id(milestoneId) from(from) to(to) from_type(from,type)
        to_type(to,type)""",
)
_INDEX_GROUPS = {Form.DEPLOYED: 3, Form.PLAN: 3, Form.LONGLIVED: 2, Form.FROM_MIGRATIONS: 1}
_QUOTED_IN_INDEXES = {"from", "to"}  # the application quotes these two and no others

TABLES = tuple(_DESCRIPTION)
BACKUP_TABLE = "users_backup"
META_TABLE = "SequelizeMeta"
META_DDL = f"CREATE TABLE `{META_TABLE}` (`name` VARCHAR(255) NOT NULL UNIQUE PRIMARY KEY)"
MIGRATION_FILES = tuple(
    f"202501010000{number:02}-create-{name}.js"
    for number, name in enumerate(
        (
            *("user", "project", "milestone", "transaction", "dispute", "notification", "arbitrator"),
            *("conversation", "message", "wallet", "wallet-transaction"),
        ),
        start=1,
    )
)

_ITEM = re.compile(
    r"(?P<name>\w+) (?P<kind>\w+)(?P<required>!?)(?:=(?P<default>\S+))?(?P<unique> unique)?(?: >(?P<to>\w+))?"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the description; ``name`` is the deployed application's (camelCase)."""

    name: str
    kind: str
    required: bool
    default: str | None
    unique: bool
    references: str | None

    @property
    def holds_json(self) -> bool:
        """Whether the values are JSON text."""
        return self.kind in {"json", "jtext"}


def _parse(text: str) -> Iterator[Column]:
    for item in text.split(","):
        found = _ITEM.fullmatch(item.strip())
        if found is None:
            raise ValueError(f"not a column: {item!r}")
        name, kind, required, default, unique, to = found.groups()
        yield Column(name, kind, bool(required), default, bool(unique), to)


@cache
def columns(table: str, form: Form = Form.DEPLOYED) -> tuple[Column, ...]:
    """List the columns of a table in the order in which the row makers give the values.

    Args:
        table: One of ``TABLES``.
        form: Only the plan's ``users`` have more columns than the others.

    Returns:
        The deployed columns in the deployed order; the plan's own ones after them.
    """
    extra = _PLAN_USERS if (table, form) == ("users", Form.PLAN) else ""
    return tuple(_parse(_DESCRIPTION[table])) + (tuple(_parse(extra)) if extra else ())


def table_name(table: str, form: Form) -> str:
    """Name ``table`` as ``form`` does: the plan uses Sequelize's model names, ``WalletTransactions``."""
    return table.title().replace("_", "") if form is Form.PLAN else table


def column_name(name: str, form: Form) -> str:
    """Name the column ``name`` as ``form`` does: the plan's models are ``underscored: true``."""
    if form is not Form.PLAN:
        return name
    return _PLAN_NAMES.get(name) or re.sub(r"[A-Z]", lambda capital: f"_{capital[0].lower()}", name)


def _key_clause(table: str, form: Form) -> str:
    if form is Form.PLAN:
        return "NOT NULL PRIMARY KEY"
    if table == BACKUP_TABLE:
        return "UNIQUE PRIMARY KEY"
    if form is Form.FROM_MIGRATIONS:
        # audit_trails has no migration file: sync made it, and sync({alter: true}) rebuilt it with UNIQUE.
        return "UNIQUE PRIMARY KEY" if table == "audit_trails" else "NOT NULL UNIQUE PRIMARY KEY"
    return "PRIMARY KEY"


def _column_sql(column: Column, table: str, form: Form) -> str:
    parts = [f"`{column_name(column.name, form)}`", KINDS[column.kind][form is Form.PLAN]]
    if column.kind == "key":
        return " ".join([*parts, _key_clause(table, form)])
    if column.required or (form is Form.PLAN and column.name in {"createdAt", "updatedAt"}):
        parts.append("NOT NULL")
    if column.default is not None:
        # sync({alter: true}) reads numeric defaults back as strings; TINYINT(1) is spared.
        rebuilt = form is Form.FROM_MIGRATIONS or table == BACKUP_TABLE
        as_text = rebuilt and column.kind in {"int", "decimal"}
        parts.append(f"DEFAULT '{column.default}'" if as_text else f"DEFAULT {column.default}")
    if column.unique:
        parts.append("UNIQUE")
    if column.references is not None:
        parts.append(f"REFERENCES `{table_name(column.references, form)}` (`{column_name('_id', form)}`)")
    return " ".join(parts)


def _declared(table: str, form: Form) -> list[Column]:
    listed = list(columns("users" if table == BACKUP_TABLE else table, form))
    if form is Form.PLAN:
        return sorted(listed, key=lambda column: column.name in {"createdAt", "updatedAt", "deletedAt"})
    late = _ADDED_LATER.get(table, ()) if form is Form.FROM_MIGRATIONS else ()
    return sorted(listed, key=lambda column: column.name in late)


def create_table(table: str, form: Form) -> str:
    """Write the CREATE TABLE text of one of ``TABLES`` or of ``BACKUP_TABLE``, as Sequelize writes it."""
    body = ", ".join(_column_sql(column, table, form) for column in _declared(table, form))
    return f"CREATE TABLE `{table_name(table, form)}` ({body})"


def create_indexes(form: Form) -> Iterator[tuple[str, str]]:
    """Write the CREATE INDEX texts of a form.

    Yields:
        The table (its deployed name) and the text, in the order in which the application creates them.
    """
    for group in _INDEXES[: _INDEX_GROUPS[form]]:
        for table, indexes in re.findall(r"(\w+): ([^:]+?)(?=\s+\w+:|$)", group):
            for name, unique, listed in re.findall(r"(\w+)(!?)\(([\w,]+)\)", indexes):
                unique_sql = "UNIQUE " if unique else ""
                if form is Form.PLAN:
                    names = ", ".join(f"`{column_name(column, form)}`" for column in listed.split(","))
                    target = f"`idx_{table}_{name}` ON `{table_name(table, form)}`"
                else:
                    names = ", ".join(f'"{c}"' if c in _QUOTED_IN_INDEXES else c for c in listed.split(","))
                    target = f"idx_{table}_{name} ON {table}"
                yield table, f"CREATE {unique_sql}INDEX {target} ({names})"


def insert(table: str, form: Form) -> str:
    """Write the INSERT text for rows in the order of ``columns``."""
    names = [column_name(column.name, form) for column in columns(table, form)]
    listed = ", ".join(f"`{name}`" for name in names)
    return f"INSERT INTO `{table_name(table, form)}` ({listed}) VALUES ({', '.join('?' * len(names))})"
