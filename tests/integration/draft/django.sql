CREATE TABLE "django_migrations" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app" varchar(255) NOT NULL,
  "name" varchar(255) NOT NULL, "applied" datetime NOT NULL);
INSERT INTO django_migrations VALUES (1, 'shop', '0001_initial', '2024-01-03 09:10:55.791000');
CREATE TABLE "shop_category" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(50) NOT NULL UNIQUE,
  "parent_id" bigint NULL REFERENCES "shop_category" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE "shop_item" ("uuid" char(32) NOT NULL PRIMARY KEY, "price" decimal NOT NULL, "is_new" bool NOT NULL,
  "stock" integer unsigned NOT NULL CHECK ("stock" >= 0), "attributes" text NOT NULL
  CHECK ((JSON_VALID("attributes") OR "attributes" IS NULL)), "added" datetime NOT NULL, "day" date NULL,
  "opens" time NULL, "weight" real NULL, "picture" BLOB NULL,
  "category_id" bigint NOT NULL REFERENCES "shop_category" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX "shop_item_category_id_1" ON "shop_item" ("category_id");
CREATE UNIQUE INDEX "shop_item_day_uniq" ON "shop_item" ("day", "stock");
