-- Sums are whole hundredths of the currency (cents), in integer as the models say: at most 21,474,836.47. A larger one
-- in SQLite is refused by the assessment; the profile contralock has bigint.
CREATE TABLE transactions (
    _id                     varchar(255)             PRIMARY KEY,
    "projectId"             varchar(255)             NOT NULL REFERENCES projects (_id),
    "milestoneId"           varchar(255)             REFERENCES milestones (_id),
    "disputeId"             varchar(255),
    type                    enum_transactions_type   NOT NULL,
    amount                  integer                  NOT NULL,
    currency                varchar(255)             DEFAULT 'USD',
    "from"                  varchar(255)             REFERENCES users (_id),
    "to"                    varchar(255)             REFERENCES users (_id),
    status                  enum_transactions_status DEFAULT 'PENDING',
    provider                varchar(255)             NOT NULL,
    "providerTransactionId" varchar(255),
    description             varchar(255),
    fees                    text,
    "processedAt"           timestamptz,
    "failureReason"         varchar(255),
    metadata                text,
    "createdAt"             timestamptz,
    "updatedAt"             timestamptz
);

-- Left out: "projectId" alone (the application had it twice), "from" alone and "to" alone; each is the beginning of a
-- pair below.
CREATE INDEX idx_transactions_project_type ON transactions ("projectId", type);
CREATE INDEX idx_transactions_project_status ON transactions ("projectId", status);
CREATE INDEX idx_transactions_from_type ON transactions ("from", type);
CREATE INDEX idx_transactions_to_type ON transactions ("to", type);
CREATE INDEX idx_transactions_milestone_id ON transactions ("milestoneId");
CREATE INDEX idx_transactions_dispute ON transactions ("disputeId");
CREATE INDEX idx_transactions_type ON transactions (type);
CREATE INDEX idx_transactions_status ON transactions (status);
CREATE INDEX idx_transactions_amount ON transactions (amount);
CREATE INDEX idx_transactions_created_at ON transactions ("createdAt");

CREATE TABLE wallets (
    _id              varchar(255)        PRIMARY KEY,
    "userId"         varchar(255)        NOT NULL REFERENCES users (_id),
    balance          integer             NOT NULL DEFAULT 0,
    currency         varchar(255)        NOT NULL DEFAULT 'USD',
    status           enum_wallets_status DEFAULT 'ACTIVE',
    "lockedBalance"  integer             DEFAULT 0,
    "totalDeposited" integer             DEFAULT 0,
    "totalWithdrawn" integer             DEFAULT 0,
    "createdAt"      timestamptz,
    "updatedAt"      timestamptz
);

-- New, as is each index of wallet_transactions below: the application had none here. They find a user's wallet and a
-- wallet's movements, and keep a delete of the row referred to from reading the whole table.
CREATE INDEX idx_wallets_user ON wallets ("userId");

CREATE TABLE wallet_transactions (
    _id               varchar(255)                             PRIMARY KEY,
    "walletId"        varchar(255)                             NOT NULL REFERENCES wallets (_id),
    type              enum_wallet_transactions_type            NOT NULL,
    amount            integer                                  NOT NULL,
    currency          varchar(255)                             DEFAULT 'USD',
    "fromWallet"      varchar(255)                             REFERENCES wallets (_id),
    "toWallet"        varchar(255)                             REFERENCES wallets (_id),
    "relatedEntity"   "enum_wallet_transactions_relatedEntity",
    "relatedEntityId" varchar(255),
    description       varchar(255),
    status            enum_wallet_transactions_status          DEFAULT 'PENDING',
    fees              text,
    "processedAt"     timestamptz,
    "failureReason"   varchar(255),
    metadata          text,
    "createdAt"       timestamptz,
    "updatedAt"       timestamptz
);

CREATE INDEX idx_wallet_transactions_wallet ON wallet_transactions ("walletId");
CREATE INDEX idx_wallet_transactions_from_wallet ON wallet_transactions ("fromWallet");
CREATE INDEX idx_wallet_transactions_to_wallet ON wallet_transactions ("toWallet");
