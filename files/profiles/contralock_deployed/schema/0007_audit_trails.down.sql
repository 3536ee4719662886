DROP TABLE audit_trails;
