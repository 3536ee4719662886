'use strict';

const { DataTypes } = require('sequelize');
const { columnOf } = require('./columns');
const { definitions } = require('./definitions');
const { parseJson } = require('./json');
const { readTables } = require('./tables');
const { validations } = require('./validations');

/**
 * Define the models on the tables that are there: `users` with `_id` and `firstName`, or `id` and `first_name`.
 * @param {Sequelize} sequelize
 * @returns {Promise<Object<string, Model>>}
 * @throws {Error} A table or column is missing, all that are missing in one message; or is there more than once.
 */
async function loadModels(sequelize) {
  const tables = await readTables(sequelize);
  const missing = [];
  const models = {};
  for (const [name, definition] of Object.entries(definitions)) {
    const table = tables.get(definition.table);
    if (!table) {
      missing.push(`no table ${definition.table}`);
      continue;
    }
    const attributes = attributesOf(definition, table, sequelize.getDialect(), missing);
    if (missing.length === 0) models[name] = defineModel(sequelize, name, table, attributes);
  }
  if (missing.length > 0) throw new Error(`the database has ${missing.join(', ')}`);
  return models;
}

function defineModel(sequelize, name, table, attributes) {
  const has = (attribute) => attribute in attributes;
  return sequelize.define(name, attributes, {
    tableName: table.name,
    timestamps: true,
    createdAt: 'createdAt',
    updatedAt: 'updatedAt',
    // A soft delete needs a column to be marked in; the deployed form of the table has none.
    paranoid: has('deletedAt'),
  });
}

function attributesOf(definition, table, dialect, missing) {
  const key = { kind: 'key', byDefault: DataTypes.UUIDV4, primaryKey: true };
  const attributes = {};
  for (const [name, wanted] of Object.entries({ id: key, ...definition.attributes })) {
    const column = columnOf(table, name);
    if (column) attributes[name] = attributeOf(name, wanted, column, dialect);
    else if (!wanted.optional) missing.push(`no column ${definition.table}.${name}`);
  }
  return attributes;
}

function attributeOf(name, wanted, column, dialect) {
  const attribute = {
    field: column.name,
    type: typeOf(wanted, column, dialect),
    allowNull: !(wanted.required || wanted.primaryKey),
    validate: validations(wanted, column, dialect),
  };
  if (wanted.primaryKey) attribute.primaryKey = true;
  if (wanted.byDefault !== undefined) attribute.defaultValue = wanted.byDefault;
  if (wanted.unique) attribute.unique = true;
  if (wanted.set) attribute.set = settingThrough(name, wanted.set);
  if (wanted.kind === 'decimal') attribute.get = gettingThrough(name, Number);
  if (isJson(wanted) && attribute.type === DataTypes.TEXT) {
    attribute.get = gettingThrough(name, parseJson);
    attribute.set = settingThrough(name, JSON.stringify);
    if (wanted.byDefault !== undefined) attribute.defaultValue = JSON.stringify(wanted.byDefault);
  }
  return attribute;
}

function isJson(wanted) {
  return wanted.kind === 'json' || wanted.kind === 'jsonText';
}

function typeOf(wanted, column, dialect) {
  if (isJson(wanted)) return { jsonb: DataTypes.JSONB, json: DataTypes.JSON }[column.type] ?? DataTypes.TEXT;
  switch (wanted.kind) {
    case 'key':
      return column.type === 'uuid' ? DataTypes.UUID : DataTypes.STRING;
    case 'enum':
      return DataTypes.ENUM(...wanted.labels);
    case 'integer':
      return column.type === 'bigint' ? DataTypes.BIGINT : DataTypes.INTEGER;
    case 'decimal':
      return DataTypes.DECIMAL(5, 2);
    case 'date':
      // SQLite keeps milliseconds, so that PostgreSQL need not keep more.
      return dialect === 'postgres' ? DataTypes.DATE(3) : DataTypes.DATE;
    default:
      return { string: DataTypes.STRING, text: DataTypes.TEXT, boolean: DataTypes.BOOLEAN }[wanted.kind];
  }
}

function gettingThrough(name, change) {
  return function get() {
    const value = this.getDataValue(name);
    return value === null || value === undefined ? value : change(value);
  };
}

function settingThrough(name, change) {
  return function set(value) {
    this.setDataValue(name, value === null || value === undefined ? value : change(value));
  };
}

module.exports = { loadModels };
