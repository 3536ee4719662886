CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, boss INTEGER REFERENCES person,
  team TEXT REFERENCES team (code) DEFERRABLE INITIALLY DEFERRED, is_admin INTEGER NOT NULL DEFAULT 0,
  created TEXT DEFAULT CURRENT_TIMESTAMP, token TEXT, "order" TEXT DEFAULT "none");
CREATE TABLE team (code TEXT PRIMARY KEY NOT NULL, leader INTEGER REFERENCES person (id)) WITHOUT ROWID;
CREATE TABLE reading (device INT, at INT, value REAL, PRIMARY KEY (device, at)) WITHOUT ROWID;
CREATE TABLE line (id INTEGER PRIMARY KEY AUTOINCREMENT, price INTEGER NOT NULL CHECK (price >= 0),
  amount INTEGER NOT NULL, total INTEGER GENERATED ALWAYS AS (price * amount) STORED,
  initial TEXT AS (substr(note, 1, 1)) VIRTUAL, note, CHECK (amount < 1000 AND note NOT LIKE 'x%'));
CREATE TABLE strict_one (a INT PRIMARY KEY, b TEXT, c ANY, d BLOB) STRICT;
CREATE TABLE log (message TEXT, level TEXT, "say ""so"" now" TEXT);
CREATE TABLE "a_name_of_seventy_bytes_that_postgresql_would_cut_without_a_word_at_63" (id INTEGER PRIMARY KEY, "a_name_of_seventy_bytes_that_postgresql_would_cut_without_a_word_at_63" TEXT, xmin INTEGER);
CREATE TABLE visit (id INTEGER PRIMARY KEY, person_id INTEGER REFERENCES person (id), seen DATETIME,
  day DATETIME, epoch TIMESTAMP, width VARCHAR(3), kind INTEGER, gone INTEGER REFERENCES nowhere (id));
CREATE INDEX person_name_lower ON person (lower(name));
CREATE UNIQUE INDEX person_admin ON person (boss) WHERE is_admin = 1;
CREATE INDEX reading_at ON reading (at DESC, value);
CREATE INDEX reading_at_again ON reading (at DESC, value);
CREATE INDEX line_month ON line (substr(note, 1, 7));
CREATE VIEW admins AS SELECT name FROM person WHERE is_admin;
CREATE TRIGGER line_log AFTER DELETE ON line BEGIN INSERT INTO log VALUES ('gone', 'info', NULL); END;
