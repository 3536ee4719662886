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

/** The name without underscores and in lower case: how `first_name` and `firstName` are the same. */
function folded(name) {
  return name.replaceAll('_', '').toLowerCase();
}

/**
 * Look which tables and columns there are.
 * @returns {Promise<Map<string, {name: string, columns: Map<string, {name: string, type: string}>}>>} By folded names.
 */
async function readTables(sequelize) {
  const rows = await sequelize.query(QUERIES[sequelize.getDialect()], { type: QueryTypes.SELECT, raw: true });
  const tables = new Map();
  for (const row of rows) {
    const table = tables.get(folded(row.table)) ?? { name: row.table, columns: new Map() };
    tables.set(folded(row.table), table);
    table.columns.set(folded(row.column), { name: row.column, type: row.type.toLowerCase() });
  }
  return tables;
}

module.exports = { folded, readTables };
