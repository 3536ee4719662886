-- The values that the application's models know, in the models' order, and those that its code writes past them.
-- The names are the ones Sequelize gives: enum_<table>_<column>. A model that is synchronised later finds its type.

CREATE TYPE enum_users_role AS ENUM ('client', 'freelancer', 'admin');

-- The model knows three states, but registration writes 'active', which SQLite let in.
CREATE TYPE enum_users_status AS ENUM ('pending', 'verified', 'suspended', 'active');

CREATE TYPE enum_projects_category AS ENUM (
    'Design', 'Development', 'Writing', 'Marketing', 'Consulting', 'Other'
);

CREATE TYPE enum_projects_status AS ENUM (
    'DRAFT', 'PENDING_ACCEPTANCE', 'AWAITING_DEPOSIT', 'ACTIVE', 'ON_HOLD',
    'COMPLETED', 'CANCELLED', 'DISPUTED', 'ARCHIVED'
);

CREATE TYPE enum_milestones_status AS ENUM (
    'PENDING', 'IN_PROGRESS', 'SUBMITTED', 'REVISION_REQUESTED', 'APPROVED', 'DISPUTED'
);

CREATE TYPE enum_transactions_type AS ENUM (
    'DEPOSIT', 'MILESTONE_RELEASE', 'DISPUTE_REFUND', 'DISPUTE_PAYMENT', 'ADMIN_ADJUSTMENT', 'REFUND'
);

CREATE TYPE enum_transactions_status AS ENUM ('PENDING', 'COMPLETED', 'FAILED', 'REFUNDED');

CREATE TYPE enum_disputes_status AS ENUM (
    'PENDING_FEE', 'PENDING_REVIEW', 'SELF_RESOLUTION', 'IN_MEDIATION', 'IN_ARBITRATION',
    'AWAITING_OUTCOME', 'RESOLVED', 'ESCALATED'
);

CREATE TYPE enum_notifications_type AS ENUM (
    'PROJECT_INVITE', 'MILESTONE_SUBMITTED', 'MILESTONE_APPROVED', 'MILESTONE_REVISION_REQUESTED',
    'PAYMENT_RELEASED', 'DISPUTE_RAISED', 'DISPUTE_RESOLVED', 'PAYMENT_DUE', 'DEADLINE_REMINDER',
    'SYSTEM_MESSAGE', 'VERIFICATION_REQUIRED'
);

CREATE TYPE enum_notifications_related_entity AS ENUM ('Project', 'Milestone', 'Dispute', 'Transaction', 'User');

CREATE TYPE enum_notifications_priority AS ENUM ('LOW', 'NORMAL', 'HIGH', 'URGENT');

CREATE TYPE enum_conversations_status AS ENUM ('ACTIVE', 'ARCHIVED', 'DELETED');

CREATE TYPE enum_messages_sender_role AS ENUM ('client', 'freelancer');

CREATE TYPE enum_messages_type AS ENUM ('TEXT', 'FILE', 'NOTIFICATION');

CREATE TYPE enum_messages_status AS ENUM ('SENT', 'DELIVERED', 'READ');

CREATE TYPE enum_wallets_status AS ENUM ('ACTIVE', 'FROZEN', 'CLOSED');

CREATE TYPE enum_wallet_transactions_type AS ENUM (
    'DEPOSIT', 'WITHDRAWAL', 'TRANSFER', 'PROJECT_FUNDS', 'PROJECT_REFUND',
    'MILESTONE_PAYMENT', 'MILESTONE_INCOME', 'REFUND', 'FEE', 'ADMIN_ADJUSTMENT'
);

CREATE TYPE enum_wallet_transactions_related_entity AS ENUM (
    'Project', 'Milestone', 'Transaction', 'User', 'Dispute'
);

CREATE TYPE enum_wallet_transactions_status AS ENUM ('PENDING', 'COMPLETED', 'FAILED', 'REFUNDED');
