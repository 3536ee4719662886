'use strict';

const { columnOf } = require('./columns');
const { readTables } = require('./tables');

/**
 * Look whether columns are there, under any of the names that the models know.
 * @param {Sequelize} sequelize
 * @param {Array<[string, string]>} wanted Tables and attributes.
 * @throws {Error} All that are missing.
 */
async function verify(sequelize, wanted) {
  const tables = await readTables(sequelize);
  const missing = wanted.filter(([table, name]) => {
    const found = tables.get(table);
    return !found || !columnOf(found, name);
  });
  if (missing.length > 0) {
    throw new Error(`the database has no ${missing.map((each) => each.join('.')).join(', ')}`);
  }
}

module.exports = { verify };
