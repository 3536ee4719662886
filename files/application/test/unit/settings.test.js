'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { SettingsError, readSettings } = require('../../src/config/settings');

const POSTGRESQL = { DB_TYPE: 'postgresql', DB_PASS: 'x' };

function folder(text) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'settings-'));
  if (text !== undefined) fs.writeFileSync(path.join(made, '.env'), text);
  return made;
}

test("the defaults are the plan's, and SQLite", () => {
  const place = folder();
  const settings = readSettings(place, {});
  assert.equal(settings.type, 'sqlite');
  assert.equal(settings.path, path.join(place, 'data/contralock.sqlite'));
  assert.deepEqual(settings.pool, { max: 20, min: 5, acquire: 30000, idle: 10000 });
  assert.deepEqual(
    [settings.host, settings.port, settings.writeEveryMs, settings.logQueries],
    ['127.0.0.1', 5000, 0, false],
  );
  assert.equal(settings.closedFile, path.join(place, 'data/closed'));
  assert.equal(settings.ssl, true);
  assert.equal(settings.applicationName, 'contralock');
});

test('the file is read as dotenv reads it, and the environment wins', () => {
  const place = folder(
    'DB_TYPE=mysql\nDB_TYPE=postgresql   # sqlite or postgresql\nDB_PASS=\'a#b "c"\'\nDB_HOST=db1\nDB_PORT=\n',
  );
  const settings = readSettings(place, { DB_HOST: 'db2' });
  assert.deepEqual(
    [settings.type, settings.password, settings.dbHost, settings.dbPort],
    ['postgresql', 'a#b "c"', 'db2', 5432],
  );
});

test('the password shows in nothing that prints the settings', () => {
  const settings = readSettings(folder(), { ...POSTGRESQL, DB_PASS: 'recognisable' });
  assert.equal(settings.password, 'recognisable');
  assert.doesNotMatch(JSON.stringify(settings) + require('node:util').inspect(settings), /recognisable/);
});

const refused = [
  [{ DB_TYPE: 'mysql' }, "DB_TYPE is 'mysql'; it has to be sqlite or postgresql"],
  [{ DB_TYPE: 'postgres' }, "DB_TYPE is 'postgres'"],
  [{ DB_TYPE: 'SQLITE' }, "DB_TYPE is 'SQLITE'"],
  [{ DB_TYPE: 'postgresql' }, 'DB_PASS is not set; there is no default password'],
  [{ ...POSTGRESQL, DB_SSL: 'yes' }, "DB_SSL is 'yes'; it has to be true or false"],
  [{ ...POSTGRESQL, DB_SSL: 'True' }, "DB_SSL is 'True'"],
  [{ ...POSTGRESQL, DB_SSL_CA: '/nowhere/ca.crt' }, "DB_SSL_CA is '/nowhere/ca.crt', which holds no certificate"],
  [{ ...POSTGRESQL, DB_SSL_CA: __filename }, 'which holds no certificate'],
  [{ DB_PORT: '0' }, "DB_PORT is '0'; it has to be a whole number from 1 to 65535"],
  [{ DB_PORT: '5432x' }, "DB_PORT is '5432x'"],
  [{ DB_POOL_MAX: '-1' }, "DB_POOL_MAX is '-1'"],
  [{ DB_POOL_MAX: '4' }, 'DB_POOL_MIN is 5; it has to be at most DB_POOL_MAX, which is 4'],
  [{ DB_POOL_ACQUIRE: '1e3' }, "DB_POOL_ACQUIRE is '1e3'"],
  [{ LOG_QUERIES: '1' }, "LOG_QUERIES is '1'; it has to be true or false"],
  [{ WRITE_EVERY_MS: 'often' }, "WRITE_EVERY_MS is 'often'"],
];
for (const [environment, words] of refused) {
  test(`refused: ${words}`, () => {
    assert.throws(
      () => readSettings(folder(), environment),
      (error) => error instanceof SettingsError && error.message.includes(words),
    );
  });
}

test('what belongs to PostgreSQL hinders no SQLite', () => {
  assert.equal(readSettings(folder(), { DB_SSL_CA: '/nowhere/ca.crt' }).type, 'sqlite');
});

test('a file that cannot be read is told', () => {
  const place = folder();
  fs.mkdirSync(path.join(place, '.env'));
  assert.throws(() => readSettings(place, {}), /\.env cannot be read: EISDIR/);
});
