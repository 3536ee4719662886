'use strict';

// The forms of the tables that the application is met with, and the migrations that make one of them.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { QueryTypes } = require('sequelize');
const {
  TYPES,
  administer,
  command,
  directory,
  environmentFor,
  freshPostgresql,
  freshSqlite,
  openDatabase,
  startApplication,
} = require('./databases');
const { ApplicationDatabase } = require('../../src/config/applicationDatabase');
const { readSettings } = require('../../src/config/settings');
const { definitions } = require('../../src/models/definitions');
const { migrate } = require('../../src/migrations/runner');
const { serve } = require('../../src/server');

const FORMS = [
  ['sqlite', { form: 'deployed' }, 'notifications', '_id'],
  ['sqlite', { form: 'plan' }, 'Notifications', 'id'],
  ['postgresql', {}, 'notifications', 'id'],
  ['postgresql', { profile: 'contralock_deployed' }, 'notifications', '_id'],
];
for (const [type, options, table, keyColumn] of FORMS) {
  test(`${type} ${JSON.stringify(options)}: all that is read and written finds its columns`, async (t) => {
    const { ask, settings } = await startApplication(t, type, { seeded: type === 'postgresql', ...options });
    const health = (await ask('GET', '/health')).body;
    assert.deepEqual([health.status, health.details.type], ['healthy', type]);
    const before = (await ask('GET', '/counts')).body.counts;
    const { body } = await ask('POST', '/notifications', { message: 'Grüße 🔒' });
    const after = (await ask('GET', '/counts')).body.counts;
    assert.deepEqual(after, { ...before, notifications: before.notifications + 1 });
    const database = await ApplicationDatabase.open(settings);
    t.after(() => database.close());
    const sql = `SELECT message, read FROM ${table} WHERE "${keyColumn}" = $1`;
    const rows = await database.sequelize.query(sql, { bind: [body.id], type: QueryTypes.SELECT });
    assert.deepEqual(rows, [{ message: 'Grüße 🔒', read: type === 'sqlite' ? 0 : false }]);
    for (const target of ['users', 'projects', 'milestones', 'transactions', 'wallets', 'dashboard']) {
      const { status, body: list } = await ask('GET', `/${target}`);
      assert.equal(status, 200, target);
      if (list.items?.length) assert.equal((await ask('GET', `/${target}/${list.items[0].id}`)).status, 200);
    }
    for (const [name, definition] of Object.entries(definitions)) {
      await database.models[name]
        .findAll({ limit: 3 })
        .catch((error) => assert.fail(`${definition.table}: ${error.message}`));
    }
  });
}

test("a sum above the deployed table's integer is refused before PostgreSQL sees it", async (t) => {
  const { ask } = await startApplication(t, 'postgresql', { profile: 'contralock_deployed' });
  const { status, body } = await ask('PATCH', '/projects/00000000-0000-4000-8000-000000000100', { budget: 2 ** 31 });
  assert.deepEqual([status, body.error], [400, 'budget: has to be at most 2147483647']);
});

for (const type of TYPES) {
  test(`${type}: of two tables or columns that one name fits none is taken for the other`, async (t) => {
    const place = directory(t);
    const settings = readSettings(place, await environmentFor(t, type, place));
    const database = await ApplicationDatabase.open(settings);
    t.after(() => database.close());
    const alter = (sql) => (type === 'sqlite' ? database.sequelize.query(sql) : administer(settings.name, sql));
    await alter('CREATE TABLE "WalletTransactions" (x integer)');
    const tables = /the database has wallet_transactions as "WalletTransactions" and "wallet_transactions": rename/;
    await assert.rejects(serve(settings), tables);
    await alter('DROP TABLE "WalletTransactions"');
    const [first, second] = type === 'sqlite' ? ['firstName', 'first_name'] : ['first_name', 'firstName'];
    await alter(`ALTER TABLE users ADD COLUMN "${second}" text`);
    await assert.rejects(serve(settings), new RegExp(`the database has users.firstName as "${first}" and "${second}"`));
  });
}

