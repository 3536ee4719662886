'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { TYPES, administer, assertNoSecret, key, startApplication } = require('./databases');
const { ApplicationDatabase } = require('../../src/config/applicationDatabase');

const USER = {
  email: '  New.Person@Example.TEST ',
  password: 'a long one',
  firstName: 'New',
  lastName: 'Person',
  role: 'client',
};

const PAYMENT = { projectId: key(100), type: 'REFUND', amount: -5, provider: 'x' };

for (const type of TYPES) {
  test(`${type}: a user is created, read, found, changed and deleted softly`, async (t) => {
    const { ask } = await startApplication(t, type);
    const created = await ask('POST', '/users', { ...USER, profile: { skills: ['ü', 1.5, null] } });
    assert.equal(created.status, 201);
    assert.equal(created.body.email, 'new.person@example.test');
    assert.deepEqual(created.body.profile, { skills: ['ü', 1.5, null] });
    assert.equal(created.body.status, 'pending');
    assert.equal('password' in created.body, false);
    const place = `/users/${created.body.id}`;
    assert.deepEqual((await ask('GET', place)).body, created.body);
    assert.deepEqual((await ask('GET', '/users/search?q=NEW.PERSON')).body.items, [created.body]);
    assert.equal((await ask('POST', '/users', USER)).status, 409);
    const changed = await ask('PATCH', place, { lastName: 'Else', status: 'verified' });
    assert.deepEqual([changed.status, changed.body.lastName, changed.body.status], [200, 'Else', 'verified']);
    assert.equal((await ask('DELETE', place)).status, 204);
    assert.equal((await ask('GET', place)).status, 404);
    assert.equal((await ask('GET', '/users?limit=200')).body.total, 5);
  });

  test(`${type}: what does not fit is refused before the database sees it`, async (t) => {
    const { ask } = await startApplication(t, type);
    const project = {
      title: 'x',
      description: 'x',
      category: 'Other',
      budget: 1,
      deadline: '2026-01-01T00:00:00Z',
      client: key(1),
    };
    const cases = [
      ['/users', { ...USER, role: 'king' }, 400, 'role: has to be one of client, freelancer, admin'],
      ['/users', { ...USER, email: 'no address' }, 400, 'email: '],
      ['/users', { ...USER, email: null }, 400, 'email'],
      ['/users', { ...USER, password: 'short' }, 400, 'password: '],
      ['/users', { ...USER, firstName: 'é'.repeat(256) }, 400, 'firstName: has to be a text of at most 255'],
      ['/users', { ...USER, firstName: 'a\0b' }, 400, 'U+0000'],
      ['/users', { ...USER, twoFactorSecret: 5 }, 400, 'twoFactorSecret: '],
      ['/users', { ...USER, deletedAt: 'x' }, 400, 'deletedAt cannot be set'],
      ['/projects', { ...project, budget: 12.5 }, 400, 'budget: has to be a whole number'],
      ['/projects', { ...project, budget: '12' }, 400, 'budget: has to be a whole number'],
      ['/projects', { ...project, budget: -1 }, 400, 'budget: has to be at least 0'],
      ['/projects', { ...project, deadline: 'soon' }, 400, 'deadline: has to be a time'],
      ['/projects', { ...project, client: key(99) }, 400, 'it refers to a row that is not there'],
      ['/wallets', { userId: key(1), balance: 5 }, 400, 'balance cannot be set'],
    ];
    for (const [target, body, status, words] of cases) {
      const answer = await ask('POST', target, body);
      assert.equal(answer.status, status, JSON.stringify([body, answer]));
      assert.ok(answer.body.error.includes(words), JSON.stringify([words, answer]));
    }
    assert.equal((await ask('POST', '/projects', project)).status, 201);
    assert.equal((await ask('POST', '/users', { ...USER, firstName: 'é'.repeat(255) })).status, 201);
    for (const target of ['/users/no-uuid', `/users/${key(77)}`, '/nothing']) {
      assert.equal((await ask('GET', target)).status, 404, target);
    }
    for (const target of [
      '/users?limit=0',
      '/users?limit=x',
      '/users?colour=red',
      '/users?order=profile',
      '/users/search',
    ]) {
      assert.equal((await ask('GET', target)).status, 400, target);
    }
  });

  test(`${type}: what SQLite would store and PostgreSQL refuses is refused`, async (t) => {
    const { ask } = await startApplication(t, type);
    const noKey = type === 'sqlite' ? 'it refers to a row that is not there' : 'from: has to be a uuid in lower case';
    for (const [target, body, words] of [
      [`/users/${key(1)}`, { role: ['client'] }, 'role: has to be one of client, '],
      [`/users/${key(1)}`, { isEmailVerified: 'yes' }, 'isEmailVerified: has to be true or false'],
      [`/users/${key(1)}`, { twoFactorEnabled: 2 }, 'twoFactorEnabled: has to be true or false'],
      [`/users/${key(1)}`, { twoFactorFailedAttempts: 2 ** 31 }, 'twoFactorFailedAttempts: has to be at most 2147483647'],
      [`/projects/${key(100)}`, { description: 5 }, 'description: has to be a text'],
      [`/projects/${key(100)}`, { freelancer: 5 }, 'freelancer: has to be a'],
      [`/projects/${key(100)}`, { deadline: false }, 'deadline: has to be a time'],
      [`/projects/${key(100)}`, { deadline: '+010000-01-01T00:00:00Z' }, 'deadline: has to be a time'],
      [`/projects/${key(100)}`, { deadline: '0000-01-01T00:00:00Z' }, 'deadline: has to be a time'],
      ['/transactions', { ...PAYMENT, from: 'abc' }, noKey],
      ['/transactions', { ...PAYMENT, disputeId: 5 }, 'disputeId: has to be a'],
    ]) {
      const answer = await ask(target === '/transactions' ? 'POST' : 'PATCH', target, body);
      assert.equal(answer.status, 400, JSON.stringify([body, answer]));
      assert.ok(answer.body.error.startsWith(words), JSON.stringify([words, answer]));
    }
    const whole = { isEmailVerified: true, twoFactorFailedAttempts: 2 ** 31 - 1, role: 'admin' };
    assert.equal((await ask('PATCH', `/users/${key(1)}`, whole)).status, 200);
    for (const deadline of ['9999-12-31T23:59:59.999Z', '1000-01-01T00:00:00.000Z']) {
      assert.equal((await ask('PATCH', `/projects/${key(100)}`, { deadline })).body.deadline, deadline);
      assert.equal((await ask('GET', `/projects/${key(100)}`)).body.deadline, deadline);
    }
  });

  test(`${type}: half an emoji is replaced, alike in text and in JSON`, async (t) => {
    const { ask } = await startApplication(t, type);
    const { status, body } = await ask('POST', '/users', { ...USER, lastName: 'x\ud83d', profile: { a: ['\ud83d'] } });
    assert.deepEqual([status, body.lastName, body.profile], [201, 'x\ufffd', { a: ['\ufffd'] }]);
  });

  test(`${type}: money moves in one transaction and none is made or lost by many at once`, async (t) => {
    const { ask } = await startApplication(t, type);
    const [a, b, euro] = [key(201), key(202), key(203)];
    const transfer = (from, to, amount) => ask('POST', `/wallets/${from}/transfers`, { to, amount });
    assert.deepEqual((await transfer(a, b, 250)).body, { from: a, to: b, amount: 250, balance: 99750 });
    for (const [from, to, amount, status] of [
      [a, b, 10 ** 9, 409],
      [a, euro, 1, 409],
      [a, a, 1, 400],
      [a, b, 0, 400],
      [a, b, 1.5, 400],
      [a, key(9), 1, 404],
      [a, 'x', 1, 404],
    ]) {
      assert.equal((await transfer(from, to, amount)).status, status, JSON.stringify([from, to, amount]));
    }
    const many = Array.from({ length: 60 }, (_, i) => (i % 2 ? transfer(a, b, i + 1) : transfer(b, a, i + 1)));
    const answers = await Promise.all(many);
    assert.deepEqual(new Set(answers.map((each) => each.status)), new Set([201]));
    const balances = await Promise.all([a, b].map(async (id) => (await ask('GET', `/wallets/${id}`)).body.balance));
    assert.equal(balances[0] + balances[1], 200000);
    assert.equal(balances[0], 99750 - 30);
    assert.equal((await ask('GET', `/wallets/${a}/transactions?limit=200`)).body.total, 61);
    assert.equal((await ask('POST', `/wallets/${a}/deposits`, { amount: 5 })).body.balance, balances[0] + 5);
  });

  test(`${type}: closed to users, and open again without a restart`, async (t) => {
    const { ask, settings, url } = await startApplication(t, type);
    const { Door } = require('../../src/api/closed');
    const door = new Door(settings.closedFile);
    assert.equal((await ask('POST', '/notifications', {})).status, 201);
    door.close();
    for (const [method, target] of [
      ['GET', '/users'],
      ['POST', '/notifications'],
      ['GET', '/counts'],
      ['GET', '/nothing'],
    ]) {
      assert.deepEqual(await ask(method, target), { status: 503, body: { error: 'closed for maintenance' } }, target);
    }
    const health = await ask('GET', '/health');
    assert.deepEqual([health.status, health.body.status, health.body.details.closed], [200, 'healthy', true]);
    assert.equal((await fetch(`${url}/metrics`)).status, 200);
    assert.notEqual((await ask('POST', '/canary', { token: key(1) })).status, 503);
    door.open();
    assert.equal((await ask('GET', '/users')).status, 200);
  });

  test(`${type}: what operators ask`, async (t) => {
    const { ask, url, settings } = await startApplication(t, type, { DB_PASS: process.env.TEST_PG_PASSWORD });
    const { status, body } = await ask('GET', '/health');
    await assertNoSecret(url);
    assert.deepEqual([status, body.status, body.details.type], [200, 'healthy', type]);
    assert.ok(body.details.latencyMs >= 0 && body.details.message);
    if (type === 'postgresql') {
      assert.match(body.details.tls, /^TLSv1\.[23]$/);
      assert.deepEqual([body.details.host, body.details.database], ['localhost', settings.name]);
      assert.equal(body.details.pool.max, 20);
    }
    const counts = (await ask('GET', '/counts')).body;
    assert.deepEqual([counts.type, counts.counts.users, counts.counts.projects], [type, 5, 6]);
    assert.match(await (await fetch(`${url}/metrics`)).text(), new RegExp(`contralock_database\\{type="${type}"\\} 1`));
    assert.equal((await ask('POST', '/notifications', [])).status, 400);
    const written = await ask('POST', '/notifications', { message: 'Grüße 🔒' });
    assert.deepEqual([written.status, written.body.type], [201, type]);
  });

  test(`${type}: the schema's version is the last change that the database has noted`, async (t) => {
    const { ask, settings } = await startApplication(t, type, { seeded: false });
    const version = async () => (await ask('GET', '/health')).body.details.schema.version;
    const database = await ApplicationDatabase.open(settings);
    t.after(() => database.close());
    if (type === 'sqlite') {
      assert.equal(await version(), '20260102000000-users-deleted-at');
      await database.sequelize.query('DROP TABLE SequelizeMeta');
    } else {
      // As the machinery of the move makes it; the application's role has no right to any of it.
      const note = (name) => `COMMENT ON TABLE contralock_migration.schema_changes IS '${name}'`;
      await administer(settings.name, 'CREATE SCHEMA contralock_migration');
      await administer(settings.name, 'CREATE TABLE contralock_migration.schema_changes (name text)');
      await administer(settings.name, note('0008_migration_canary'));
      assert.equal(await version(), '0008_migration_canary');
      await assert.rejects(database.sequelize.query('TABLE contralock_migration.schema_changes'), /permission denied/);
      await administer(settings.name, 'DROP SCHEMA contralock_migration CASCADE');
    }
    assert.equal(await version(), null);
  });

  test(`${type}: the canary is written where the application works`, async (t) => {
    const { ask, settings } = await startApplication(t, type);
    const token = key(4711);
    const answer = await ask('POST', '/canary', { token });
    if (type === 'sqlite') {
      assert.deepEqual(
        [answer.status, answer.body.error],
        [404, 'there is no table migration_canary in the database (sqlite)'],
      );
    } else {
      assert.deepEqual(answer, { status: 201, body: { token, type } });
      assert.deepEqual(await administer(settings.name, 'SELECT token FROM migration_canary'), [{ token }]);
      assert.equal((await ask('POST', '/canary', { token })).status, 409);
    }
    assert.equal((await ask('POST', '/canary', { token: 'x' })).status, 400);
  });
}
