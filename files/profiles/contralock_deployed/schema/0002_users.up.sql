-- In all tables: the columns that the models declare, no more (sync({alter: true}) drops a column that it does not know)
-- and no stricter (it drops NOT NULL and DEFAULT where the model has none, and turns timestamptz(3) into timestamptz).
-- Every constraint bears the name that PostgreSQL gives it by itself, so that Sequelize's own makes it again alike.
CREATE TABLE users (
    _id                       varchar(255)      PRIMARY KEY,
    email                     varchar(255)      NOT NULL UNIQUE,
    password                  varchar(255)      NOT NULL,
    "firstName"               varchar(255)      NOT NULL,
    "lastName"                varchar(255)      NOT NULL,
    role                      enum_users_role   NOT NULL,
    status                    enum_users_status DEFAULT 'pending',
    profile                   json,
    "resetPasswordToken"      varchar(255),
    "resetPasswordExpires"    timestamptz,
    "emailVerificationToken"  varchar(255),
    "emailVerified"           boolean           DEFAULT false,
    "twoFactorEnabled"        boolean           DEFAULT false,
    "twoFactorSecret"         varchar(255),
    "twoFactorVerifiedAt"     timestamptz,
    "twoFactorLockedUntil"    timestamptz,
    "twoFactorFailedAttempts" integer           DEFAULT 0,
    "backupCodes"             text,
    "googleId"                varchar(255),
    "linkedinId"              varchar(255),
    "createdAt"               timestamptz,
    "updatedAt"               timestamptz
);

-- The unique key on email is its index. On SQLite the application had two more on that column, and one on email and
-- status, which a unique first column makes pointless.
CREATE INDEX idx_users_role ON users (role);
CREATE INDEX idx_users_status ON users (status);
CREATE INDEX idx_users_verification_status ON users ("emailVerified");
CREATE INDEX idx_users_created_at ON users ("createdAt");
