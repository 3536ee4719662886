'use strict';

// What operators ask: health, metrics, counts, the canary; and what the sample application writes by itself.

const { QueryTypes } = require('sequelize');
const { DatabaseHealth } = require('../health/databaseHealth');
const { poolUse } = require('../health/metrics');
const { definitions } = require('../models/definitions');
const { readTables } = require('../models/tables');
const { ApiError } = require('./errors');

const CANARY = 'migration_canary';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;

class Operations {
  constructor(database, door) {
    this.database = database;
    this.door = door;
  }

  /** The routes that stay open when the application is closed to users. */
  alwaysOpen(app) {
    app.get('/health', async (request, response) => {
      const health = await DatabaseHealth.check(this.database.sequelize);
      health.details.closed = this.door.isClosed;
      response.status(health.status === 'healthy' ? 200 : 503).json(health);
    });
    app.get('/metrics', onlyFromHere, (request, response) => {
      response.type('text/plain; version=0.0.4');
      response.send(this.database.metrics.render(this.database.type, poolUse(this.database.sequelize)));
    });
    app.post('/canary', onlyFromHere, async (request, response) => {
      response.status(201).json(await this.sing(request.body.token));
    });
  }

  forUsers(app) {
    app.get('/counts', async (request, response) => response.json(await this.counts()));
    app.get('/dashboard', async (request, response) => response.json(await this.dashboard()));
    app.post('/notifications', async (request, response) => {
      const { message = 'Written by the sample application' } = request.body;
      response.status(201).json(await this.notify(String(message)));
    });
  }

  /** Write the token as the application writes everything; who reads it in a database knows which one that is. */
  async sing(token) {
    if (!UUID.test(token ?? '')) throw new ApiError(400, 'token has to be a uuid');
    const { sequelize, type } = this.database;
    // Looked for each time: the table may come while the application runs.
    const table = (await this.database.read(() => readTables(sequelize))).get(CANARY);
    if (!table) throw new ApiError(404, `there is no table ${CANARY} in the database (${type})`);
    const options = { bind: [token.toLowerCase(), new Date().toISOString()], type: QueryTypes.INSERT };
    const insert = `INSERT INTO ${CANARY} (token, written_at) VALUES ($1, $2)`;
    await this.database.write(() => sequelize.query(insert, options));
    return { token: token.toLowerCase(), type };
  }

  /** Each of the application's tables -> number of rows, those of deleted users included. */
  async counts() {
    const { models, type } = this.database;
    const counts = {};
    for (const [name, { table }] of Object.entries(definitions)) {
      counts[table] = await this.database.read(() => models[name].count({ paranoid: false }));
    }
    return { type, counts };
  }

  /** Sums over whole tables, as a page for administrators shows them. */
  async dashboard() {
    const { Project, Wallet } = this.database.models;
    const { sequelize } = this.database;
    const grouped = (model, sum) => ({
      attributes: [
        [sequelize.cast(sequelize.col(model.rawAttributes.status.field), 'text'), 'status'],
        [sequelize.fn('count', sequelize.literal('*')), 'rows'],
        [sequelize.cast(sequelize.fn('sum', sequelize.col(model.rawAttributes[sum].field)), 'bigint'), 'sum'],
      ],
      group: [sequelize.col(model.rawAttributes.status.field)],
      order: [[sequelize.literal('1'), 'ASC NULLS FIRST']],
      raw: true,
    });
    return {
      projects: await this.database.read(() => Project.findAll(grouped(Project, 'budget'))),
      wallets: await this.database.read(() => Wallet.findAll(grouped(Wallet, 'balance'))),
    };
  }

  /** Insert a notification for the first user. */
  async notify(message) {
    const { User, Notification } = this.database.models;
    const user = await this.database.read(() => User.findOne({ attributes: ['id'], order: [['id', 'ASC']] }));
    if (!user) throw new ApiError(409, 'there is no user to notify');
    const values = { userId: user.id, type: 'SYSTEM_MESSAGE', title: 'Sample application', message };
    const { id } = await this.database.write(() => Notification.create(values));
    return { id, type: this.database.type };
  }
}

function onlyFromHere(request, response, next) {
  next(LOOPBACK.test(request.socket.remoteAddress ?? '') ? undefined : new ApiError(403, 'only from this host'));
}

module.exports = { Operations };
