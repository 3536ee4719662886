"""What the profile `contralock` promises: every column of the twelve tables, and every value of the enumerations.

A second statement of the schema, in another form: `!` is NOT NULL, `e:` an enumeration by its type's last words,
`v` varchar(255), `t` timestamptz(3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

PROFILE = Path(__file__).parents[3] / "files" / "profiles" / "contralock"
UPS = sorted((PROFILE / "schema").glob("*.up.sql"))

Connection = psycopg.Connection[tuple[Any, ...]]

COLUMNS_QUERY = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""

SHORT_TYPES = {"v": "character varying(255)", "t": "timestamp(3) with time zone"}

COLUMNS: dict[str, str] = {
    "users": """
        id uuid! email v! password v! first_name v! last_name v! role e:role! status e:status avatar v phone v bio text
        profile jsonb is_email_verified boolean is_kyc_verified boolean stripe_customer_id v
        notification_preferences jsonb reset_password_token v reset_password_expires t email_verification_token v
        two_factor_enabled boolean two_factor_secret v two_factor_verified_at t two_factor_locked_until t
        two_factor_failed_attempts integer backup_codes jsonb google_id v linkedin_id v
        created_at t! updated_at t! deleted_at t
    """,
    "projects": """
        id uuid! title v! description text! category e:category! budget bigint! deadline t! status e:status
        client uuid! freelancer uuid milestones jsonb progress jsonb escrow jsonb currency v payment_schedule jsonb
        activity_log jsonb created_at t! updated_at t!
    """,
    "milestones": """
        id uuid! title v! description text! amount bigint! deadline t! acceptance_criteria text! project uuid!
        status e:status submitted_at t approved_at t revision_history jsonb currency v deliverables jsonb
        created_at t! updated_at t!
    """,
    "transactions": """
        id uuid! project_id uuid! milestone_id uuid dispute_id uuid type e:type! amount bigint! currency v from uuid
        to uuid status e:status provider v! provider_transaction_id v description v fees jsonb processed_at t
        failure_reason v metadata jsonb created_at t! updated_at t!
    """,
    "disputes": """
        id uuid! project uuid! milestone uuid! raised_by uuid! reason text! evidence jsonb status e:status
        ai_analysis jsonb mediator uuid arbitrator uuid resolution jsonb messages jsonb dispute_fee jsonb
        evidence_submitted jsonb timeline jsonb appeal jsonb created_at t! updated_at t!
    """,
    "notifications": """
        id uuid! user_id uuid! type e:type! title v! message text! data jsonb read boolean read_at t
        related_entity e:related_entity related_entity_id uuid priority e:priority sent_via jsonb scheduled_for t
        created_at t! updated_at t!
    """,
    "arbitrators": """
        id uuid! user uuid! specialties jsonb rating jsonb cases_completed integer success_rate numeric(5,2)
        availability boolean active boolean verification jsonb earnings jsonb created_at t! updated_at t!
    """,
    "conversations": """
        id uuid! project_id uuid! participants jsonb! unread_count integer last_message_id uuid last_message text
        last_message_at t status e:status is_archived boolean created_at t! updated_at t!
    """,
    "messages": """
        id uuid! project_id uuid! conversation_id uuid sender_id uuid! sender_role e:sender_role! content text!
        type e:type status e:status is_system_message boolean parent_id uuid attachments jsonb read_by jsonb sent_at t
        read_at t created_at t! updated_at t!
    """,
    "wallets": """
        id uuid! user_id uuid! balance bigint! currency v! status e:status locked_balance bigint total_deposited bigint
        total_withdrawn bigint created_at t! updated_at t!
    """,
    "wallet_transactions": """
        id uuid! wallet_id uuid! type e:type! amount bigint! currency v from_wallet uuid to_wallet uuid
        related_entity e:related_entity related_entity_id uuid description v status e:status fees jsonb processed_at t
        failure_reason v metadata jsonb created_at t! updated_at t!
    """,
    "audit_trails": """
        id uuid! action v! user_id uuid entity_type v entity_id uuid old_values jsonb new_values jsonb ip_address v
        user_agent text trace_id v metadata jsonb created_at t! updated_at t!
    """,
}

ENTITIES = "Dispute Milestone Project Transaction User"
PAYMENT_STATES = "COMPLETED FAILED PENDING REFUNDED"
ENUMS: dict[str, str] = {
    "enum_users_role": "admin client freelancer",
    "enum_users_status": "active pending suspended verified",
    "enum_projects_category": "Consulting Design Development Marketing Other Writing",
    "enum_projects_status": """
        ACTIVE ARCHIVED AWAITING_DEPOSIT CANCELLED COMPLETED DISPUTED DRAFT ON_HOLD PENDING_ACCEPTANCE
    """,
    "enum_milestones_status": "APPROVED DISPUTED IN_PROGRESS PENDING REVISION_REQUESTED SUBMITTED",
    "enum_transactions_type": """
        ADMIN_ADJUSTMENT DEPOSIT DISPUTE_PAYMENT DISPUTE_REFUND MILESTONE_RELEASE REFUND
    """,
    "enum_transactions_status": PAYMENT_STATES,
    "enum_disputes_status": """
        AWAITING_OUTCOME ESCALATED IN_ARBITRATION IN_MEDIATION PENDING_FEE PENDING_REVIEW RESOLVED SELF_RESOLUTION
    """,
    "enum_notifications_type": """
        DEADLINE_REMINDER DISPUTE_RAISED DISPUTE_RESOLVED MILESTONE_APPROVED MILESTONE_REVISION_REQUESTED
        MILESTONE_SUBMITTED PAYMENT_DUE PAYMENT_RELEASED PROJECT_INVITE SYSTEM_MESSAGE VERIFICATION_REQUIRED
    """,
    "enum_notifications_related_entity": ENTITIES,
    "enum_notifications_priority": "HIGH LOW NORMAL URGENT",
    "enum_conversations_status": "ACTIVE ARCHIVED DELETED",
    "enum_messages_sender_role": "client freelancer",
    "enum_messages_type": "FILE NOTIFICATION TEXT",
    "enum_messages_status": "DELIVERED READ SENT",
    "enum_wallets_status": "ACTIVE CLOSED FROZEN",
    "enum_wallet_transactions_type": """
        ADMIN_ADJUSTMENT DEPOSIT FEE MILESTONE_INCOME MILESTONE_PAYMENT PROJECT_FUNDS PROJECT_REFUND REFUND TRANSFER
        WITHDRAWAL
    """,
    "enum_wallet_transactions_related_entity": ENTITIES,
    "enum_wallet_transactions_status": PAYMENT_STATES,
}

FOREIGN_KEYS = """
    arbitrators.user>users audit_trails.user_id>users conversations.project_id>projects disputes.arbitrator>users
    disputes.mediator>users disputes.milestone>milestones disputes.project>projects disputes.raised_by>users
    messages.conversation_id>conversations messages.project_id>projects messages.sender_id>users
    milestones.project>projects notifications.user_id>users projects.client>users projects.freelancer>users
    transactions.from>users transactions.milestone_id>milestones transactions.project_id>projects transactions.to>users
    wallet_transactions.from_wallet>wallets wallet_transactions.to_wallet>wallets wallet_transactions.wallet_id>wallets
    wallets.user_id>users
