CREATE TABLE users (
    id                         uuid              PRIMARY KEY DEFAULT gen_random_uuid(),
    email                      varchar(255)      NOT NULL CONSTRAINT users_email_key UNIQUE,
    password                   varchar(255)      NOT NULL,
    first_name                 varchar(255)      NOT NULL,
    last_name                  varchar(255)      NOT NULL,
    role                       enum_users_role   NOT NULL,
    status                     enum_users_status DEFAULT 'pending',
    avatar                     varchar(255),
    phone                      varchar(255),
    bio                        text,
    profile                    jsonb,
    is_email_verified          boolean           DEFAULT false,
    is_kyc_verified            boolean           DEFAULT false,
    stripe_customer_id         varchar(255),
    notification_preferences   jsonb             DEFAULT
        '{"email": true, "push": true, "projectUpdates": true, "paymentNotifications": true}',
    reset_password_token       varchar(255),
    reset_password_expires     timestamptz(3),
    email_verification_token   varchar(255),
    two_factor_enabled         boolean           DEFAULT false,
    two_factor_secret          varchar(255),
    two_factor_verified_at     timestamptz(3),
    two_factor_locked_until    timestamptz(3),
    two_factor_failed_attempts integer           DEFAULT 0,
    backup_codes               jsonb,
    google_id                  varchar(255),
    linkedin_id                varchar(255),
    created_at                 timestamptz(3)    NOT NULL DEFAULT now(),
    updated_at                 timestamptz(3)    NOT NULL DEFAULT now(),
    deleted_at                 timestamptz(3),
    CONSTRAINT users_two_factor_failed_attempts_check CHECK (two_factor_failed_attempts >= 0)
);

-- The unique key on email is its index. The application had two more on the same column, and one on email and
-- status, which a unique first column makes pointless. An index on role and status together is left out too:
-- with one on each, PostgreSQL combines them.
CREATE INDEX idx_users_role ON users (role);
CREATE INDEX idx_users_status ON users (status);
CREATE INDEX idx_users_verification_status ON users (is_email_verified);
CREATE INDEX idx_users_created_at ON users (created_at);

COMMENT ON TABLE users IS 'Clients, freelancers and administrators';
COMMENT ON COLUMN users.email IS 'Trimmed and in lower case, as the application writes it';
COMMENT ON COLUMN users.password IS 'A bcrypt hash';
COMMENT ON COLUMN users.backup_codes IS 'Array of one-time codes for the second factor';
COMMENT ON COLUMN users.deleted_at IS 'Set when the user is deleted; the row stays (soft delete)';
