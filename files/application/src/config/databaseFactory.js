'use strict';

const { Sequelize } = require('sequelize');
const parserStore = require('sequelize/lib/dialects/parserStore');
const { parseJson } = require('../models/json');
const { databaseOptions } = require('./database');
const { readSettings } = require('./settings');

/** Makes the connection to the database that DB_TYPE names. */
class DatabaseFactory {
  static #latest;

  /**
   * Make a Sequelize instance; nothing is connected before its first query.
   * @param {object} settings From `readSettings`; by default those of the working directory and the environment.
   * @param {{create?: boolean}} options See `databaseOptions`.
   */
  static createDatabase(settings, options) {
    const sequelize = makeDatabase(settings, options);
    this.#latest = sequelize;
    const close = sequelize.close;
    sequelize.close = () => {
      if (this.#latest === sequelize) this.#latest = undefined;
      return close();
    };
    return sequelize;
  }

  /** What `createDatabase` made last, unless that is closed. */
  static get latest() {
    return this.#latest;
  }
}

/** As `createDatabase`, for one's own use: nobody else comes by it. */
function makeDatabase(settings = readSettings(process.cwd(), process.env), options = {}) {
  const sequelize = new Sequelize(databaseOptions(settings, options));
  if (settings.type === 'sqlite') {
    // Sequelize's own parser ends a whole query at the first '' that stands where JSON is expected.
    parserStore('sqlite').refresh({ types: { sqlite: ['JSON', 'JSONB'] }, parse: parseJson });
    // Sequelize looks for the connection of a transaction that could not begin or end in its pool, where SQLite's never
    // are: it would stay open, with its transaction and its lock, which then locks out everybody.
    const manager = sequelize.connectionManager;
    manager.destroyConnection = async (connection) => manager.releaseConnection(connection);
  }
  const close = sequelize.close.bind(sequelize);
  sequelize.close = () => {
    const connections = sequelize.connectionManager.connections ?? {};
    for (const [name, connection] of Object.entries(connections)) {
      // One of SQLite's that could not be opened would never say that it is closed.
      if (!connection.open) delete connections[name];
    }
    return close();
  };
  return sequelize;
}

module.exports = { DatabaseFactory, makeDatabase };
