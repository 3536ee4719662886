'use strict';

const { createHash } = require('node:crypto');
const { QueryTypes } = require('sequelize');
const { readTables } = require('../models/tables');
const { oneLine } = require('./words');

const PATIENCE_MS = 4000;
const ABOUT_POSTGRESQL = `
  SELECT current_database() AS "database", current_setting('server_version') AS "server",
         (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS "tls"`;

/** Says which database answers, and how well. */
class DatabaseHealth {
  /**
   * Ask the database. Never throws, and never says a secret.
   * @param {ApplicationDatabase} database
   * @returns {Promise<{status: 'healthy'|'unhealthy', details: object}>} `details` has `type` and `message` or `error`.
   */
  static async check(database) {
    const details = { type: database.type, ...whereOf(database.settings) };
    try {
      Object.assign(details, await withinTime(ask(database)));
    } catch (error) {
      details.error = oneLine(error);
    }
    if (database.type === 'postgresql') details.pool = database.pool();
    return { status: details.error === undefined ? 'healthy' : 'unhealthy', details };
  }
}

function whereOf(settings) {
  return settings.type === 'sqlite'
    ? { path: settings.path, tls: null }
    : { host: settings.dbHost, port: settings.dbPort, tls: null };
}

async function ask(database) {
  const { sequelize, type } = database;
  const began = performance.now();
  const about = type === 'sqlite' ? { message: 'SQLite answers' } : await aboutPostgresql(database);
  const users = sequelize.getQueryInterface().quoteIdentifier(database.models.User.getTableName());
  await database.read(() => sequelize.query(`SELECT 1 FROM ${users} LIMIT 1`, { type: QueryTypes.SELECT }));
  const latencyMs = Math.round((performance.now() - began) * 10) / 10;
  return { ...about, latencyMs, schema: versionOf(await database.read(() => readTables(sequelize))) };
}

async function aboutPostgresql(database) {
  const [about] = await database.read(() => database.sequelize.query(ABOUT_POSTGRESQL, { type: QueryTypes.SELECT }));
  return { message: 'PostgreSQL answers', ...about };
}

/** What changes when a table or a column does: the number of tables and a digest of all names and types. */
function versionOf(tables) {
  const lines = [...tables.values()].flatMap(({ name, columns }) =>
    [...columns.values()].map((column) => JSON.stringify([name, column.name, column.type])),
  );
  return { tables: tables.size, version: createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 12) };
}

async function withinTime(answer) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

module.exports = { DatabaseHealth };
