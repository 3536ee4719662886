'use strict';

const { Sequelize } = require('sequelize');
const parserStore = require('sequelize/lib/dialects/parserStore');
const { parseJson } = require('../models/json');
const { databaseOptions } = require('./database');
const { readSettings } = require('./settings');

/** Makes the connection to the database that DB_TYPE names. */
class DatabaseFactory {
  /**
   * Make a Sequelize instance; nothing is connected before its first query.
   * @param {object} settings From `readSettings`; by default those of the working directory and the environment.
   * @param {{create?: boolean}} options See `databaseOptions`.
   */
  static createDatabase(settings = readSettings(process.cwd(), process.env), options = {}) {
    const sequelize = new Sequelize(databaseOptions(settings, options));
    if (settings.type === 'sqlite') {
      // Sequelize's own parser ends a whole query at the first '' that stands where JSON is expected.
      parserStore('sqlite').refresh({ types: { sqlite: ['JSON', 'JSONB'] }, parse: parseJson });
    }
    return sequelize;
  }
}

module.exports = { DatabaseFactory };
