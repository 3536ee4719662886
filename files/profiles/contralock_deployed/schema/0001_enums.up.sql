-- The types that the application's models make when they are synchronised on PostgreSQL: enum_<table>_<column>, with the
-- column's own spelling (so three of them need quotes), and the values in the models' order. A model that finds its
-- type by another name, or without one of its values, would make or alter one at start-up.

CREATE TYPE enum_users_role AS ENUM ('client', 'freelancer', 'admin');

-- The model knows three states. Registration writes a fourth, 'active', which SQLite let in and PostgreSQL would refuse.
-- Sequelize leaves alone what a type has beyond the model.
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

CREATE TYPE "enum_notifications_relatedEntity" AS ENUM ('Project', 'Milestone', 'Dispute', 'Transaction', 'User');

CREATE TYPE enum_notifications_priority AS ENUM ('LOW', 'NORMAL', 'HIGH', 'URGENT');

CREATE TYPE enum_conversations_status AS ENUM ('ACTIVE', 'ARCHIVED', 'DELETED');

CREATE TYPE "enum_messages_senderRole" AS ENUM ('client', 'freelancer');

CREATE TYPE enum_messages_type AS ENUM ('TEXT', 'FILE', 'NOTIFICATION');

CREATE TYPE enum_messages_status AS ENUM ('SENT', 'DELIVERED', 'READ');

CREATE TYPE enum_wallets_status AS ENUM ('ACTIVE', 'FROZEN', 'CLOSED');

CREATE TYPE enum_wallet_transactions_type AS ENUM (
    'DEPOSIT', 'WITHDRAWAL', 'TRANSFER', 'PROJECT_FUNDS', 'PROJECT_REFUND',
    'MILESTONE_PAYMENT', 'MILESTONE_INCOME', 'REFUND', 'FEE', 'ADMIN_ADJUSTMENT'
);

CREATE TYPE "enum_wallet_transactions_relatedEntity" AS ENUM (
    'Project', 'Milestone', 'Transaction', 'User', 'Dispute'
);

CREATE TYPE enum_wallet_transactions_status AS ENUM ('PENDING', 'COMPLETED', 'FAILED', 'REFUNDED');
