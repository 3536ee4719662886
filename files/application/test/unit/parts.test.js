'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { Door } = require('../../src/api/closed');
const { parseJson } = require('../../src/models/json');
const { Metrics } = require('../../src/health/metrics');

test('the door is a file; closing and opening say whether they changed anything', () => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'door-'));
  const door = new Door(path.join(place, 'data', 'closed'));
  assert.equal(door.isClosed, false);
  assert.deepEqual([door.close(), door.close(), door.isClosed], [true, false, true]);
  assert.equal(new Door(door.file).isClosed, true);
  assert.deepEqual([door.open(), door.open(), door.isClosed], [true, false, false]);
});

test('JSON that is kept as text', () => {
  assert.deepEqual(['', null, '[1]', '{"a":null}', 'no json', 5, '5', 'null'].map(parseJson), [
    null,
    null,
    [1],
    { a: null },
    'no json',
    5,
    5,
    null,
  ]);
});

test("metrics have Prometheus' form and count what was asked", async () => {
  const metrics = new Metrics();
  const errors = [undefined, undefined, Object.assign(new Error('busy'), { code: 'SQLITE_BUSY' })];
  const sequelize = {
    query: async () => {
      const error = errors.shift();
      if (error) throw error;
    },
  };
  metrics.watch(sequelize);
  await sequelize.query('SELECT 1');
  await sequelize.query({ query: 'START TRANSACTION;' });
  await assert.rejects(sequelize.query('  update x'));
  const lines = metrics.render('postgresql', { size: 3, waiting: 0 }).trimEnd().split('\n');
  for (const line of lines) assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.e+-]+)$/);
  for (const expected of [
    'contralock_database{type="postgresql"} 1',
    'contralock_queries_total{statement="select"} 1',
    'contralock_queries_total{statement="begin"} 1',
    'contralock_queries_total{statement="update"} 1',
    'contralock_query_errors_total{kind="not_done"} 1',
    'contralock_query_seconds_count 3',
    'contralock_pool_connections{state="size"} 3',
  ]) {
    assert.ok(lines.includes(expected), expected);
  }
});
