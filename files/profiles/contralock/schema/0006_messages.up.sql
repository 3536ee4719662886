CREATE TABLE conversations (
    id              uuid                      PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id      uuid                      NOT NULL REFERENCES projects (id),
    participants    jsonb                     NOT NULL,
    unread_count    integer                   DEFAULT 0,
    last_message_id uuid,
    last_message    text,
    last_message_at timestamptz(3),
    status          enum_conversations_status DEFAULT 'ACTIVE',
    is_archived     boolean                   DEFAULT false,
    created_at      timestamptz(3)            NOT NULL DEFAULT now(),
    updated_at      timestamptz(3)            NOT NULL DEFAULT now(),
    CONSTRAINT conversations_unread_count_check CHECK (unread_count >= 0)
);

-- An index on project_id alone is left out: it is the beginning of the pair. The application indexed the text of
-- participants, which served no search for one of them; the inverted index serves participants @> '["<id>"]'.
CREATE INDEX idx_conversations_project_status ON conversations (project_id, status);
CREATE INDEX idx_conversations_participants ON conversations USING gin (participants jsonb_path_ops);
CREATE INDEX idx_conversations_status ON conversations (status);
CREATE INDEX idx_conversations_created_at ON conversations (created_at);

COMMENT ON COLUMN conversations.participants IS 'Array of ids of users';
COMMENT ON COLUMN conversations.last_message_id IS
    'The id of a message, without a foreign key: messages refer to conversations already, and it may be gone';

CREATE TABLE messages (
    id                uuid                      PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id        uuid                      NOT NULL REFERENCES projects (id),
    conversation_id   uuid                      REFERENCES conversations (id),
    sender_id         uuid                      NOT NULL REFERENCES users (id),
    sender_role       enum_messages_sender_role NOT NULL,
    content           text                      NOT NULL,
    type              enum_messages_type        DEFAULT 'TEXT',
    status            enum_messages_status      DEFAULT 'SENT',
    is_system_message boolean                   DEFAULT false,
    parent_id         uuid,
    attachments       jsonb,
    read_by           jsonb                     DEFAULT '[]',
    sent_at           timestamptz(3),
    read_at           timestamptz(3),
    created_at        timestamptz(3)            NOT NULL DEFAULT now(),
    updated_at        timestamptz(3)            NOT NULL DEFAULT now()
);

-- Indexes on conversation_id alone and on project_id alone are left out: each is the beginning of a pair below.
-- The one on parent_id is new: it finds the answers to a message.
CREATE INDEX idx_messages_conversation_timestamp ON messages (conversation_id, created_at);
CREATE INDEX idx_messages_project_timestamp ON messages (project_id, created_at);
CREATE INDEX idx_messages_sender ON messages (sender_id);
CREATE INDEX idx_messages_parent ON messages (parent_id);
CREATE INDEX idx_messages_type ON messages (type);
CREATE INDEX idx_messages_status ON messages (status);
CREATE INDEX idx_messages_created_at ON messages (created_at);

COMMENT ON COLUMN messages.parent_id IS
    'The id of the message that this one answers, without a foreign key: the application never had one';
COMMENT ON COLUMN messages.read_by IS 'Array of ids of users';

CREATE TABLE notifications (
    id                uuid                              PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id           uuid                              NOT NULL REFERENCES users (id),
    type              enum_notifications_type           NOT NULL,
    title             varchar(255)                      NOT NULL,
    message           text                              NOT NULL,
    data              jsonb,
    read              boolean                           DEFAULT false,
    read_at           timestamptz(3),
    related_entity    enum_notifications_related_entity,
    related_entity_id uuid,
    priority          enum_notifications_priority       DEFAULT 'NORMAL',
    sent_via          jsonb,
    scheduled_for     timestamptz(3),
    created_at        timestamptz(3)                    NOT NULL DEFAULT now(),
    updated_at        timestamptz(3)                    NOT NULL DEFAULT now()
);

-- An index on user_id alone is left out: it is the beginning of both pairs.
CREATE INDEX idx_notifications_user_read_status ON notifications (user_id, read);
CREATE INDEX idx_notifications_user_type ON notifications (user_id, type);
CREATE INDEX idx_notifications_type ON notifications (type);
CREATE INDEX idx_notifications_read_status ON notifications (read);
CREATE INDEX idx_notifications_created_at ON notifications (created_at);

COMMENT ON COLUMN notifications.related_entity_id IS
    'The id of a row in the table that related_entity names; one column for five tables has no foreign key';
COMMENT ON COLUMN notifications.sent_via IS 'Array of channels';
