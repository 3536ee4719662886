'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { ConnectionAcquireTimeoutError, ConnectionError, ConnectionRefusedError, DatabaseError } = require('sequelize');
const { PAUSES_MS, UnknownFateError, classify, withRetries } = require('../../src/config/retries');

const failed = (code, message = 'x') => new DatabaseError(Object.assign(new Error(message), { code }));
const quick = [1, 2, 3];

/** Work that fails with these errors, one after the other, and succeeds then. */
function failing(...errors) {
  const work = async () => {
    work.attempts += 1;
    const error = errors.shift();
    if (error) throw error;
    return 'done';
  };
  work.attempts = 0;
  return work;
}

test('three pauses, each longer than the one before', () => {
  assert.equal(PAUSES_MS.length, 3);
  assert.deepEqual(
    [...PAUSES_MS].sort((a, b) => a - b),
    PAUSES_MS,
  );
});

const kinds = [
  ['not_done', failed('SQLITE_BUSY', 'SQLITE_BUSY: database is locked')],
  ['not_done', failed('SQLITE_LOCKED')],
  ['not_done', failed('40001', 'could not serialize access')],
  ['not_done', failed('40P01', 'deadlock detected')],
  ['not_done', failed('55P03', 'canceling statement due to lock timeout')],
  ['not_done', failed('53300', 'remaining connection slots are reserved')],
  ['not_done', new ConnectionError(Object.assign(new Error('too many clients already'), { code: '53300' }))],
  ['not_done', failed('57P03', 'the database system is in recovery mode')],
  ['not_done', new ConnectionRefusedError(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))],
  ['not_done', new ConnectionError(Object.assign(new Error('starting up'), { code: '57P03' }))],
  ['not_done', new ConnectionError(new Error('Connection terminated unexpectedly'))],
  ['not_done', new ConnectionError(new Error('timeout expired'))],
  ['not_done', new ConnectionError(Object.assign(new Error('no route'), { code: 'ENETUNREACH' }))],
  ['dropped', failed(undefined, 'Connection terminated unexpectedly')],
  ['dropped', failed('57P01', 'terminating connection due to administrator command')],
  ['dropped', failed('ECONNRESET', 'read ECONNRESET')],
  ['dropped', failed('EHOSTUNREACH', 'read EHOSTUNREACH')],
  ['dropped', failed('ENETUNREACH', 'read ENETUNREACH')],
  ['dropped', failed('ENETDOWN', 'write ENETDOWN')],
  ['dropped', failed('57P05', 'terminating connection due to idle-session timeout')],
  ['dropped', failed('25P03', 'terminating connection due to idle-in-transaction timeout')],
  ['dropped', failed('08006')],
  ['final', failed('23505', 'duplicate key')],
  ['final', failed('57014', 'canceling statement due to statement timeout')],
  ['final', failed('SQLITE_CONSTRAINT')],
  ['final', new ConnectionError(Object.assign(new Error('password authentication failed'), { code: '28P01' }))],
  ['final', new ConnectionAcquireTimeoutError(new Error('Operation timeout'))],
  ['final', new TypeError('a fault of our own')],
];
for (const [kind, error] of kinds) {
  const { message, code } = error.original ?? error;
  test(`${kind}: ${code ?? ''} ${message}`, () => assert.equal(classify(error), kind));
}

test('what was not done is done again, three times at the most', async () => {
  const busy = () => failed('SQLITE_BUSY');
  const third = failing(busy(), busy(), busy());
  assert.equal(await withRetries(third, { repeatable: false, pauses: quick }), 'done');
  assert.equal(third.attempts, 4);
  const never = failing(busy(), busy(), busy(), busy());
  await assert.rejects(withRetries(never, { repeatable: false, pauses: quick }), DatabaseError);
  assert.equal(never.attempts, 4);
});

test('a lost connection repeats a read and never a write', async () => {
  const read = failing(failed('57P01'));
  assert.equal(await withRetries(read, { repeatable: true, pauses: quick }), 'done');
  const write = failing(failed('57P01'));
  await assert.rejects(withRetries(write, { repeatable: false, pauses: quick }), UnknownFateError);
  assert.equal(write.attempts, 1);
});

test('what is final is not tried again', async () => {
  const work = failing(failed('23505'));
  await assert.rejects(withRetries(work, { repeatable: true, pauses: quick }), DatabaseError);
  assert.equal(work.attempts, 1);
});

test('an unknown fate is final', async () => {
  const work = failing(new UnknownFateError(new Error('gone')));
  await assert.rejects(withRetries(work, { repeatable: true, pauses: quick }), /may have happened or not: gone/);
  assert.equal(work.attempts, 1);
});
