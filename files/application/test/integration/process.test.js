'use strict';

// The application as a process, as its unit runs it; and its command.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { TYPES, administer, command, directory, environmentFor, freshSqlite, key } = require('./databases');
const { ApplicationDatabase } = require('../../src/config/applicationDatabase');
const { readSettings } = require('../../src/config/settings');

const SERVER = path.join(__dirname, '../../src/server.js');

/** Start the server; its port, or how it ended and what it said. */
async function start(t, place, environment) {
  const child = spawn(process.execPath, [SERVER], {
    cwd: place,
    env: { PATH: process.env.PATH, NODE_PATH: process.env.NODE_PATH, PORT: '0', ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  const port = new Promise((resolve) => {
    child.stderr.on('data', (text) => {
      said += text;
      const found = /answers on port (\d+)/.exec(said);
      if (found) resolve(Number(found[1]));
    });
    ended.then(() => resolve(null));
  });
  return { child, ended, port: await port, words: () => said };
}

for (const type of TYPES) {
  test(`${type}: it starts, keeps its database open, and ends at once when asked, also with a client that stays`, async (t) => {
    const place = directory(t);
    const environment = await environmentFor(t, type, place);
    const server = await start(t, place, environment);
    assert.ok(server.port, server.words());
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/health`)).status, 200);
    const open = fs.readdirSync(`/proc/${server.child.pid}/fd`).map((fd) => {
      try {
        return fs.readlinkSync(`/proc/${server.child.pid}/fd/${fd}`);
      } catch {
        return '';
      }
    });
    assert.equal(open.includes(path.join(place, 'data/contralock.sqlite')), type === 'sqlite');
    const began = Date.now();
    server.child.kill('SIGTERM');
    assert.equal(await server.ended, 0);
    assert.ok(Date.now() - began < 3000);
    assert.deepEqual(fs.readdirSync(path.join(place, 'data')), type === 'sqlite' ? ['contralock.sqlite'] : []);
  });

  test(`${type}: the command closes, opens and asks`, async (t) => {
    const place = directory(t);
    const environment = await environmentFor(t, type, place);
    const said = async (verb) => {
      const { code, stdout } = await command(place, environment, verb);
      return [code, JSON.parse(stdout)];
    };
    assert.deepEqual(await said('close'), [0, { closed: true, changed: true }]);
    assert.deepEqual(await said('close'), [0, { closed: true, changed: false }]);
    assert.ok(fs.existsSync(path.join(place, 'data/closed')));
    assert.deepEqual(await said('open'), [0, { closed: false, changed: true }]);
    assert.equal(fs.existsSync(path.join(place, 'data/closed')), false);
    const [code, health] = await said('health');
    assert.deepEqual([code, health.status, health.details.type], [0, 'healthy', type]);
  });
}

test('the command says unhealthy and ends with 1 when the database does not answer', async (t) => {
  const place = directory(t);
  const { code, stdout } = await command(place, { DB_PATH: 'data/none.sqlite' }, 'health');
  assert.equal(code, 1);
  const { status, details } = JSON.parse(stdout);
  assert.deepEqual([status, details.type], ['unhealthy', 'sqlite']);
  assert.match(details.error, /unable to open database file/);
  const wrong = await command(place, { DB_TYPE: 'mysql' }, 'health');
  assert.deepEqual(
    [wrong.code, wrong.stderr.trim()],
    [2, "error: DB_TYPE is 'mysql'; it has to be sqlite or postgresql"],
  );
  assert.equal((await command(place, {}, 'explode')).code, 2);
});

for (const wrong of [
  { DB_TYPE: 'mysql' },
  { DB_TYPE: 'postgresql' },
  { DB_TYPE: 'postgresql', DB_PASS: 'x', DB_SSL_CA: '/nowhere/ca.crt' },
]) {
  test(`users are kept out and let in whatever else is wrong: ${JSON.stringify(wrong)}`, async (t) => {
    const place = directory(t);
    fs.writeFileSync(path.join(place, '.env'), 'CLOSED_FILE=data/shut   # of this directory\n');
    assert.equal((await command(place, wrong, 'health')).code, 2);
    assert.equal((await command(place, wrong, 'close')).code, 0);
    assert.ok(fs.existsSync(path.join(place, 'data/shut')));
    assert.equal((await command(place, wrong, 'open')).code, 0);
    assert.equal(fs.existsSync(path.join(place, 'data/shut')), false);
  });
}

for (const [settings, code, words] of [
  [{ DB_TYPE: 'mysql' }, 2, "cannot start: DB_TYPE is 'mysql'"],
  [{ DB_TYPE: 'postgresql' }, 2, 'cannot start: DB_PASS is not set'],
  [{ DB_PATH: 'data/none.sqlite' }, 1, 'cannot start: SQLITE_CANTOPEN: unable to open database file'],
  [{ DB_PATH: 'data' }, 1, 'cannot start: SQLITE_'],
  [
    { DB_TYPE: 'postgresql', DB_PASS: 'recognisable', DB_HOST: '127.0.0.1', DB_PORT: '1' },
    1,
    'cannot start: connect ECONNREFUSED',
  ],
]) {
  test(`it does not start: ${words}`, async (t) => {
    const server = await start(t, directory(t), settings);
    assert.equal(await server.ended, code, server.words());
    assert.ok(server.words().includes(words), server.words());
    assert.doesNotMatch(server.words(), /recognisable|\n {4}at /);
  });
}

test('.env is read from the working directory, and the environment wins', async (t) => {
  const place = directory(t);
  await freshSqlite(t, place);
  fs.writeFileSync(path.join(place, '.env'), "DB_TYPE=mysql\nDB_TYPE = 'sqlite'   # sqlite or postgresql\nPORT=1\n");
  const server = await start(t, place, { PORT: '0' });
  assert.ok(server.port, server.words());
});

test('the writer writes, pauses while the door is closed, and goes on', async (t) => {
  const place = directory(t);
  const environment = await freshSqlite(t, place);
  const database = await ApplicationDatabase.open(readSettings(place, environment));
  t.after(() => database.close());
  await database.models.User.create({
    id: key(1),
    email: 'a@example.test',
    password: 'x',
    firstName: 'x',
    lastName: 'x',
    role: 'admin',
  });
  await start(t, place, { ...environment, WRITE_EVERY_MS: '5' });
  const rows = () => database.models.Notification.count();
  const more = async () => {
    const [before, deadline] = [await rows(), Date.now() + 10000];
    while ((await rows()) < before + 3) {
      assert.ok(Date.now() < deadline, 'nothing is written');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await more();
  await command(place, environment, 'close');
  await new Promise((resolve) => setTimeout(resolve, 100));
  const still = await rows();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(await rows(), still);
  await command(place, environment, 'open');
  await more();
});

test('queries are logged when that is asked for, without a value that is bound', async (t) => {
  const place = directory(t);
  const server = await start(t, place, { ...(await freshSqlite(t, place)), LOG_QUERIES: 'true' });
  const body = { email: 'a@example.test', password: 'recognisable', firstName: 'x', lastName: 'x', role: 'admin' };
  const response = await fetch(`http://127.0.0.1:${server.port}/users`, { method: 'POST', body: JSON.stringify(body) });
  assert.equal(response.status, 201);
  assert.match(server.words(), /INSERT INTO `users`/);
  assert.doesNotMatch(server.words(), /recognisable|scrypt/);
});

test('administrators alone see what the role cannot', async () => {
  assert.deepEqual(
    await administer('contralock', "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = 'contralock_user'"),
    [{ rolsuper: false, rolcreatedb: false }],
  );
});
