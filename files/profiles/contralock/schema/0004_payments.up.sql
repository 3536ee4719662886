-- The "from", "to" and "user" of the application are reserved words: they keep their names and are quoted.
CREATE TABLE transactions (
    id                      uuid                     PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id              uuid                     NOT NULL REFERENCES projects (id),
    milestone_id            uuid                     REFERENCES milestones (id),
    dispute_id              uuid,
    type                    enum_transactions_type   NOT NULL,
    amount                  bigint                   NOT NULL,
    currency                varchar(255)             DEFAULT 'USD',
    "from"                  uuid                     REFERENCES users (id),
    "to"                    uuid                     REFERENCES users (id),
    status                  enum_transactions_status DEFAULT 'PENDING',
    provider                varchar(255)             NOT NULL,
    provider_transaction_id varchar(255),
    description             varchar(255),
    fees                    jsonb,
    processed_at            timestamptz(3),
    failure_reason          varchar(255),
    metadata                jsonb,
    created_at              timestamptz(3)           NOT NULL DEFAULT now(),
    updated_at              timestamptz(3)           NOT NULL DEFAULT now()
);

-- Left out: project_id alone (the application had it twice), "from" alone and "to" alone; each is the beginning
-- of a pair below.
CREATE INDEX idx_transactions_project_type ON transactions (project_id, type);
CREATE INDEX idx_transactions_project_status ON transactions (project_id, status);
CREATE INDEX idx_transactions_from_type ON transactions ("from", type);
CREATE INDEX idx_transactions_to_type ON transactions ("to", type);
CREATE INDEX idx_transactions_milestone_id ON transactions (milestone_id);
CREATE INDEX idx_transactions_dispute ON transactions (dispute_id);
CREATE INDEX idx_transactions_type ON transactions (type);
CREATE INDEX idx_transactions_status ON transactions (status);
CREATE INDEX idx_transactions_amount ON transactions (amount);
CREATE INDEX idx_transactions_created_at ON transactions (created_at);

COMMENT ON COLUMN transactions.amount IS
    'In hundredths of the currency (cents); negative for corrections, which occur in every type';
COMMENT ON COLUMN transactions.dispute_id IS
    'The id of a dispute, without a foreign key: the application never had one, so the dispute may be gone';
COMMENT ON COLUMN transactions.provider_transaction_id IS 'The payment''s identifier at its provider';

CREATE TABLE wallets (
    id              uuid                PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id         uuid                NOT NULL REFERENCES users (id),
    balance         bigint              NOT NULL DEFAULT 0,
    currency        varchar(255)        NOT NULL DEFAULT 'USD',
    status          enum_wallets_status DEFAULT 'ACTIVE',
    locked_balance  bigint              DEFAULT 0,
    total_deposited bigint              DEFAULT 0,
    total_withdrawn bigint              DEFAULT 0,
    created_at      timestamptz(3)      NOT NULL DEFAULT now(),
    updated_at      timestamptz(3)      NOT NULL DEFAULT now(),
    CONSTRAINT wallets_balance_check CHECK (balance >= 0),
    CONSTRAINT wallets_locked_balance_check CHECK (locked_balance >= 0),
    CONSTRAINT wallets_total_deposited_check CHECK (total_deposited >= 0),
    CONSTRAINT wallets_total_withdrawn_check CHECK (total_withdrawn >= 0)
);

CREATE INDEX idx_wallets_user ON wallets (user_id);

COMMENT ON COLUMN wallets.balance IS
    'In hundredths of the currency (cents), like the other sums here; the application refuses to overdraw it';
COMMENT ON COLUMN wallets.locked_balance IS 'May exceed the balance: existing wallets do';

CREATE TABLE wallet_transactions (
    id                uuid                                    PRIMARY KEY DEFAULT gen_random_uuid(),
    wallet_id         uuid                                    NOT NULL REFERENCES wallets (id),
    type              enum_wallet_transactions_type           NOT NULL,
    amount            bigint                                  NOT NULL,
    currency          varchar(255)                            DEFAULT 'USD',
    from_wallet       uuid                                    REFERENCES wallets (id),
    to_wallet         uuid                                    REFERENCES wallets (id),
    related_entity    enum_wallet_transactions_related_entity,
    related_entity_id uuid,
    description       varchar(255),
    status            enum_wallet_transactions_status         DEFAULT 'PENDING',
    fees              jsonb,
    processed_at      timestamptz(3),
    failure_reason    varchar(255),
    metadata          jsonb,
    created_at        timestamptz(3)                          NOT NULL DEFAULT now(),
    updated_at        timestamptz(3)                          NOT NULL DEFAULT now(),
    CONSTRAINT wallet_transactions_amount_check CHECK (amount >= 0 OR type = 'ADMIN_ADJUSTMENT')
);

CREATE INDEX idx_wallet_transactions_wallet ON wallet_transactions (wallet_id);
CREATE INDEX idx_wallet_transactions_from_wallet ON wallet_transactions (from_wallet);
CREATE INDEX idx_wallet_transactions_to_wallet ON wallet_transactions (to_wallet);

COMMENT ON COLUMN wallet_transactions.amount IS
    'In hundredths of the currency (cents); the wallets tell the direction, so only an adjustment is negative';
COMMENT ON COLUMN wallet_transactions.related_entity_id IS
    'The id of a row in the table that related_entity names; one column for five tables has no foreign key';
