CREATE TABLE disputes (
    id                 uuid                 PRIMARY KEY DEFAULT gen_random_uuid(),
    project            uuid                 NOT NULL REFERENCES projects (id),
    milestone          uuid                 NOT NULL REFERENCES milestones (id),
    raised_by          uuid                 NOT NULL REFERENCES users (id),
    reason             text                 NOT NULL,
    evidence           jsonb,
    status             enum_disputes_status DEFAULT 'PENDING_FEE',
    ai_analysis        jsonb,
    mediator           uuid                 REFERENCES users (id),
    arbitrator         uuid                 REFERENCES users (id),
    resolution         jsonb,
    messages           jsonb,
    dispute_fee        jsonb,
    evidence_submitted jsonb,
    timeline           jsonb,
    appeal             jsonb,
    created_at         timestamptz(3)       NOT NULL DEFAULT now(),
    updated_at         timestamptz(3)       NOT NULL DEFAULT now()
);

-- An index on project alone is left out: it is the beginning of the pair. The two for mediator and arbitrator are
-- new: a foreign key without an index makes every delete of a user read the whole table.
CREATE INDEX idx_disputes_project_status ON disputes (project, status);
CREATE INDEX idx_disputes_milestone ON disputes (milestone);
CREATE INDEX idx_disputes_status ON disputes (status);
CREATE INDEX idx_disputes_raised_by ON disputes (raised_by);
CREATE INDEX idx_disputes_mediator ON disputes (mediator);
CREATE INDEX idx_disputes_arbitrator ON disputes (arbitrator);
CREATE INDEX idx_disputes_created_at ON disputes (created_at);

COMMENT ON COLUMN disputes.arbitrator IS 'A user, not a row of arbitrators';
COMMENT ON COLUMN disputes.messages IS 'Array of messages; from is the id of a user';

CREATE TABLE arbitrators (
    id              uuid           PRIMARY KEY DEFAULT gen_random_uuid(),
    "user"          uuid           NOT NULL REFERENCES users (id),
    specialties     jsonb,
    rating          jsonb,
    cases_completed integer        DEFAULT 0,
    success_rate    numeric(5,2)   DEFAULT 0,
    availability    boolean        DEFAULT true,
    active          boolean        DEFAULT true,
    verification    jsonb,
    earnings        jsonb,
    created_at      timestamptz(3) NOT NULL DEFAULT now(),
    updated_at      timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT arbitrators_cases_completed_check CHECK (cases_completed >= 0),
    CONSTRAINT arbitrators_success_rate_check CHECK (success_rate BETWEEN 0 AND 100)
);

CREATE INDEX idx_arbitrators_user ON arbitrators ("user");

COMMENT ON COLUMN arbitrators.success_rate IS 'In per cent, 0 to 100';
