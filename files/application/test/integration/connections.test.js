'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const {
  administer,
  directory,
  freshPostgresql,
  freshSqlite,
  key,
  openDatabase,
  startApplication,
} = require('./databases');
const { ApplicationDatabase } = require('../../src/config/applicationDatabase');
const { readSettings } = require('../../src/config/settings');
const { oneLine } = require('../../src/health/words');
const { serve } = require('../../src/server');

const SESSIONS = `SELECT usename, application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
  WHERE datname = current_database() AND pid <> pg_backend_pid()`;
const END = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND usename = 'contralock_user'`;

test("the session is the application's own, by name and over TLS", async (t) => {
  const { settings, ask } = await startApplication(t, 'postgresql');
  await ask('GET', '/users');
  const sessions = await administer(settings.name, SESSIONS);
  assert.ok(sessions.length >= 1);
  for (const session of sessions) {
    assert.deepEqual(session, { usename: 'contralock_user', application_name: 'contralock', ssl: true });
  }
});

for (const [what, changes, words] of [
  ['another name', { DB_HOST: '127.0.0.1' }, /Hostname\/IP does not match|IP: 127\.0\.0\.1 is not in the cert/],
  ['another authority', { DB_SSL_CA: process.env.TEST_PG_OTHER_CA }, /self-signed certificate|unable to verify/],
  ['a wrong password', { DB_PASS: 'recognisable' }, /password authentication failed for user "contralock_user"/],
  ['another database', { DB_NAME: 'nowhere' }, /database "nowhere" does not exist/],
  ['no server', { DB_PORT: '1' }, /ECONNREFUSED/],
]) {
  test(`does not start with ${what}, and says why`, async (t) => {
    const settings = readSettings(directory(t), { ...(await freshPostgresql(t)), ...changes });
    await assert.rejects(serve(settings), (error) => {
      assert.match(oneLine(error), words);
      assert.doesNotMatch(error.message, /recognisable/);
      return true;
    });
  });
}

test('without DB_SSL it does without TLS, and its health check says so', async (t) => {
  const { ask } = await startApplication(t, 'postgresql', { DB_SSL: 'false' });
  assert.equal((await ask('GET', '/health')).body.details.tls, null);
});

test('a session that was ended is replaced: reads go on at once', async (t) => {
  const { settings, ask } = await startApplication(t, 'postgresql');
  for (let round = 0; round < 3; round += 1) {
    await administer(settings.name, END);
    assert.equal((await ask('GET', '/users')).status, 200);
  }
  assert.equal((await ask('GET', '/health')).status, 200);
});

test('a transaction whose session is ended before its COMMIT is done again, once and whole', async (t) => {
  const database = await openDatabase(t, 'postgresql');
  const { User } = database.models;
  let attempts = 0;
  await database.transaction(async (transaction) => {
    attempts += 1;
    const values = {
      id: key(1),
      email: 'a@example.test',
      password: 'x',
      firstName: 'x',
      lastName: 'x',
      role: 'client',
    };
    await User.create(values, { transaction });
    if (attempts === 1) await administer(database.settings.name, END);
    await User.count({ transaction });
  });
  assert.equal(attempts, 2);
  assert.equal(await User.count(), 1);
});

test('a COMMIT whose session is ended is not repeated', async (t) => {
  const database = await openDatabase(t, 'postgresql');
  let attempts = 0;
  const lost = database.transaction(async (transaction) => {
    attempts += 1;
    // Checked at the COMMIT, which then takes long enough to be interrupted.
    await database.sequelize.query('SELECT 1', { transaction });
    setTimeout(() => administer(database.settings.name, END), 100);
    transaction.commit = async () => database.sequelize.query('SELECT pg_sleep(5)', { transaction });
  });
  await assert.rejects(lost, { name: 'Error', message: /may have happened or not/ });
  assert.equal(attempts, 1);
});

test('the pool is full: requests wait, and are refused after a while', async (t) => {
  const database = await openDatabase(t, 'postgresql', { DB_POOL_MAX: '1', DB_POOL_ACQUIRE: '300' });
  const slow = database.sequelize.query('SELECT pg_sleep(1)');
  await new Promise((resolve) => setTimeout(resolve, 100));
  await assert.rejects(
    database.read(() => database.sequelize.query('SELECT 1')),
    { name: 'SequelizeConnectionAcquireTimeoutError' },
  );
  await slow;
  await database.read(() => database.sequelize.query('SELECT 1'));
  assert.equal(database.pool().max, 1);
});

test('the application makes nothing in PostgreSQL, and could not; its schema is the same after five starts', async (t) => {
  const environment = await freshPostgresql(t);
  const settings = readSettings(directory(t), environment);
  const tool = path.join(
    '/usr/lib/postgresql',
    require('node:fs').readdirSync('/usr/lib/postgresql').at(-1),
    'bin/pg_dump',
  );
  const where = ['-h', process.env.TEST_PG_SOCKET, '-p', process.env.TEST_PG_PORT, '-U', 'postgres'];
  // The newer ones put a random key into each dump.
  const dump = () =>
    execFileSync(tool, [...where, '--schema-only', settings.name], { encoding: 'utf8' }).replace(
      /^\\(un)?restrict .*$/gm,
      '',
    );
  const before = dump();
  for (let start = 0; start < 5; start += 1)
    await (await serve({ ...settings, port: 0, password: settings.password })).stop();
  assert.equal(dump(), before);
  const database = await ApplicationDatabase.open(settings);
  t.after(() => database.close());
  for (const sql of [
    'CREATE TABLE x (y int)',
    'ALTER TABLE users ADD COLUMN x int',
    'DROP TABLE users',
    'TRUNCATE users',
  ]) {
    await assert.rejects(database.sequelize.query(sql), (error) => error.original.code === '42501', sql);
  }
  await assert.rejects(database.sequelize.sync({ alter: true }));
});

test('a locked SQLite file is waited for, and what is locked too long is told', async (t) => {
  const database = await openDatabase(t, 'sqlite');
  const other = await ApplicationDatabase.open(database.settings);
  t.after(() => other.close());
  const notify = () => database.write(() => database.sequelize.query("UPDATE users SET status = 'active'"));
  const held = await other.sequelize.transaction({ type: 'IMMEDIATE' });
  setTimeout(() => held.rollback(), 300);
  await notify();
  assert.match(database.metrics.render('sqlite', null), /contralock_query_errors_total\{kind="not_done"\} 0/);
});

test('reads and writes of many at once on SQLite are all done', async (t) => {
  const { ask } = await startApplication(t, 'sqlite');
  const requests = Array.from({ length: 64 }, (_, i) =>
    i % 4 ? ask('GET', '/dashboard') : ask('POST', '/notifications', {}),
  );
  const statuses = (await Promise.all(requests)).map(({ status }) => status);
  assert.deepEqual(statuses.sort(), [...Array(48).fill(200), ...Array(16).fill(201)]);
});

test('SQLite without the tables does not start', async (t) => {
  const place = directory(t);
  require('node:fs').writeFileSync(path.join(place, 'data/empty.sqlite'), '');
  await assert.rejects(
    serve(readSettings(place, { DB_PATH: 'data/empty.sqlite' })),
    /the database has no table users, no table projects/,
  );
  await assert.rejects(serve(readSettings(place, { DB_PATH: 'data' })), /unable to open database file|SQLITE_CANTOPEN/);
  await freshSqlite(t, place);
});