test('a user of the deployed table is deleted as soon as the migration that is named has been run', async (t) => {
  const { ask, settings, stop } = await startApplication(t, 'sqlite', { form: 'deployed', seeded: false });
  const [user] = (await ask('GET', '/users?limit=1')).body.items;
  const { status, body } = await ask('DELETE', `/users/${user.id}`);
  assert.deepEqual(
    [status, body.error],
    [
      409,
      'there is no column deletedAt, in which a deleted User is marked: contralock migrate adds it on SQLite, ' +
        'a schema change of the profile on PostgreSQL; then restart',
    ],
  );
  assert.equal((await ask('GET', `/users/${user.id}`)).status, 200);
  const { code } = await command(settings.directory, { DB_PATH: settings.path }, 'migrate');
  assert.equal(code, 0);
  await stop();
  const { port, stop: end } = await serve(settings);
  t.after(end);
  const url = `http://127.0.0.1:${port}/users/${user.id}`;
  assert.equal((await fetch(url, { method: 'DELETE' })).status, 204);
  assert.equal((await fetch(url)).status, 404);
});

test("the migrations make SQLite's deployed form, column by column, and the plan's mark of a deletion", async (t) => {
  const columns = async (database) => {
    const sql = `SELECT m.name AS t, c.name AS c, c.type, c."notnull" AS n, c.pk, c.dflt_value AS d,
             (SELECT "table" FROM pragma_foreign_key_list(m.name) AS f WHERE f."from" = c.name) AS r
        FROM sqlite_master AS m, pragma_table_info(m.name) AS c
       WHERE m.type = 'table' AND m.name <> 'SequelizeMeta'`;
    return database.sequelize.query(sql, { type: QueryTypes.SELECT });
  };
  const made = await columns(await openDatabase(t, 'sqlite'));
  const source = await columns(await openDatabase(t, 'sqlite', { form: 'deployed' }));
  const added = made.filter((row) => row.c === 'deletedAt');
  assert.deepEqual(
    added.map((row) => [row.t, row.type]),
    [['users', 'DATETIME']],
  );
  const sorted = (rows) => rows.map((row) => JSON.stringify(row)).sort();
  assert.deepEqual(sorted(made.filter((row) => row.c !== 'deletedAt')), sorted(source));
});

test('migrations run once on SQLite, and only look on PostgreSQL', async (t) => {
  const place = directory(t);
  const environment = { DB_PATH: 'data/new.sqlite' };
  const run = async (where = environment) => {
    const { code, stdout, stderr } = await command(place, where, 'migrate');
    return code === 0 ? JSON.parse(stdout) : stderr;
  };
  const files = ['20260101000000-contralock.js', '20260102000000-users-deleted-at.js'];
  assert.deepEqual(await run(), { type: 'sqlite', applied: files, verified: [] });
  assert.deepEqual(await run(), { type: 'sqlite', applied: [], verified: [] });
  const postgresql = await freshPostgresql(t);
  assert.deepEqual(await run(postgresql), { type: 'postgresql', applied: [], verified: files });
  await administer(postgresql.DB_NAME, 'ALTER TABLE users DROP COLUMN deleted_at');
  assert.match(await run(postgresql), /error: the database has no users\.deletedAt/);
  await administer(postgresql.DB_NAME, 'ALTER TABLE wallets DROP COLUMN balance; DROP TABLE messages CASCADE');
  assert.match(await run(postgresql), /error: the database has no .*messages\.content.*wallets\.balance/);
});

test('a file that sync() made is taken as it is, and gets what it lacks; the way back takes it away', async (t) => {
  const place = directory(t);
  const settings = readSettings(place, await freshSqlite(t, place, { form: 'deployed' }));
  const database = await ApplicationDatabase.open(settings, { create: true });
  t.after(() => database.close());
  const rows = async () =>
    (await database.sequelize.query('SELECT count(*) AS n FROM messages', { type: QueryTypes.SELECT }))[0].n;
  const before = await rows();
  assert.equal((await migrate(database)).applied.length, 2);
  assert.equal(await rows(), before);
  const again = await ApplicationDatabase.open(settings);
  t.after(() => again.close());
  assert.equal(again.models.User.options.paranoid, true);
  const folder = path.join(__dirname, '../../src/migrations');
  const names = fs
    .readdirSync(folder)
    .filter((name) => /^\d/.test(name))
    .reverse();
  for (const name of names) await require(path.join(folder, name)).down(database.sequelize.getQueryInterface());
  const left = await database.sequelize.query("SELECT name FROM sqlite_master WHERE type = 'table'", {
    type: QueryTypes.SELECT,
  });
  assert.deepEqual(left, [{ name: 'SequelizeMeta' }]);
});
