CREATE TABLE disputes (
    _id                 varchar(255)         PRIMARY KEY,
    project             varchar(255)         NOT NULL REFERENCES projects (_id),
    milestone           varchar(255)         NOT NULL REFERENCES milestones (_id),
    "raisedBy"          varchar(255)         NOT NULL REFERENCES users (_id),
    reason              text                 NOT NULL,
    evidence            text,
    status              enum_disputes_status DEFAULT 'PENDING_FEE',
    "aiAnalysis"        text,
    mediator            varchar(255)         REFERENCES users (_id),
    arbitrator          varchar(255)         REFERENCES users (_id),
    resolution          text,
    messages            text,
    "disputeFee"        text,
    "evidenceSubmitted" text,
    timeline            text,
    appeal              text,
    "createdAt"         timestamptz,
    "updatedAt"         timestamptz
);

-- An index on project alone is left out: it is the beginning of the pair. Those on mediator and arbitrator are new.
CREATE INDEX idx_disputes_project_status ON disputes (project, status);
CREATE INDEX idx_disputes_milestone ON disputes (milestone);
CREATE INDEX idx_disputes_status ON disputes (status);
CREATE INDEX idx_disputes_raised_by ON disputes ("raisedBy");
CREATE INDEX idx_disputes_mediator ON disputes (mediator);
CREATE INDEX idx_disputes_arbitrator ON disputes (arbitrator);
CREATE INDEX idx_disputes_created_at ON disputes ("createdAt");

CREATE TABLE arbitrators (
    _id              varchar(255) PRIMARY KEY,
    "user"           varchar(255) NOT NULL REFERENCES users (_id),
    specialties      text,
    rating           text,
    "casesCompleted" integer      DEFAULT 0,
    "successRate"    numeric(5,2) DEFAULT 0,
    availability     boolean      DEFAULT true,
    active           boolean      DEFAULT true,
    verification     text,
    earnings         text,
    "createdAt"      timestamptz,
    "updatedAt"      timestamptz
);

-- New: the application had none here.
CREATE INDEX idx_arbitrators_user ON arbitrators ("user");
