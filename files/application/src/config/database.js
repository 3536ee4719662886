'use strict';

// Sequelize's options for either database. What the migration plan's own configuration missed is told in
// docs/application.md, with a test for each.

const tls = require('node:tls');

const CONNECT_MS = 5000;
const BUSY_MS = 5000;

/**
 * Return the options of `new Sequelize(options)`.
 * @param {object} settings From `readSettings`.
 * @param {{create?: boolean}} options `create`: make a SQLite file that is missing; otherwise that is an error, because
 *   an empty database under the old name would look like the data.
 */
function databaseOptions(settings, { create = false } = {}) {
  const common = {
    logging: settings.logQueries ? (sql) => console.error(sql) : false,
    // Sequelize's own would repeat a write whose connection was lost; see retries.js.
    retry: { max: 1 },
    pool: { ...settings.pool },
    hooks: {},
  };
  return { ...common, ...(settings.type === 'postgresql' ? postgresql(settings) : sqlite(settings, create)) };
}

function postgresql(settings) {
  const pg = require('pg');
  // COUNT() and bigint come as text, and '100' + 5 is '1005'. What a double cannot hold exactly stays text.
  pg.types.setTypeParser(pg.types.builtins.INT8, (text) => {
    const value = Number(text);
    return Number.isSafeInteger(value) ? value : text;
  });
  return {
    dialect: 'postgres',
    dialectModule: pg,
    host: settings.dbHost,
    port: settings.dbPort,
    database: settings.name,
    username: settings.user,
    password: settings.password,
    dialectOptions: {
      application_name: settings.applicationName,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_MS,
      ssl: tlsOptions(settings),
    },
  };
}

/** What reaches the driver is dialectOptions.ssl alone: an `ssl: true` beside it is silently plain text. */
function tlsOptions(settings) {
  if (!settings.ssl || settings.dbHost.startsWith('/')) return false;
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    // By the name that was asked for, also when that is an address, for which Node would look at another name.
    checkServerIdentity: (_, certificate) => tls.checkServerIdentity(settings.dbHost, certificate),
    ...(settings.sslCaText ? { ca: settings.sslCaText } : {}),
  };
}

function sqlite(settings, create) {
  const sqlite3 = require('sqlite3');
  // Each transaction has a connection of its own, which Sequelize makes without asking; so the waiting is set here.
  function Database(...parameters) {
    const database = new sqlite3.Database(...parameters);
    database.configure('busyTimeout', BUSY_MS);
    return database;
  }
  return {
    dialect: 'sqlite',
    dialectModule: { ...sqlite3, Database },
    storage: settings.path,
    dialectOptions: { mode: create ? sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE : sqlite3.OPEN_READWRITE },
  };
}

module.exports = { databaseOptions };
