'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { QueryTypes } = require('sequelize');
const { DatabaseFactory, makeDatabase } = require('../config/databaseFactory');
const { withRetries } = require('../config/retries');
const { lastMigration } = require('../migrations/runner');
const { readTables } = require('../models/tables');
const { poolUse } = require('./metrics');
const { oneLine } = require('./words');

const PATIENCE_MS = 4000;
const ABOUT_POSTGRESQL = `
  SELECT current_database() AS "database", current_setting('server_version') AS "server",
         (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS "tls"`;
const LAST_CHANGE = fs.readFileSync(path.join(__dirname, 'last_change.sql'), 'utf8');

/** Says which database answers, and how well. */
class DatabaseHealth {
  /**
   * Ask the database. Never throws, and never says a secret.
   * @param {Sequelize} sequelize By default the one that `createDatabase()` made last; where there is none, one that is
   *   made for this question alone.
   * @returns {Promise<{status: 'healthy'|'unhealthy', details: object}>} `details` has `type` and `message` or `error`.
   */
  static async check(sequelize = DatabaseFactory.latest) {
    if (sequelize) return examine(sequelize);
    let own;
    try {
      own = makeDatabase();
    } catch (error) {
      return { status: 'unhealthy', details: { type: null, error: oneLine(error) } };
    }
    const health = await examine(own);
    // One that does not answer is not waited for a second time.
    own.close().catch(() => {});
    return health;
  }
}

async function examine(sequelize) {
  const details = whereOf(sequelize);
  try {
    Object.assign(details, await withinTime(ask(sequelize)));
  } catch (error) {
    details.error = oneLine(error);
  }
  const pool = poolUse(sequelize);
  if (pool) details.pool = pool;
  return { status: details.error === undefined ? 'healthy' : 'unhealthy', details };
}

function whereOf(sequelize) {
  const { host, port } = sequelize.config;
  return sequelize.getDialect() === 'sqlite'
    ? { type: 'sqlite', path: sequelize.options.storage, tls: null }
    : { type: 'postgresql', host, port, tls: null };
}

async function ask(sequelize) {
  const read = (work) => withRetries(work, { repeatable: true });
  const select = (sql) => read(() => sequelize.query(sql, { type: QueryTypes.SELECT }));
  const isSqlite = sequelize.getDialect() === 'sqlite';
  const began = performance.now();
  const about = await (isSqlite ? { message: 'SQLite answers' } : aboutPostgresql(select));
  // An empty database answers as well; the application's has its tables.
  const tables = await read(() => readTables(sequelize));
  const users = tables.get('users');
  if (!users) throw new Error('the database has no table users');
  await select(`SELECT 1 FROM ${sequelize.getQueryInterface().quoteIdentifier(users.name)} LIMIT 1`);
  const latencyMs = Math.round((performance.now() - began) * 10) / 10;
  const version = await (isSqlite ? read(() => lastMigration(sequelize)) : lastChange(select));
  return { ...about, latencyMs, schema: { tables: tables.size, version } };
}

async function aboutPostgresql(select) {
  const [about] = await select(ABOUT_POSTGRESQL);
  return { message: 'PostgreSQL answers', ...about };
}

async function lastChange(select) {
  const [change] = await select(LAST_CHANGE);
  return change?.version ?? null;
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
