DROP TABLE migration_canary;
