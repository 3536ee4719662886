'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const {
  TYPES,
  administer,
  assertNoSecret,
  command,
  directory,
  freshPostgresql,
  freshSqlite,
  key,
  notDone,
  openDatabase,
  startApplication,
  until,
} = require('./databases');
const { answerTo } = require('../../src/api/errors');
const { ApplicationDatabase } = require('../../src/config/applicationDatabase');
const { classify } = require('../../src/config/retries');
const { readSettings } = require('../../src/config/settings');
const { poolUse } = require('../../src/health/metrics');
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
  assert.equal(poolUse(database.sequelize).max, 1);
});

test('the application makes nothing in PostgreSQL, and could not; its schema is the same after five starts', async (t) => {
  const environment = await freshPostgresql(t);
  const settings = readSettings(directory(t), environment);
  const tool = path.join(
    '/usr/lib/postgresql',
    fs.readdirSync('/usr/lib/postgresql').at(-1),
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

/** Have the whole database locked; what lets it go again. */
async function lock(t, settings) {
  const other = await ApplicationDatabase.open(settings);
  t.after(() => other.close());
  const held = await other.sequelize.transaction({ type: 'EXCLUSIVE' });
  if (settings.type === 'postgresql') await other.sequelize.query('LOCK TABLE users', { transaction: held });
  return () => held.rollback();
}

/** Have the driver of SQLite wait 20 ms for a lock where it would wait 5 s. */
function makeImpatient({ sequelize: { connectionManager } }) {
  const { Database } = connectionManager.lib;
  const hurry = (connection) => {
    connection.configure('busyTimeout', 20);
    return connection;
  };
  connectionManager.lib.Database = function Impatient(...parameters) {
    return hurry(new Database(...parameters));
  };
  hurry(connectionManager.connections.default);
}

/** Which connections to SQLite are open: the one for all, and one of each transaction. */
const connectionsOf = ({ sequelize: { connectionManager } }) => Object.keys(connectionManager.connections);

const UPDATE = "UPDATE users SET status = 'active'";

test('a locked SQLite file is waited for by its driver', async (t) => {
  const database = await openDatabase(t, 'sqlite');
  const release = await lock(t, database.settings);
  setTimeout(release, 300);
  await database.write(() => database.sequelize.query(UPDATE));
  assert.equal(notDone(database), 0);
});

for (const [what, work] of [
  ['a write', (database) => database.write(() => database.sequelize.query(UPDATE))],
  [
    'a transaction',
    (database) => database.transaction((transaction) => database.sequelize.query(UPDATE, { transaction })),
  ],
]) {
  test(`SQLite: ${what} that finds the file locked is done when the lock has gone, after three pauses at the most`, async (t) => {
    const database = await openDatabase(t, 'sqlite');
    makeImpatient(database);
    const release = await lock(t, database.settings);
    const done = work(database);
    await until(() => notDone(database) >= 2);
    await release();
    await done;
    const before = notDone(database);
    await lock(t, database.settings);
    await assert.rejects(work(database), (error) => {
      assert.deepEqual(answerTo(error), [503, 'SQLITE_BUSY: database is locked']);
      return true;
    });
    assert.equal(notDone(database) - before, 4);
    assert.deepEqual(connectionsOf(database), ['default']);
  });
}

test('SQLite: a COMMIT that finds a reader leaves no transaction and no lock behind', async (t) => {
  const database = await openDatabase(t, 'sqlite');
  makeImpatient(database);
  const write = (name) =>
    database.transaction((transaction) =>
      database.sequelize.query('INSERT INTO SequelizeMeta VALUES ($1)', { bind: [name], transaction }),
    );
  const other = await ApplicationDatabase.open(database.settings);
  t.after(() => other.close());
  const reader = await other.sequelize.transaction({ type: 'DEFERRED' });
  await other.models.User.count({ transaction: reader });
  await assert.rejects(write('refused'), /SQLITE_BUSY/);
  assert.equal(notDone(database), 4);
  assert.deepEqual(connectionsOf(database), ['default']);
  await reader.rollback();
  await write('written');
  assert.equal(notDone(database), 4);
  const sql = "SELECT group_concat(name) AS names FROM SequelizeMeta WHERE name NOT LIKE '2026%'";
  assert.deepEqual(await other.sequelize.query(sql, { plain: true }), { names: 'written' });
});

test('of two transactions that wait for each other PostgreSQL ends one, and it is done again, whole', async (t) => {
  const database = await openDatabase(t, 'postgresql');
  const { User } = database.models;
  const person = { password: 'x', firstName: 'x', lastName: 'x', role: 'client', bio: '' };
  await User.bulkCreate([1, 2].map((i) => ({ ...person, id: key(i), email: `${i}@example.test` })));
  const attempts = { a: 0, b: 0 };
  let meet;
  const met = new Promise((resolve) => (meet = resolve));
  const write = (word, first, second) =>
    database.transaction(async (transaction) => {
      attempts[word] += 1;
      const append = 'UPDATE users SET bio = bio || $1 WHERE id = $2';
      await database.sequelize.query(append, { bind: [word, first], transaction });
      if (attempts.a && attempts.b) meet();
      await met;
      await database.sequelize.query(append, { bind: [word, second], transaction });
    });
  await Promise.all([write('a', key(1), key(2)), write('b', key(2), key(1))]);
  assert.equal(attempts.a + attempts.b, 3);
  assert.equal(notDone(database), 1);
  const written = (await User.findAll()).map(({ bio }) => [...bio].sort().join(''));
  assert.deepEqual(written, ['ab', 'ab']);
});

test('a database without room for one more session is asked again', async (t) => {
  const settings = readSettings(directory(t), await freshPostgresql(t));
  const room = (limit) => administer('postgres', `ALTER DATABASE ${settings.name} CONNECTION LIMIT ${limit}`);
  await room(0);
  const database = new ApplicationDatabase(settings);
  t.after(() => database.close());
  const read = database.read(() => database.sequelize.query('SELECT 1'));
  await until(() => notDone(database) >= 1);
  await room(-1);
  await read;
});

test('a server that takes the connection and says nothing may answer later', { timeout: 30000 }, async (t) => {
  const silent = net.createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const where = { DB_HOST: '127.0.0.1', DB_PORT: String(silent.address().port) };
  const settings = readSettings(directory(t), { ...(await freshPostgresql(t)), ...where });
  await assert.rejects(ApplicationDatabase.open(settings), (error) => {
    assert.deepEqual([classify(error), error.message], ['not_done', 'timeout expired']);
    return true;
  });
});

for (const type of TYPES) {
  const patient = { timeout: 30000 };
  test(`${type}: it is unhealthy in good time while its database does not answer`, patient, async (t) => {
    const { ask, settings } = await startApplication(t, type, { seeded: false });
    const release = await lock(t, settings);
    const began = Date.now();
    const { status, body } = await ask('GET', '/health');
    assert.ok(Date.now() - began < 8000);
    assert.deepEqual([status, body.status, body.details.type], [503, 'unhealthy', type]);
    assert.equal(body.details.error, 'no answer within 4000 ms');
    await release();
    assert.equal((await ask('GET', '/health')).status, 200);
  });

  test(`${type}: a database that refuses is unhealthy at once, with its words and without a secret`, async (t) => {
    const secret = { DB_PASS: process.env.TEST_PG_PASSWORD };
    const { ask, settings, url } = await startApplication(t, type, { seeded: false, ...secret });
    if (type === 'sqlite') {
      fs.writeFileSync(settings.path, 'This is no database.'.repeat(1000));
    } else {
      await administer('postgres', `ALTER DATABASE ${settings.name} ALLOW_CONNECTIONS false`);
      await administer('postgres', END.replace('current_database()', '$1'), [settings.name]);
    }
    const { status, body } = await ask('GET', '/health');
    assert.deepEqual([status, body.status, body.details.type], [503, 'unhealthy', type]);
    assert.match(body.details.error, /file is not a database|is not currently accepting connections/);
    await assertNoSecret(url);
  });
}

test('the command says unhealthy in good time while PostgreSQL does not answer', async (t) => {
  const [place, environment] = [directory(t), await freshPostgresql(t)];
  const release = await lock(t, readSettings(place, environment));
  const patience = setTimeout(release, 10000);
  const began = Date.now();
  const { code, stdout } = await command(place, environment, 'health');
  assert.ok(Date.now() - began < 9000);
  clearTimeout(patience);
  await release();
  const { status, details } = JSON.parse(stdout);
  assert.deepEqual([code, status, details.error], [1, 'unhealthy', 'no answer within 4000 ms']);
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
  fs.writeFileSync(path.join(place, 'data/empty.sqlite'), '');
  await assert.rejects(
    serve(readSettings(place, { DB_PATH: 'data/empty.sqlite' })),
    /the database has no table users, no table projects/,
  );
  await assert.rejects(serve(readSettings(place, { DB_PATH: 'data' })), /unable to open database file|SQLITE_CANTOPEN/);
  await freshSqlite(t, place);
});
