'use strict';

// What differs between the two databases: first that it does, then that the application's own way does not. Each test
// is a line of the table in docs/application.md.

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');
const { DataTypes, Op, QueryTypes } = require('sequelize');
const { TYPES, key, startApplication } = require('./databases');
const { ApplicationDatabase } = require('../../src/config/applicationDatabase');

const cleanups = [];
const databases = {};
const applications = {};

before(async () => {
  const t = { after: (work) => cleanups.push(work) };
  for (const type of TYPES) {
    applications[type] = await startApplication(t, type);
    databases[type] = await ApplicationDatabase.open(applications[type].settings);
    cleanups.push(() => databases[type].close());
  }
});
after(async () => {
  for (const work of cleanups.reverse()) await work();
});

/** What each database answers, an error as its code. */
async function each(ask) {
  const answers = {};
  for (const type of TYPES) {
    answers[type] = await ask(databases[type]).catch((error) => error.original?.code ?? error.message);
  }
  return answers;
}

async function same(target) {
  const answers = await Promise.all(TYPES.map((type) => applications[type].ask('GET', target)));
  assert.equal(answers[0].status, 200, JSON.stringify(answers[0]));
  assert.deepEqual(answers[0], answers[1]);
  return answers[0].body;
}

const raw = (sql) => (database) => database.sequelize.query(sql, { type: QueryTypes.SELECT });

test('LIKE tells capitals apart on PostgreSQL, and the search does not', async () => {
  const like = ({ models }) => models.User.count({ where: { firstName: { [Op.like]: '%bob%' } } });
  assert.deepEqual(await each(like), { sqlite: 2, postgresql: 1 });
  const ilike = ({ models }) => models.User.count({ where: { lastName: { [Op.iLike]: '%éclair%' } } });
  assert.deepEqual(await each(ilike), { sqlite: 'SQLITE_ERROR', postgresql: 1 });
  assert.equal((await same('/users/search?q=bob')).total, 2);
  assert.equal((await same('/users/search?q=%C3%A9clair')).total, 0);
  assert.equal((await same('/users/search?q=%C3%89CLAIR')).total, 1);
});

test('LIKE has a sign of escape on PostgreSQL alone, and the search has no wildcards', async () => {
  const like = ({ models }) => models.User.count({ where: { lastName: { [Op.like]: '%\\_\\\\' } } });
  assert.deepEqual(await each(like), { sqlite: 0, postgresql: 1 });
  for (const [word, number] of [
    ['100%', 1],
    ['%', 1],
    ['_', 1],
    ['\\', 1],
    ["O'N", 1],
    ['x%y', 0],
  ]) {
    assert.equal((await same(`/users/search?q=${encodeURIComponent(word)}`)).total, number, word);
  }
});

test('NULL comes first on SQLite and last on PostgreSQL, and the lists say where', async () => {
  const first = async ({ models }) => (await models.User.findOne({ order: ['status'] })).status;
  assert.deepEqual(await each(first), { sqlite: null, postgresql: 'pending' });
  assert.deepEqual(
    (await same('/users?order=status')).items.map((row) => row.status),
    [null, null, 'active', 'pending', 'verified'],
  );
  assert.deepEqual(
    (await same('/users?order=-status')).items.map((row) => row.status),
    ['verified', 'pending', 'active', null, null],
  );
});

test("an enumeration is sorted by its labels' places on PostgreSQL, and the lists sort by its text", async () => {
  const order = async ({ models }) => {
    const rows = await models.Project.findAll({
      order: [['status', 'DESC']],
      where: { status: { [Op.not]: null } },
      limit: 1,
    });
    return rows[0].status;
  };
  assert.deepEqual(await each(order), { sqlite: 'DRAFT', postgresql: 'ARCHIVED' });
  const sorted = (await same('/projects?order=-status')).items.map((row) => row.status);
  assert.deepEqual(sorted, ['DRAFT', 'DISPUTED', 'ARCHIVED', 'ACTIVE', 'ACTIVE', null]);
});

test('text is sorted by its bytes on both, because the database is made so', async () => {
  const titles = (await same('/projects?order=title')).items.map((row) => row.title);
  assert.deepEqual(
    titles,
    ['A', 'B', 'a', 'b', 'z', 'Á'].map((letter) => `Project ${letter}`),
  );
});

test('a list without an order changes by an update on PostgreSQL, and the lists have one to the last row', async () => {
  const touched = async ({ models }) => {
    await models.Project.update({ budget: 10000 }, { where: { id: key(100) }, silent: true });
    return (await models.Project.findAll({ attributes: ['id'] })).map((row) => row.id)[0];
  };
  assert.deepEqual(await each(touched), { sqlite: key(100), postgresql: key(101) });
  // All were made at the same moment.
  const pages = [await same('/projects?limit=4'), await same('/projects?limit=4&offset=4')];
  assert.deepEqual(
    pages.flatMap(({ items }) => items.map((row) => row.id)),
    [0, 1, 2, 3, 4, 5].map((i) => key(100 + i)),
  );
});

