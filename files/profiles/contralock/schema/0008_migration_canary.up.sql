-- Where the application writes what proves that it works on this database (POST /canary of the sample application).
-- The source has no such table, and nothing of it is carried back.
CREATE TABLE migration_canary (
    token      uuid           PRIMARY KEY,
    written_at timestamptz(3) NOT NULL DEFAULT now()
);

COMMENT ON TABLE migration_canary IS 'Written through the application, to prove which database it works on';
