'use strict';

// Conditions and orders that mean the same on both databases. Where they would differ by themselves is the table in
// docs/application.md.

const { DataTypes, Op, cast, col, fn, literal, where } = require('sequelize');
const { UUID } = require('../models/validations');
const { ApiError } = require('./errors');

const MOST_ROWS = 200;

/** Whether a text can be a key of this model; PostgreSQL refuses a uuid that is none, SQLite finds nothing. */
function canBeKey(type, text) {
  return !(type instanceof DataTypes.UUID || type === DataTypes.UUID || type.key === 'UUID') || UUID.test(text);
}

/**
 * The condition of one filter. A value that the column cannot hold finds nothing, as on SQLite; PostgreSQL would
 * call it an error.
 */
function equals(model, name, text) {
  const { type } = model.rawAttributes[name];
  if (type.key === 'ENUM') return type.values.includes(text) ? { [name]: text } : NOTHING;
  if (type.key === 'BOOLEAN') return { [name]: parseBoolean(name, text) };
  if (type.key === 'INTEGER' || type.key === 'BIGINT') return { [name]: parseWhole(name, text) };
  return canBeKey(type, text) ? { [name]: text } : NOTHING;
}

const NOTHING = where(literal('1'), 0);

function parseBoolean(name, text) {
  if (text !== 'true' && text !== 'false') throw new ApiError(400, `${name} has to be true or false`);
  return text === 'true';
}

function parseWhole(name, text, most = Number.MAX_SAFE_INTEGER) {
  const value = Number(text);
  if (!/^-?[0-9]{1,16}$/.test(text) || value > most) throw new ApiError(400, `${name} has to be a whole number`);
  return value;
}

/**
 * The condition that one of the columns contains the text, whatever the case of its ASCII letters: what LIKE does on
 * SQLite, without its wildcards. On PostgreSQL LIKE tells the cases apart, and ILIKE folds other letters too.
 */
function contains(model, names, text) {
  const postgresql = model.sequelize.getDialect() === 'postgres';
  const wanted = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  const conditions = names.map((name) => {
    const field = model.sequelize.getQueryInterface().quoteIdentifier(model.rawAttributes[name].field);
    // lower() of the collation "C", as SQLite's own, knows ASCII alone.
    const folded = fn('lower', literal(postgresql ? `${field} COLLATE "C"` : field));
    return where(fn(postgresql ? 'strpos' : 'instr', folded, wanted), Op.gt, 0);
  });
  return { [Op.or]: conditions };
}

/**
 * An order that is the same on both: NULLs first, enumerations by their text, ties by the key.
 * @param {string} text A column's name, with a minus before it for the other direction.
 */
function orderBy(model, text, allowed) {
  const name = text.replace(/^-/, '');
  if (!allowed.includes(name)) throw new ApiError(400, `order has to be one of ${allowed.join(', ')}`);
  const { type, field } = model.rawAttributes[name];
  const by = type.key === 'ENUM' ? cast(col(`${model.name}.${field}`), 'text') : name;
  return [
    [by, text.startsWith('-') ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'],
    ['id', 'ASC'],
  ];
}

/** limit and offset of a request. */
function page(query) {
  const limit = parseWhole('limit', query.limit ?? '50');
  const offset = parseWhole('offset', query.offset ?? '0');
  if (limit < 1 || limit > MOST_ROWS) throw new ApiError(400, `limit has to be from 1 to ${MOST_ROWS}`);
  if (offset < 0) throw new ApiError(400, 'offset has to be at least 0');
  return { limit, offset };
}

module.exports = { canBeKey, contains, equals, orderBy, page };
