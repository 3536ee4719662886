CREATE TABLE projects (
    id               uuid                   PRIMARY KEY DEFAULT gen_random_uuid(),
    title            varchar(255)           NOT NULL,
    description      text                   NOT NULL,
    category         enum_projects_category NOT NULL,
    budget           bigint                 NOT NULL,
    deadline         timestamptz(3)         NOT NULL,
    status           enum_projects_status   DEFAULT 'DRAFT',
    client           uuid                   NOT NULL REFERENCES users (id),
    freelancer       uuid                   REFERENCES users (id),
    milestones       jsonb,
    progress         jsonb,
    escrow           jsonb,
    currency         varchar(255)           DEFAULT 'USD',
    payment_schedule jsonb,
    activity_log     jsonb,
    created_at       timestamptz(3)         NOT NULL DEFAULT now(),
    updated_at       timestamptz(3)         NOT NULL DEFAULT now(),
    CONSTRAINT projects_budget_check CHECK (budget >= 0)
);

-- Indexes on client alone and on freelancer alone are left out: each is the beginning of a pair below.
CREATE INDEX idx_projects_client_status ON projects (client, status);
CREATE INDEX idx_projects_freelancer_status ON projects (freelancer, status);
CREATE INDEX idx_projects_status ON projects (status);
CREATE INDEX idx_projects_category ON projects (category);
CREATE INDEX idx_projects_deadline ON projects (deadline);
CREATE INDEX idx_projects_created_at ON projects (created_at);

COMMENT ON COLUMN projects.budget IS 'In hundredths of the currency (cents)';
COMMENT ON COLUMN projects.milestones IS 'Array of ids of milestones, kept beside milestones.project';
COMMENT ON COLUMN projects.escrow IS 'What is held, released and left, as the application computed it';
COMMENT ON COLUMN projects.activity_log IS 'Array of events; performedBy is the id of a user';

CREATE TABLE milestones (
    id                  uuid                   PRIMARY KEY DEFAULT gen_random_uuid(),
    title               varchar(255)           NOT NULL,
    description         text                   NOT NULL,
    amount              bigint                 NOT NULL,
    deadline            timestamptz(3)         NOT NULL,
    acceptance_criteria text                   NOT NULL,
    project             uuid                   NOT NULL REFERENCES projects (id),
    status              enum_milestones_status DEFAULT 'PENDING',
    submitted_at        timestamptz(3),
    approved_at         timestamptz(3),
    revision_history    jsonb,
    currency            varchar(255)           DEFAULT 'USD',
    deliverables        jsonb,
    created_at          timestamptz(3)         NOT NULL DEFAULT now(),
    updated_at          timestamptz(3)         NOT NULL DEFAULT now(),
    CONSTRAINT milestones_amount_check CHECK (amount >= 0)
);

-- An index on project alone is left out: it is the beginning of the pair.
CREATE INDEX idx_milestones_project_status ON milestones (project, status);
CREATE INDEX idx_milestones_status ON milestones (status);
CREATE INDEX idx_milestones_deadline ON milestones (deadline);
CREATE INDEX idx_milestones_created_at ON milestones (created_at);

COMMENT ON COLUMN milestones.amount IS 'In hundredths of the currency (cents)';