test('an unknown value of an enumeration is an error in a PostgreSQL filter, and the lists are empty', async () => {
  const filter = ({ models }) => models.Project.count({ where: { status: 'NONE' } });
  assert.deepEqual(await each(filter), { sqlite: 0, postgresql: '22P02' });
  assert.deepEqual(await same('/projects?status=NONE'), { items: [], total: 0 });
  assert.equal((await same('/projects?status=ACTIVE')).total, 2);
});

test('a text that is no uuid is an error in a PostgreSQL filter, and the lists are empty', async () => {
  const filter = ({ models }) => models.Project.count({ where: { client: 'user-1' } });
  assert.deepEqual(await each(filter), { sqlite: 0, postgresql: '22P02' });
  assert.deepEqual(await same('/projects?client=user-1'), { items: [], total: 0 });
  assert.equal((await same(`/projects?client=${key(1)}`)).total, 6);
});

test('COUNT and bigint are text from the bare driver, and numbers here', async () => {
  const { Client, types } = require('pg');
  const { TEST_PG_SOCKET: host, TEST_PG_PORT: port } = process.env;
  const bare = new Client({
    host,
    port: Number(port),
    user: 'postgres',
    database: 'postgres',
    types: { getTypeParser: () => String },
  });
  await bare.connect();
  assert.equal((await bare.query('SELECT count(*) + 5 AS n FROM (VALUES (1)) AS v')).rows[0].n + 5, '65');
  await bare.end();
  assert.equal(types.getTypeParser(20)('9007199254740993'), '9007199254740993');
  assert.deepEqual(await each(async (database) => (await raw('SELECT count(*) AS n FROM users')(database))[0].n + 5), {
    sqlite: 10,
    postgresql: 10,
  });
  assert.deepEqual((await same('/dashboard')).projects[1], { status: 'ACTIVE', rows: 2, sum: 70000 });
});

test('numeric is text from the driver, and a number in the model', async () => {
  const rate = async ({ models }) => {
    const row = await models.Arbitrator.create({ user: key(1), successRate: 97.5 });
    return (await models.Arbitrator.findByPk(row.id)).successRate;
  };
  assert.deepEqual(await each(rate), { sqlite: 97.5, postgresql: 97.5 });
  const bare = async (database) => typeof (await database.models.Arbitrator.findOne({ raw: true })).successRate;
  assert.deepEqual(await each(bare), { sqlite: 'number', postgresql: 'string' });
});

test('raw queries get 0 and 1, texts and other names; through a model they get what the model has', async () => {
  const sql = ({ type }) =>
    type === 'sqlite' ? 'SELECT * FROM users ORDER BY _id LIMIT 1' : 'SELECT * FROM users ORDER BY id LIMIT 1';
  const bare = async (database) => {
    const [row] = await raw(sql(database))(database);
    return [row.emailVerified ?? row.is_email_verified, typeof (row.createdAt ?? row.created_at)];
  };
  assert.deepEqual(await each(bare), { sqlite: [0, 'string'], postgresql: [false, 'object'] });
  const mapped = async (database) => {
    const options = { model: database.models.User, mapToModel: true };
    const [row] = await database.sequelize.query(sql(database), options);
    return [row.id, row.firstName, row.isEmailVerified];
  };
  assert.deepEqual(await each(mapped), { sqlite: [key(1), 'Ada', false], postgresql: [key(1), 'Ada', false] });
});

test('raw SQL of SQLite is refused by PostgreSQL: booleans, dates, columns beside GROUP BY', async () => {
  for (const [sql, code] of [
    ['SELECT 1 FROM notifications WHERE read = 1', '42883'],
    ["SELECT datetime('now')", '42883'],
    ['SELECT status, title FROM projects GROUP BY status', '42803'],
    ['SELECT rowid FROM users', '42703'],
    ['SELECT 1 FROM users WHERE email = "x"', '42703'],
  ]) {
    const { sqlite, postgresql } = await each(raw(sql));
    assert.ok(Array.isArray(sqlite), sql);
    assert.equal(postgresql, code, sql);
  }
});

test('a text beyond its length, a fraction, a false time go into SQLite; the models let them into neither', async () => {
  const user = (changes) => ({
    id: key(900),
    email: 'x@example.test',
    password: 'x',
    firstName: 'x',
    lastName: 'x',
    role: 'client',
    ...changes,
  });
  for (const [changes, code] of [
    [{ firstName: 'x'.repeat(256) }, '22001'],
    [{ role: 'king' }, '22P02'],
    [{ twoFactorFailedAttempts: 'abc' }, '22P02'],
    [{ resetPasswordExpires: 'soon' }, '22007'],
    [{ role: ['client'] }, '22P02'],
    [{ isEmailVerified: 'maybe' }, '22P02'],
    [{ twoFactorFailedAttempts: 2 ** 31 }, '22003'],
    [{ resetPasswordExpires: false }, '22007'],
    [{ resetPasswordExpires: '0000-01-01T00:00:00Z' }, '22008'],
  ]) {
    const past = async ({ models }) => {
      await models.User.create(user(changes), { validate: false });
      await models.User.destroy({ where: { id: key(900) }, force: true });
      return 'written';
    };
    assert.deepEqual(await each(past), { sqlite: 'written', postgresql: code }, JSON.stringify(changes));
    const refused = async ({ models }) => {
      await assert.rejects(models.User.create(user(changes)), { name: 'SequelizeValidationError' });
      return 'refused';
    };
    assert.deepEqual(await each(refused), { sqlite: 'refused', postgresql: 'refused' });
  }
});

