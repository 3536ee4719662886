'use strict';

// What the integration tests share: a database of each kind with the same rows, and the application on it.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');
const { Client } = require('pg');
const { ApplicationDatabase } = require('../../src/config/applicationDatabase');
const { readSettings } = require('../../src/config/settings');
const { migrate } = require('../../src/migrations/runner');
const { serve } = require('../../src/server');

const COMMAND = path.join(__dirname, '../../bin/contralock');
const TYPES = ['sqlite', 'postgresql'];

/** As the server's superuser. */
async function administer(database, sql, values = []) {
  const { TEST_PG_SOCKET: host, TEST_PG_PORT: port } = process.env;
  const client = new Client({ host, port: Number(port), user: 'postgres', database });
  await client.connect();
  try {
    return (await client.query(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** A working directory that goes with the test. */
function directory(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'application-'));
  fs.mkdirSync(path.join(made, 'data'));
  t.after(() => fs.rmSync(made, { recursive: true, force: true }));
  return made;
}

/** The environment for a fresh PostgreSQL database of a profile. */
async function freshPostgresql(t, { profile = 'contralock', ...changes } = {}) {
  const name = `t_${randomUUID().replaceAll('-', '')}`;
  await administer('postgres', `CREATE DATABASE ${name} TEMPLATE ${profile} OWNER contralock_owner`);
  t.after(() => administer('postgres', `DROP DATABASE ${name} WITH (FORCE)`));
  return {
    DB_TYPE: 'postgresql',
    DB_HOST: 'localhost',
    DB_PORT: process.env.TEST_PG_PORT,
    DB_NAME: name,
    DB_USER: 'contralock_user',
    DB_PASS: process.env.TEST_PG_PASSWORD,
    DB_SSL: 'true',
    DB_SSL_CA: process.env.TEST_PG_CA,
    DB_POOL_MIN: '0',
    ...changes,
  };
}

/** The environment for a fresh SQLite file, made by the migrations, or a copy of a generated source. */
async function freshSqlite(t, place, { form, ...changes } = {}) {
  const file = path.join(place, 'data/contralock.sqlite');
  const environment = { DB_TYPE: 'sqlite', DB_PATH: file, ...changes };
  if (form) {
    fs.copyFileSync(path.join(process.env.TEST_SOURCES, `${form}.sqlite`), file);
  } else {
    const database = await ApplicationDatabase.open(readSettings(place, environment), { create: true });
    await migrate(database);
    await database.close();
  }
  return environment;
}

async function environmentFor(t, type, place, options) {
  return type === 'sqlite' ? freshSqlite(t, place, options) : freshPostgresql(t, options);
}

/** An open database of this type, closed with the test. */
async function openDatabase(t, type, options) {
  const place = directory(t);
  const database = await ApplicationDatabase.open(readSettings(place, await environmentFor(t, type, place, options)));
  t.after(() => database.close());
  return database;
}

/** The whole application on a database, and a way to ask it. */
async function startApplication(t, type, { seeded = true, ...options } = {}) {
  const place = directory(t);
  const settings = readSettings(place, { PORT: '0', ...(await environmentFor(t, type, place, options)) });
  if (seeded) {
    const database = await ApplicationDatabase.open(settings);
    await seed(database);
    await database.close();
  }
  const { port, stop } = await serve(settings);
  t.after(stop);
  const url = `http://127.0.0.1:${port}`;
  const ask = async (method, target, body) => {
    const response = await fetch(url + target, { method, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
  };
  return { type, settings, url, ask, stop };
}

const key = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const at = (second) => new Date(Date.UTC(2024, 0, 3, 9, 10, second, 791));

/** The same rows on every database, awkward ones among them. */
async function seed({ models }) {
  const names = [
    ['Ada', 'Ärger'],
    ['bob', 'Éclair'],
    ['BOB', 'zoë'],
    ['Œuvre', '100%_\\'],
    ['ada', "O'Neil"],
  ];
  const people = names.map(([firstName, lastName], i) => ({
    id: key(i + 1),
    email: `person${i + 1}@example.test`,
    password: 'not a hash',
    firstName,
    lastName,
    role: ['client', 'freelancer', 'admin'][i % 3],
    status: [null, 'active', 'pending', 'verified', null][i],
    profile: [null, { b: 1, a: [1, 'é'] }, [], { deep: { '': null } }, null][i],
    createdAt: at(i),
    updatedAt: at(i),
  }));
  await models.User.bulkCreate(people);
  const statuses = ['DRAFT', 'ACTIVE', 'ARCHIVED', 'DISPUTED', 'ACTIVE', null];
  const projects = statuses.map((status, i) => ({
    id: key(100 + i),
    title: `Project ${['b', 'B', 'a', 'Á', 'A', 'z'][i]}`,
    description: 'What is wanted',
    category: ['Writing', 'Design', 'Other'][i % 3],
    budget: 10000 * (i + 1),
    deadline: at(30),
    status,
    client: key(1),
    freelancer: i % 2 ? key(2) : null,
    escrow: i ? { held: i } : null,
    createdAt: at(7),
    updatedAt: at(7),
  }));
  await models.Project.bulkCreate(projects);
  const wallets = [1, 2, 3].map((i) => ({
    id: key(200 + i),
    userId: key(i),
    balance: 100000,
    currency: i === 3 ? 'EUR' : 'USD',
    createdAt: at(i),
    updatedAt: at(i),
  }));
  await models.Wallet.bulkCreate(wallets);
  const seen = { createdAt: at(8), updatedAt: at(8) };
  const milestone = { title: 'x', description: 'x', amount: 5, deadline: at(40), acceptanceCriteria: 'x' };
  await models.Milestone.bulkCreate([{ id: key(300), project: key(100), status: 'APPROVED', ...milestone, ...seen }]);
  const payment = { projectId: key(100), type: 'REFUND', amount: -5, provider: 'x' };
  await models.Transaction.bulkCreate([{ id: key(400), ...payment, ...seen }]);
}

/** What anybody may ask says no password; that of the tests holds a word that no way of quoting changes. */
async function assertNoSecret(url) {
  assert.match(process.env.TEST_PG_PASSWORD, /recognisable/);
  for (const target of ['/health', '/metrics']) {
    assert.doesNotMatch(await (await fetch(url + target)).text(), /recognisable/, target);
  }
}

/** How many statements failed with nothing done, as the metrics count them. */
function notDone(database) {
  return Number(/errors_total\{kind="not_done"\} (\d+)/.exec(database.metrics.render(database.type, null))[1]);
}

/** Wait until it holds. */
async function until(holds) {
  for (const deadline = Date.now() + 10000; !holds(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    assert.ok(Date.now() < deadline, `waited for: ${holds}`);
  }
}

/** Run bin/contralock. */
async function command(place, environment, ...parameters) {
  const options = { cwd: place, env: { PATH: process.env.PATH, NODE_PATH: process.env.NODE_PATH, ...environment } };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, ...parameters], options);
    return { code: 0, stdout };
  } catch (error) {
    return { code: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}

module.exports = {
  TYPES,
  administer,
  assertNoSecret,
  command,
  directory,
  environmentFor,
  freshPostgresql,
  freshSqlite,
  key,
  notDone,
  openDatabase,
  startApplication,
  until,
};