"""

#: column -> its default as the catalog writes it, besides those of id, created_at and updated_at.
DEFAULTS: dict[str, str] = {
    "users.status": "'pending'::enum_users_status",
    "users.is_email_verified": "false",
    "users.is_kyc_verified": "false",
    "users.notification_preferences": (
        """'{"push": true, "email": true, "projectUpdates": true, "paymentNotifications": true}'::jsonb"""
    ),
    "users.two_factor_enabled": "false",
    "users.two_factor_failed_attempts": "0",
    "projects.status": "'DRAFT'::enum_projects_status",
    "projects.currency": "'USD'::character varying",
    "milestones.status": "'PENDING'::enum_milestones_status",
    "milestones.currency": "'USD'::character varying",
    "transactions.currency": "'USD'::character varying",
    "transactions.status": "'PENDING'::enum_transactions_status",
    "disputes.status": "'PENDING_FEE'::enum_disputes_status",
    "notifications.read": "false",
    "notifications.priority": "'NORMAL'::enum_notifications_priority",
    "arbitrators.cases_completed": "0",
    "arbitrators.success_rate": "0",
    "arbitrators.availability": "true",
    "arbitrators.active": "true",
    "conversations.unread_count": "0",
    "conversations.status": "'ACTIVE'::enum_conversations_status",
    "conversations.is_archived": "false",
    "messages.type": "'TEXT'::enum_messages_type",
    "messages.status": "'SENT'::enum_messages_status",
    "messages.is_system_message": "false",
    "messages.read_by": "'[]'::jsonb",
    "wallets.balance": "0",
    "wallets.currency": "'USD'::character varying",
    "wallets.status": "'ACTIVE'::enum_wallets_status",
    "wallets.locked_balance": "0",
    "wallets.total_deposited": "0",
    "wallets.total_withdrawn": "0",
    "wallet_transactions.currency": "'USD'::character varying",
    "wallet_transactions.status": "'PENDING'::enum_wallet_transactions_status",
}


#: The one table that is no part of the application's data.
CANARY = {
    ("migration_canary", "token", "uuid", True),
    ("migration_canary", "written_at", SHORT_TYPES["t"], True),
}


def expected_columns() -> set[tuple[str, str, str, bool]]:
    """Table, column, type as the catalog writes it, and whether it is NOT NULL."""
    found = set(CANARY)
    for table, text in COLUMNS.items():
        words = text.split()
        for name, short in zip(words[::2], words[1::2], strict=True):
            kind = short.removesuffix("!")
            full = f"enum_{table}_{kind[2:]}" if kind.startswith("e:") else SHORT_TYPES.get(kind, kind)
            found.add((table, name, full, short.endswith("!")))
    return found


def run_change(connection: Connection, text: str) -> None:
    """Run a change as the project's runner does: one transaction, through plpgsql's EXECUTE, as the owner."""
    with connection.transaction():
        connection.execute("SELECT set_config('search_path', 'public', true), set_config('t.text', %s, true)", [text])
        connection.execute("DO $do$ BEGIN EXECUTE current_setting('t.text'); END $do$")
