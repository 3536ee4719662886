CREATE TABLE conversations (
    _id             varchar(255)              PRIMARY KEY,
    "projectId"     varchar(255)              NOT NULL REFERENCES projects (_id),
    participants    text                      NOT NULL,
    "unreadCount"   integer                   DEFAULT 0,
    "lastMessageId" varchar(255),
    "lastMessage"   text,
    "lastMessageAt" timestamptz,
    status          enum_conversations_status DEFAULT 'ACTIVE',
    "isArchived"    boolean                   DEFAULT false,
    "createdAt"     timestamptz,
    "updatedAt"     timestamptz
);

-- Left out: "projectId" alone, the beginning of the pair, and participants: an index on a whole JSON text serves no
-- search for one of them, and refuses the row whose text is longer than a third of a page.
CREATE INDEX idx_conversations_project_status ON conversations ("projectId", status);
CREATE INDEX idx_conversations_status ON conversations (status);
CREATE INDEX idx_conversations_created_at ON conversations ("createdAt");

CREATE TABLE messages (
    _id               varchar(255)               PRIMARY KEY,
    "projectId"       varchar(255)               NOT NULL REFERENCES projects (_id),
    "conversationId"  varchar(255)               REFERENCES conversations (_id),
    "senderId"        varchar(255)               NOT NULL REFERENCES users (_id),
    "senderRole"      "enum_messages_senderRole" NOT NULL,
    content           text                       NOT NULL,
    type              enum_messages_type         DEFAULT 'TEXT',
    status            enum_messages_status       DEFAULT 'SENT',
    "isSystemMessage" boolean                    DEFAULT false,
    "parentId"        varchar(255),
    attachments       text,
    "readBy"          text                       DEFAULT '[]',
    "sentAt"          timestamptz,
    "readAt"          timestamptz,
    "createdAt"       timestamptz,
    "updatedAt"       timestamptz
);

-- Indexes on "conversationId" alone and on "projectId" alone are left out: each is the beginning of a pair below.
CREATE INDEX idx_messages_conversation_timestamp ON messages ("conversationId", "createdAt");
CREATE INDEX idx_messages_project_timestamp ON messages ("projectId", "createdAt");
CREATE INDEX idx_messages_sender ON messages ("senderId");
CREATE INDEX idx_messages_type ON messages (type);
CREATE INDEX idx_messages_status ON messages (status);
CREATE INDEX idx_messages_created_at ON messages ("createdAt");

CREATE TABLE notifications (
    _id               varchar(255)                       PRIMARY KEY,
    "userId"          varchar(255)                       NOT NULL REFERENCES users (_id),
    type              enum_notifications_type            NOT NULL,
    title             varchar(255)                       NOT NULL,
    message           text                               NOT NULL,
    data              text,
    read              boolean                            DEFAULT false,
    "readAt"          timestamptz,
    "relatedEntity"   "enum_notifications_relatedEntity",
    "relatedEntityId" varchar(255),
    priority          enum_notifications_priority        DEFAULT 'NORMAL',
    "sentVia"         text,
    "scheduledFor"    timestamptz,
    "createdAt"       timestamptz,
    "updatedAt"       timestamptz
);

-- An index on "userId" alone is left out: it is the beginning of both pairs.
CREATE INDEX idx_notifications_user_read_status ON notifications ("userId", read);
CREATE INDEX idx_notifications_user_type ON notifications ("userId", type);
CREATE INDEX idx_notifications_type ON notifications (type);
CREATE INDEX idx_notifications_read_status ON notifications (read);
CREATE INDEX idx_notifications_created_at ON notifications ("createdAt");
