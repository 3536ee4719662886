CREATE TABLE `SequelizeMeta` (`name` VARCHAR(255) NOT NULL UNIQUE PRIMARY KEY);
INSERT INTO SequelizeMeta VALUES ('20240101-create-users.js');
CREATE TABLE `users` (`id` UUID PRIMARY KEY, `email` VARCHAR(255) NOT NULL UNIQUE, `passwordHash` VARCHAR(255),
  `role` TEXT NOT NULL DEFAULT 'guest', `isActive` TINYINT(1) DEFAULT 1, `settings` JSON, `score` DECIMAL(5,2),
  `bio` TEXT DEFAULT NULL, `createdAt` DATETIME NOT NULL, `updatedAt` DATETIME NOT NULL);
CREATE TABLE `users_backup` (`id` UUID PRIMARY KEY, `email` VARCHAR(255) NOT NULL UNIQUE,
  `createdAt` DATETIME NOT NULL, `updatedAt` DATETIME NOT NULL);
CREATE TABLE `posts` (`id` INTEGER PRIMARY KEY AUTOINCREMENT, `title` VARCHAR(20), `payload` TEXT,
  `authorId` UUID REFERENCES `users` (`id`) ON DELETE CASCADE ON UPDATE CASCADE,
  `parentId` INTEGER REFERENCES `posts` (`id`) ON DELETE SET NULL, `likes` INTEGER DEFAULT '0',
  `createdAt` DATETIME NOT NULL, `updatedAt` DATETIME NOT NULL);
CREATE INDEX `posts_author_id` ON `posts` (`authorId`);
CREATE UNIQUE INDEX `users_email` ON `users` (`email`);
