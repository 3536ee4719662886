'use strict';

// Code as the migration plan has it, or as such code is usually written, that does not do what it says; each test
// shows the fault, and then that the application's own form does not have it. docs/application.md tells about each.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { DataTypes, Sequelize } = require('sequelize');
const {
  TYPES,
  administer,
  directory,
  environmentFor,
  freshPostgresql,
  freshSqlite,
  key,
  openDatabase,
} = require('./databases');
const { databaseOptions } = require('../../src/config/database');
const { DatabaseFactory } = require('../../src/config/databaseFactory');
const { readSettings } = require('../../src/config/settings');
const { DatabaseHealth } = require('../../src/health/databaseHealth');

const TLS = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';

async function settingsFor(t, changes) {
  return readSettings(directory(t), await freshPostgresql(t, changes));
}

/** Ask PostgreSQL whether the session has TLS, with options that differ from the application's. */
async function hasTls(settings, change) {
  const options = databaseOptions(settings);
  const sequelize = new Sequelize({ ...options, ...change(options) });
  try {
    const [[row]] = await sequelize.query(TLS);
    return row.ssl;
  } finally {
    await sequelize.close();
  }
}

test('ssl beside the other options never reaches the driver: the connection is in the clear', async (t) => {
  const settings = await settingsFor(t);
  const { ssl, ...without } = databaseOptions(settings).dialectOptions;
  assert.equal(await hasTls(settings, () => ({ ssl: true, dialectOptions: without })), false);
  assert.equal(await hasTls(settings, () => ({ dialectOptions: { ...without, ssl } })), true);
});

test('rejectUnauthorized: false has TLS and verifies nobody', async (t) => {
  const settings = await settingsFor(t, { DB_SSL_CA: process.env.TEST_PG_OTHER_CA });
  const blind = (options) => ({
    dialectOptions: { ...options.dialectOptions, ssl: { require: true, rejectUnauthorized: false } },
  });
  assert.equal(await hasTls(settings, blind), true);
  await assert.rejects(
    hasTls(settings, () => ({})),
    /self-signed certificate|unable to verify/,
  );
});

test("Sequelize's own retry repeats a write whose connection was lost, and it is there twice", async (t) => {
  const settings = await settingsFor(t);
  const sequelize = new Sequelize({ ...databaseOptions(settings), retry: { max: 3, match: [/terminat/i] } });
  t.after(() => sequelize.close());
  // The write is committed, and the answer is lost: as when the network breaks at that moment.
  await administer(settings.name, 'CREATE EXTENSION dblink');
  const write =
    "SELECT dblink_exec('dbname=' || current_database() || ' user=postgres host=' || '" +
    process.env.TEST_PG_SOCKET +
    "' || ' port=" +
    process.env.TEST_PG_PORT +
    "', 'INSERT INTO migration_canary VALUES (gen_random_uuid())')";
  const lost = `CREATE FUNCTION write_and_die() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN PERFORM 1 FROM (${write}) AS done; PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END $$`;
  await administer(settings.name, lost);
  const written = async () =>
    Number((await administer(settings.name, 'SELECT count(*) AS n FROM migration_canary'))[0].n);
  await assert.rejects(sequelize.query('SELECT write_and_die()'));
  assert.equal(await written(), 3);

  const { ApplicationDatabase } = require('../../src/config/applicationDatabase');
  const database = await ApplicationDatabase.open(settings);
  t.after(() => database.close());
  await assert.rejects(
    database.write(() => database.sequelize.query('SELECT write_and_die()')),
    /may have happened or not/,
  );
  assert.equal(await written(), 4);
});

test('authenticate() calls an empty new SQLite file healthy', async (t) => {
  const place = directory(t);
  const settings = readSettings(place, { DB_PATH: 'data/gone.sqlite' });
  const options = databaseOptions(settings);
  const naive = new Sequelize({ ...options, dialectOptions: {} });
  await naive.authenticate();
  await naive.close();
  assert.equal(fs.existsSync(settings.path), true);
  fs.rmSync(settings.path);
  const own = DatabaseFactory.createDatabase(settings);
  await assert.rejects(own.authenticate(), /unable to open database file/);
  assert.equal(fs.existsSync(settings.path), false);
});

test('a pool means nothing on SQLite, so that nothing of it is promised', async (t) => {
  const database = await openDatabase(t, 'sqlite');
  await Promise.all([1, 2, 3, 4].map(() => database.sequelize.query('SELECT 1')));
  assert.equal(database.sequelize.connectionManager.pool.size, 0);
  assert.deepEqual(Object.keys(database.sequelize.connectionManager.connections), ['default']);
  assert.equal((await DatabaseHealth.check(database.sequelize)).details.pool, undefined);
});

test('underscored: true makes is_k_y_c_verified of isKYCVerified', async (t) => {
  const database = await openDatabase(t, 'postgresql');
  const naive = database.sequelize.define('Naive', { isKYCVerified: DataTypes.BOOLEAN }, { underscored: true });
  assert.equal(naive.rawAttributes.isKYCVerified.field, 'is_k_y_c_verified');
  assert.equal(database.models.User.rawAttributes.isKYCVerified.field, 'is_kyc_verified');
});

test('paranoid: true on the deployed table, which has no deletedAt, breaks every query', async (t) => {
  const database = await openDatabase(t, 'sqlite', { form: 'deployed' });
  const attributes = { _id: { type: DataTypes.STRING, primaryKey: true } };
  const naive = database.sequelize.define('Naive', attributes, { tableName: 'users', paranoid: true });
  await assert.rejects(naive.findOne(), /no such column: Naive\.deletedAt|no such column: deletedAt/);
  assert.equal(database.models.User.options.paranoid, false);
  assert.ok(await database.models.User.findOne());
});

