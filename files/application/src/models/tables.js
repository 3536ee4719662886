'use strict';

const { QueryTypes } = require('sequelize');

const QUERIES = {
  sqlite: `
    SELECT m.name AS "table", c.name AS "column", c.type AS "type"
      FROM sqlite_master AS m, pragma_table_info(m.name) AS c
     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite^_%' ESCAPE '^'
     ORDER BY m.name, c.cid`,
  postgres: `
    SELECT c.relname AS "table", a.attname AS "column", format_type(a.atttypid, NULL) AS "type"
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
     ORDER BY c.relname, a.attnum`,
};

/** Tables or columns by their names, in whatever spelling: `first_name` is `firstName`. None is taken for another. */
class ByName {
  #found = new Map();
  #where;

  /** @param {string} where What stands before a name in messages. */
  constructor(where = '') {
    this.#where = where;
  }

  get size() {
    return [...this.#found.values()].flat().length;
  }

  add(one) {
    const alike = this.#found.get(folded(one.name)) ?? [];
    this.#found.set(folded(one.name), [...alike, one]);
  }

  /** @throws {Error} There are several. */
  get(name) {
    const alike = this.#found.get(folded(name)) ?? [];
    if (alike.length < 2) return alike[0];
    const names = alike.map((each) => `"${each.name}"`).join(' and ');
    throw new Error(`the database has ${this.#where}${name} as ${names}: rename what is not the application's`);
  }
}

function folded(name) {
  return name.replaceAll('_', '').toLowerCase();
}

/**
 * Look which tables and columns there are.
 * @returns {Promise<ByName>} Of `{name: string, columns: ByName}`, and those of `{name: string, type: string}`.
 */
async function readTables(sequelize) {
  const rows = await sequelize.query(QUERIES[sequelize.getDialect()], { type: QueryTypes.SELECT, raw: true });
  const tables = new ByName();
  let table;
  for (const row of rows) {
    if (row.table !== table?.name) {
      table = { name: row.table, columns: new ByName(`${row.table}.`) };
      tables.add(table);
    }
    table.columns.add({ name: row.column, type: row.type.toLowerCase() });
  }
  return tables;
}

module.exports = { readTables };
