'use strict';

// What the application is told: its environment, and below it the .env file of its working directory. Everything is
// checked here, before anything is opened, and each complaint names the variable.

const fs = require('node:fs');
const path = require('node:path');
const { X509Certificate } = require('node:crypto');
const dotenv = require('dotenv');

const TYPES = ['sqlite', 'postgresql'];

/** A setting that the application cannot start with. */
class SettingsError extends Error {}

/**
 * Read the settings.
 * @param {string} directory The working directory, where .env may lie; relative paths begin here.
 * @param {Object<string, string>} environment The process's own; as with dotenv, it wins over the file.
 * @returns {object} Frozen; `password` is not enumerable, so that no log of the whole shows it.
 * @throws {SettingsError}
 */
function readSettings(directory, environment) {
  const told = readTold(directory, environment);
  // As in a shell, an empty variable is one that is not set.
  const text = (name, otherwise) => told[name] || otherwise;
  const type = text('DB_TYPE', 'sqlite');
  if (!TYPES.includes(type)) throw new SettingsError(`DB_TYPE is '${type}'; it has to be ${TYPES.join(' or ')}`);
  const settings = {
    type,
    directory,
    path: path.resolve(directory, text('DB_PATH', './data/contralock.sqlite')),
    name: text('DB_NAME', 'contralock'),
    user: text('DB_USER', 'contralock_user'),
    dbHost: text('DB_HOST', 'localhost'),
    dbPort: number(told, 'DB_PORT', 5432, 1, 65535),
    ssl: flag(told, 'DB_SSL', true),
    sslCa: text('DB_SSL_CA', ''),
    applicationName: text('DB_APPLICATION_NAME', 'contralock'),
    pool: readPool(told),
    logQueries: flag(told, 'LOG_QUERIES', false),
    host: text('HOST', '127.0.0.1'),
    port: number(told, 'PORT', 5000, 0, 65535),
    writeEveryMs: number(told, 'WRITE_EVERY_MS', 0),
    closedFile: closedFileOf(directory, told),
  };
  const password = text('DB_PASS', '');
  if (type === 'postgresql') checkPostgresql(settings, password);
  Object.defineProperty(settings, 'password', { value: password, enumerable: false });
  return Object.freeze(settings);
}

/**
 * Read where the door's file is, and nothing else: users are kept out also where another setting is wrong.
 * @throws {SettingsError} .env cannot be read.
 */
function readClosedFile(directory, environment) {
  return closedFileOf(directory, readTold(directory, environment));
}

function closedFileOf(directory, told) {
  return path.resolve(directory, told.CLOSED_FILE || './data/closed');
}

function readTold(directory, environment) {
  return { ...readFile(path.join(directory, '.env')), ...environment };
}

function readFile(file) {
  try {
    return dotenv.parse(fs.readFileSync(file));
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw new SettingsError(`${file} cannot be read: ${error.message}`);
  }
}

function number(told, name, otherwise, least = 0, most = 2 ** 31 - 1) {
  const text = told[name] || String(otherwise);
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < least || value > most) {
    throw new SettingsError(`${name} is '${text}'; it has to be a whole number from ${least} to ${most}`);
  }
  return value;
}

function flag(told, name, otherwise) {
  const text = told[name] || String(otherwise);
  if (text !== 'true' && text !== 'false') throw new SettingsError(`${name} is '${text}'; it has to be true or false`);
  return text === 'true';
}

function readPool(told) {
  const pool = {
    max: number(told, 'DB_POOL_MAX', 20, 1),
    min: number(told, 'DB_POOL_MIN', 5),
    acquire: number(told, 'DB_POOL_ACQUIRE', 30000, 1),
    idle: number(told, 'DB_POOL_IDLE', 10000, 1),
  };
  if (pool.min > pool.max) {
    throw new SettingsError(`DB_POOL_MIN is ${pool.min}; it has to be at most DB_POOL_MAX, which is ${pool.max}`);
  }
  return pool;
}

function checkPostgresql(settings, password) {
  if (!password) throw new SettingsError('DB_PASS is not set; there is no default password');
  if (!settings.ssl || !settings.sslCa) return;
  try {
    settings.sslCa = path.resolve(settings.directory, settings.sslCa);
    settings.sslCaText = fs.readFileSync(settings.sslCa, 'utf8');
    new X509Certificate(settings.sslCaText);
  } catch (error) {
    throw new SettingsError(`DB_SSL_CA is '${settings.sslCa}', which holds no certificate: ${error.message}`);
  }
}

module.exports = { SettingsError, readClosedFile, readSettings };
