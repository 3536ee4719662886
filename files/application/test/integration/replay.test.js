'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { TYPES, command, directory, key, startApplication } = require('./databases');
const { readCalls, replay } = require('../../src/replay/replay');

/** Both databases with the same rows; a milestone and a payment besides, which the recorded calls ask for. */
async function both(t) {
  return Promise.all(
    TYPES.map(async (type) => {
      const application = await startApplication(t, type);
      const deadline = '2024-02-02T02:02:02.020Z';
      const milestone = {
        project: key(100),
        title: 'x',
        description: 'x',
        amount: 5,
        deadline,
        acceptanceCriteria: 'x',
        status: 'APPROVED',
      };
      assert.equal((await application.ask('POST', '/milestones', milestone)).status, 201);
      const payment = { projectId: key(100), type: 'REFUND', amount: -5, provider: 'x' };
      assert.equal((await application.ask('POST', '/transactions', payment)).status, 201);
      return application;
    }),
  );
}

test('the recorded calls have the same answers on both databases, writes included', async (t) => {
  const applications = await both(t);
  // What the database or the clock of each test made.
  const calls = readCalls().map((call) => ({
    ...call,
    mask: [
      ...(call.mask ?? []),
      ...(/milestones|transactions/.test(call.path) ? ['id', 'createdAt', 'updatedAt'] : []),
    ],
  }));
  const [sqlite, postgresql] = await Promise.all(applications.map(({ url }) => replay(url, calls)));
  assert.equal(sqlite, postgresql);
  assert.equal(sqlite.trimEnd().split('\n').length, calls.filter((call) => !call.method).length);
  const written = await Promise.all(applications.map(({ url }) => replay(url, calls, { writes: true })));
  assert.equal(written[0], written[1]);
  const statuses = written[0]
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ call }) => !call.startsWith('GET'));
  assert.deepEqual(
    statuses.map(({ status }) => status),
    [201, 409, 400, 200, 201, 201, 201, 201, 409, 201, 201],
  );
});

test('a difference in one cell is seen, and asking changes nothing', async (t) => {
  const [{ url, ask }] = await both(t);
  const first = await replay(url, readCalls());
  assert.equal(await replay(url, readCalls()), first);
  await ask('PATCH', `/users/${key(2)}`, { lastName: 'éclair' });
  assert.notEqual(await replay(url, readCalls()), first);
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
