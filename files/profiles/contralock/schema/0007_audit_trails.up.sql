CREATE TABLE audit_trails (
    id          uuid           PRIMARY KEY DEFAULT gen_random_uuid(),
    action      varchar(255)   NOT NULL,
    user_id     uuid           REFERENCES users (id),
    entity_type varchar(255),
    entity_id   uuid,
    old_values  jsonb,
    new_values  jsonb,
    ip_address  varchar(255),
    user_agent  text,
    trace_id    varchar(255),
    metadata    jsonb,
    created_at  timestamptz(3) NOT NULL DEFAULT now(),
    updated_at  timestamptz(3) NOT NULL DEFAULT now()
);

-- The application had none here. These serve its three searches: by user, by entity, by time.
CREATE INDEX idx_audit_trails_user ON audit_trails (user_id);
CREATE INDEX idx_audit_trails_entity ON audit_trails (entity_type, entity_id);
CREATE INDEX idx_audit_trails_created_at ON audit_trails (created_at);

COMMENT ON COLUMN audit_trails.entity_id IS
    'The id of a row in the table that entity_type names, without a foreign key: a trail outlives what it is about';
COMMENT ON COLUMN audit_trails.old_values IS 'What the row held before; may contain what is secret in that row';
COMMENT ON COLUMN audit_trails.new_values IS 'What the row held after; may contain what is secret in that row';
