CREATE TABLE projects (
    _id               varchar(255)           PRIMARY KEY,
    title             varchar(255)           NOT NULL,
    description       text                   NOT NULL,
    category          enum_projects_category NOT NULL,
    budget            integer                NOT NULL,
    deadline          timestamptz            NOT NULL,
    status            enum_projects_status   DEFAULT 'DRAFT',
    client            varchar(255)           NOT NULL REFERENCES users (_id),
    freelancer        varchar(255)           REFERENCES users (_id),
    milestones        text,
    progress          text,
    escrow            text,
    currency          varchar(255)           DEFAULT 'USD',
    "paymentSchedule" text,
    "activityLog"     text,
    "createdAt"       timestamptz,
    "updatedAt"       timestamptz
);

-- Indexes on client alone and on freelancer alone are left out: each is the beginning of a pair below.
CREATE INDEX idx_projects_client_status ON projects (client, status);
CREATE INDEX idx_projects_freelancer_status ON projects (freelancer, status);
CREATE INDEX idx_projects_status ON projects (status);
CREATE INDEX idx_projects_category ON projects (category);
CREATE INDEX idx_projects_deadline ON projects (deadline);
CREATE INDEX idx_projects_created_at ON projects ("createdAt");

CREATE TABLE milestones (
    _id                  varchar(255)           PRIMARY KEY,
    title                varchar(255)           NOT NULL,
    description          text                   NOT NULL,
    amount               integer                NOT NULL,
    deadline             timestamptz            NOT NULL,
    "acceptanceCriteria" text                   NOT NULL,
    project              varchar(255)           NOT NULL REFERENCES projects (_id),
    status               enum_milestones_status DEFAULT 'PENDING',
    "submittedAt"        timestamptz,
    "approvedAt"         timestamptz,
    "revisionHistory"    text,
    currency             varchar(255)           DEFAULT 'USD',
    deliverables         text,
    "createdAt"          timestamptz,
    "updatedAt"          timestamptz
);

-- An index on project alone is left out: it is the beginning of the pair.
CREATE INDEX idx_milestones_project_status ON milestones (project, status);
CREATE INDEX idx_milestones_status ON milestones (status);
CREATE INDEX idx_milestones_deadline ON milestones (deadline);
CREATE INDEX idx_milestones_created_at ON milestones ("createdAt");
