CREATE TABLE audit_trails (
    _id          varchar(255) PRIMARY KEY,
    action       varchar(255) NOT NULL,
    "userId"     varchar(255) REFERENCES users (_id),
    "entityType" varchar(255),
    "entityId"   varchar(255),
    "oldValues"  text,
    "newValues"  text,
    "ipAddress"  varchar(255),
    "userAgent"  text,
    "traceId"    varchar(255),
    metadata     text,
    "createdAt"  timestamptz,
    "updatedAt"  timestamptz
);

-- New: the application had none here. It looks for the trails of a user.
CREATE INDEX idx_audit_trails_user ON audit_trails ("userId");
