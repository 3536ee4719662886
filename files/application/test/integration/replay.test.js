'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { TYPES, command, directory, key, openDatabase, startApplication } = require('./databases');
const { Resource } = require('../../src/api/resource');
const { definitions } = require('../../src/models/definitions');
const { WRITES, readCalls, replay } = require('../../src/replay/replay');

const PATHS = {
  User: '/users',
  Project: '/projects',
  Milestone: '/milestones',
  Transaction: '/transactions',
  Wallet: '/wallets',
  WalletTransaction: '/wallets/{wallet}/transactions',
};

/** Both databases with the same rows, and a user who is deleted. */
async function both(t) {
  return Promise.all(
    TYPES.map(async (type) => {
      const application = await startApplication(t, type);
      assert.equal((await application.ask('DELETE', `/users/${key(5)}`)).status, 204);
      return application;
    }),
  );
}

/** The calls whose answers differ, with both. */
const differing = (one, other) => {
  const [lines, others] = [one, other].map((text) => text.split('\n'));
  assert.equal(lines.length, others.length);
  return lines.map((line, i) => [line, others[i]]).filter(([line, its]) => line !== its);
};

const answersOf = (text) => text.trimEnd().split('\n').map(JSON.parse);

test('the recorded calls have the same answers on both databases, and so have those that write', async (t) => {
  const applications = await both(t);
  const play = (calls, options) => Promise.all(applications.map(({ url }) => replay(url, calls, options)));
  const calls = readCalls();
  const [sqlite, postgresql] = await play(calls);
  assert.deepEqual(differing(sqlite, postgresql), []);
  const asked = answersOf(sqlite);
  assert.equal(asked.length, calls.length);
  assert.deepEqual([...new Set(asked.map(({ status }) => status))].sort(), [200, 400, 404]);
  assert.equal(asked.find(({ call }) => call === 'GET /counts').answer.counts.users, 5);
  const [first, second] = await play(readCalls(WRITES), { writes: true });
  assert.deepEqual(differing(first, second), []);
  const written = answersOf(first);
  assert.deepEqual([...new Set(written.map(({ status }) => status))].sort(), [200, 201, 204, 400, 404, 409]);
  // Another time the answers are the same: nothing in them is of that time.
  assert.deepEqual(await play(readCalls(WRITES), { writes: true }), [first, first]);
});

test('every list is asked in every order and by every filter', async (t) => {
  const database = await openDatabase(t, 'sqlite');
  const asked = readCalls().map((call) => call.path);
  const missing = Object.entries(PATHS).flatMap(([name, place]) => {
    const { sortable, filters } = new Resource(database, name);
    // Where NULLs may be, in both directions.
    const both = (column) => column !== 'id' && !definitions[name].attributes[column].required;
    const wanted = sortable.flatMap((column) => [`order=-${column}`, ...(both(column) ? [`order=${column}`] : [])]);
    wanted.push(...filters.map((column) => `${column}=`));
    const queries = asked.filter((each) => each.startsWith(`${place}?`)).map((each) => `&${each.split('?')[1]}&`);
    const answered = (part) => queries.some((query) => query.includes(part.endsWith('=') ? `&${part}` : `&${part}&`));
    return wanted.filter((part) => !answered(part)).map((part) => `${place}?${part}`);
  });
  assert.deepEqual(missing, []);
});

test('a difference in one cell is seen, and asking changes nothing', async (t) => {
  const [{ url, ask }] = await both(t);
  const calls = readCalls().filter((call) => call.path.startsWith('/users?limit=200'));
  const first = await replay(url, calls);
  assert.deepEqual(differing(first, await replay(url, calls)), []);
  await ask('PATCH', `/users/${key(2)}`, { lastName: 'éclair' });
  assert.equal(differing(first, await replay(url, calls)).length, 1);
});

test('a value that was made stands there by its name, wherever it is', async (t) => {
  const { url } = await startApplication(t, 'sqlite');
  const body = { email: 'a{run}@example.test', password: 'a long one', firstName: 'x', lastName: 'x', role: 'client' };
  const calls = [
    { method: 'POST', path: '/users', body, keep: { new: 'id' } },
    { path: '/users/{new}', keep: { again: 'id' } },
    { path: '/users?email={mail}' },
    { path: '/projects/{new}' },
  ];
  const [made, read, unknown, missing] = answersOf(await replay(url, calls, { writes: true }));
  assert.deepEqual([made.answer.id, made.answer.email], ['{new}', 'a{run}@example.test']);
  assert.equal(read.answer.id, '{new}');
  assert.deepEqual([unknown.status, unknown.answer.total], [200, 0]);
  assert.equal(missing.answer.error, 'there is no Project {new}');
});

test('masked values are masked at any depth, and keys are sorted', async (t) => {
  const { url } = await startApplication(t, 'sqlite');
  const answers = await replay(url, [{ path: '/users?limit=1&order=email', mask: ['updatedAt', 'role'] }]);
  const { answer } = JSON.parse(answers);
  assert.deepEqual(
    [answer.items[0].updatedAt, answer.items[0].role, answer.items[0].firstName],
    ['<masked>', '<masked>', 'Ada'],
  );
  assert.deepEqual(Object.keys(answer.items[0]), Object.keys(answer.items[0]).sort());
  await assert.rejects(
    replay(url, [{ path: '/users', keep: { x: 'items.99.id' } }]),
    /the answer to \/users has no items\.99\.id/,
  );
});

test('an answer is one line for everybody, whatever is in it', async (t) => {
  const { url, ask } = await startApplication(t, 'sqlite');
  await ask('PATCH', `/users/${key(1)}`, { lastName: 'a\u2028b\u0085c\nd' });
  const text = await replay(url, [{ path: `/users/${key(1)}` }]);
  assert.equal(text.trimEnd().split(/[\n\u0085\u2028]/).length, 1);
  assert.equal(JSON.parse(text).answer.lastName, 'a\u2028b\u0085c\nd');
});

test('the command replays against the application of its directory', async (t) => {
  const { url, settings } = await startApplication(t, 'sqlite');
  const place = directory(t);
  const calls = path.join(place, 'calls.jsonl');
  fs.writeFileSync(calls, '{"path": "/users?limit=2"}\n\n{"method": "POST", "path": "/notifications", "body": {}}\n');
  const environment = { DB_PATH: settings.path, PORT: new URL(url).port };
  const { code, stdout } = await command(place, environment, 'replay', calls);
  assert.equal(code, 0);
  assert.equal(stdout, await replay(url, readCalls(calls)));
  assert.equal(stdout.split('\n').length, 2);
});
