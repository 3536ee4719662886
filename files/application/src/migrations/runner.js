'use strict';

const fs = require('node:fs');
const path = require('node:path');
const Sequelize = require('sequelize');

const META = 'SequelizeMeta';

/**
 * Run the migrations that have not been run: on SQLite those that SequelizeMeta does not name; on PostgreSQL, where the
 * application may make nothing, all of them, which only look.
 * @param {ApplicationDatabase} database
 * @returns {Promise<{applied: string[], verified: string[]}>}
 */
async function migrate({ sequelize }) {
  const files = fs.readdirSync(__dirname).filter((name) => /^[0-9]+-.*\.js$/.test(name));
  const queryInterface = sequelize.getQueryInterface();
  const run = (name) => require(path.join(__dirname, name)).up(queryInterface, Sequelize);
  if (sequelize.getDialect() === 'postgres') {
    for (const name of files) await run(name);
    return { applied: [], verified: files };
  }
  await sequelize.query(`CREATE TABLE IF NOT EXISTS \`${META}\` (\`name\` VARCHAR(255) NOT NULL UNIQUE PRIMARY KEY)`);
  const rows = await sequelize.query(`SELECT name FROM ${META}`, { type: Sequelize.QueryTypes.SELECT });
  const done = new Set(rows.map((row) => row.name));
  const pending = files.filter((name) => !done.has(name));
  for (const name of pending) {
    await run(name);
    await sequelize.query(`INSERT INTO ${META} (name) VALUES ($1)`, { bind: [name] });
  }
  return { applied: pending, verified: [] };
}

/** The name of the last migration that was run on SQLite; null where none was. */
async function lastMigration(sequelize) {
  const select = (sql) => sequelize.query(sql, { type: Sequelize.QueryTypes.SELECT });
  // A file that no migration has made need not have the table.
  if ((await select(`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '${META}'`)).length === 0) return null;
  const [{ version }] = await select(`SELECT max(name) AS version FROM ${META}`);
  return version?.replace(/\.js$/, '') ?? null;
}

module.exports = { lastMigration, migrate };
