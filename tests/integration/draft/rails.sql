CREATE TABLE "schema_migrations" ("version" varchar NOT NULL PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('20240101000000');
CREATE TABLE "ar_internal_metadata" ("key" varchar NOT NULL PRIMARY KEY, "value" varchar,
  "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL);
INSERT INTO ar_internal_metadata
  VALUES ('environment', 'production', '2024-01-03 09:10:55.791000', '2024-01-03 09:10:55.791000');
CREATE TABLE "accounts" ("id" integer PRIMARY KEY AUTOINCREMENT NOT NULL, "name" varchar NOT NULL,
  "admin" boolean DEFAULT 0 NOT NULL, "balance" decimal(10,2) DEFAULT '0.0', "preferences" json,
  "reset_token" varchar, "born_on" date, "wakes_at" time, "created_at" datetime(6) NOT NULL,
  "updated_at" datetime(6) NOT NULL);
CREATE TABLE "memberships" ("account_id" integer NOT NULL, "team" varchar(30) NOT NULL, "level" integer,
  PRIMARY KEY ("account_id", "team"),
  CONSTRAINT "fk_rails_1" FOREIGN KEY ("account_id") REFERENCES "accounts" ("id") ON DELETE CASCADE);
CREATE UNIQUE INDEX "index_accounts_on_name" ON "accounts" ("name") WHERE admin = 1;
CREATE INDEX "index_accounts_on_lower_name" ON "accounts" (lower(name));