test('an e-mail that is no text ends a setter that calls toLowerCase() on it', async (t) => {
  const database = await openDatabase(t, 'sqlite');
  const naive = database.sequelize.define('Naive', {
    email: {
      type: DataTypes.STRING,
      set(value) {
        this.setDataValue('email', value.toLowerCase().trim());
      },
    },
  });
  assert.throws(() => naive.build({ email: null }), TypeError);
  await assert.rejects(database.models.User.create({ email: null }), { name: 'SequelizeValidationError' });
});

test("'' where JSON is expected ends a whole query of Sequelize's on SQLite", async (t) => {
  const place = directory(t);
  const settings = readSettings(place, await freshSqlite(t, place, { form: 'deployed' }));
  const emptied = "UPDATE users SET profile = '' WHERE _id = (SELECT min(_id) FROM users)";
  const naive = new Sequelize(databaseOptions(settings));
  t.after(() => naive.close());
  await naive.query(emptied);
  const attributes = { _id: { type: DataTypes.STRING, primaryKey: true }, profile: DataTypes.JSON };
  const users = naive.define('Naive', attributes, { tableName: 'users', timestamps: false });
  await assert.rejects(users.findAll(), /Unexpected end of JSON input/);
  const own = DatabaseFactory.createDatabase(settings);
  t.after(() => own.close());
  assert.equal(
    (await own.define('Own', attributes, { tableName: 'users', timestamps: false }).findOne({ order: ['_id'] }))
      .profile,
    null,
  );
});

test('two reads and two writes without a lock lose money; under the lock none is lost', async (t) => {
  const database = await openDatabase(t, 'postgresql');
  const { Wallet, User } = database.models;
  await User.create({
    id: key(1),
    email: 'a@example.test',
    password: 'x',
    firstName: 'x',
    lastName: 'x',
    role: 'client',
  });
  await Wallet.create({ id: key(201), userId: key(1), balance: 100 });
  const add = async (options, meanwhile) => {
    await database.sequelize.transaction(async (transaction) => {
      const wallet = await Wallet.findByPk(key(201), { transaction, ...options });
      await meanwhile();
      await wallet.update({ balance: wallet.balance + 1 }, { transaction });
    });
  };
  let reading = 3;
  let all;
  const everybodyHasRead = new Promise((resolve) => (all = resolve));
  const meet = () => ((reading -= 1) === 0 ? all() : everybodyHasRead);
  await Promise.all([add({}, meet), add({}, meet), add({}, meet)]);
  assert.equal((await Wallet.findByPk(key(201))).balance, 101);
  await Promise.all([
    add({ lock: true }, async () => {}),
    add({ lock: true }, async () => {}),
    add({ lock: true }, async () => {}),
  ]);
  assert.equal((await Wallet.findByPk(key(201))).balance, 104);
});

// As code in apps/api has it: nothing but the plan's own paths and calls, in a working directory with an .env.
const AS_PLANNED = `
  const { DatabaseFactory } = require('./config/databaseFactory');
  const { DatabaseHealth } = require('./health/databaseHealth');
  const { loadModels } = require('./models');
  (async () => {
    const said = { before: await DatabaseHealth.check() };
    const sequelize = DatabaseFactory.createDatabase();
    const models = await loadModels(sequelize);
    said.users = await models.User.count();
    // From now on a database that is made anew would be another one.
    process.env.DB_TYPE = 'mysql';
    said.health = await DatabaseHealth.check();
    await sequelize.close();
    said.after = await DatabaseHealth.check();
    console.log(JSON.stringify(said));
  })();`;

for (const type of TYPES) {
  test(`${type}: createDatabase() and check() as the plan calls them, with the .env of the working directory`, async (t) => {
    const place = directory(t);
    const environment = await environmentFor(t, type, place, { DB_POOL_MIN: '5' });
    const lines = Object.entries(environment).map(([name, value]) => `${name}=\`${value}\`\n`);
    fs.writeFileSync(path.join(place, '.env'), ['NODE_ENV=test\n', ...lines].join(''));
    // One file for an environment: the move changes DB_TYPE there, and no other file overrules it.
    for (const name of ['test', 'production', 'local']) {
      fs.writeFileSync(path.join(place, `.env.${name}`), 'DB_TYPE=mysql\n');
    }
    const source = path.join(__dirname, '../../src');
    const program = AS_PLANNED.replaceAll("require('.", `require('${source}`);
    const { PATH, NODE_PATH } = process.env;
    const options = { cwd: place, env: { PATH, NODE_PATH, NODE_ENV: 'production' }, timeout: 60000 };
    // That it ends by itself shows that check() leaves no connection of its own.
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], options);
    const { before, users, health, after } = JSON.parse(stdout);
    for (const each of [before, health]) {
      assert.deepEqual([each.status, each.details.type, each.details.error], ['healthy', type, undefined]);
    }
    assert.equal(users, 0);
    const refusal = "DB_TYPE is 'mysql'; it has to be sqlite or postgresql";
    assert.deepEqual(after, { status: 'unhealthy', details: { type: null, error: refusal } });
  });
}

test("the options are Sequelize's own, so that the factory can be used as the plan uses it", async (t) => {
  const place = directory(t);
  const settings = readSettings(place, await freshSqlite(t, place));
  const sequelize = DatabaseFactory.createDatabase(settings);
  t.after(() => sequelize.close());
  assert.ok(sequelize instanceof Sequelize);
  assert.equal(sequelize.options.storage, path.join(place, 'data/contralock.sqlite'));
});
