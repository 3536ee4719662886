'use strict';

const { randomBytes, scrypt } = require('node:crypto');
const { promisify } = require('node:util');
const express = require('express');
const { answerTo, ApiError } = require('./errors');
const { Money } = require('./money');
const { Operations } = require('./operations');
const { Resource } = require('./resource');

const LARGEST_BODY = '64kb';

/**
 * Make the application.
 * @param {ApplicationDatabase} database
 * @param {Door} door
 * @returns {{app: Express, operations: Operations}}
 */
function makeApp(database, door) {
  const app = express();
  const operations = new Operations(database, door);
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(express.json({ type: () => true, limit: LARGEST_BODY }), checkBody);
  operations.alwaysOpen(app);
  app.use((request, response, next) => next(door.isClosed ? new ApiError(503, 'closed for maintenance') : undefined));
  operations.forUsers(app);
  addResources(app, database);
  app.use(() => {
    throw new ApiError(404, 'there is nothing here');
  });
  // Express knows it by its four parameters.
  app.use((error, request, response, next) => {
    if (response.headersSent) return next(error);
    const [status, words] = answerTo(error);
    return response.status(status).json({ error: words });
  });
  return { app, operations };
}

function addResources(app, database) {
  const users = new Resource(database, 'User', { searched: ['email', 'firstName', 'lastName'], prepare: hashPassword });
  const projects = new Resource(database, 'Project', { searched: ['title', 'description'], fixed: ['client'] });
  const milestones = new Resource(database, 'Milestone', { fixed: ['project'] });
  const payments = new Resource(database, 'Transaction', { fixed: ['projectId', 'amount', 'from', 'to', 'type'] });
  // Balances change by deposits and transfers alone.
  const sums = ['balance', 'lockedBalance', 'totalDeposited', 'totalWithdrawn', 'currency', 'userId'];
  const wallets = new Resource(database, 'Wallet', { fixed: sums, prepare: refuseSums });
  const entries = new Resource(database, 'WalletTransaction');
  const money = new Money(database);

  app.use('/users', users.router({ deletable: true }));
  app.use('/projects', projects.router());
  app.use('/milestones', milestones.router());
  app.use('/transactions', payments.router());
  app.use('/wallets', wallets.router());
  app.get('/wallets/:id/transactions', async (request, response) => {
    const { id } = await wallets.find(request.params.id);
    response.json(await entries.list({ ...request.query, walletId: id }));
  });
  app.post('/wallets/:id/deposits', async (request, response) =>
    response.status(201).json(await money.deposit(request.params.id, request.body)),
  );
  app.post('/wallets/:id/transfers', async (request, response) =>
    response.status(201).json(await money.transfer(request.params.id, request.body)),
  );
}

function refuseSums(values) {
  for (const name of ['balance', 'lockedBalance', 'totalDeposited', 'totalWithdrawn']) {
    if (name in values) throw new ApiError(400, `${name} cannot be set; make a deposit`);
  }
  return values;
}

async function hashPassword(values) {
  if (!('password' in values)) return values;
  if (typeof values.password !== 'string' || values.password.length < 8) {
    throw new ApiError(400, 'password: has to be a text of at least 8 characters');
  }
  const salt = randomBytes(16);
  const hash = await promisify(scrypt)(values.password, salt, 32);
  return { ...values, password: `scrypt$${salt.toString('base64')}$${hash.toString('base64')}` };
}

/** A body is a JSON object; what PostgreSQL's text cannot hold, and SQLite's SQL neither, is refused on both databases. */
function checkBody(request, response, next) {
  const body = request.body ?? {};
  if (Array.isArray(body)) throw new ApiError(400, 'the request holds no JSON object');
  if (/%00/.test(request.url) || holds(body, (text) => text.includes('\0'))) throw new ApiError(400, 'a text holds the character U+0000');
  request.body = withWholeCharacters(body);
  next();
}

function holds(value, wrong) {
  if (typeof value === 'string') return wrong(value);
  if (value === null || typeof value !== 'object') return false;
  return Object.entries(value).some(([key, each]) => wrong(key) || holds(each, wrong));
}

/** Half an emoji becomes U+FFFD here, as it would on its way into a text; jsonb would refuse it. */
function withWholeCharacters(value) {
  if (typeof value === 'string') return Buffer.from(value).toString();
  if (Array.isArray(value)) return value.map(withWholeCharacters);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [Buffer.from(key).toString(), withWholeCharacters(each)]),
  );
}

module.exports = { makeApp };