test('a time before the year 1000 is read from SQLite as another one; the models let in neither it nor one after 9999', async () => {
  for (const [time, years] of [
    ['0099-01-01T00:00:00Z', { sqlite: 1999, postgresql: 99 }],
    ['+010000-01-01T00:00:00Z', { sqlite: 10000, postgresql: 10000 }],
  ]) {
    const read = async ({ models }) => {
      const [values, where] = [{ resetPasswordExpires: time }, { id: key(2) }];
      await models.User.update(values, { where, validate: false, silent: true });
      const { resetPasswordExpires } = await models.User.findByPk(key(2));
      await assert.rejects(models.User.update(values, { where }), { name: 'SequelizeValidationError' });
      return resetPasswordExpires.getUTCFullYear();
    };
    assert.deepEqual(await each(read), years, time);
  }
});

test('a text that is no uuid goes into SQLite as a key that refers to no table, and the models leave it there', async () => {
  const payment = { projectId: key(100), type: 'REFUND', amount: -5, provider: 'x', disputeId: 'abc' };
  const written = async ({ models }) => {
    await models.Transaction.create(payment);
    return 'written';
  };
  const refused = 'Validation error: has to be a uuid in lower case';
  assert.deepEqual(await each(written), { sqlite: 'written', postgresql: refused });
});

test("jsonb sorts an object's keys and keeps one of two; the application reads objects on both", async () => {
  const stored = async ({ models, sequelize, type }) => {
    await models.User.update({ profile: { zz: 1, a: 2 } }, { where: { id: key(3) }, silent: true });
    const sql =
      type === 'sqlite'
        ? 'SELECT profile AS p FROM users WHERE _id = $1'
        : 'SELECT profile::text AS p FROM users WHERE id = $1';
    return (await sequelize.query(sql, { bind: [key(3)], type: QueryTypes.SELECT }))[0].p;
  };
  assert.deepEqual(await each(stored), { sqlite: '{"zz":1,"a":2}', postgresql: '{"a": 2, "zz": 1}' });
  assert.deepEqual((await same(`/users/${key(3)}`)).profile, { a: 2, zz: 1 });
});

test('U+0000 goes into SQLite, Sequelize alters it for PostgreSQL; half an emoji goes into SQLite alone', async () => {
  const text = async ({ models }) => {
    await models.User.update({ lastName: 'a\0b' }, { where: { id: key(4) } });
    const { lastName } = await models.User.findByPk(key(4));
    await models.User.update({ lastName: '100%_\\' }, { where: { id: key(4) } });
    return lastName;
  };
  assert.deepEqual(await each(text), { sqlite: 'a\0b', postgresql: 'a\\0b' });
  const filter = ({ models }) => models.User.count({ where: { lastName: 'a\0b' } });
  assert.deepEqual(await each(filter), { sqlite: 'SQLITE_ERROR', postgresql: 0 });
  for (const target of ['/users?lastName=a%00b', '/users/search?q=%00', '/users/%00']) {
    for (const type of TYPES) assert.equal((await applications[type].ask('GET', target)).status, 400, target);
  }
  const document = async ({ models }) => {
    await models.User.update({ profile: { a: '\ud83d' } }, { where: { id: key(5) } });
    await models.User.update({ profile: null }, { where: { id: key(5) }, silent: true });
    return 'written';
  };
  assert.deepEqual(await each(document), { sqlite: 'written', postgresql: '22P02' });
});

test('names of one word are alike, others only with quotes', async () => {
  const camel = raw('SELECT firstName FROM users');
  const { sqlite, postgresql } = await each(camel);
  assert.equal(sqlite.length, 5);
  assert.equal(postgresql, '42703');
  assert.equal((await same('/users?firstName=bob')).total, 1);
});

test('the models are told by kinds that both have', () => {
  for (const type of TYPES) {
    const { User, Project } = databases[type].models;
    assert.equal(User.options.paranoid, true);
    assert.equal(
      User.rawAttributes.profile.type instanceof (type === 'sqlite' ? DataTypes.JSON : DataTypes.JSONB),
      true,
    );
    assert.equal(Project.rawAttributes.escrow.type.key, type === 'sqlite' ? 'TEXT' : 'JSONB');
    assert.equal(User.rawAttributes.id.field, type === 'sqlite' ? '_id' : 'id');
    assert.equal(User.rawAttributes.firstName.field, type === 'sqlite' ? 'firstName' : 'first_name');
  }
});
